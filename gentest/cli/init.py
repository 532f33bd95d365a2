"""The command `gentest init`: write a conftest.py, a test file and a CI workflow for a model."""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import shlex
import subprocess
import sys
import zipfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from gentest._support.files import write_whole
from gentest._support.printable import in_one_line, printable
from gentest.cli import child
from gentest.cli.init_answers import (
    CLIP,
    KINDS,
    LATENT,
    PIPELINE,
    RANGE,
    Answers,
    Code,
    Kind,
    ask_until_valid,
    read_latent,
    read_prompts,
    read_range,
)
from gentest.cli.init_files import NewFile, new_files
from gentest.errors import InvalidArgument

HELP = "write a conftest.py, a test file and a CI workflow for a model"
DESCRIPTION = (
    "Writes conftest.py, test_latent.py and .github/workflows/gentest.yml for your model. At a terminal it asks for "
    "what you do not say; otherwise it guesses. It loads TorchScript and ONNX files and calls them, to see what they "
    "take. It runs none of your code, and loads no .pt2 file, without --probe. It overwrites no file without --force."
)
SECONDS = 120
"""Time limit of loading and calling the model."""
WEIGHTS = (".safetensors", ".pt", ".pth", ".ckpt", ".tar", ".bin")
"""Suffixes of files of weights."""
Ask = Callable[[str], str]


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    kinds = "; ".join(f"{kind.name}: {kind.description}" for kind in KINDS.values())
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: .")
    parser.add_argument("--kind", choices=tuple(KINDS), help=f"{kinds} (default: told by --load or the folder's files)")
    parser.add_argument(
        "--load",
        metavar="SOURCE",
        help="my_model:load, a function that takes the checkpoint's path or None and returns the model; or the model's "
        "file; or a diffusers pipeline, by its folder or name on the hub",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="weights of the class that --load then names")
    parser.add_argument("--data", metavar="MODULE:NAME", help="a function that returns images, for an autoencoder")
    parser.add_argument(
        "--latent",
        metavar="SPACE",
        help="normal:128, normal:100,1,1, uniform:64, uniform:64:-1:1, sphere:512, truncated:128:2 (default: guessed)",
    )
    parser.add_argument("--labels", type=int, metavar="N", help="the model takes z=... and label=..., one of N labels")
    parser.add_argument("--range", metavar="LOW,HIGH", help="the range of outputs (default: guessed, or -1,1)")
    parser.add_argument("--no-images", action="store_true", help="outputs are audio, tables, anything but images")
    parser.add_argument("--clip", action="append", metavar="TEXT[|AGAINST]", help="a CLIP attribute; repeat for more")
    parser.add_argument("--clip-model", default=CLIP, metavar="MODEL", help=f"default: {CLIP}")
    parser.add_argument("--ci", choices=("github", "none"), help="default: github")
    parser.add_argument(
        "--probe",
        action="store_true",
        help="import and call what --load names, or load the .pt2 file; either may run any code",
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    parser.add_argument("--force", action="store_true", help="overwrite files")
    parser.add_argument("--dry-run", action="store_true", help="print the files instead of writing them")


def run(options: argparse.Namespace, rest: Sequence[str] = (), ask: Ask = input) -> int:
    """Write the files, and print what was written, what was guessed and what is left to do."""
    if options.folder.exists() and not options.folder.is_dir():
        raise InvalidArgument.expected("a folder, or a name for one", "FOLDER", str(options.folder))
    folder = options.folder.resolve()
    repository = _repository(folder)
    if not str(folder.relative_to(repository)).isprintable():
        raise InvalidArgument.expected("a folder whose name can be printed", "FOLDER", str(options.folder))
    interactive = not options.yes and sys.stdin is not None and sys.stdin.isatty()
    asks = ask if interactive else None
    try:
        answers = _answers(options, folder, asks)
        files = new_files(answers, folder, repository)
        if options.dry_run:
            sys.stdout.writelines(f"# {os.path.relpath(file.path)}\n{file.text}\n" for file in files)
            return 0
        files = _writable(files, asks, force=options.force)
    except (EOFError, KeyboardInterrupt):
        raise InvalidArgument("nothing was written: not all questions were answered") from None
    for file in files:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file.path, file.text)
    sys.stdout.write(printable("\n".join(_summary(answers, files, folder))) + "\n")
    return 0


