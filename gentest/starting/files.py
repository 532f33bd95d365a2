"""The files that `gentest init` writes, as texts.

The templates stand beside this module. Their signs are << >> and <% %>, since GitHub's own are {{ }}.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from gentest.starting.answers import Answers, Latent
from gentest.starting.kinds import KINDS

EDIT = "EDIT:"
"""What marks the place in a file that is left to a person."""
WORKFLOW = Path(".github", "workflows", "gentest.yml")
WIDTH = 88
"""Of lines, as formatters have it unless told otherwise."""
NAME = 24
"""Letters of the name that a test of CLIP gets."""
DULL = {"a", "an", "the", "of", "photo", "picture", "image"}
"""Words of a prompt that say nothing of what is looked for."""


@dataclass(frozen=True)
class Written:
    """One file."""

    path: Path
    """Absolute."""
    text: str

    @property
    def edits(self) -> list[tuple[int, str]]:
        """What is left to a person: the line, and what to do there."""
        lines = enumerate(self.text.splitlines(), 2)  # the line below the mark
        return [(at, line.partition(EDIT)[2].strip()) for at, line in lines if EDIT in line]


def files(answers: Answers, folder: Path, root: Path) -> list[Written]:
    """A conftest.py, a test file and, where it is wanted, a workflow of GitHub's; `root` is that of the repository."""
    made = [
        Written(folder / "conftest.py", _rendered("conftest.py", _fixture(answers))),
        Written(folder / "test_latent.py", _rendered("test_latent.py", _tests(answers))),
    ]
    if answers.ci == "github":
        made.append(Written(root / WORKFLOW, _rendered("gentest.yml", _workflow(answers, folder, root))))
    return made


def _rendered(name: str, values: dict[str, object]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gentest.starting"),
        undefined=StrictUndefined,
        variable_start_string="<<",
        variable_end_string=">>",
        block_start_string="<%",
        block_end_string="%>",
        comment_start_string="<#",
        comment_end_string="#>",
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # nothing here is HTML
    )
    environment.filters |= {"quoted": _quoted, "yaml": json.dumps, "shell": shlex.quote}
    return environment.get_template(f"{name}.jinja").render(values)


def _fixture(answers: Answers) -> dict[str, object]:
    defined, weights, how = answers.defined, answers.weights, _how(answers)
    arguments = answers.latent.lines if answers.kind not in ("autoencoder", "diffusers") else []
    if answers.kind != "diffusers" and answers.output_range is not None:
        arguments.append(f"output_range={_pair(answers.output_range)},")
    if not answers.images:
        arguments.append("images=False,")
    return {
        "kind": answers.kind,
        "how": how,
        "defined": defined,
        "made": "\n    ".join(_called(defined.name, [f"{n}=..." for n in defined.needs], indent=12)) if defined else "",
        "calls": f"{defined.name}({'gentest_checkpoint' if defined.takes else ''})" if defined is not None else "",
        "data": answers.data,
        "file": answers.file,
        "pipeline": _pipeline(answers.file),
        "weights": weights,
        "arguments": arguments,
        "imports": _imports(answers, how),
        "shape": _shape_said(answers.latent),
        "guesses": [line for what, why in answers.guesses for line in wrap(f"{what}: {why}", WIDTH - 6)],
        "edit": EDIT,
    }


def _imports(answers: Answers, how: str) -> list[list[str]]:
    """The lines that import what others made, and those that import the user's own, each sorted as isort does."""
    plain = ["import gentest", "import pytest"]
    froms: list[str] = []
    own: list[str] = []
    needs_torch = how in ("nothing", "class") or (answers.kind == "autoencoder" and answers.data is None)
    if needs_torch:
        plain.append("import torch")
    if answers.kind == "diffusers":
        froms.append("from diffusers import DiffusionPipeline")
    if how == "class" and answers.weights is not None and answers.weights.is_safe:
        froms.append("from safetensors.torch import load_file")
    if answers.defined is not None and answers.weights is not None and answers.weights.packaged:
        plain.append(f"import {answers.defined.package}")
    named: dict[tuple[str, bool], set[str]] = {}
    for what in (answers.defined, answers.data):
        if what is not None:
            named.setdefault((what.module, bool(what.distribution)), set()).add(what.name)
    for (module, installed), names in named.items():
        (froms if installed else own).append(f"from {module} import {', '.join(sorted(names))}")
    return [sorted(plain) + sorted(froms), sorted(own)]


