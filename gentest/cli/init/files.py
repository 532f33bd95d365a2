"""The files that `gentest init` writes, as texts.

The templates stand beside this module. Their signs are << >> and <% %>, since GitHub's own are {{ }}.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import wrap

from gentest.cli.init.answers import Answers, Latent, printable
from gentest.cli.init.kinds import KINDS
from gentest.cli.init.looking import Defined

EDIT = "EDIT:"
"""What marks the place in a file that is left to a person."""
WORKFLOW = Path(".github", "workflows", "gentest.yml")
WIDTH = 88
"""Of lines, as formatters have it unless told otherwise."""
NAME = 24
"""Letters of the name that a test of CLIP gets."""
CHOICES = 4
"""Files that are named where a person has to choose one."""
OURS = {"DiffusionPipeline", "Path", "annotations", "checkpoint", "generator", "gentest", "gentest_checkpoint"}
OURS |= {"load_file", "model", "path", "pipeline", "pytest", "state", "sys", "torch"}
"""Names in every conftest.py, which nothing of the user's can have there."""
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
        Written(folder / "conftest.py", _rendered("conftest.py", _fixture(answers, folder))),
        Written(folder / "test_latent.py", _rendered("test_latent.py", _tests(answers))),
    ]
    if answers.ci == "github":
        made.append(Written(root / WORKFLOW, _rendered("gentest.yml", _workflow(answers, folder, root))))
    return made


def _rendered(name: str, values: dict[str, object]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gentest.cli.init"),
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
    environment.filters |= {"quoted": _quoted, "yaml": _in_yaml, "shell": shlex.quote}
    return environment.get_template(f"{name}.jinja").render(values)


def _fixture(answers: Answers, folder: Path) -> dict[str, object]:
    defined, data, weights, how = answers.defined, answers.data, answers.weights, _how(answers)
    called, of_data, package = _called_here(answers, how)
    roots = [what.root for what in (defined, data) if what is not None and what.root is not None and what.told]
    arguments = answers.latent.lines if answers.kind not in ("autoencoder", "diffusers") else []
    if answers.kind != "diffusers" and answers.output_range is not None:
        arguments.append(f"output_range={_pair(answers.output_range)},")
    if not answers.images:
        arguments.append("images=False,")
    return {
        "kind": answers.kind,
        "how": how,
        "defined": defined,
        "made": "\n    ".join(_made(called, defined, indent=12)) if defined else "",
        "calls": f"{called}({'gentest_checkpoint' if defined.takes else ''})" if defined else "",
        "data": data,
        "images": "\n        ".join(_made(of_data, data, indent=13, end=",")) if data else "images(),",
        "package": package,
        "paths": [_from_fixture(root, folder) for root in dict.fromkeys(roots)],
        "choices": _choices(answers),
        "file": answers.file,
        "pipeline": _pipeline(answers.file),
        "weights": weights,
        "arguments": arguments,
        "imports": _imports(answers, how, (called, of_data, package)),
        "shape": _shape_said(answers.latent),
        "guesses": [line for what, why in answers.guesses for line in wrap(f"{what}: {why}", WIDTH - 6)],
        "edit": EDIT,
    }


def _made(called: str, what: Defined, *, indent: int, end: str = "") -> list[str]:
    """A call with the arguments that it needs left open."""
    return _called(called, [f"{name}=..." for name in what.needs], indent=indent, end=end)


def _called_here(answers: Answers, how: str) -> tuple[str, str, str]:
    """What conftest.py calls the model's function or class, that of the data, and the package: where another has the
    name there, not their own.
    """
    taken = set(OURS)
    if how in ("nothing", "class"):
        taken.add("load")
    if answers.kind == "autoencoder" and answers.data is None:
        taken.add("images")
    defined, data = answers.defined, answers.data
    package = defined.package if defined is not None else ""
    package = f"{package}_package" if package in taken else package
    if answers.weights is not None and answers.weights.packaged:
        taken.add(package)
    names: dict[tuple[str, str], str] = {}
    found = [(what.module, what.name) if what is not None else ("", "") for what in (defined, data)]
    for what, other in zip(found, ("make_generator", "load_data"), strict=True):
        name = what[1]
        if what not in names and (name in taken or name.startswith("pytest_")):  # those are hooks in a conftest.py
            name = next(n for n in (other, f"{other}_", f"{other}__") if n not in taken)
        taken.add(names.setdefault(what, name))
    return names[found[0]], names[found[1]], package


def _from_fixture(root: Path, folder: Path) -> str:
    """A folder in Python, from that of the fixture."""
    parts = Path(os.path.relpath(root, folder)).parts
    up = parts.count("..")
    here = f"Path(__file__).parents[{up}]" if up else "Path(__file__).parent"
    return f"{here} / {_quoted('/'.join(parts[up:]))}" if parts[up:] else here


def _choices(answers: Answers) -> str:
    """The files of weights that a person has to choose from, in words."""
    names = [printable(path.as_posix()) for path in answers.choices]
    more = [f"{len(names) - CHOICES} more"] if len(names) > CHOICES else []
    return ", ".join([*names[:CHOICES], *more])


def _imports(answers: Answers, how: str, called: tuple[str, str, str]) -> list[list[str]]:
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
        package = answers.defined.package
        plain.append(f"import {package}" if called[2] == package else f"import {package} as {called[2]}")
    named: dict[tuple[str, bool], set[str]] = {}
    for what, name in zip((answers.defined, answers.data), called, strict=False):
        if what is not None and what.name == name:
            named.setdefault((what.module, what.mine), set()).add(name)
        elif what is not None:
            (own if what.mine else froms).append(f"from {what.module} import {what.name} as {name}")
    for (module, mine), names in named.items():
        (own if mine else froms).append(f"from {module} import {', '.join(sorted(names))}")
    return [sorted(plain) + sorted(set(froms)), sorted(set(own))]


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


def _in_yaml(text: str) -> str:
    """A string that YAML reads as one: JSON is YAML."""
    return json.dumps(text, ensure_ascii=False)


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
