"""Write the tests, the fixture and the CI workflow that do what `gentest check` did, from `templates/`.

`gentest check MODEL --write` and `gentest init` share this module. The templates mark values with << >> and blocks with
<% %>, because GitHub's workflows use {{ }}.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from textwrap import wrap
from typing import Any

from gentest._support.files import write_whole
from gentest._support.printable import in_one_line
from gentest.cli.model_source import Code, ModelKind, ModelSource
from gentest.cli.written_places import Places, places

TAKES_CHECKPOINT = "(gentest_checkpoint)"
"""The arguments of code that loads the checkpoint of a run."""
WIDTH = 88
"""Line length of generated Python: the default of formatters."""
EDIT = "EDIT:"
"""Marks a line of a conftest.py that is left to the user; the code to replace stands below it."""
LAWS = ("well_formed", "reproducible", "not_blank", "responsive", "diverse")


@dataclass(frozen=True)
class Answers:
    """What the templates need to know. Without a model, the user writes the lines that are marked."""

    template: str
    source: ModelSource | None = None
    call: str = ""
    """The arguments with which the user's code makes the model, in brackets; empty if it is the model itself."""
    form: str = "function"
    """What the code gives: a function, numpy, a generator, a pipeline or an autoencoder."""
    latent: str = "gentest.Normal(128)"
    """The latent space, as Python writes it; empty if the model has its own, or if it is a bank of encodings."""
    output_range: tuple[float, float] | None = (-1.0, 1.0)
    outputs: str = ""
    """The kind of outputs, as Python writes it; empty for images."""
    choices: Mapping[str, Any] = field(default_factory=dict)
    """Parts that are fixed."""
    call_arguments: Mapping[str, Any] = field(default_factory=dict)
    """Arguments of a pipeline's call."""
    component: str = ""
    """The class of a diffusers model in a folder."""
    scale: float = 1.0
    shift: float = 0.0
    clamps: bool = False
    """True if the decoder's outputs are clamped to their range."""
    weights_key: str = ""
    """The key of the weights in their file; empty if the file is a state dict."""
    prompts: str = ""
    """The file of prompts of a pipeline, or empty."""
    reference: Answers | None = None
    """The reference that the model should agree with."""
    within: float = 0.0
    """The difference from the reference that is allowed."""
    data: str = ""
    """A folder of images, for the laws `round_trip` and `matches`; or empty."""
    image_shape: Sequence[int] = ()
    """The shape (C, H, W) of the images that an autoencoder takes, if their encodings are the latents."""
    loss: float = 0.0
    """The root-mean-square difference that images may have when they come back, as a share of their range."""
    apart: float = 0.0
    """The distance from the data that is allowed, in MMD^2."""
    laws: Sequence[str] = LAWS
    at_least: float = 0.01
    """The smallest difference of two outputs, in their units."""
    assumptions: Sequence[str] = ()

    @classmethod
    def from_json(
        cls,
        value: Mapping[str, Any],
        source: ModelSource,
        assumptions: Sequence[str],
        *,
        against: ModelSource | None = None,
    ) -> Answers:
        """The answers that `check_run` sent for a model, and for the reference `against`."""
        bounds, reference = value["output_range"], value.get("reference")
        output_range = None if bounds is None else (bounds[0], bounds[1])
        other = None if reference is None or against is None else cls.from_json(reference, against, ())
        own = {**value, "output_range": output_range, "reference": other}
        return cls(**own, source=source, assumptions=assumptions)


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


def write_tests(answers: Answers, folder: Path) -> list[str]:
    """Write the files; lines that say what was written, what is left to edit, and what to run next."""
    at = places(folder)
    files = new_files(answers, at)
    for file in files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file.path, file.text)
    names = {file: os.path.relpath(file.path) for file in files}
    lines = [f"wrote {name}" for name in names.values()]
    lines += _of_the_workflow(answers, at)
    lines += [f"edit  {name}:{line}: {what}" for file, name in names.items() for line, what in file.edits]
    if ignores := _ignores_checkpoint(answers):
        lines.append(f"note  {ignores}")
    where = shlex.quote(os.path.relpath(at.folder))
    lines.append(f"next  pytest --gentest{_arguments([where])}")
    blessed = shlex.quote(os.path.relpath(at.repository / at.workflow.baseline))
    tests = [shlex.quote(os.path.relpath(at.repository / name)) for name in at.workflow.runs or ("",)]
    lines.append(f"then  gentest suggest {where} --output {shlex.quote(os.path.relpath(at.suggested))}  # more tests")
    lines.append(f"last  gentest bless {blessed} --by NAME{_arguments(tests)}  # the workflow reads this file")
    return lines


def _arguments(folders: Sequence[str]) -> str:
    """Folders as arguments of pytest in a shell: none for the working directory, which is the default."""
    return "" if list(folders) == ["."] else " " + " ".join(folders)


