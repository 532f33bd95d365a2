"""Sinks: the experiment trackers that `--gentest-log` sends a finished run to.

A sink is made from the text after its name's colon, and logs a whole run at once. gentest ships those of `SHIPPED`;
other packages add theirs by an entry point of the group `gentest.sinks`. Nothing imports a tracker before it logs.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Protocol, cast

from gentest._support.printable import short_repr
from gentest.errors import InvalidArgument
from gentest.report.images import result_hash
from gentest.results.document import Document
from gentest.results.outcome import Outcome
from gentest.results.result import Result

GROUP = "gentest.sinks"
"""The group of entry points for sinks. An entry point's name is the sink's, its object a `SinkFactory`."""
SHIPPED: Mapping[str, str] = {
    "mlflow": "gentest.integrations.mlflow:MlflowSink",
    "wandb": "gentest.integrations.wandb:WandbSink",
    "tensorboard": "gentest.integrations.tensorboard:TensorboardSink",
}
"""The sinks of gentest itself: a module and a class in it, by name."""
LONGEST = 100
"""Characters of a test's or a property's part in the name of a figure. MLflow takes 250 for a whole name."""


class Sink(Protocol):
    """Where a run's figures go."""

    def log(self, document: Document, page: str) -> str:
        """Log a finished run and return one line that says where it is.

        `page` is the report as one HTML page, with pictures. Whatever this raises becomes a warning, and changes no
        verdict.
        """


SinkFactory = Callable[[str], Sink]
"""Makes a sink of the text after the colon, empty without one. Raises `InvalidArgument` for a text that it refuses."""


def sink_of(text: str) -> Sink:
    """The sink that a value of `--gentest-log` names, such as `tensorboard:runs/a`.

    Raises `InvalidArgument` for an unknown name, a library that is not installed, or a wrong text after the colon.
    """
    name, _, argument = text.partition(":")
    return _factory(name)(argument)


def _factory(name: str) -> SinkFactory:
    if name in SHIPPED:
        module, _, attribute = SHIPPED[name].partition(":")
        return cast(SinkFactory, getattr(import_module(module), attribute))
    others = {entry.name: entry for entry in metadata.entry_points(group=GROUP)}
    if name not in others:
        known = ", ".join(sorted({*SHIPPED, *others}))
        raise InvalidArgument(f"{short_repr(name)} is not a tracker that gentest can log to: {known}")
    return cast(SinkFactory, others[name].load())


@dataclass(frozen=True)
class TrackedRun:
    """One checkpoint of a run as a tracker shows it."""

    name: str
    """The checkpoint's name in a run of several; else empty."""
    figures: Mapping[str, float]
    """The numbers of `Result.figures`, each named `TEST/PROPERTY/FIGURE`, and the totals, named `gentest/FIGURE`."""
    parameters: Mapping[str, str]
    """The seed, checkpoint, device, fingerprint and versions, and the outcome."""


def tracked_runs(document: Document) -> list[TrackedRun]:
    """A run for each checkpoint of a document; one for a document without several.

    >>> from gentest.results.document import Session
    >>> from gentest.results.result import Search, Verdict
    >>> lit = Result("tests/test_a.py::test_a", "lit()", Verdict.NO_COUNTEREXAMPLE, search=Search(300))
    >>> (run,) = tracked_runs(Document(Session("a.pt", None, None, "cpu", 7, {}), (lit,)))
    >>> run.figures["tests.test_a.test_a/lit/probes"], run.figures["gentest/passed"], run.parameters["seed"]
    (300, 1, '7')
    """
    names = list(dict.fromkeys(result.checkpoint for result in document.results)) or [""]
    return [_tracked(document, name, [r for r in document.results if r.checkpoint == name]) for name in names]


def _tracked(document: Document, checkpoint: str, results: Sequence[Result]) -> TrackedRun:
    session = document.session
    figures: dict[str, float] = {
        "gentest/properties": len(results),
        "gentest/passed": sum(result.passed for result in results),
        "gentest/images": sum(result.images for result in results),
        "gentest/seconds": sum(result.seconds for result in results),
    }
    for name, result in zip(figure_names(results), results, strict=True):
        figures |= {f"{name}/{figure}": value for figure, value in result.figures().items()}
    outcome = Outcome.worst(result.outcome for result in results) if checkpoint else document.outcome
    parameters = {
        "outcome": outcome.value,
        "seed": str(session.seed),
        "device": session.device,
        "checkpoint": checkpoint or session.checkpoint,
        "generator": ", ".join(dict.fromkeys(result.generator for result in results if result.generator)),
        "baseline": "" if document.gate is None else document.gate.blessed,
        "clip": session.clip,
        "gentest": document.gentest,
        **session.versions,
    }
    return TrackedRun(checkpoint, figures, {name: value for name, value in parameters.items() if value})


def figure_names(results: Sequence[Result]) -> list[str]:
    """A name for each result, `TEST/PROPERTY`, in characters that every tracker takes.

    A property has the name by which a replay calls it: `between`, and `between.2` for the second of a test. Results
    whose names would be the same get a part that tells them apart.
    """
    counts: Counter[tuple[str, str, str]] = Counter()
    names = []
    for result in results:
        name = result.property.partition("(")[0]
        key = (result.test, result.checkpoint, name)
        counts[key] += 1
        label = name if counts[key] == 1 else f"{name}.{counts[key]}"
        names.append(f"{_plain(result.test)}/{_plain(label)}")
    twice = Counter(names)
    return [
        f"{name}-{result_hash(result)}" if twice[name] > 1 else name
        for name, result in zip(names, results, strict=True)
    ]


def _plain(text: str) -> str:
    """The text with dots for its separators and hyphens for everything else that is not a letter or a digit."""
    dotted = re.sub(r"\.py(?=::|$)", "", text).replace("::", ".").replace("/", ".")
    return re.sub(r"[^A-Za-z0-9_.]+", "-", dotted).strip("-.")[:LONGEST] or "x"