def _answers(options: argparse.Namespace, folder: Path, ask: Ask | None) -> Answers:
    """Each answer from the command line, the model itself, the person at the terminal, or the defaults."""
    _check(options)
    load = options.load
    if load is None and options.kind is None and ask is not None:
        default = _model_file(folder, None)
        question = "What makes your model? MODULE:NAME, or a file; nothing to write it later"
        load = ask(f"{question} [{default}]: " if default else f"{question}: ").strip() or None
    load = load or _model_file(folder, options.kind)
    kind = KINDS[options.kind] if options.kind else _kind_of(load, folder)
    answers = Answers(kind, images=not options.no_images, labels=options.labels, clip=options.clip_model)
    if kind.is_code:
        answers = _with_code(answers, options, load, folder)
    else:
        answers = replace(answers, file=_file_of(load, kind, folder))
    facts = _facts(_question(answers, options, folder, ask))
    answers, guesses, latent, output_range = _with_facts(answers, options, facts)
    if kind.name not in ("autoencoder", "diffusers"):
        if ask is not None and options.latent is None:
            latent = ask_until_valid("Latent space of one sample", latent or LATENT, read_latent, ask)
        if ask is not None and options.range is None and answers.images:
            output_range = ask_until_valid("Outputs lie in LOW,HIGH", output_range or RANGE, read_range, ask)
        if latent is None:
            guesses["latent"] = "128 normal numbers are assumed; --latent says another, --probe asks the model"
    prompts = options.clip
    if prompts is None and ask is not None and answers.images:
        question = "A text for CLIP, or TEXT|AGAINST, such as a smiling person|a frowning person (nothing for no CLIP)"
        text = ask_until_valid(question, "", lambda text: text and read_prompts(text), ask)
        prompts = [text] if text else []
    ci = options.ci != "none"
    if options.ci is None and ask is not None:
        ci = not ask("A workflow for GitHub? [Y/n]: ").strip().lower().startswith("n")
    return replace(
        answers,
        latent=latent or LATENT,
        output_range=read_range(output_range or RANGE) if answers.images or output_range else None,
        prompts=tuple(read_prompts(text) for text in dict.fromkeys(prompts or [])),
        ci=ci,
        guesses=tuple((what, in_one_line(why)) for what, why in guesses.items()),
    )


def _check(options: argparse.Namespace) -> None:
    """Raise `InvalidArgument` for an option that cannot be used."""
    if options.latent is not None:
        read_latent(options.latent)
    if options.range is not None:
        read_range(options.range)
    for text in options.clip or []:
        read_prompts(text)
    if options.clip and options.no_images:
        raise InvalidArgument("--clip needs images, and --no-images says that there are none")
    if options.labels is not None and options.labels < 2:
        raise InvalidArgument.expected("a number of labels >= 2", "--labels", options.labels)
    if options.data and options.kind != "autoencoder":
        raise InvalidArgument("--data is for --kind autoencoder")
    if options.weights is not None and not options.weights.is_file():
        raise InvalidArgument.expected("a file", "--weights", str(options.weights))
    for name in ("latent", "range"):
        if options.kind == "diffusers" and getattr(options, name) is not None:
            raise InvalidArgument(f"--{name}: a diffusers pipeline has its own")


def _with_code(answers: Answers, options: argparse.Namespace, load: str | None, folder: Path) -> Answers:
    answers = replace(
        answers,
        code=_code_of("--load", load, folder) if load else None,
        data=_code_of("--data", options.data, folder) if options.data else None,
    )
    if answers.code is None or options.weights is None:
        return answers
    weights = Path(os.path.relpath(options.weights.absolute(), folder))
    return replace(answers, is_class=True, needs=None, weights=weights)


# where models and modules are


def _repository(folder: Path) -> Path:
    """The root of the Git repository, or the folder itself outside of one."""
    return next((place for place in (folder, *folder.parents) if (place / ".git").exists()), folder)


def _places(folder: Path) -> list[Path]:
    """The folders in which a name is looked up: the fixture's, the current one, the repository's root."""
    return list(dict.fromkeys((folder, Path.cwd(), _repository(folder))))


def _located(load: str, folder: Path) -> Path:
    """The file or folder that `--load` may name; it need not exist."""
    return next((path for place in _places(folder) if (path := place / load).exists()), folder / load)


