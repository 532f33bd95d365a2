"""The command `gentest compare`: how far a candidate is from its reference, without test code.

The command reads its arguments and prints. `compare_run` loads both models and compares them, in a child process.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isfinite
from pathlib import Path
from typing import Any

from gentest._support.printable import counted, printable
from gentest.cli import child
from gentest.cli.check_model import check_of
from gentest.cli.model_options import add_model_options, given_by, read_tolerance
from gentest.cli.model_source import MODELS, ModelKind, find_model, kind_of_path
from gentest.errors import InvalidArgument
from gentest.report import terminal
from gentest.report.numbers import above, at_most, confidence, signed
from gentest.results.outcome import Outcome

HELP = "compare two models, such as a model and its export, on the same latents"
DESCRIPTION = (
    "Searches for a latent on which CANDIDATE gives another output than REFERENCE, and measures how far the two are "
    f"apart. Each is {MODELS}: a function that gives a gentest.Generator, an nn.Module, a pipeline or another callable "
    "on latents. Loading a model may run any code in it."
)
CONFIDENCE = 0.99
SECONDS = 3600.0
SHARES = (0.5, 0.9, 0.99, 1.0)
"""The quantiles of differences that the table has."""


@dataclass(frozen=True)
class ComparedLevel:
    """The level of an attribute on both sides: the mean of its scores."""

    attribute: str
    reference: float
    candidate: float
    shift: float | None
    """The candidate's mean less the reference's, in standard deviations of the reference; None if it has none."""
    low: float | None
    """The lower bound of the shift."""
    high: float | None
    """The upper bound of the shift; both bounds together hold with a confidence of `CONFIDENCE`."""


@dataclass(frozen=True)
class Worst:
    """The latent with the largest difference."""

    difference: float
    source: str
    """The sample, search or attack that found it, in words."""
    replay: str
    """The string that `Property.replay` takes."""
    choices: str
    """The values of its discrete parts, in words; empty without any."""
    note: str
    """The values of the output that differ most; empty if none differs."""


@dataclass(frozen=True)
class Differences:
    """How far a candidate is from its reference."""

    space: str
    """The latent space, as Python writes it."""
    outputs: str
    """The kind, shape and range of outputs, in words."""
    unit: str
    """The unit of differences, in words."""
    n: int
    """Independent latents of the prior, behind the quantiles, the levels and the rate."""
    searched: int
    """Latents that the search for a larger difference evaluated."""
    quantiles: tuple[float, ...]
    """The largest difference of any value of an output, at each of `SHARES`."""
    levels: tuple[ComparedLevel, ...]
    worst: Worst
    attack: str
    """The outcome of an attack, in words; empty if none was asked for."""
    disagreeing: int
    """Independent latents that differ by more than the tolerance. Without `--within` it is the largest difference."""
    agrees: bool
    """True if no latent differs by more than the tolerance, in the search and the attack neither."""
    images: int
    """Outputs that each side made."""
    seconds: float
    matters: str = ""
    """The coordinates that matter in the smallest latent that disagrees, in words; empty without any."""
    reduced: str = ""
    """The replay string of that latent."""
    invalid: int | None = None
    """Independent latents on which the candidate's output is not finite or not in range, and the reference's is; None
    if no latent is known on which that is so. Their differences are infinite."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Differences:
        """The record from its JSON."""
        levels = tuple(ComparedLevel(**level) for level in value["levels"])
        return cls(
            **{**value, "quantiles": tuple(value["quantiles"]), "levels": levels, "worst": Worst(**value["worst"])}
        )


