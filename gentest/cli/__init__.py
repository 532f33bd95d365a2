"""The command `gentest`: files to start with, what a run came to, from its files alone, blessing a checkpoint.

    gentest init [FOLDER] [--load SOURCE]             a conftest.py, a test file and a CI workflow for a model
    gentest doctor [FOLDER]                           what would stop a run there, and what to do about it
    gentest show RESULT.json                          what a run or a baseline says
    gentest gate RESULT.json --baseline FILE          the gate's decision, from files alone
    gentest bless FILE --by NAME [PYTEST ARGUMENTS]   take a checkpoint as the measure of those to come
    gentest suggest [FOLDER] [-- PYTEST ARGUMENTS]    tests to start from, with measured tolerances

Exit status: 0 held (or all passed), 1 regressed (or violated, or drifted where that refuses; or `doctor` found a
problem), 3 undecided (or the run was interrupted), 2 misuse.
It imports no torch; `bless`, `suggest` and `doctor` start pytest in a process of its own.
"""

from __future__ import annotations

import argparse
import io
import json
import keyword
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gentest._support.files import read_json
from gentest._support.printable import in_one_line, printable
from gentest.cli import doctor
from gentest.cli import init as starting
from gentest.errors import InvalidArgument
from gentest.gate import decision as gate
from gentest.gate.baseline import Baseline
from gentest.report import certainty, comparison, layout, markdown, ranking, terminal
from gentest.report.table import table
from gentest.results.comparison import Comparison, OnDrift, OnUndecided, Standing, Terms
from gentest.results.result import Document, Result, Verdict
from gentest.stats.quantiles import upper_rank

