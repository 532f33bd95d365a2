"""The command `gentest init`: write a conftest.py, a test file and a CI workflow for a model."""

from __future__ import annotations

import argparse
import importlib.util
import os
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from gentest._support.files import write_whole
from gentest._support.printable import in_one_line, printable
from gentest.cli import child
from gentest.cli.init_answers import (
    CLIP,
    LATENT,
    RANGE,
    Answers,
    Facts,
    ask_until_valid,
    read_prompts,
)
from gentest.cli.init_files import NewFile, new_files
from gentest.cli.init_source import KINDS, Source, find_source, model_file
from gentest.cli.model_options import read_latent, read_range
from gentest.cli.model_source import repository_of
from gentest.errors import InvalidArgument

HELP = "write a conftest.py, a test file and a CI workflow for a model"
DESCRIPTION = (
    "Writes conftest.py, test_latent.py and .github/workflows/gentest.yml for your model. At a terminal it asks for "
    "what you do not say; otherwise it guesses. It loads TorchScript and ONNX files and calls them, to see what they "
    "take. It runs none of your code, and loads no .pt2 file, without --probe. It overwrites no file without --force."
)
SECONDS = 120
"""Time limit of loading and calling the model."""
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
    repository = repository_of(folder)
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
    source = _source(options, folder, ask)
    facts = _facts(_question(source, options, folder, ask))
    images = not options.no_images and (facts.images or bool(options.clip))
    latent = options.latent or (f"normal:{','.join(map(str, facts.latent))}" if facts.latent else None)
    output_range = options.range or (f"{facts.range[0]:g},{facts.range[1]:g}" if facts.range else None)
    if ask is not None and _has_free_space(source):
        if options.latent is None:
            latent = ask_until_valid("Latent space of one sample", latent or LATENT, read_latent, ask)
        if options.range is None and images:
            output_range = ask_until_valid("Outputs lie in LOW,HIGH", output_range or RANGE, read_range, ask)
    prompts = options.clip
    if prompts is None and ask is not None and images:
        question = "A text for CLIP, or TEXT|AGAINST, such as a smiling person|a frowning person (nothing for no CLIP)"
        text = ask_until_valid(question, "", lambda text: text and read_prompts(text), ask)
        prompts = [text] if text else []
    ci = options.ci != "none"
    if options.ci is None and ask is not None:
        ci = not ask("A workflow for GitHub? [Y/n]: ").strip().lower().startswith("n")
    return Answers(
        source,
        facts,
        latent=latent or LATENT,
        labels=options.labels,
        output_range=read_range(output_range or RANGE) if images or output_range else None,
        images=images,
        prompts=tuple(read_prompts(text) for text in dict.fromkeys(prompts or [])),
        clip=options.clip_model,
        ci=ci,
        guesses=tuple(in_one_line(guess) for guess in _guesses(source, facts, options, latent, images=images)),
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


def _source(options: argparse.Namespace, folder: Path, ask: Ask | None) -> Source:
    """The model that `--load` names, or that a person names, or that lies in the folder."""
    load = options.load
    if load is None and options.kind is None and ask is not None:
        default = model_file(folder, None)
        question = "What makes your model? MODULE:NAME, or a file; nothing to write it later"
        load = ask(f"{question} [{default}]: " if default else f"{question}: ").strip() or None
    load = load or model_file(folder, options.kind)
    source = find_source(load, options.kind, options.weights, options.data, folder)
    for name in ("latent", "range"):
        if source.kind.name == "diffusers" and getattr(options, name) is not None:
            raise InvalidArgument(f"--{name}: a diffusers pipeline has its own")
    return source


def _question(source: Source, options: argparse.Namespace, folder: Path, ask: Ask | None) -> dict[str, Any]:
    """The argument of `inspect_model`: the model's kind, and what may be loaded."""
    kind, code = source.kind.name, source.code
    known = options.latent is not None and options.range is not None
    question: dict[str, Any] = {"kind": kind}

    def may(run: str) -> bool:
        if options.probe or ask is None or known:
            return bool(options.probe)
        return ask(f"{run}, to see what it takes and gives? [y/N]: ").strip().lower().startswith("y")

    if source.weights is not None:
        question["weights"] = str(folder / source.weights)
    if source.file and kind != "diffusers" and not known:
        run = f"Load {printable(source.file)}, which may run code of its own, and call it once"
        if kind != "exported" or may(run):
            question["file"] = str(folder / source.file)
    if code is None or kind not in ("torch", "numpy") or options.labels is not None:
        return question
    if may(f"Import {code.module} and call {code.name} once"):
        roots = dict.fromkeys((code.root or folder, folder, folder / "src"))
        question |= {"module": code.module, "name": code.name, "path": [str(root) for root in roots]}
        question["shape"] = read_latent(options.latent).shape if options.latent else None
    return question


def _facts(question: dict[str, Any]) -> Facts:
    """The facts that the model tells in a child process; none without anything to load."""
    if len(question) < 2:
        return Facts()
    try:
        reply = child.call("gentest.cli.init_model:inspect_model", question, seconds=SECONDS, stderr=subprocess.STDOUT)
        facts = Facts(**reply.value)
    except child.ChildFailed as error:
        facts = Facts(error=str(error))
    if facts.error:
        code = f"{question['module']}:{question['name']}" if "module" in question else None
        name = code or os.path.relpath(question.get("file") or question["weights"])
        sys.stderr.write(printable(f"gentest: {name} told nothing of its latent space: {facts.error}") + "\n")
    return facts


def _has_free_space(source: Source) -> bool:
    """True if the user chooses the latent space. Pipelines and autoencoders have their own."""
    return source.kind.name not in ("autoencoder", "diffusers")


def _guesses(
    source: Source, facts: Facts, options: argparse.Namespace, latent: str | None, *, images: bool
) -> Iterator[str]:
    """A line for each answer that nobody gave, with the evidence for it."""
    if facts.output and not images and not options.no_images:
        yield f"images: for 16 latents it gives {[16, *facts.output]}, which cannot be images"
    if facts.latent and options.latent is None:
        yield f"latent: {facts.latent_from}; a normal prior is assumed"
    elif latent is None and _has_free_space(source):
        yield "latent: 128 normal numbers are assumed; give --latent, or let --probe ask the model"
    if facts.output and options.range is None:
        within = f"output_range: 16 outputs lie within [{facts.low:.3g}, {facts.high:.3g}]"
        yield within if facts.range else f"{within}, which is none of the usual ranges"


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
    lines += [f"guessed  {guess}" for guess in answers.guesses]
    lines += [f"edit     {name}:{line}: {what}" for file, name in names.items() for line, what in file.edits]
    kind = answers.source.kind
    if kind.package and importlib.util.find_spec(kind.package) is None:
        lines.append(f"install  pip install 'pytest-gentest[{kind.extra}]'")
    where = shlex.quote(os.path.relpath(folder))
    lines.append(f"next     pytest --gentest{'' if where == '.' else f' {where}'}")
    lines.append(f"then     gentest suggest {where}  (measures the tolerances at which the properties hold)")
    lines.append(f"         gentest doctor {where}  (finds the reason if it does not run)")
    return lines