def add_to(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments."""
    parser.add_argument("reference", metavar="REFERENCE", help="the model that is right")
    parser.add_argument("candidate", metavar="CANDIDATE", help="the model that should do the same")
    parser.add_argument(
        "--within",
        metavar="TOLERANCE",
        help="the largest difference of a value that is allowed, such as 4/255 or 0.01; makes the comparison a check",
    )
    parser.add_argument("--examples", type=int, default=300, metavar="N", help="latents to compare on (default: 300)")
    parser.add_argument("--attack", type=int, default=0, metavar="IMAGES", help="outputs for an attack (default: 0)")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="seed of the latents (default: 0)")
    add_model_options(parser)
    parser.add_argument("--steps", type=int, metavar="N", help="denoising steps of pipelines (default: 20, or fewer)")
    parser.add_argument("--report", type=Path, metavar="FILE", help="write an HTML page")
    parser.add_argument(
        "--time-limit",
        type=float,
        default=SECONDS,
        metavar="SECONDS",
        help=f"end the comparison, undecided, after this time (default: {SECONDS:g})",
    )


def run(options: argparse.Namespace, rest: Sequence[str] = ()) -> int:
    """Compare, print, and return the exit status: 1 if the candidate fails where the reference does not.

    With `--within`, 0 if no latent disagrees and 1 if one does.
    """
    within = None if options.within is None else read_tolerance(options.within)
    question = _question(options, within)
    answer = child.ask("gentest.cli.compare_run:compare", question, seconds=options.time_limit)
    differences = Differences.from_json(answer["differences"])
    _print(differences, options)
    is_measured = within is None and differences.invalid is None
    return Outcome.PASSED.exit_status if is_measured or differences.agrees else Outcome.FAILED.exit_status


def _question(options: argparse.Namespace, within: float | None) -> dict[str, Any]:
    """The argument of `compare_run.compare`. Raises `InvalidArgument` for arguments that cannot be used."""
    report: Path | None = options.report
    if report is not None and (report.is_dir() or not report.absolute().parent.is_dir()):
        raise InvalidArgument.expected("a file in a folder that exists", "--report", str(report))
    if not options.time_limit > 0.0:
        raise InvalidArgument.expected("a number of seconds > 0", "--time-limit", options.time_limit)
    return {
        "reference": find_model(
            "REFERENCE", options.reference, made_by=_class_for(options.reference, options)
        ).to_json(),
        "candidate": find_model(
            "CANDIDATE", options.candidate, made_by=_class_for(options.candidate, options)
        ).to_json(),
        "given": given_by(options).to_json(),
        "within": within,
        "settings": {name: getattr(options, name) for name in ("examples", "seed", "attack", "device", "batch_size")},
        "report": None if report is None else str(report.absolute()),
    }


def _class_for(text: str, options: argparse.Namespace) -> str | None:
    """The value of `--class` for a model that is a file of weights; None for others, which need none."""
    made_by: str | None = options.made_by
    return made_by if kind_of_path(Path(text)) is ModelKind.WEIGHTS else None


def _print(differences: Differences, options: argparse.Namespace) -> None:
    """Print the figures as one table, and what follows from them in sentences."""
    from rich.console import Console
    from rich.text import Text

    console = Console(width=terminal.columns())
    shown = f"Compared {options.candidate} with {options.reference}"
    latents = f"on {differences.n:,} independent latents of {differences.space}"
    console.print(Text(printable(f"{shown} {latents}. Outputs are {differences.outputs}.")))
    console.print("", _table(differences), "", sep="\n")
    for line in _sentences(differences, options):
        console.print(Text(printable(line)))
    # lines to copy, which are not wrapped
    replays = {"replay": differences.worst.replay, "reduced": differences.reduced}
    for name, replay in replays.items():
        if name == "replay" or replay not in ("", differences.worst.replay):
            console.print(Text(printable(f"{name}: {_replay_command(options)} {replay}")), soft_wrap=True)
    if options.report is not None:
        console.print(Text(printable(f"report: {options.report}")), soft_wrap=True)


def _replay_command(options: argparse.Namespace) -> str:
    """The command that evaluates the worst latent again, up to its replay string."""
    trust = any(kind_of_path(Path(text)) is ModelKind.EXPORTED for text in (options.reference, options.candidate))
    others = {"against": options.reference, "within": options.within}
    return f"{check_of(options.candidate, options, others, trust=trust)} --replay"


def _table(differences: Differences) -> Any:
    """The quantiles of the difference, and the levels on both sides, as a table of rich."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("")
    for name in ("reference", "candidate", "difference"):
        table.add_column(name, justify="right")
    for share, value in zip(SHARES, differences.quantiles, strict=True):
        latents = f"all {differences.n:,}" if share == 1.0 else f"{100 * share:g} % of"
        table.add_row(
            f"{latents} latents differ by at most", "", "", above(value, 3) if isfinite(value) else "not valid"
        )
    for level in differences.levels:
        table.add_row(
            Text(f"mean {level.attribute}"),
            f"{level.reference:.4g}",
            f"{level.candidate:.4g}",
            "" if level.shift is None else f"{level.shift:+.2g} sd",
        )
    return table


def _sentences(differences: Differences, options: argparse.Namespace) -> list[str]:
    """The worst latent, what is certain about all latents, and the cost; with `--within`, the verdict first."""
    worst, tolerance = differences.worst, options.within
    lines = [f"A difference is the largest of all values of an output, {differences.unit}."]
    if differences.invalid is not None:
        lines += _invalid(differences, differences.invalid, tolerance)
    elif tolerance is not None:
        lines.append(_verdict(differences, tolerance))
    if worst.difference:
        place = f" ({worst.choices})" if worst.choices else ""
        differs = f"differs by {above(worst.difference, 3)}" if isfinite(worst.difference) else "has no valid output"
        lines.append(f"The worst latent{place} {differs}; {worst.source} found it.")
    else:
        lines.append("Both give the same outputs on all of these latents.")
    lines += [f"There, {worst.note}."] if worst.note else []
    lines += [f"Reduced to what matters: {differences.matters}."] if differences.matters else []
    lines += [f"The attack {differences.attack}."] if differences.attack else []
    lines += list(map(_level_bounds, differences.levels))
    refuted = f"Fewer than {at_most(1.0 - (1.0 - CONFIDENCE) ** (1.0 / differences.n))} of latents"
    certain = f"({confidence(CONFIDENCE)})"
    if tolerance is None and differences.invalid is None:  # else the largest difference is infinite
        lines.append(f"{refuted} differ by more than {above(differences.quantiles[-1], 3)} {certain}.")
    elif not differences.disagreeing and not differences.invalid:
        lines.append(f"{refuted} disagree {certain}.")
    return [*lines, f"This took {counted(differences.images, 'output')} a side and {differences.seconds:.1f} s."]


def _level_bounds(level: ComparedLevel) -> str:
    """How far a level lies from the reference's under the whole prior, rounded outward."""
    if level.low is None or level.high is None:
        return f"The reference's {level.attribute} is the same for every latent, so its level has no unit."
    within = f"{signed(level.low, 2, up=False)} to {signed(level.high, 2, up=True)} sd of the reference"
    return f"Over all latents, the mean {level.attribute} differs by {within} ({confidence(CONFIDENCE)})."


def _invalid(differences: Differences, invalid: int, tolerance: str | None) -> list[str]:
    """The verdict on a candidate that fails where the reference does not, and what else differs."""
    latents = f"{differences.n:,} independent latents"
    how_many = f"on {invalid:,} of {latents}" if invalid else f"on a latent, but on none of {latents}"
    fails = f"They disagree: {how_many}, the candidate's output is not finite or not in range, and the reference's is."
    more = differences.disagreeing - invalid
    return [fails] + ([] if tolerance is None or more <= 0 else [f"{more:,} more differ by more than {tolerance}."])


def _verdict(differences: Differences, tolerance: str) -> str:
    """The verdict of a check, with the latents that it rests on."""
    sampled = f"{differences.n:,} independent latents"
    if differences.agrees:
        searched = f"{counted(differences.searched, 'latent')} of the search"
        return f"They agree within {tolerance}: none of {sampled} and {searched} differs by more."
    if not differences.disagreeing:
        return f"They disagree: a latent differs by more than {tolerance}, but none of {sampled}."
    return f"They disagree: {differences.disagreeing:,} of {sampled} differ by more than {tolerance}."