def _of_the_workflow(answers: Answers, at: Places) -> list[str]:
    """Lines about a workflow that stays as it is."""
    if not at.workflow.is_there:
        return []
    name = os.path.relpath(at.workflow.path)
    lines = [f"kept  {name}, which runs these tests too"]
    if lacks := at.workflow.lacks(_packages(answers)):
        lines.append(f"edit  {name}: let it install {' '.join(map(shlex.quote, lacks))}")
    return lines


def new_files(answers: Answers, at: Places) -> list[NewFile]:
    """The conftest.py, the test file, those of a reference, and the workflow, unless there is one for the folder."""
    files = [
        NewFile(at.folder / "conftest.py", _render("conftest.py", _conftest(answers, at.folder, "generator"))),
        NewFile(at.tests, _render("test_latent.py", _tests(answers, at.folder))),
        *_of_reference(answers, at),
    ]
    if not at.workflow.is_there:
        files.append(NewFile(at.workflow.path, _render("gentest.yml", _workflow(answers, at))))
    return files


def _ignores_checkpoint(answers: Answers) -> str:
    """A warning that the user's code loads its own checkpoint, with what to do; empty if it loads the one of a run."""
    source = answers.source
    if source is None or source.kind is not ModelKind.CODE or answers.call == TAKES_CHECKPOINT:
        return ""
    assert source.code is not None
    advice = "let the fixture in conftest.py load gentest_checkpoint"
    return f"{source.code.name} takes no checkpoint, so a run with --gentest-checkpoint fails: {advice}"


def _pieces(text: str, width: int) -> list[str]:
    """A text in lines of a width, which joined are the text again."""
    lines = wrap(text, width)
    return [line + " " for line in lines[:-1]] + lines[-1:]


def _of_reference(answers: Answers, at: Places) -> list[NewFile]:
    """A folder with the reference as a fixture, and the test that the model agrees with it; none without one."""
    if answers.reference is None:
        return []
    folder = at.agreement.parent
    conftest = _conftest(answers.reference, folder, "reference")
    return [
        NewFile(folder / "conftest.py", _render("conftest.py", conftest)),
        NewFile(at.agreement, _render("test_agreement.py", {"within": _fraction(answers.within)})),
    ]


def _fraction(value: float) -> str:
    """A share as a person writes it: 4 / 255, or a decimal."""
    levels = round(255 * value)
    return f"{levels} / 255" if 0 < levels < 255 and levels / 255 == value else repr(value)


def _render(name: str, values: Mapping[str, object]) -> str:
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


def _conftest(answers: Answers, folder: Path, fixture: str) -> dict[str, object]:
    source = answers.source
    code = None if source is None else source.code
    root = Path(code.root) if code is not None and code.root else None
    file = "" if source is None else _relative(source.path, folder)
    third_party, own = _imports(answers, code)
    is_on_data = bool(answers.image_shape)
    arguments = [f"latent={answers.latent},"] if answers.latent else []
    if fixture == "reference" and not answers.latent and answers.form != "pipeline":
        arguments = ["latent=generator.latent,"]
    if answers.latent.startswith("gentest.Joint("):
        arguments = _joint(answers.latent)
    if answers.prompts:
        place = f"Path(__file__).parent / {_quoted(_relative(answers.prompts, folder))}"
        arguments = [
            "latent=gentest.Joint(",
            f"    latents={answers.latent},",
            f"    prompt=gentest.Prompts.from_file({place}),",
            "),",
        ]
    if answers.output_range is not None and answers.form != "pipeline":
        arguments.append(f"output_range={_pair(answers.output_range)},")
    if answers.template == "other":
        arguments.append(f"outputs={answers.outputs or 'gentest.Arrays()'},")
    arguments += [f"{name}={_literal(value)}," for name, value in answers.call_arguments.items()]
    return {
        "fixture": fixture,
        "template": answers.template,
        "kind": "" if source is None else source.kind.value,
        "ignores": [] if fixture == "reference" else _pieces(_ignores_checkpoint(answers), WIDTH - 18),
        "form": answers.form,
        "file": file,
        "third_party": third_party,
        "own": own,
        "paths": [_from_fixture(root, folder)] if root is not None and root != folder else [],
        "model": "" if code is None else _expression(answers, code),
        "arguments": arguments,
        "given": ", ".join(f"{name}={_literal(value)}" for name, value in answers.choices.items()),
        "uses_bank": "latent=generator.latent," in arguments,
        "component": answers.component,
        "latents": _scaled(answers),
        "clamps": answers.clamps,
        "data": _relative(answers.data, folder) if is_on_data else "",
        "image_shape": f"({', '.join(map(str, answers.image_shape))})",
        "bounds": _pair(answers.output_range).strip("()") if answers.output_range else "",
        "weights_key": answers.weights_key,
        "is_safe": file.endswith(".safetensors"),
        "assumptions": [line for text in answers.assumptions for line in wrap(in_one_line(text), WIDTH - 6)],
        "edit": EDIT,
    }


def _relative(path: str, folder: Path) -> str:
    """A path as the files of a folder name it; empty without one."""
    return Path(os.path.relpath(path, folder)).as_posix() if path else ""


