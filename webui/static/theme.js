// Sets the colours before the first paint: what the person chose, else what the system says.
(() => {
  "use strict";
  const root = document.documentElement;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const chosen = () => {
    try { return localStorage.getItem("aistation-theme") || "auto"; } catch { return "auto"; }
  };
  const apply = () => {
    root.dataset.choice = chosen();
    root.dataset.bsTheme = chosen() === "auto" ? (dark.matches ? "dark" : "light") : chosen();
  };
  apply();
  dark.addEventListener("change", apply);
  document.addEventListener("click", (event) => {
    if (!event.target.closest("#theme")) return;
    const next = { auto: "light", light: "dark", dark: "auto" }[chosen()] || "auto";
    try { localStorage.setItem("aistation-theme", next); } catch { /* private window: for this page only */ }
    apply();
  });
})();
