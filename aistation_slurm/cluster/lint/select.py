"""Rules about SelectType: how nodes are handed out, and what goes with it."""

from __future__ import annotations

from collections.abc import Iterator

from aistation_slurm.cluster.lint.finding import Files, Finding, Running

_KNOWN = frozenset({"cons_tres", "cons_res", "linear", "cray_aries"})
_BY_PART = ("CR_CPU", "CR_CORE", "CR_SOCKET")
_NEW_DEFAULT = (23, 11)
"""From here on a file without SelectType means cons_tres; before, linear."""


def select_type(files: Files, running: Running) -> str:
    """Return the SelectType without `select/`; nothing where it depends on a release that is not known."""
    if said := files.conf.value("SelectType").lower():
        return said.removeprefix("select/")
    if running.version == (0, 0):
        return ""
    return "cons_tres" if running.version >= _NEW_DEFAULT else "linear"


def unknown_select_type(files: Files, running: Running) -> Iterator[Finding]:
    """A SelectType that Slurm never had."""
    kind = select_type(files, running)
    if kind and kind not in _KNOWN:
        where = files.conf.where("SelectType")
        yield Finding("unknown-select-type", "fatal", where, f"SelectType={kind}", "SelectType=select/cons_tres")


def odd_select_parameters(files: Files, running: Running) -> Iterator[Finding]:
    """SelectTypeParameters that the SelectType can't use."""
    kind, said = select_type(files, running), files.conf.value("SelectTypeParameters")
    by_part = any(each.strip().upper().startswith(_BY_PART) for each in said.split(","))
    where = files.conf.where("SelectTypeParameters")
    if kind == "linear" and by_part:
        what = f"select/linear gives whole nodes, and SelectTypeParameters={said} says parts of them"
        yield Finding("odd-select-parameters", "fatal", where, what, "SelectType=select/cons_tres")
    elif kind.startswith("cons_") and said and not by_part:
        what = f"select/{kind} with SelectTypeParameters={said}"
        yield Finding("odd-select-parameters", "fatal", where, what, "SelectTypeParameters=CR_Core_Memory")


def shares_need_cons_tres(files: Files, running: Running) -> Iterator[Finding]:
    """Shares of GPUs where nodes are handed out in a way that knows none."""
    shared = {"shard", "mps"} & {each.strip().lower() for each in files.conf.value("GresTypes").split(",")}
    kind = select_type(files, running)
    if shared and kind and kind != "cons_tres":
        what = f"GresTypes has {','.join(sorted(shared))}, and SelectType is select/{kind}"
        fix = "SelectType=select/cons_tres"
        yield Finding("shares-need-cons-tres", "fatal", files.conf.where("SelectType"), what, fix)


def shares_of_nothing(files: Files, running: Running) -> Iterator[Finding]:
    """Shares of GPUs where there are no GPUs to share."""
    types = {each.strip().lower() for each in files.conf.value("GresTypes").split(",")}
    if types & {"shard", "mps"} and "gpu" not in types:
        what = f"GresTypes={files.conf.value('GresTypes')} has shares, and no gpu"
        yield Finding("shares-of-nothing", "fatal", files.conf.where("GresTypes"), what, "GresTypes=gpu,shard")