def _joint(latent: str) -> list[str]:
    """A joint space as formatters write it, with a part on each line."""
    inside = latent.removeprefix("gentest.Joint(").removesuffix(")")
    parts = re.split(r", (?=\w+=gentest\.)", inside)
    return ["latent=gentest.Joint(", *(f"    {part}," for part in parts), "),"]


def _pair(bounds: tuple[float, float]) -> str:
    return f"({bounds[0]:g}, {bounds[1]:g})"


def _scaled(answers: Answers) -> str:
    """The latents of a decoder, from those of the prior."""
    text = "z" if answers.scale == 1.0 else f"z / {answers.scale!r}"
    return text if answers.shift == 0.0 else f"{text} + {answers.shift!r}"


def _literal(value: object) -> str:
    """A value in Python, as formatters write it."""
    return _quoted(value) if isinstance(value, str) else repr(value)


def _alias(answers: Answers) -> str:
    """The name that the user's code has in the conftest.py, where no other name hides it."""
    if answers.source is not None and answers.source.kind is ModelKind.WEIGHTS:
        return "Model"
    return "make_model" if answers.call else "model"


def _expression(answers: Answers, code: Code) -> str:
    """The code that makes the model."""
    arguments = [*map(_literal, code.arguments), *(f"{name}={_literal(v)}" for name, v in code.keywords.items())]
    inner = code.name.removeprefix(code.name.partition(".")[0])
    return _alias(answers) + inner + (f"({', '.join(arguments)})" if code.called else answers.call)


def _imports(answers: Answers, code: Code | None) -> tuple[list[str], list[str]]:
    """The imports of installed packages and those of the user's modules, each sorted as isort sorts them."""
    source, plain = answers.source, ["import gentest", "import pytest"]
    third_party: list[str] = []
    own: list[str] = []
    if source is None and answers.template in ("gan", "autoencoder", "other"):
        plain.append("import torch")
    if source is not None and source.kind is ModelKind.WEIGHTS:
        plain.append("import torch")
        third_party += ["from safetensors.torch import load_file"] if source.path.endswith(".safetensors") else []
    if answers.image_shape:
        plain = sorted({*plain, "import torch"})
    if answers.template == "pipeline" and (source is None or source.kind is ModelKind.PIPELINE):
        third_party.append("from diffusers import DiffusionPipeline")
    if answers.component:
        third_party.append(f"from diffusers import {answers.component}")
    if code is not None:
        name, alias = code.name.partition(".")[0], _alias(answers)
        line = f"from {code.module} import {name}" + ("" if name == alias else f" as {alias}")
        (own if code.root else third_party).append(line)
    return plain + sorted(third_party), own


def _from_fixture(root: Path, folder: Path) -> str:
    """A folder in Python, relative to the fixture's file."""
    parts = Path(os.path.relpath(root, folder)).parts
    up = parts.count("..")
    place = f"Path(__file__).parents[{up}]" if up else "Path(__file__).parent"
    return f"{place} / {_quoted('/'.join(parts[up:]))}" if parts[up:] else place


def _tests(answers: Answers, folder: Path) -> dict[str, object]:
    return {
        "laws": answers.laws,
        "images": answers.template != "other",
        "least": f"{answers.at_least:g}",
        "data": _relative(answers.data, folder) if "matches" in answers.laws else "",
        "loss": _fraction(answers.loss),
        "apart": f"{answers.apart:g}",
    }


def _workflow(answers: Answers, at: Places) -> dict[str, object]:
    return {
        "title": at.workflow.title,
        "tests": " ".join(map(shlex.quote, at.workflow.runs)),
        "baseline": at.workflow.baseline,
        "requirements": (at.repository / "requirements.txt").is_file(),
        "project": _is_project(at.repository),
        "packages": _packages(answers),
    }


def _packages(answers: Answers) -> str:
    """The packages that the tests need, as arguments of pip in a shell."""
    code = None if answers.source is None else answers.source.code
    is_onnx = answers.template == "onnx" or (answers.source is not None and answers.source.kind is ModelKind.ONNX)
    extra = "onnx" if is_onnx else "diffusers" if answers.template == "pipeline" or answers.component else ""
    gentest = f"'pytest-gentest[{extra}]'" if extra else "pytest-gentest"
    requirement = code.requirement if code is not None else ""
    return f"{gentest} {requirement}".strip()


def _is_project(repository: Path) -> bool:
    """True if pip can install the repository."""
    try:
        text = (repository / "pyproject.toml").read_text(encoding="utf-8")
    except OSError:
        return (repository / "setup.py").is_file()
    return bool(re.search(r"^\[project\]", text, re.MULTILINE))


def _quoted(text: str) -> str:
    """A string literal as formatters write it, with anything inside."""
    literal = repr(text)
    return f'"{literal[1:-1]}"' if literal.startswith("'") and '"' not in literal else literal


def _in_yaml(text: str) -> str:
    """A YAML string with anything inside. JSON is YAML."""
    return json.dumps(text, ensure_ascii=False)
