"""The command `gentest init`: asks or guesses, writes, and says what is left to do."""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gentest._support.files import write_whole
from gentest.cli.init import answers as reading
from gentest.cli.init.answers import Answers, Latent, asked, printable, read_latent, read_prompts, read_range
from gentest.cli.init.files import Written, files
from gentest.cli.init.kinds import KINDS
from gentest.cli.init.looking import defined, model_files, repository
from gentest.cli.init.sources import file_of, is_package, kind_of, one_of, source_there, weights_of
from gentest.errors import InvalidArgument

PEEK_SECONDS = 120
PEEK = "import sys; sys.path[:] = filter(None, sys.path); from gentest.cli.init.peeking import main; main()"
"""Imports nothing that lies in the current folder, as `python -m` would: a json.py there is not ours to run."""


HELP = "write a conftest.py, a test file and a CI workflow for a model"
DESCRIPTION = (
    "Writes conftest.py, test_latent.py and .github/workflows/gentest.yml for your model. What is not "
    "said is asked for where somebody is at the terminal, and guessed otherwise. TorchScript and ONNX files are "
    "loaded and called, to see what they take; none of your code is run, and no .pt2 file is loaded, unless "
    "--probe is given; no file is overwritten unless --force is."
)


def add_to(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    kinds = "; ".join(f"{kind.name}: {kind.what}" for kind in KINDS.values())
    parser.add_argument("folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="default: .")
    parser.add_argument("--kind", choices=tuple(KINDS), help=f"{kinds} (default: told by --load or the files there)")
    parser.add_argument(
        "--load",
        metavar="SOURCE",
        help="my_model:load, a function that is given the checkpoint's path or None and returns the model, or a class; "
        "or the model's file; or a diffusers pipeline, by its folder or name on the hub",
    )
    parser.add_argument("--weights", type=Path, metavar="FILE", help="of the class that --load names")
    parser.add_argument("--data", metavar="MODULE:NAME", help="a function that returns images, for an autoencoder")
    parser.add_argument(
        "--latent",
        metavar="SPACE",
        help="normal:128, normal:100,1,1, uniform:64, uniform:64:-1:1, sphere:512, truncated:128:2 (default: guessed)",
    )
    parser.add_argument("--labels", type=int, metavar="N", help="f is called as f(z=..., label=...), with N labels")
    parser.add_argument(
        "--range", metavar="LOW,HIGH", help="what the outputs' values lie in (default: guessed, or -1,1)"
    )
    parser.add_argument("--no-images", action="store_true", help="outputs are audio, tables, anything but images")
    parser.add_argument(
        "--clip", action="append", metavar="TEXT[|AGAINST]", help="a CLIP attribute; several may be given"
    )
    parser.add_argument("--clip-model", default=reading.CLIP, metavar="MODEL", help=f"default: {reading.CLIP}")
    parser.add_argument("--ci", choices=("github", "none"), help="default: github")
    parser.add_argument(
        "--probe",
        action="store_true",
        help="import and call what --load names, or load the .pt2 file, which may run code, to see what it takes",
    )
    parser.add_argument("--yes", action="store_true", help="ask nothing")
    parser.add_argument("--force", action="store_true", help="overwrite files that are there")
    parser.add_argument("--dry-run", action="store_true", help="print the files instead of writing them")


def run(given: argparse.Namespace, rest: Sequence[str] = (), ask: Callable[[str], str] = input) -> int:
    """Writes the files; exit status 0. Raises `InvalidArgument` for what cannot be."""
    if given.folder.exists() and not given.folder.is_dir():
        raise InvalidArgument.expected("a folder, or a name for one", "FOLDER", str(given.folder))
    folder = given.folder.resolve()
    root = repository(folder)
    if not str(folder.relative_to(root)).isprintable():
        raise InvalidArgument.expected("a folder whose name can be printed", "FOLDER", str(given.folder))
    somebody = not given.yes and sys.stdin is not None and sys.stdin.isatty()
    try:
        answers = _answers(given, folder, ask if somebody else None)
        made = files(answers, folder, root)
        if given.dry_run:
            sys.stdout.writelines(f"# {_shown(file.path)}\n{file.text}\n" for file in made)
            return 0
        made = _allowed(made, force=given.force, ask=ask if somebody else None)
    except (EOFError, KeyboardInterrupt):
        raise InvalidArgument("nothing was written: not all questions were answered") from None
    for file in made:
        file.path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(file.path, file.text)
    sys.stdout.write("\n".join(_said(answers, made, folder)) + "\n")
    return 0


def _answers(given: argparse.Namespace, folder: Path, ask: Callable[[str], str] | None) -> Answers:
    """What was given, what was found, what a person said, and else the defaults."""
    there = model_files(folder) if folder.is_dir() else {}
    load = given.load
    if load is None and given.kind is None and ask is not None:
        found = source_there(there, folder, None)
        question = (
            "What makes your model? MODULE:NAME (a function or class), PACKAGE, or a file; nothing to write it later"
        )
        load = ask(f"{question} [{found}]: " if found else f"{question}: ").strip() or None
    load = load or source_there(there, folder, given.kind)
    guesses: dict[str, str] = {}
    if load and is_package(load, given.kind, folder):
        load, package = one_of(load, folder), load
        guesses["load"] = f"{load} is the one generator in {package}"
    kind = given.kind or kind_of(load, folder)
    source = KINDS[kind].source
    answers = Answers(kind, Latent(read_latent(reading.LATENT)), (-1.0, 1.0), images=not given.no_images)
    if source == "code":
        answers = _with_code(answers, given, load, folder, there)
        if answers.weights is not None and answers.weights.why:
            guesses["weights"] = f"{answers.weights.path.as_posix()} is {answers.weights.why}"
    else:
        answers = replace(answers, file=file_of(load, kind, folder))
    seen = _seen(_question(answers, given, folder, ask))
    if seen.get("key") and answers.weights is not None:
        answers = replace(answers, weights=replace(answers.weights, key=seen["key"]))
    if seen.get("output") and answers.defined is not None and not answers.defined.known:
        answers = replace(answers, defined=replace(answers.defined, known=True))  # the call that was tried is right
    if seen.get("output") and not seen.get("images", True) and answers.images and not given.clip:
        answers = replace(answers, images=False)
        guesses["images"] = f"for 16 latents it gives {[16, *seen['output']]}, which are no images"
    latent, output_range = given.latent, given.range
    if seen.get("latent") and latent is None:
        latent = f"normal:{','.join(map(str, seen['latent']))}"
        guesses["latent"] = f"{seen['why']}; that its prior is normal is assumed"
    if seen.get("output") and output_range is None and seen["range"]:
        output_range = f"{seen['range'][0]:g},{seen['range'][1]:g}"
        guesses["output_range"] = f"16 outputs lie within [{seen['low']:.3g}, {seen['high']:.3g}]"
    elif seen.get("output") and output_range is None:
        guesses["output_range"] = (
            f"16 outputs lie within [{seen['low']:.3g}, {seen['high']:.3g}], which is none of the usual ranges"
        )
    if ask is not None and kind not in ("autoencoder", "diffusers"):
        if given.latent is None:
            latent = asked("Latent space of one sample", latent or reading.LATENT, read_latent, ask)
        if given.range is None and answers.images:
            output_range = asked("Outputs lie in LOW,HIGH", output_range or reading.RANGE, read_range, ask)
    prompts = given.clip
    if prompts is None and ask is not None and answers.images:
        question = "A text for CLIP, or TEXT|AGAINST, such as a smiling person|a frowning person (nothing for no CLIP)"
        said = asked(question, "", lambda text: text and read_prompts(text), ask)
        prompts = [said] if said else []
    ci = given.ci
    if ci is None and ask is not None:
        ci = "none" if ask("A workflow for GitHub? [Y/n]: ").strip().lower().startswith("n") else "github"
    if prompts and given.no_images:
        raise InvalidArgument("--clip needs images, and --no-images says that there are none")
    if given.labels is not None and given.labels < 2:
        raise InvalidArgument.expected("a number of labels >= 2", "--labels", given.labels)
    for told in ("latent", "range"):
        if kind == "diffusers" and getattr(given, told) is not None:
            raise InvalidArgument(f"--{told} is told by a pipeline of diffusers itself")
    return replace(
        answers,
        latent=Latent(read_latent(latent or reading.LATENT), given.labels),
        output_range=read_range(output_range or reading.RANGE) if answers.images or output_range else None,
        prompts=tuple(read_prompts(text) for text in dict.fromkeys(prompts or [])),
        clip=given.clip_model,
        ci=ci or "github",
        guesses=tuple((what, printable(why)) for what, why in guesses.items()),
    )


def _with_code(
    answers: Answers, given: argparse.Namespace, load: str | None, folder: Path, there: dict[str, list[Path]]
) -> Answers:
    what = defined(load, folder) if load else None
    data = defined(given.data, folder) if given.data else None
    if given.data and answers.kind != "autoencoder":
        raise InvalidArgument(f"--data is for an autoencoder, and this is of kind {answers.kind}")
    if given.weights is not None and not given.weights.is_file():
        raise InvalidArgument.expected("a file", "--weights", str(given.weights))
    answers = replace(answers, defined=what, data=data)
    if what is not None and what.is_class:
        weights, choices = weights_of(what, given.weights, folder, there.get("weights", []))
        return replace(answers, weights=weights, choices=choices)
    return answers


def _question(
    answers: Answers, given: argparse.Namespace, folder: Path, ask: Callable[[str], str] | None
) -> dict[str, Any]:
    """What there is to ask of the model itself, as `gentest.cli.init.peeking` takes it; nothing where nothing is."""
    if KINDS[answers.kind].source == "file":
        told = given.latent is not None and given.range is not None
        loads = f"Load {printable(answers.file)}, which may run code of its own, and call it once"
        if told or (answers.kind == "exported" and not _may(loads, given, ask)):
            return {}
        return {"kind": answers.kind, "file": str(folder / answers.file)}
    what = answers.defined
    if answers.kind not in ("torch", "numpy") or what is None:
        return {}
    if answers.weights is not None and what.root is not None:
        place = what.root / what.package if answers.weights.packaged else folder
        return {"kind": "weights", "file": str(place / answers.weights.path)}
    if not replace(what, known=True).is_ready or given.labels is not None:
        return {}
    if not _may(f"Import {what.module} and call {what.name} once", given, ask):
        return {}
    return {
        "kind": answers.kind,
        "load": f"{what.module}:{what.name}",
        "folder": str(folder),
        "root": str(what.root if what.told else folder),
        "takes": what.takes,
        "shape": _plain_shape(given.latent),
    }


def _may(what: str, given: argparse.Namespace, ask: Callable[[str], str] | None) -> bool:
    """Whether code that is not gentest's may run: where --probe says so, or a person whom something is to be told."""
    if given.probe or ask is None or (given.latent is not None and given.range is not None):
        return bool(given.probe)
    return ask(f"{what}, to see what it takes and gives? [y/N]: ").strip().lower().startswith("y")


def _plain_shape(latent: str | None) -> list[int] | None:
    """The shape in --latent, where it was given."""
    if latent is None:
        return None
    read_latent(latent)
    return [int(size) for size in latent.replace(" ", "").split(":")[1].split(",")]


def _seen(question: dict[str, Any]) -> dict[str, Any]:
    """What `gentest.cli.init.peeking` answers, in a process of its own; why it does not goes to standard error."""
    if not question:
        return {}
    command = [sys.executable, "-c", PEEK, json.dumps(question)]
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            stdin=subprocess.DEVNULL,
            encoding="utf-8",
            errors="replace",
            timeout=PEEK_SECONDS,
            check=False,
        )
        seen: dict[str, Any] = json.loads(done.stdout.strip().rpartition("\n")[2])
    except subprocess.TimeoutExpired:
        seen = {"error": f"no answer within {PEEK_SECONDS} seconds"}
    except ValueError:
        seen = {
            "error": f"it ended with exit status {done.returncode}: {(done.stderr.strip().splitlines() or [''])[-1]}"
        }
    if seen["error"]:
        what = question.get("load") or os.path.relpath(question["file"])
        sys.stderr.write(printable(f"gentest: {what} told nothing of its latent space: {seen['error']}") + "\n")
    return seen


def _allowed(made: list[Written], *, force: bool, ask: Callable[[str], str] | None) -> list[Written]:
    """The files that may be written."""
    there = [file for file in made if file.path.exists()]
    if not there or force:
        return made
    if ask is None:
        names = ", ".join(_shown(file.path) for file in there)
        raise InvalidArgument(
            f"{names}: there already, and nothing was written; --force overwrites, --dry-run prints, or name a folder "
            "of its own: gentest init tests/latent"
        )
    kept = [f for f in there if not ask(f"Overwrite {_shown(f.path)}? [y/N]: ").strip().lower().startswith("y")]
    return [file for file in made if file not in kept]


def _said(answers: Answers, made: list[Written], folder: Path) -> list[str]:
    lines = [f"wrote    {_shown(file.path)}" for file in made]
    lines += [f"guessed  {what}: {why}" for what, why in answers.guesses]
    edits = [(file, *edit) for file in made for edit in file.edits]
    lines += [f"edit     {_shown(file.path)}:{line}: {what}" for file, line, what in edits]
    if edits and answers.defined is not None and answers.defined.line:
        what = "class" if answers.defined.is_class else "def"
        lines.append(f"see      {answers.defined.path}:{answers.defined.line} ({what} {answers.defined.name})")
    kind = KINDS[answers.kind]
    if kind.package and importlib.util.find_spec(kind.package) is None:
        lines.append(f"install  pip install 'pytest-gentest[{kind.extra}]'")
    where = shlex.quote(os.path.relpath(folder))
    lines.append(f"next     pytest --gentest{'' if where == '.' else f' {where}'}")
    lines.append(f"then     gentest suggest {where}  (measures at which numbers the properties hold)")
    lines.append(f"         gentest doctor {where}  (says why it does not run, if it does not)")
    return lines


def _shown(path: Path) -> str:
    return os.path.relpath(path)
