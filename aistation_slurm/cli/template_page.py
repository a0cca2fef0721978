"""The pages of the templates: each line of a script, and what a user would otherwise have to know."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from itertools import groupby

from aistation_slurm.jobs.catalogue import Catalogue, Template, open_catalogue
from aistation_slurm.jobs.explained import Block, Explanation, example_of, explained, explanation_of
from aistation_slurm.jobs.parameter import Parameter
from aistation_slurm.jobs.request import TrainingRequest, read_request

COMMON = "common"
SHARED = {
    "_head": "What sbatch is told",
    "_start": "The start of a run",
    "_signals": "Before the time limit, and at the end",
    "_bind": "How srun starts the work",
    "_container": "In an image",
    "_network": "Where processes meet",
    "_torchrun": "torchrun and its workers",
    "_wait": "The end of a run",
}
_ALL = {
    "template": "pytorch-ddp", "script": "/data/ann/train.py", "name": "train", "group": "v100", "account": "behavior",
    "qos": "night", "reservation": "course", "constraint": "ib", "nodes": 2, "gpus_per_node": 8, "gpu_type": "v100",
    "cpus_per_gpu": 8, "mem": "200G", "time": "1-00:00:00", "mail": ("END", "FAIL"), "image": "/data/images/torch.sif",
    "datasets": {"coco": "/data/sets/coco"}, "exports": {"WANDB_MODE": "offline"},
    "checkpoint_dir": "/data/ann/checkpoints",
}  # fmt: skip


def template_pages() -> dict[str, str]:
    """Return file name -> text of the page of each template that somebody explained, and of what they share."""
    catalogue = open_catalogue()
    pages = {f"templates/{COMMON}.md": common_page(catalogue)}
    for template in catalogue:
        if known := explanation_of(template.name, catalogue):
            pages[f"templates/{template.name}.md"] = "\n".join(_template_page(template, known, catalogue))
    return pages


def common_page(catalogue: Catalogue) -> str:
    """Return the page of the parts that templates share, at its fullest."""
    parts = [
        "# What all templates share\n",
        "The parts stand in `templates/train/_*.sh.j2`, and a template of a site's own may include them, too. Here "
        "they are as `pytorch-ddp` renders them when everything is asked for. Written by `scripts/dev/docs`.\n",
    ]
    blocks = explained(read_request(_ALL), catalogue)
    for name, title in SHARED.items():
        parts += [f"## {title}\n", f"`train/{name}.sh.j2`\n"]
        parts += [_said(block) for block in blocks if block.source == name and block.text.strip()]
    return "\n".join(parts)


def _template_page(template: Template, known: Explanation, catalogue: Catalogue) -> Iterator[str]:
    request = example_of(template, known)
    yield f"# {template.title}: `{template.name}`\n"
    yield f"{template.what_for}\n"
    yield f"```console\n$ {command_of(request)}\n```\n"
    yield "| parameter | | default | what it is |\n| --- | --- | --- | --- |"
    yield from (_row(name, each) for name, each in template.parameters.items())
    yield "\n## What you would otherwise have to know\n"
    yield from (f"- {each}" for each in known.know)
    yield "\n## The script, line by line\n"
    yield "What the command above hands to sbatch; `--dry-run` prints it, and it works as it is with plain `sbatch`.\n"
    for source, group in groupby(explained(request, catalogue), key=lambda block: block.source):
        blocks = list(group)
        yield from [_shared(source, blocks)] if source else map(_said, blocks)
    yield "Written by `scripts/dev/docs` from the template and its `.toml`."
    yield ""


def command_of(request: TrainingRequest) -> str:
    """Return the command line that makes this request."""
    words = ["aistation", "job", "submit", "--template", request.template]
    for name in ("group", "nodes", "gpus_per_node", "shares", "cpus_per_gpu", "time", "image"):
        if (value := getattr(request, name)) is not None:
            words += ["--share" if name == "shares" else f"--{name.replace('_', '-')}", str(value)]
    words += [each for name, value in request.settings.items() for each in ("--set", f"{name}={value}")]
    words += [request.script.name, *(("--", *request.args) if request.args else ())]
    return shlex.join(words)


def _row(name: str, parameter: Parameter) -> str:
    kind = " or ".join(f"`{each}`" for each in parameter.choices) or parameter.type
    default = "" if parameter.default is None else f"`{str(parameter.default).lower()}`"
    return f"| `{name}` | {kind} | {default} | {parameter.help} |"


def _said(block: Block) -> str:
    return f"```bash\n{block.text}```\n\n{block.say}\n"


def _shared(source: str, blocks: list[Block]) -> str:
    title = SHARED.get(source, source)
    text = "".join(block.text for block in blocks)
    anchor = title.lower().replace(" ", "-").replace(",", "")
    return f"```bash\n{text}```\n\n`train/{source}.sh.j2`: [{title}]({COMMON}.md#{anchor})\n"