HELD, REGRESSED, MISUSE, UNDECIDED = 0, 1, 2, 3
MAX_BYTES = 256 * 2**20
"""Of a file of results; a larger one is refused."""
MESSAGE = 4_000
"""Characters of an error."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the exit status. Misuse is one line on standard error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # names and signs that a terminal cannot show are no errors
            stream.reconfigure(errors="backslashreplace")
    parser = _parser()
    words = list(sys.argv[1:] if arguments is None else arguments)
    own = words.index("--") if words[:1] in (["suggest"], ["doctor"]) and "--" in words else len(words)
    given, rest = parser.parse_known_args(words[:own])
    if rest and given.run is not _bless:
        hint = "; arguments of pytest come after --" if given.run in (_suggest, doctor.run) else ""
        parser.error(f"unrecognized arguments: {' '.join(rest)}{hint}")
    rest += words[own + 1 :]
    try:
        status: int = given.run(given, rest)
    except (InvalidArgument, OSError) as error:
        sys.stderr.write(f"gentest: {in_one_line(str(error), MESSAGE)}\n")
        return MISUSE
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="gentest", description="property-based testing for generative models")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    starting.add_to(commands).set_defaults(run=lambda given, rest: starting.run(given))
    doctor.add_to(commands).set_defaults(run=doctor.run)
    show = commands.add_parser("show", help="what a run or a baseline says")
    show.add_argument("file", type=Path, metavar="RESULT.json", help="what --gentest-json wrote, or a baseline")
    show.add_argument("--markdown", action="store_true", help="as Markdown, for the page of a CI job")
    show.set_defaults(run=_show)
    gating = commands.add_parser("gate", help="candidate against baseline, from files alone")
    gating.add_argument("file", type=Path, metavar="RESULT.json", help="made with --gentest-outcomes")
    gating.add_argument(
        "--baseline", type=Path, required=True, metavar="FILE", help="what --gentest-save-baseline wrote"
    )
    gating.add_argument("--tolerance", type=float, metavar="T", help="default: the run's")
    gating.add_argument("--drift", choices=[word.value for word in OnDrift], help="default: the run's")
    gating.add_argument(
        "--undecided", choices=[word.value for word in OnUndecided], help="warn: exit status 0; default: the run's"
    )
    gating.add_argument("--markdown", action="store_true", help="as Markdown, for the page of a CI job")
    gating.set_defaults(run=_gate)
    bless = commands.add_parser(
        "bless",
        help="check a checkpoint and take it as the measure of those to come",
        description="Further arguments go to pytest: the tests, --gentest-checkpoint, and so on.",
    )
    bless.add_argument("file", type=Path, metavar="FILE", help="the baseline, new or to be replaced")
    bless.add_argument("--by", required=True, help="who answers for it")
    bless.add_argument("--note", default="", help="why")
    bless.add_argument("--seed", type=int, help="whose probes it keeps (default: the seed after the last one's)")
    bless.set_defaults(run=_bless)
    suggest = commands.add_parser(
        "suggest",
        help="tests to start from: the tolerances at which each property holds",
        description="Measures on the generator that a fixture gives, and writes a test file. "
        "Arguments after -- go to pytest: --gentest-checkpoint, --gentest-device, --gentest-clip, and so on.",
    )
    suggest.add_argument(
        "folder", type=Path, nargs="?", default=Path(), metavar="FOLDER", help="where the fixture is seen (default: .)"
    )
    suggest.add_argument("--fixture", default="generator", metavar="NAME", help="that gives the generator (generator)")
    suggest.add_argument(
        "--attribute",
        action="append",
        default=[],
        choices=("brightness", "contrast", "saturation", "colorfulness", "sharpness"),
        help="several may be given (default: those that fit the images)",
    )
    suggest.add_argument(
        "--clip",
        action="append",
        default=[],
        metavar="TEXT[|AGAINST]",
        help="a CLIP attribute too; several may be given",
    )
    suggest.add_argument("--rate", type=float, default=0.95, help="for which share of probes to hold (default: 0.95)")
    suggest.add_argument("--confidence", type=float, default=0.99, help="how surely (default: 0.99)")
    suggest.add_argument("--n", type=int, default=1024, metavar="N", help="probes to measure on (default: 1024)")
    suggest.add_argument("--seed", type=int, default=0, metavar="N", help="whose probes (default: 0)")
    suggest.add_argument("--output", type=Path, metavar="FILE", help="the new test file (default: standard output)")
    suggest.set_defaults(run=_suggest)
    return parser


def _show(given: argparse.Namespace, rest: Sequence[str]) -> int:
    value = _read(given.file)
    if isinstance(value, dict) and "blessed" in value:
        baseline = Baseline.load(given.file)
        _print([f"{given.file.name}: {baseline.blessed}", *baseline.summary])
        return HELD
    document = _document(given.file, value)
    partial = _partial(document)
    if given.markdown:
        sys.stdout.write(markdown.page(document))
    else:
        results, width = document.results, layout.columns()
        failed = [r for r in results if not r.passed]
        blocks = [line for r in failed for line in (r.test, *terminal.failure(r, _replay(r), width=width).splitlines())]
        rows = table(results, width=width, explained=lambda result: not result.passed)
        compared = comparison.lines(document.gate, width) if document.gate is not None else []
        sure = certainty.said(document, width) if results else []
        said = [terminal.totals(results), *sure, *ranking.table(results), *_texts(compared), *partial]
        _print([*blocks, *_texts(rows), *said])
    if any(not r.passed and not r.undecided for r in document.results):
        return REGRESSED
    if document.gate is not None:
        return _status(document.gate, partial)
    return UNDECIDED if partial or any(r.undecided for r in document.results) else HELD


def _gate(given: argparse.Namespace, rest: Sequence[str]) -> int:
    if given.tolerance is not None and not 0.0 < given.tolerance < 1.0:
        raise InvalidArgument.expected("a number above 0 and below 1", "--tolerance", given.tolerance)
    baseline = Baseline.load(given.baseline)
    document = _document(given.file, _read(given.file))
    failed = [result for result in document.results if result.verdict is Verdict.ERROR]
    if len(failed) < len(document.results) and all(result.sample is None for result in document.results):
        raise InvalidArgument(f"{given.file}: has no outcomes to compare; make it with --gentest-outcomes")
    asked = document.gate.terms if document.gate is not None else Terms()
    kinds = {"tolerance": float, "undecided": OnUndecided, "drift": OnDrift}
    now = {name: kind(value) for name, kind in kinds.items() if (value := getattr(given, name)) is not None}
    terms = replace(asked, **now)
    names = document.session.checkpoints or tuple(dict.fromkeys(r.checkpoint for r in document.results if r.checkpoint))
    n = max(1, len(names))
    claims = gate.n_claims(baseline, drift=terms.drift != OnDrift.OFF, checkpoints=n)
    try:
        file = Path(document.session.checkpoint or "").name if not names else ""
        terms = replace(terms, claims=claims, checkpoints=n)
        gate.check_reach(baseline, terms)
        found = gate.decide(document.results, baseline, terms, checkpoints=names, file=file)
    except InvalidArgument as error:
        raise InvalidArgument(f"{given.file} against {given.baseline}: {error}") from error
    weighed = replace(document, results=tuple(gate.applied(document.results, found)), gate=found)
    anew = [r for r in weighed.results if r.verdict is Verdict.VIOLATED and not r.left_to_gate]
    if given.markdown:
        sys.stdout.write(markdown.page(weighed))
    else:
        width = layout.columns()
        said = [f"violated, and not in the baseline: {r.test}  {r.property}" for r in anew]
        rows = _texts(table(weighed.results, width=width))
        sure = certainty.said(weighed, width)
        _print([*rows, *sure, *_texts(comparison.lines(found, width)), *said, *_partial(document)])
    return REGRESSED if anew or failed else _status(found, _partial(document))


def _bless(given: argparse.Namespace, rest: Sequence[str]) -> int:
    """Rotates the seed: a checkpoint chosen again and again on the same probes would be fitted to them."""
    before = Baseline.load(given.file) if given.file.exists() else None
    seed = given.seed if given.seed is not None else before.blessings[0].seed + 1 if before is not None else 1
    stamp = given.file.stat().st_mtime_ns if before is not None else None
    command = [sys.executable, "-m", "pytest", "--gentest", "--gentest-save-baseline", str(given.file)]
    done = subprocess.run([*command, "--gentest-seed", str(seed), *rest], check=False)
    if not given.file.exists() or given.file.stat().st_mtime_ns == stamp:
        sys.stderr.write(f"gentest: nothing was blessed: pytest ended with exit status {done.returncode}\n")
        return MISUSE
    blessed = Baseline.load(given.file)
    last = replace(blessed.blessings[0], by=given.by, note=given.note)
    blessed = replace(blessed, blessings=(last, *blessed.blessings[1:]))
    blessed.save(given.file)
    known = [key for key, entry in blessed.entries.items() if entry.verdict in (Verdict.VIOLATED, Verdict.UNDECIDED)]
    _print(
        [f"{given.file}: {blessed.blessed}", *(f"does not hold on it, and is known from now on: {k}" for k in known)]
    )
    return HELD


def _suggest(given: argparse.Namespace, rest: Sequence[str]) -> int:
    """pytest resolves the fixture in a process of its own, which writes nothing but to a temporary folder."""
    if not given.folder.is_dir():
        raise InvalidArgument.expected("a folder", "FOLDER", str(given.folder))
    if not given.fixture.isidentifier() or keyword.iskeyword(given.fixture):
        raise InvalidArgument.expected("the name of a fixture", "--fixture", given.fixture)
    if given.output is not None and given.output.exists():
        raise InvalidArgument(f"{given.output}: is there already, and is not overwritten")
    if given.output is not None and not given.output.absolute().parent.is_dir():
        raise InvalidArgument.expected("a file in a folder that exists", "--output", str(given.output))
    for name, share in (("--rate", given.rate), ("--confidence", given.confidence)):
        if not 0.0 < share < 1.0:
            raise InvalidArgument.expected("a number above 0 and below 1", name, share)
    if given.seed < 0:
        raise InvalidArgument.expected("a whole number >= 0", "--seed", given.seed)
    upper_rank(given.n, given.rate, given.confidence)
    prompts = [[part.strip() for part in text.split("|")] for text in given.clip]
    for text, parts in zip(given.clip, prompts, strict=True):
        if len(parts) > 2 or not all(parts):
            raise InvalidArgument.expected("'a text' or 'a text|another that it is measured against'", "--clip", text)
    text, notes = _measured(given, prompts, rest)
    sys.stderr.write("\n")  # progress ends no line of its own
    sys.stderr.writelines(f"gentest: {note}\n" for note in notes)
    if given.output is None:
        sys.stdout.write(text)
    else:
        with given.output.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    return HELD


def _measured(given: argparse.Namespace, prompts: list[list[str]], rest: Sequence[str]) -> tuple[str, list[str]]:
    """The text of a test file, and what there is to say of it."""
    folder = str(given.folder.resolve())
    with tempfile.TemporaryDirectory() as scratch:
        answer = Path(scratch, "answer.json")
        asked = {"folder": folder, "answer": str(answer), "attributes": given.attribute, "prompts": prompts}
        asked |= {name: getattr(given, name) for name in ("fixture", "rate", "confidence", "n", "seed")}
        inis = {"cache_dir": f"{scratch}/cache"}
        inis |= dict.fromkeys(("gentest_json", "gentest_baseline", "gentest_report", "gentest_images"), "")
        written = {"COVERAGE_FILE": f"{scratch}/coverage", "HYPOTHESIS_STORAGE_DIRECTORY": f"{scratch}/hypothesis"}
        plugins = ["-p", "gentest", "-p", "gentest.plugin.suggest_run"]
        command = [sys.executable, "-m", "pytest", *plugins, "--gentest", "--gentest-suggest", json.dumps(asked)]
        command += ["-q", "--no-header", "--no-summary", "-k", "", "-m", "", folder]
        command += [word for name, value in inis.items() for word in ("-o", f"{name}={value}")]
        done = subprocess.run(
            [*command, *rest],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1", **written},
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        said: dict[str, Any] = json.loads(answer.read_text(encoding="utf-8")) if answer.exists() else {"shown": True}
    if said.get("text"):
        return said["text"], said["notes"]
    if said["shown"]:
        sys.stderr.write(done.stdout)
    raise InvalidArgument(said.get("error") or f"pytest ended with exit status {done.returncode}, nothing measured")


def _partial(document: Document) -> list[str]:
    """That a run did not come to its end, in a line: then nothing passes on what it has."""
    said = terminal.unfinished(document.interrupted, document.unchecked)
    return [said] if said else []


def _status(found: Comparison, partial: Sequence[str]) -> int:
    if found.refused:
        return REGRESSED
    if partial:
        return UNDECIDED
    excused = found.terms.undecided is OnUndecided.WARN and not found.missing
    return HELD if found.standing is Standing.HELD or excused else UNDECIDED


def _replay(result: Result) -> str:
    return "" if result.counterexample is None else f"--gentest-replay {result.counterexample.replay}"


def _texts(lines: Sequence[layout.Line]) -> list[str]:
    return [line.text for line in lines]


def _read(path: Path) -> object:
    try:
        value: object = read_json(path, most_bytes=MAX_BYTES)
    except ValueError as error:
        raise InvalidArgument(f"{path}: not a JSON file: {in_one_line(str(error))}") from error
    return value


def _document(path: Path, value: object) -> Document:
    try:
        return Document.from_json(value)
    except InvalidArgument as error:
        raise InvalidArgument(f"{path}: {error}") from error


def _print(lines: Sequence[str]) -> None:
    """Lines of which names and words are anybody's."""
    sys.stdout.write(printable("\n".join(lines)) + "\n")
