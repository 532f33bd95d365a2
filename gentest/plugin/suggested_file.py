"""The text of a test file of suggestions: ready to run, with the measured figures as comments."""

from __future__ import annotations

from collections.abc import Sequence

from gentest.engine.suggest.suggestion import Suggestion, Wish
from gentest.report.numbers import threshold


def file_text(
    suggestions: Sequence[Suggestion], wish: Wish, *, fixture: str, measured_on: str, modules: Sequence[str] = ()
) -> str:
    """The file: a test function for each group of suggestions, on the generator that `fixture` gives.

    `measured_on` describes the generator in a few words, and `modules` hold attributes of the user's own.
    """
    imports = "".join(f"import {module}\n" for module in dict.fromkeys(["gentest", *sorted(modules)]))
    share, confidence = threshold(wish.rate.p0), threshold(wish.rate.confidence)
    head = (
        '"""Properties that hold in a generator\'s latent space, as `gentest suggest` measured them.\n\n'
        f"Measured on {_plain(measured_on)}.\n"
        f"At each number the property holds on at least {share} of the prior's probes, with {confidence} confidence,\n"
        f"from {wish.n:,} independent probes (seed {wish.seed}); rounded to two figures, to the safe side.\n"
        "They say what the generator does, and not what it should do: tighten what matters to you.\n\n"
        f'    pytest --gentest\n"""\n\n{imports}'
    )
    blocks = [head]
    for test in dict.fromkeys(s.test for s in suggestions):
        group = [s for s in suggestions if s.test == test]
        lines = [line for s in group for line in _lines(s, wish)]
        if any(s.line for s in group):
            lines += [f"def {test}({fixture}):", f"    return {fixture}"]
        blocks.append("\n".join(lines) + "\n")
    return "\n\n".join(blocks)


def _lines(suggestion: Suggestion, wish: Wish) -> list[str]:
    """The comment and the decorator of a suggestion; without a decorator, the reason."""
    if not suggestion.line:
        return [f"# nothing for {_plain(suggestion.property)}: {_plain(suggestion.why)}"]
    comment = _figures(suggestion, wish)
    return [*([f"# {comment}"] if comment else []), suggestion.line]


def _figures(suggestion: Suggestion, wish: Wish) -> str:
    f = suggestion.figures
    if f is None:
        return ""
    rank, extreme = (1.0 - wish.rate.p0, "smallest") if f.floor else (wish.rate.p0, "largest")
    figures = f"median {_number(f.median)}, {_ordinal(100 * rank)} percentile {_number(f.quantile)}"
    text = f"{suggestion.measures}: {figures}, {extreme} {_number(f.worst)}"
    if f.spread is None:
        return text
    other = f", or {suggestion.other_tolerance}" if suggestion.other_tolerance else ""
    return f"{text}; sd {_number(f.spread)}{other}"


def _number(value: float) -> str:
    """A value to three figures. Values below 0 mean that nothing changes along a path, and are 0."""
    return f"{max(0.0, value):.3g}"


def _ordinal(value: float) -> str:
    """The name of a percentile: 95th, 99.9th, 1st."""
    text = f"{value:.10g}"
    last = {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")
    return text + ("th" if "." in text or text[-2:] in ("11", "12", "13") else last)


def _plain(text: str) -> str:
    """Text that cannot end its comment or docstring."""
    return " ".join(text.replace("\\", "/").replace('"""', "'''").split())