def _pipeline(file: str) -> str:
    """Where a pipeline is, in Python: a folder beside the fixture, or a name on the hub."""
    return f"Path(__file__).parent / {_quoted(file[2:])}" if file.startswith("./") else _quoted(file)


def _how(answers: Answers) -> str:
    """Which way of loading the fixture has."""
    if KINDS[answers.kind].source != "code":
        return "file" if answers.file else "nothing"
    if answers.defined is None:
        return "nothing"
    return "class" if answers.defined.is_class else "code"


def _tests(answers: Answers) -> dict[str, object]:
    prompts = [
        {"lines": _called("gentest.clip", [_quoted(text) for text in texts], indent=4, end=","), "name": name}
        for texts, name in zip(answers.prompts, _names(answers), strict=True)
    ]
    return {"images": answers.images, "clip": answers.clip, "prompts": prompts, "labels": answers.latent.labels}


def _names(answers: Answers) -> Iterator[str]:
    """A name for the test of each pair of prompts, none twice."""
    seen = {"is_a_function", "latents_matter", "nothing_jumps", "samples_differ", "brightness_is_between"}
    for texts in answers.prompts:
        words = re.findall(r"[a-z0-9]+", texts[0].lower())
        plain = [word for word in words if word not in DULL] or words or ["clip"]
        name = base = "_".join(plain)[:NAME].strip("_")
        count = 2
        while name in seen:
            name, count = f"{base}_{count}", count + 1
        seen.add(name)
        yield name


def _called(name: str, arguments: Sequence[str], *, indent: int, end: str = "") -> list[str]:
    """A call as formatters write it: on one line where it fits, else with an argument on each."""
    line = f"{name}({', '.join(arguments)}){end}"
    if indent + len(line) <= WIDTH:
        return [line]
    return [f"{name}(", *(f"    {argument}," for argument in arguments), f"){end}"]


def _quoted(text: str) -> str:
    """A string as formatters write it: one literal, whatever it holds."""
    said = repr(text)
    return f'"{said[1:-1]}"' if said.startswith("'") and '"' not in said else said


def _workflow(answers: Answers, folder: Path, root: Path) -> dict[str, object]:
    kind = KINDS[answers.kind]
    installs = [name for name in [answers.defined.distribution if answers.defined else ""] if name]
    gentest = f"pytest-gentest[{kind.extra}]" if kind.extra else "pytest-gentest"
    where = folder.relative_to(root).as_posix()
    return {
        "tests": shlex.quote(where) if where != "." else "",
        "baseline": (folder.relative_to(root) / "gentest_baseline.json").as_posix(),
        "requirements": (root / "requirements.txt").is_file(),
        "project": _is_project(root),
        "packages": " ".join(f"'{name}'" if "[" in name else name for name in [gentest, *installs]),
        "clip": answers.clip if answers.prompts else "",
    }


def _is_project(root: Path) -> bool:
    """Whether the repository is a package that pip installs."""
    try:
        return bool(re.search(r"^\[project\]", (root / "pyproject.toml").read_text(encoding="utf-8"), re.MULTILINE))
    except OSError:
        return (root / "setup.py").is_file()


def _shape_said(latent: Latent) -> str:
    """The batch of latents in words."""
    found = re.match(r"gentest\.\w+\((\(.*?\)|\d+)", latent.text)
    shape = "128" if found is None else found[1].strip("()")
    return f"[B, {shape}]"


def _pair(values: tuple[float, float]) -> str:
    return f"({values[0]:g}, {values[1]:g})"