def _model_file(folder: Path, kind: str | None) -> str | None:
    """The name of the first model file or pipeline in the folder, of that kind if one is given."""
    paths = sorted(folder.iterdir()) if folder.is_dir() else []
    kinds = {path.name: _file_kind(path) for path in paths}
    return next((name for name, found in kinds.items() if found and kind in (None, found)), None)


def _file_kind(path: Path) -> str | None:
    """The kind of a model's file or pipeline; None for anything else."""
    if path.is_dir():
        return "diffusers" if (path / PIPELINE).is_file() else None
    kinds = [kind.name for kind in KINDS.values() if path.suffix.lower() in kind.suffixes and path.is_file()]
    return None if not kinds or (kinds == ["torchscript"] and not _is_torchscript(path)) else kinds[0]


def _is_torchscript(path: Path) -> bool:
    """Whether torch.jit.save wrote the file: its archive holds code."""
    with suppress(Exception), zipfile.ZipFile(path) as archive:  # a broken archive raises anything
        names = [name.partition("/")[2] for name in archive.namelist()]
        return "constants.pkl" in names and any(name.startswith("code/") for name in names)
    return False


def _kind_of(load: str | None, folder: Path) -> Kind:
    """The kind of what `--load` names."""
    if load is None:
        return KINDS["torch"]
    path = _located(load, folder)
    if (kind := _file_kind(path)) is not None:
        return KINDS[kind]
    if path.is_file() and path.suffix.lower() in WEIGHTS:
        raise InvalidArgument(f"--load {load}: holds weights alone; give --load my_model:Generator --weights {load}")
    if path.is_file():
        raise InvalidArgument(f"--load {load}: not a kind of file that gentest loads")
    if ":" in load:
        return KINDS["torch"]
    raise InvalidArgument.expected(
        "MODULE:NAME, such as my_model:load, or a file that exists; or give --kind diffusers", "--load", load
    )


def _file_of(load: str | None, kind: Kind, folder: Path) -> str:
    """The model's file relative to the folder; or a pipeline, as `./PATH` or its name on the hub."""
    if load is None:
        raise InvalidArgument(f"--kind {kind.name} needs --load: {kind.description}")
    path = _located(load, folder)
    relative = Path(os.path.relpath(path, folder)).as_posix()
    if kind.name == "diffusers":
        return f"./{relative}" if path.exists() else load
    if not path.is_file():
        raise InvalidArgument.expected("the model's file", "--load", load)
    return relative


def _code_of(option: str, load: str, folder: Path) -> Code:
    """The function or class that MODULE:NAME names, and the folder that Python imports it from. Nothing is imported."""
    module, _, name = load.partition(":")
    if not all(part.isidentifier() for part in (*module.split("."), name)):
        raise InvalidArgument.expected("PACKAGE.MODULE:NAME, such as my_model:load", option, load)
    top = module.partition(".")[0]
    for root in (root for place in _places(folder) for root in (place, place / "src")):
        if (root / top).is_dir() or (root / f"{top}.py").is_file():
            return Code(module, name, root)
    try:
        installed = importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        installed = False
    if not installed:
        raise InvalidArgument(f"{option} {load}: no module {top!r} in {folder}, and none is installed")
    return Code(module, name, requirement=_requirement(top))


def _requirement(top: str) -> str:
    """The pinned distribution of an installed package; empty if it came from a folder or URL, not from an index."""
    for name in importlib.metadata.packages_distributions().get(top, []):
        distribution = importlib.metadata.distribution(name)
        return "" if distribution.read_text("direct_url.json") else f"{name}=={distribution.version}"
    return ""


# the facts that the model tells


def _facts(question: dict[str, Any]) -> dict[str, Any]:
    """The facts of `init_model.Facts` that the model tells in a child process; empty without a question."""
    if len(question) < 2:
        return {}
    try:
        facts: dict[str, Any] = child.call(
            "gentest.cli.init_model:inspect_model", question, seconds=SECONDS, stderr=subprocess.STDOUT
        ).value
    except child.ChildFailed as error:
        facts = {"error": str(error)}
    if facts["error"]:
        code = f"{question['module']}:{question['name']}" if "module" in question else None
        name = code or os.path.relpath(question.get("file") or question["weights"])
        sys.stderr.write(printable(f"gentest: {name} told nothing of its latent space: {facts['error']}") + "\n")
    return facts


