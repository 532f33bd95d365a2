"""The files that `gentest init` writes, rendered from `templates/`.

The templates mark values with << >> and blocks with <% %>, because GitHub's workflows use {{ }}.
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

from gentest.cli.doctor import EDIT
from gentest.cli.init_answers import Answers
from gentest.cli.init_source import Source
from gentest.cli.model_options import read_latent
from gentest.cli.model_source import Code

WORKFLOW = Path(".github", "workflows", "gentest.yml")
WIDTH = 88
"""Line length of generated Python: the default of formatters."""
LONGEST_NAME = 24
"""Characters of a prompt that name its test."""
FILLERS = {"a", "an", "the", "of", "photo", "picture", "image"}
"""Words of a prompt that its test's name leaves out."""


@dataclass(frozen=True)
class NewFile:
    """A file to write."""

    path: Path
    """Absolute."""
    text: str

    @property
    def edits(self) -> list[tuple[int, str]]:
        """The lines that are left to the user, and what to do there."""
        lines = enumerate(self.text.splitlines(), 2)  # the code stands below its mark
        return [(number, line.partition(EDIT)[2].strip()) for number, line in lines if EDIT in line]


def new_files(answers: Answers, folder: Path, repository: Path) -> list[NewFile]:
    """The conftest.py, the test file and, if wanted, the workflow of the repository."""
    files = [
        NewFile(folder / "conftest.py", _render("conftest.py", _conftest(answers, folder))),
        NewFile(folder / "test_latent.py", _render("test_latent.py", _tests(answers))),
    ]
    if answers.ci:
        text = _render("gentest.yml", _workflow(answers, folder, repository))
        files.append(NewFile(repository / WORKFLOW, text))
    return files


def _render(name: str, values: dict[str, object]) -> str:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    environment = Environment(
        loader=PackageLoader("gentest.cli"),
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


def _conftest(answers: Answers, folder: Path) -> dict[str, object]:
    source, facts = answers.source, answers.facts
    named = read_latent(answers.latent)
    shape, space = named.shape, named.code
    arguments = [] if source.kind.name in ("autoencoder", "diffusers") else _latent_argument(space, answers.labels)
    if source.kind.name != "diffusers" and answers.output_range is not None:
        low, high = answers.output_range
        arguments.append(f"output_range=({low:g}, {high:g}),")
    if not answers.images:
        arguments.append("images=False,")
    roots = dict.fromkeys(Path(c.root) for c in (source.code, source.data) if c is not None and c.root)
    third_party, own = _imports(source, wrapped=answers.is_wrapped)
    return {
        "source": source,
        "facts": facts,
        "wrapped": answers.is_wrapped,
        "made": "\n    ".join(_call("Model", [f"{name}=..." for name in facts.needs or ()], indent=12)),
        "arguments": arguments,
        "third_party": third_party,
        "own": own,
        "paths": [_from_fixture(root, folder) for root in roots if root != folder],
        "shape": f"[B, {', '.join(map(str, shape))}]",
        "guesses": [line for guess in answers.guesses for line in wrap(guess, WIDTH - 6)],
        "edit": EDIT,
    }


def _latent_argument(space: str, labels: int | None) -> list[str]:
    if labels is None:
        return [f"latent={space},"]
    return ["latent=gentest.Joint(", f"    z={space},", f"    label=gentest.Categorical({labels}),", "),"]


def _imports(source: Source, *, wrapped: bool) -> tuple[list[str], list[str]]:
    """The imports of installed packages and those of the user's modules, each sorted as isort sorts them."""
    plain = ["import gentest", "import pytest"]
    third_party: list[str] = []
    own: list[str] = []
    writes_images = source.kind.name == "autoencoder" and source.data is None
    if source.kind.is_code and (wrapped or source.code is None or writes_images):
        plain.append("import torch")
    if source.kind.name == "diffusers":
        third_party.append("from diffusers import DiffusionPipeline")
    if source.weights is not None and source.weights.suffix == ".safetensors":
        third_party.append("from safetensors.torch import load_file")
    names: list[tuple[Code | None, str]] = [(source.code, "Model" if wrapped else "make_model")]
    names.append((source.data, "load_images"))
    for code, name in names:
        if code is not None:
            alias = "" if code.name == name else f" as {name}"
            (own if code.root else third_party).append(f"from {code.module} import {code.name}{alias}")
    return plain + sorted(third_party), sorted(own)


def _from_fixture(root: Path, folder: Path) -> str:
    """A folder in Python, relative to the fixture's file."""
    parts = Path(os.path.relpath(root, folder)).parts
    up = parts.count("..")
    place = f"Path(__file__).parents[{up}]" if up else "Path(__file__).parent"
    return f"{place} / {_quoted('/'.join(parts[up:]))}" if parts[up:] else place


def _tests(answers: Answers) -> dict[str, object]:
    prompts = [
        {"lines": _call("gentest.clip", [_quoted(text) for text in texts], indent=4, end=","), "name": name}
        for texts, name in zip(answers.prompts, _test_names(answers.prompts), strict=True)
    ]
    return {"images": answers.images, "clip": answers.clip, "prompts": prompts, "labels": answers.labels}


def _test_names(prompts: Sequence[Sequence[str]]) -> Iterator[str]:
    """A name for the test of each prompt; no two are the same."""
    used = {"is_a_function", "latents_matter", "nothing_jumps", "samples_differ", "brightness_is_between"}
    for text, *_ in prompts:
        words = re.findall(r"[a-z0-9]+", text.lower())
        telling = [word for word in words if word not in FILLERS] or words or ["clip"]
        name = base = "_".join(telling)[:LONGEST_NAME].strip("_")
        count = 2
        while name in used:
            name, count = f"{base}_{count}", count + 1
        used.add(name)
        yield name


def _call(name: str, arguments: Sequence[str], *, indent: int, end: str = "") -> list[str]:
    """A call as formatters write it: on one line if it fits, else with an argument on each."""
    line = f"{name}({', '.join(arguments)}){end}"
    if indent + len(line) <= WIDTH:
        return [line]
    return [f"{name}(", *(f"    {argument}," for argument in arguments), f"){end}"]


def _quoted(text: str) -> str:
    """A string literal as formatters write it, with anything inside."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal.startswith("'") and '"' not in literal else literal


def _in_yaml(text: str) -> str:
    """A YAML string with anything inside. JSON is YAML."""
    return json.dumps(text, ensure_ascii=False)


def _workflow(answers: Answers, folder: Path, repository: Path) -> dict[str, object]:
    place = folder.relative_to(repository)
    kind, code = answers.source.kind, answers.source.code
    gentest = f"'pytest-gentest[{kind.extra}]'" if kind.extra else "pytest-gentest"
    requirement = code.requirement if code is not None else ""
    return {
        "tests": shlex.quote(place.as_posix()) if place.parts else "",
        "baseline": (place / "gentest_baseline.json").as_posix(),
        "requirements": (repository / "requirements.txt").is_file(),
        "project": _is_project(repository),
        "packages": f"{gentest} {requirement}".strip(),
        "clip": answers.clip if answers.prompts else "",
    }


def _is_project(repository: Path) -> bool:
    """True if pip can install the repository."""
    try:
        text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return (repository / "setup.py").is_file()
    return bool(re.search(r"^\[project\]", text, re.MULTILINE))
