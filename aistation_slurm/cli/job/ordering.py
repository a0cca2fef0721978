"""From the words of `aistation job submit` to an order: which of its three forms is meant, and what is asked for."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from aistation_slurm.errors import RequestError, UsageError
from aistation_slurm.jobs.adjustment import Adjustment
from aistation_slurm.jobs.batch_script import is_batch_script, script_text
from aistation_slurm.jobs.passthrough import Split, value_of, without
from aistation_slurm.jobs.request import training_request
from aistation_slurm.jobs.site import Site
from aistation_slurm.jobs.submit import Order, draft, order_of
from aistation_slurm.jobs.tag import is_submission

_OURS = ("emergency", "night", "auto_resume", "no_auto_resume", "as_batch", "again", "submission", "comment", "chdir")
_UNKNOWN_TO_TEMPLATES = ("--gres", "--ntasks", "-n", "--ntasks-per-node", "--gpus-per-task", "--gpus-per-socket")
_RUN_FILES = (".yaml", ".yml")


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What will be submitted, and what is to be said before."""

    order: Order
    script: str
    adjustments: Sequence[Adjustment] = ()
    notes: Sequence[str] = ()


def order_from(found: Split, given: Mapping[str, Any], site: Site, *, folder: Path, make_folders: bool) -> Asked:
    """Return the order that the command line means.

    Raises:
        UsageError: options contradict each other, or there is no script.
        RequestError: it can't run, or a file or folder can't be used.
    """
    ours = {name: given.get(name) for name in _OURS}
    wanted = {name: value for name, value in given.items() if name not in _OURS and value not in (None, (), "")}
    wanted |= _pairs(wanted)
    if qos := _qos(ours, wanted):
        wanted["qos"] = qos
    folder = Path(ours["chdir"]).absolute() if ours["chdir"] else folder
    more = _of_the_submission(ours)
    if ours["again"]:
        return _again(found, ours, wanted, site, more, make_folders=make_folders)
    if found.script is None:
        if value_of(found.options, "--wrap") is not None:
            return _batch(None, found, wanted, found.options, folder, ours, more)
        raise UsageError("name the script that is to run", hint="`aistation job submit --help` shows how")
    if found.script.endswith(_RUN_FILES) and not ours["as_batch"]:
        return _from_run_file(found, wanted, site, folder, ours, more, make_folders=make_folders)
    script = Path(found.script)
    if ours["as_batch"] or ("template" not in wanted and is_batch_script(script)):
        return _batch(script, found, wanted, found.options, folder, ours, more)
    wanted |= {"script": script, "args": found.args}
    return _template(wanted, found.options, site, folder, ours, more, make_folders=make_folders)


def _template(
    wanted: Mapping[str, Any], options: Sequence[str], site: Site, folder: Path, ours: Mapping[str, Any],
    more: Mapping[str, Any], *, make_folders: bool,
) -> Asked:  # fmt: skip
    wanted, notes = {"python": _python(in_image="image" in wanted), **_without_types(wanted)}, []
    if "template" not in wanted:
        from aistation_slurm.jobs.default_template import default_template

        wanted["template"], why = default_template(wanted, site.catalogue)
        notes.append(f"template: {wanted['template']} ({why}; --template names another)")
    request = training_request(**wanted)
    for name, each in request.datasets.items():
        _raise_if_no_folder(name, each)
    if request.checkpoint_dir is not None:
        from aistation_slurm.jobs.checkpoint_folder import look_at

        notes += look_at(request.checkpoint_dir, make=make_folders)
    ready = draft(request, site)
    notes += [*ready.notes, *_unknown_to_templates(options)]
    order = order_of(ready, folder=folder, options=without(options, "--comment"), comment=ours["comment"] or "", **more)
    return Asked(order=order, script=ready.script, adjustments=ready.adjustments, notes=notes)


def _batch(
    script: Path | None, found: Split, wanted: Mapping[str, Any], options: Sequence[str], folder: Path,
    ours: Mapping[str, Any], more: Mapping[str, Any],
) -> Asked:  # fmt: skip
    from aistation_slurm.jobs.as_batch import batch_order

    words = [*options, *([f"--comment={ours['comment']}"] if ours["comment"] else [])]
    words += [f"--chdir={folder}"] if ours["chdir"] else []
    order = batch_order(script, found.args, wanted, words, folder=folder, **more)
    return Asked(order=order, script=script_text(order.batch))