def _question(answers: Answers, options: argparse.Namespace, folder: Path, ask: Ask | None) -> dict[str, Any]:
    """The argument of `inspect_model`: its kind, and what may be loaded."""
    kind, code = answers.kind.name, answers.code
    known = options.latent is not None and options.range is not None
    question: dict[str, Any] = {"kind": kind}

    def may(run: str) -> bool:
        if options.probe or ask is None or known:
            return bool(options.probe)
        return ask(f"{run}, to see what it takes and gives? [y/N]: ").strip().lower().startswith("y")

    if answers.weights is not None:
        question["weights"] = str(folder / answers.weights)
    if answers.file and kind != "diffusers" and not known:
        run = f"Load {printable(answers.file)}, which may run code of its own, and call it once"
        if kind != "exported" or may(run):
            question["file"] = str(folder / answers.file)
    if code is None or kind not in ("torch", "numpy") or options.labels is not None:
        return question
    if may(f"Import {code.module} and call {code.name} once"):
        roots = dict.fromkeys((code.root or folder, folder, folder / "src"))
        question |= {"module": code.module, "name": code.name, "path": [str(root) for root in roots]}
        question["shape"] = read_latent(options.latent)[0] if options.latent else None
    return question


def _with_facts(
    answers: Answers, options: argparse.Namespace, facts: dict[str, Any]
) -> tuple[Answers, dict[str, str], str | None, str | None]:
    """The answers with what the model told; the guesses, the latent space and the range of outputs."""
    guesses: dict[str, str] = {}
    latent, output_range = options.latent, options.range
    answers = replace(answers, weights_key=facts.get("key", ""))
    if facts.get("needs") is not None:
        answers = replace(answers, is_class=facts["is_class"], needs=tuple(facts["needs"]))
        answers = replace(answers, takes_checkpoint=facts["takes_checkpoint"])
    if facts.get("output") and not facts["images"] and answers.images and not options.clip:
        answers = replace(answers, images=False)
        guesses["images"] = f"for 16 latents it gives {[16, *facts['output']]}, which are no images"
    if facts.get("latent") and latent is None:
        latent = f"normal:{','.join(map(str, facts['latent']))}"
        guesses["latent"] = f"{facts['latent_from']}; that its prior is normal is assumed"
    if facts.get("output") and output_range is None:
        within = f"16 outputs lie within [{facts['low']:.3g}, {facts['high']:.3g}]"
        if facts["range"]:
            output_range = f"{facts['range'][0]:g},{facts['range'][1]:g}"
            guesses["output_range"] = within
        else:
            guesses["output_range"] = f"{within}, which is none of the usual ranges"
    return answers, guesses, latent, output_range


# writing


def _writable(files: list[NewFile], ask: Ask | None, *, force: bool) -> list[NewFile]:
    """The files that do not exist, or that may be overwritten."""
    existing = [file for file in files if file.path.exists()]
    if not existing or force:
        return files
    if ask is None:
        names = ", ".join(os.path.relpath(file.path) for file in existing)
        raise InvalidArgument(
            f"{names}: exist already, and nothing was written; --force overwrites, --dry-run prints, or name a folder "
            "of its own: gentest init tests/latent"
        )
    questions = {file: f"Overwrite {os.path.relpath(file.path)}? [y/N]: " for file in existing}
    return [f for f in files if f not in questions or ask(questions[f]).strip().lower().startswith("y")]


def _summary(answers: Answers, files: list[NewFile], folder: Path) -> list[str]:
    names = {file: os.path.relpath(file.path) for file in files}
    lines = [f"wrote    {name}" for name in names.values()]
    lines += [f"guessed  {what}: {why}" for what, why in answers.guesses]
    lines += [f"edit     {name}:{line}: {what}" for file, name in names.items() for line, what in file.edits]
    kind = answers.kind
    if kind.package and importlib.util.find_spec(kind.package) is None:
        lines.append(f"install  pip install 'pytest-gentest[{kind.extra}]'")
    where = shlex.quote(os.path.relpath(folder))
    lines.append(f"next     pytest --gentest{'' if where == '.' else f' {where}'}")
    lines.append(f"then     gentest suggest {where}  (measures the tolerances at which the properties hold)")
    lines.append(f"         gentest doctor {where}  (finds the reason if it does not run)")
    return lines
