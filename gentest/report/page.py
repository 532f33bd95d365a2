"""A run as one HTML page: what failed first, each result with its pictures and curves, and how to look again.

The page needs nothing but itself: no network, and no script to be read. Names, prompts and messages are from strangers,
so the template escapes all of them, and the page forbids everything that it does not bring along.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Sequence
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from gentest.report import certainty, charts, comparison, figures, ranking
from gentest.report.images import folder_name
from gentest.report.terminal import unfinished
from gentest.report.view import Frames, View, frames_of, numbers, pairs, view_of
from gentest.results.comparison import Comparison
from gentest.results.document import Document
from gentest.results.outcome import Outcome
from gentest.results.result import Result
from gentest.results.shown import Shown, Strip


def page(document: Document, *, at: str) -> str:
    """The whole page of a run that ended `at` some time."""
    views = _views(document)
    counts = {outcome.value: sum(view.outcome == outcome.value for view in views) for outcome in Outcome}
    tests: dict[str, list[View]] = {}
    for view in views:
        tests.setdefault(view.result.test, []).append(view)
    gate = document.gate
    html = (
        _environment()
        .get_template("page.html")
        .render(
            document=document,
            at=at,
            views=sorted(views, key=lambda view: (view.result.outcome.severity, view.place)),
            tests=tests,
            counts=counts,
            bar=charts.shares([(outcome, n) for outcome, n in counts.items()]),
            facts=_facts(document, at),
            gate=gate,
            gate_rows=_gate_rows(gate, views) if gate is not None else [],
            gate_total=comparison.counts(gate) if gate is not None else "",
            gate_kind="passed" if gate is None else gate.outcome.value,
            gate_word="" if gate is None else comparison.word(gate),
            drifts=[comparison.describe(drift) for drift in gate.drifted] if gate is not None else [],
            without_drift=comparison.seen(gate) if gate is not None and not gate.drifted else "",
            ranking="\n".join(ranking.table(document.results)),
            samples=_samples(document.results),
            certainty=certainty.lines(document),
            partial=unfinished(document.interrupted, document.unchecked),
            css=_plain("page.css") + _plain("result.css"),
            css_hash=_hash(_plain("page.css") + _plain("result.css")),
            js=_plain("page.js"),
            js_hash=_hash(_plain("page.js")),
        )
    )
    return html.encode("utf-8", "replace").decode("utf-8")


def section(result: Result) -> str:
    """One result as a notebook shows it: the section that the page has, with the style that it needs."""
    html = _environment().get_template("section.html").render(view=view_of(result, 0, "", ()), css=_plain("result.css"))
    return html.encode("utf-8", "replace").decode("utf-8")


@functools.cache
def _environment() -> Environment:
    loader = PackageLoader("gentest.report", "templates")
    return Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)


def _plain(name: str) -> Markup:
    """A file beside the templates, as it is: ours, and nobody else's."""
    environment = _environment()
    assert environment.loader is not None
    return Markup(environment.loader.get_source(environment, name)[0])


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _views(document: Document) -> list[View]:
    found, anchors = [], set[str]()
    for place, result in enumerate(document.results):
        anchor = base = f"r-{folder_name(result).rpartition('-')[2]}"
        n = 1
        while anchor in anchors:
            n += 1
            anchor = f"{base}-{n}"
        anchors.add(anchor)
        tolerance = () if document.gate is None else (document.gate.terms.tolerance,)
        found.append(view_of(result, place, anchor, tolerance))
    return found


def _samples(results: Sequence[Result]) -> list[tuple[str, tuple[tuple[str, Frames], ...]]]:
    """The first outputs of each generator, beside the baseline's where there is one, once each."""
    of: dict[tuple[str, ...], tuple[Strip, Shown, list[Result]]] = {}
    for result in results:
        shown = result.shown
        if shown is not None and shown.samples is not None:
            of.setdefault(shown.samples.frames, (shown.samples, shown, []))[2].append(result)
    found = []
    for strip, shown, own in of.values():
        tests = list(dict.fromkeys(result.test for result in own))
        more = f" and {len(tests) - 1} more" if len(tests) > 1 else ""
        on = f" on {own[0].checkpoint}" if own[0].checkpoint else ""
        found.append((f"{tests[0]}{more}{on}", pairs(shown) or (("", frames_of(strip, numbers(strip))),)))
    return found


def _gate_rows(gate: Comparison, views: Sequence[View]) -> list[tuple[str, str, str, str, str, str]]:
    """Each compared property: outcome, standing, test, property, figures, and where on the page it is."""
    anchors = {(v.result.test, v.result.property, v.result.checkpoint): v.anchor for v in views}
    return [
        (
            compared.gate.standing.outcome.value,
            figures.standing(compared.gate),
            compared.test + (f" on {compared.checkpoint}" if compared.checkpoint else ""),
            compared.property,
            comparison.figures(compared.gate),
            anchors.get((compared.test, compared.property, compared.checkpoint), ""),
        )
        for compared in gate.properties
    ]


def _facts(document: Document, at: str) -> list[tuple[str, str]]:
    session = document.session
    images = sum(result.images for result in document.results)
    seconds = sum(result.seconds for result in document.results)
    facts: list[tuple[str, Any]] = [
        ("checkpoint", session.checkpoint),
        ("generator", session.generator),
        ("CLIP", session.clip),
        ("device, seed", f"{session.device}, {session.seed}"),
        ("images", f"{images:,} in {seconds:.1f} s"),
        ("ended", at),
    ]
    return [(name, str(value)) for name, value in facts if value not in (None, "")]
