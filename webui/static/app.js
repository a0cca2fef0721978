// What htmx does not do by itself: conditional polling, running clocks, tooltips, the filter, arrow keys.
(() => {
  "use strict";
  const station = document.getElementById("station");
  const offline = document.getElementById("offline");
  const tip = document.getElementById("tip");
  const el = (id) => document.getElementById(id);

  // ---- time: the server's clock, not this machine's ------------------------------------------------------------
  let skew = 0, taken = Date.parse(el("age")?.dateTime ?? "") / 1000 || 0;
  const now = () => Date.now() / 1000 + skew;
  const two = (n) => String(n).padStart(2, "0");
  const clock = (seconds) => {
    const s = Math.max(0, Math.floor(seconds)), d = Math.floor(s / 86400), h = Math.floor(s / 3600) % 24, m = Math.floor(s / 60) % 60;
    if (d) return `${d}-${two(h)}:${two(m)}:${two(s % 60)}`;
    return h ? `${h}:${two(m)}:${two(s % 60)}` : `${m}:${two(s % 60)}`;
  };
  const size = (s) => s >= 86400 ? `${Math.floor(s / 86400)} d` : s >= 3600 ? `${Math.floor(s / 3600)} h` : s >= 60 ? `${Math.floor(s / 60)} min` : `${Math.floor(s)} s`;
  const ago = (seconds) => seconds < 2 ? "just now" : `${size(seconds)} ago`;
  const write = (node, text) => { if (node.textContent !== text) node.textContent = text; };
  const tick = () => {
    const at = now();
    for (const node of document.querySelectorAll("time[data-clock]")) {
      write(node, clock((Number(node.dataset.until) || at) - Number(node.dataset.clock)));
    }
    for (const node of document.querySelectorAll("time[data-ago]")) write(node, ago(at - Number(node.dataset.ago)));
    for (const node of document.querySelectorAll("time[data-for]")) write(node, size(at - Number(node.dataset.for)));
    for (const node of document.querySelectorAll("time[data-in]")) {
      const left = Number(node.dataset.in) - at;
      write(node, left < 60 ? "within a minute" : `in about ${size(left)}`);
    }
    const age = el("age");
    if (age && taken) {
      write(age, ago(at - taken));
      age.classList.toggle("is-old", at - taken > 10);
    }
  };

  // ---- what appears while somebody looks is shown for a moment; the filter's text is the person's, not the server's --
  Idiomorph.defaults.callbacks.beforeNodeMorphed = (old) => old.id !== "filter";
  Idiomorph.defaults.callbacks.afterNodeAdded = (node) => {
    if (node.tagName === "TR") node.classList.add("is-new");
  };

  // ---- polling: ask only for what changed, only while somebody looks -------------------------------------------
  let etag = station.dataset.etag, lost = 0;
  document.body.addEventListener("htmx:configRequest", (event) => {
    if (etag) event.detail.headers["If-None-Match"] = etag;
  });
  document.body.addEventListener("htmx:beforeRequest", (event) => {
    if (document.hidden) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    if (!document.hidden) htmx.trigger(station, "look");
  });
  document.body.addEventListener("htmx:beforeSwap", (event) => {
    const xhr = event.detail.xhr;
    if (xhr.status === 200) etag = xhr.getResponseHeader("ETag") || "";
  });
  document.body.addEventListener("htmx:afterRequest", (event) => {
    const xhr = event.detail.xhr, well = xhr.status === 200 || xhr.status === 304;
    lost = well ? 0 : lost + 1;
    offline.hidden = lost < 2;
    if (!well) return;
    skew = Number(xhr.getResponseHeader("Aistation-Now")) - Date.now() / 1000;
    taken = Number(xhr.getResponseHeader("Aistation-Taken"));
    tick();
  });
  document.body.addEventListener("htmx:afterSwap", () => {
    document.documentElement.classList.add("is-live");
    tick();
    filter();
    rove();
    if (pointed && !pointed.isConnected) hideTip(); else if (pointed) fillTip(pointed);
  });

  // ---- the filter: over the rows that are shown ----------------------------------------------------------------
  let words = [];
  const filter = () => {
    const rows = document.querySelectorAll(".jobs tbody tr");
    let shown = 0;
    for (const row of rows) {
      const text = words.length ? row.textContent.toLowerCase() : "";
      row.hidden = !words.every((word) => text.includes(word));
      shown += !row.hidden;
    }
    write(el("filter-count"), words.length ? `${shown} of ${rows.length} shown` : "");
  };
  document.addEventListener("input", (event) => {
    if (event.target.id !== "filter") return;
    words = event.target.value.toLowerCase().split(/\s+/).filter(Boolean);
    filter();
  });

  // ---- tiles: one stop for Tab in each group, arrows inside ----------------------------------------------------
  const current = new Map();
  const rove = () => {
    for (const list of document.querySelectorAll("[data-roving]")) {
      const chosen = document.getElementById(current.get(list) ?? "");
      if (!chosen) continue;
      for (const tile of list.children) tile.tabIndex = tile === chosen ? 0 : -1;
    }
  };
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hideTip();
    if (event.key === "/" && !/^(INPUT|TEXTAREA)$/.test(event.target.tagName)) {
      event.preventDefault();
      el("filter")?.focus();
    }
    const tile = event.target.closest?.("[data-roving] > *");
    if (!tile) return;
    const all = [...tile.parentElement.children], here = all.indexOf(tile), perRow = all.filter((each) => each.offsetTop === all[0].offsetTop).length;
    const step = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: perRow, ArrowUp: -perRow, Home: -here, End: all.length - 1 - here }[event.key];
    if (step === undefined) return;
    event.preventDefault();
    const next = all[Math.min(all.length - 1, Math.max(0, here + step))];
    current.set(tile.parentElement, next.id);
    rove();
    next.focus();
  });

  // ---- tooltips: by pointer, by focus, by touch ----------------------------------------------------------------
  let pointed = null;
  const line = (name, text) => {
    const part = document.createElement("span");
    part.className = name;
    part.textContent = text;
    return part;
  };
  const fillTip = (target) => {
    const { tipHead, tipState, tipReason, tip: rest } = target.dataset;
    const parts = [["tip-head", tipHead], ["tip-state", tipState], ["tip-reason", tipReason], ["tip-rest", rest]];
    tip.replaceChildren(...parts.filter(([, text]) => text).map(([name, text]) => line(name, text)));
  };
  const showTip = (target) => {
    pointed = target;
    fillTip(target);
    tip.hidden = false;
    const box = target.getBoundingClientRect(), mine = tip.getBoundingClientRect();
    const left = Math.min(innerWidth - mine.width - 8, Math.max(8, box.left + box.width / 2 - mine.width / 2));
    const above = box.top - mine.height - 8;
    tip.style.left = `${left}px`;
    tip.style.top = `${above > 8 ? above : box.bottom + 8}px`;
  };
  const hideTip = () => { pointed = null; tip.hidden = true; };
  const tipped = (event) => event.target.closest?.("[data-tip]");
  document.addEventListener("pointerover", (event) => { const target = tipped(event); if (target) showTip(target); else if (pointed) hideTip(); });
  document.addEventListener("focusin", (event) => { const target = tipped(event); if (target?.matches(":focus-visible")) showTip(target); });
  document.addEventListener("focusout", hideTip);
  addEventListener("scroll", hideTip, { passive: true });

  setInterval(tick, 1000);
  tick();
})();