def _from_run_file(
    found: Split, wanted: dict[str, Any], site: Site, folder: Path, ours: dict[str, Any], more: dict[str, Any],
    *, make_folders: bool,
) -> Asked:  # fmt: skip
    from aistation_slurm.jobs.run_file import read_run_file

    file = read_run_file(Path(found.script or ""))
    said = {**file.wanted, **wanted}
    said |= {"args": (*said.get("args", ()), *found.args)}
    said |= {"settings": {**file.wanted.get("settings", {}), **wanted.get("settings", {})}}  # type: ignore[dict-item]
    if "script" not in said:
        raise RequestError("says no script", where=str(found.script), hint="script: train.py")
    resume = file.auto_resume if more["resume"] is None else more["resume"]
    options = (*file.options, *found.options)
    return _template(said, options, site, folder, ours, {**more, "resume": resume}, make_folders=make_folders)


def _again(
    found: Split, ours: Mapping[str, Any], wanted: Mapping[str, Any], site: Site, more: Mapping[str, Any],
    *, make_folders: bool,
) -> Asked:  # fmt: skip
    from aistation_slurm.jobs.again import find_record, wanted_again

    if found.script is not None:
        raise UsageError(
            "--again names what is submitted", hint="leave the script out; other options may be given anew"
        )
    record, folder = find_record(ours["again"])
    options = (*record.options, *found.options)
    if not record.folder.is_dir():
        raise RequestError("it was submitted there, and the folder is gone", where=str(record.folder))
    if record.request is None:
        named = wanted if "name" in wanted else {**wanted, "name": record.name}
        again = replace(found, args=record.args)
        return _batch(folder.script, again, named, options, record.folder, {**ours, "chdir": str(record.folder)}, more)
    before = wanted_again(record, folder)
    for replaced in ({"gpus", "gpus_per_node", "nodes"}, {"shares", "gpus"}):
        if replaced & wanted.keys():  # another size is said anew
            before = {name: value for name, value in before.items() if name not in replaced or name == "nodes"}
    said = {**before, **wanted}
    return _template(said, options, site, record.folder, ours, more, make_folders=make_folders)


def _of_the_submission(ours: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of the order that say whose submission it is."""
    found: dict[str, Any] = {"resume": 0 if ours["no_auto_resume"] else ours["auto_resume"]}
    if ours["no_auto_resume"] and ours["auto_resume"]:
        raise UsageError("--auto-resume and --no-auto-resume exclude each other")
    if ours["submission"] is not None:
        if not is_submission(ours["submission"]):
            raise UsageError(f"--id {ours['submission']!r}: letters, digits, '.', '_' and '-', 64 at most")
        found |= {"submission": ours["submission"], "may_be_there": True}
    return found


def _qos(ours: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    named = [name for name in ("emergency", "night") if ours[name]]
    if len(named) + ("qos" in wanted) > 1:
        raise UsageError("--emergency, --night and --qos say the same thing: name one of them")
    return named[0] if named else None


def _pairs(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is written as NAME=VALUE, by name."""
    found: dict[str, Any] = {}
    if texts := wanted.get("settings"):
        if bad := next((text for text in texts if not text.partition("=")[0] or "=" not in text), None):
            raise UsageError(f"--set {bad}: write it as NAME=VALUE", hint="`aistation template show` names them")
        found["settings"] = dict(text.partition("=")[::2] for text in texts)
    if texts := wanted.get("datasets"):
        pairs = [text.partition("=")[::2] if "=" in text else (Path(text).name, text) for text in texts]
        found["datasets"] = {name: Path(folder).absolute() for name, folder in pairs}
    return found


def _without_types(wanted: Mapping[str, Any]) -> dict[str, Any]:
    """Return `--gpus=v100:4` as a type and a number."""
    found = dict(wanted)
    for name in ("gpus", "gpus_per_node"):
        kind, colon, count = str(found.get(name, "")).rpartition(":")
        if not colon:
            continue
        if found.get("gpu_type", kind) != kind:
            raise UsageError(f"--gpu-type is {found['gpu_type']}, and --{name.replace('_', '-')} says {kind}")
        found |= {"gpu_type": kind, name: count}
    return found


def _raise_if_no_folder(name: str, folder: Path) -> None:
    if not folder.is_dir():
        raise RequestError(f"the data set {name!r}: there is no such folder", where=str(folder), hint="see --dataset")
    if not os.access(folder, os.R_OK | os.X_OK):
        raise RequestError(f"the data set {name!r}: you may not read it", where=str(folder))


def _unknown_to_templates(options: Sequence[str]) -> list[str]:
    given = [name for name in _UNKNOWN_TO_TEMPLATES if value_of(options, name) is not None]
    if not given:
        return []
    return [f"{', '.join(given)}: the script knows nothing of it; --gpus, --nodes and --share are what templates go by"]


def _python(*, in_image: bool) -> str:
    """Return the active virtual environment's Python, which is where the framework is; an image has one of its own."""
    active = None if in_image else os.environ.get("VIRTUAL_ENV")
    return f"{active}/bin/python" if active else "python3"
