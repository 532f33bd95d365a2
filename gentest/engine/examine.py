"""A generator is examined before any margin of it is believed: what no property could judge is said in one line."""

from __future__ import annotations

from torch import Tensor

from gentest.engine.audit import CHANGED, DRAWN, EXAMINED, undeclared
from gentest.engine.context import PILOT_SEED, Context
from gentest.engine.evidence import Observed
from gentest.engine.refused import named
from gentest.engine.subject import Subject
from gentest.errors import GeneratorError
from gentest.generators import TANH
from gentest.probes import Probe, independent, points

ALONE = 4
"""Of these, so many once more alone."""
SAME = 1 / 32
"""How far an output may differ alone and in a batch, as a share of its range, before no margin of it means anything."""


def samples(context: Context, subject: Subject) -> Observed:
    """The evidence of the samples that are examined."""
    return context.evidence(subject, points(), independent(PILOT_SEED, 0, EXAMINED))


def examine(context: Context, subject: Subject) -> None:
    """Looks at a few samples in a batch and alone, once a session. Raises `GeneratorError` for what it finds."""
    if subject.key in context.examined:
        return
    together = samples(context, subject)
    last = together.probes[-ALONE:]
    alone = context.evidence(subject, points(), last, alone=True).again(0, chance=1)  # first: it says how large one is
    images, generator = together.images, subject.generator
    if generator.images and generator.output_range is None and bool((together.outputs >= 0.5).all()):
        low, high = (TANH[0] + v.item() * 2 for v in (together.outputs.min(), together.outputs.max()))
        raise GeneratorError(
            f"no output is negative (values from {low:.3g} to {high:.3g}); "
            "say Generator(..., output_range=(0, 1)), or output_range=(-1, 1) where that is meant"
        )
    same_size = alone.shape == images[-ALONE:].shape
    far = (alone - images[-ALONE:]).abs().flatten(1).amax(1) / together.unit if same_size else alone.new_ones(ALONE)
    if (difference := far.max().item()) > SAME:
        error = GeneratorError(
            f"an output depends on the rest of its batch, by up to {difference:.3g} of its range: is some layer in "
            "train mode, or noise not declared with Generator(..., noise=...)? (gentest.reproducible() shows it)"
        )
        raise named(error, last[int(far.argmax())])
    _examine_calls(context, subject, last[-1], alone[-1], together.unit)
    context.examined[subject.key] = alone[:1] / together.unit


def _examine_calls(context: Context, subject: Subject, probe: Probe, before: Tensor, unit: float) -> None:
    """Makes a sample again, alone, after a batch and from another random state.

    Raises `GeneratorError` where the output depends on the state of random numbers, or on the call before.
    """
    evidence = context.evidence(subject, points(), [probe], alone=True)

    def made(chance: int) -> Tensor:
        return evidence.again(0, chance=chance)[0]

    def differs(one: Tensor, other: Tensor) -> float:
        return float((one - other).abs().max()) / unit if one.shape == other.shape else 1.0

    after = made(2)
    if (difference := differs(after, before)) <= DRAWN:
        return
    repeats = differs(made(1), before) <= DRAWN
    if repeats and differs(made(2), after) > DRAWN:
        error = GeneratorError(
            f"an output depends on the call before it: right after a batch the same latent, alone, gives an output "
            f"that differs by {difference:.3g} of the range; does the model keep state between calls?"
        )
        raise named(error, probe)
    raise named(GeneratorError(undeclared(difference)), probe)


def examine_again(context: Context, subject: Subject) -> None:
    """Makes one of the samples once more, alone. Raises `GeneratorError` where it is not what it was.

    What is evidence for one property is evidence for the next, and margins of one probe are compared with those of
    another: both take for granted that f is a function, for as long as the session lasts.
    """
    before = context.examined[subject.key]
    first = independent(PILOT_SEED, EXAMINED - ALONE, 1)
    alone = context.evidence(subject, points(), first, alone=True)
    now = alone.again(0, chance=1) / alone.unit
    difference = (now - before).abs().max().item() if now.shape == before.shape else 1.0
    if not difference <= CHANGED:
        error = GeneratorError(
            f"the same latent gave another output than before in this session, by up to {difference:.3g} of its range: "
            "the generator changes between calls, or something that is no weight was changed on it; "
            "nothing that was found is believed"
        )
        raise named(error, first[0])
