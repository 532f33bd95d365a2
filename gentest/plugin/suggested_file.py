"""The text of a test file of suggestions: ready to run, with the figures that were measured as comments."""

from __future__ import annotations

from collections.abc import Sequence

from gentest.engine.suggest.suggestion import Suggestion, Wish
from gentest.report.numbers import threshold


def file_text(suggestions: Sequence[Suggestion], wish: Wish, *, fixture: str, measured_on: str) -> str:
    """The file: a test function for each group of suggestions, on the generator that `fixture` gives.

    `measured_on` describes the generator in a few words.
    """
    share, confidence = threshold(wish.rate.p0), threshold(wish.rate.confidence)
    head = (
        '"""What holds in a generator\'s latent space: where `gentest suggest` measured that it does.\n\n'
        f"Measured on {_plain(measured_on)}.\n"
        f"At each number the property holds on at least {share} of the prior's probes, with {confidence} confidence,\n"
        f"from {wish.n:,} independent probes (seed {wish.seed}); rounded to two figures, to the safe side.\n"
        "They say what the generator does, and not what it should do: tighten what matters to you.\n\n"
        '    pytest --gentest\n"""\n\nimport gentest\n'
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
    """A suggestion's comment and its decorator; of one that has none, why."""
    if not suggestion.line:
        return [f"# nothing for {_plain(suggestion.property)}: {_plain(suggestion.why)}"]
    comment = _figures(suggestion, wish)
    return [*([f"# {comment}"] if comment else []), suggestion.line]


def _figures(suggestion: Suggestion, wish: Wish) -> str:
    """What was measured, in one line."""
    f = suggestion.figures
    if f is None:
        return ""
    rank, extreme = (1.0 - wish.rate.p0, "smallest") if f.floor else (wish.rate.p0, "largest")
    figures = f"median {_number(f.median)}, {_ordinal(100 * rank)} percentile {_number(f.quantile)}"
    said = f"{suggestion.measures}: {figures}, {extreme} {_number(f.worst)}"
    if f.spread is None:
        return said
    form = suggestion.other.partition("tolerance=")[2].removesuffix(f"){wish.rate}")
    return f"{said}; sd {_number(f.spread)}{f', or {form}' if form else ''}"


def _number(value: float) -> str:
    """Three figures; what a path does not do at all is 0."""
    return f"{max(0.0, value):.3g}"


def _ordinal(value: float) -> str:
    """A percentile's name: 95th, 99.9th, 1st."""
    text = f"{value:.10g}"
    last = {"1": "st", "2": "nd", "3": "rd"}.get(text[-1], "th")
    return text + ("th" if "." in text or text[-2:] in ("11", "12", "13") else last)


def _plain(text: str) -> str:
    """Text that stays in its comment or docstring."""
    return " ".join(text.replace("\\", "/").replace('"""', "'''").split())
