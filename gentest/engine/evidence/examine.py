"""Examine a generator before any margin of it is believed: report in one line what no property could judge."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from gentest.engine import cost
from gentest.engine.evidence.audit import CHANGED, DRAWN, DRAWN_SLOW, EXAMINED, largest_difference, undeclared
from gentest.engine.evidence.context import Context
from gentest.engine.evidence.observed import Observed
from gentest.engine.evidence.output_store import Recall
from gentest.engine.evidence.outputs import Outputs, checked_outputs
from gentest.engine.evidence.plans import PILOT_SEED
from gentest.engine.evidence.subject import Subject
from gentest.errors import GeneratorError
from gentest.generators.generator import Generator
from gentest.outputs.returned import TANH
from gentest.probes.families import points
from gentest.probes.probe import Probe, independent

ALONE = 4
"""Number of samples to make once more, alone."""
SAME = 1 / 32
"""Largest difference of an output alone and in a batch, as a share of its range; beyond it no margin means anything,
unless the generator declares more as its `rounding`."""


def samples(context: Context, subject: Subject) -> Observed:
    """The evidence of the samples to examine."""
    return context.evidence(subject, points(), independent(PILOT_SEED, 0, EXAMINED), recall=Recall.NEVER)


def examine(context: Context, subject: Subject) -> None:
    """Compare a few samples in a batch and alone, once a session. Raises `GeneratorError` for what is wrong."""
    if subject.key in context.examined:
        return
    together = samples(context, subject)
    last = together.probes[-ALONE:]
    # made first, since they tell the size of an output, and how long one takes
    singles: list[Tensor] = []
    pace = context.maker.pace(subject)
    for i, probe in enumerate(last):
        singles.append(_alone(context, subject, probe, 1 + i))
        if i == 1 and pace.last > cost.SLOW and _examine_slow(context, subject, last[:2], torch.cat(singles)):
            return
    pace.settle(slow=False)
    alone = torch.cat(singles)
    images, generator = together.images, subject.generator
    if _is_taken_for_tanh(generator) and bool((together.outputs >= 0.5).all()):
        raise _none_negative([together.outputs])
    same_size = alone.shape == images[-ALONE:].shape
    far = (alone - images[-ALONE:]).abs().flatten(1).amax(1) / together.unit if same_size else alone.new_ones(ALONE)
    if (difference := far.max().item()) > max(SAME, generator.rounding):
        raise _depends_on_batch(difference).at(last[int(far.argmax())])
    _examine_draws(context, subject, together, alone)
    context.examined[subject.key] = alone[:1] / together.unit


def _examine_slow(context: Context, subject: Subject, two: Sequence[Probe], alone: Tensor) -> bool:
    """Examine a generator of slow images by two samples, made alone and then together, from another random state.

    Four images tell how long an image takes in a batch, whether an output depends on its batch or on the call before,
    and whether it is noise. More is seen later, on the outputs that the properties look at: the judge and the audit
    make some of them alone. False if images are fast in batches after all; then nothing was examined.
    """
    pace, generator = context.maker.pace(subject), subject.generator
    before = pace.last
    outputs = Outputs(context.maker, subject, points(), two, batch_size=len(two), chance=1 + ALONE)
    together = outputs.values
    if pace.in_batches(before, pace.last) <= cost.SLOW:
        return False
    pace.settle(slow=True)
    context.measuring.adopt(subject, (), context.measuring.span_of(torch.cat([alone.flatten(), together.flatten()])))
    checked_outputs(alone, subject, two, bounded=subject.bounded)
    unit = context.measuring.unit(subject)
    if _is_taken_for_tanh(generator):
        _check_some_are_negative(context, subject, [alone, together])
    worst = [largest_difference(x, y, unit) for x, y in zip(together, alone, strict=True)]
    at = max(range(len(two)), key=worst.__getitem__)
    if worst[at] > DRAWN_SLOW:  # by rounding, by noise, or by its place
        _examine_draws_slow(context, subject, two, alone, at)
    if worst[at] > max(SAME, generator.rounding):
        raise _depends_on_batch(worst[at]).at(two[at])
    context.examined[subject.key] = alone[:1] / unit
    return True


def _examine_draws_slow(context: Context, subject: Subject, two: Sequence[Probe], alone: Tensor, first: int) -> None:
    """Make samples again, alone, from other random states. Raises `GeneratorError` if they differ.

    A deterministic network gives the same bits: the first one that does shows that rounding explains the difference
    between an output alone and in a batch, so no later audit has to ask.
    """
    for number in range(ALONE):
        at = (first + number) % len(two)
        again = _alone(context, subject, two[at], 2 + ALONE + number)
        drawn = largest_difference(again, alone[at : at + 1], context.measuring.unit(subject))
        if drawn == 0.0:
            context.maker.audit.trust(subject)
            return
        if drawn > DRAWN_SLOW:
            raise GeneratorError(undeclared(drawn)).at(two[at])


def _is_taken_for_tanh(generator: Generator) -> bool:
    """Whether nobody declared the range of outputs that are in (-1, 1) by default."""
    return generator.output_range is None and generator.kind.default_range == TANH


def _check_some_are_negative(context: Context, subject: Subject, made: list[Tensor]) -> None:
    """Look at more samples, as long as none has a negative value. Raises `GeneratorError` if all have none."""
    start = 0
    while all(bool((x >= 0.5).all()) for x in made):
        if start >= EXAMINED - 2:
            raise _none_negative(made)
        two = independent(PILOT_SEED, start, 2)
        made.append(context.evidence(subject, points(), two, recall=Recall.NEVER).outputs)
        start += 2


def _none_negative(made: Sequence[Tensor]) -> GeneratorError:
    low, high = min(x.min().item() for x in made), max(x.max().item() for x in made)
    low, high = TANH[0] + low * 2, TANH[0] + high * 2
    return GeneratorError(
        f"no output is negative (values from {low:.3g} to {high:.3g}); "
        "say Generator(..., output_range=(0, 1)), or output_range=(-1, 1) if that is what you mean"
    )


def _depends_on_batch(difference: float) -> GeneratorError:
    return GeneratorError(
        f"an output depends on the rest of its batch, by up to {difference:.3g} of its range: is some layer in "
        "train mode, or is noise not declared with Generator(..., noise=...)? (gentest.reproducible() shows it)"
    )


def _examine_draws(context: Context, subject: Subject, together: Observed, alone: Tensor) -> None:
    """Make the samples again from another random state, each at its place in the batch.

    A deterministic network gives the same bits there, so weak noise shows. Noise with a standard deviation of 2e-4 of
    the range, in a single value, stays below `DRAWN` on all of 16 samples in at most one run of a thousand (in practice
    one of 1e9 in a batch, of 1e7 one at a time).

    The last sample is also made alone, right after a batch. Raises `GeneratorError` if an output depends on the state
    of random numbers, or on the call before.
    """
    last, unit = together.probes[-ALONE:], together.unit

    def made(i: int) -> Tensor:
        return _alone(context, subject, last[i], 1 + ALONE + i)

    after = made(ALONE - 1)
    differences = {last[-1]: largest_difference(after, alone[-1:], unit)}
    kept_state = differences[last[-1]] > DRAWN and largest_difference(made(ALONE - 1), after, unit) > DRAWN
    probes, before = together.probes, together.outputs.flatten(0, 1)
    again = _drawn_again(together.measurements.outputs)
    drawn = {p: largest_difference(x, y, unit) for p, x, y in zip(probes, before, again, strict=True)}
    if kept_state and max(drawn.values()) <= DRAWN:
        error = GeneratorError(
            f"an output depends on the call before it: right after a batch the same latent, alone, gives an output "
            f"that differs by {differences[last[-1]]:.3g} of the range; does the model keep state between calls?"
        )
        raise error.at(last[-1])
    differences = {probe: max(drawn.get(probe, 0.0), differences.get(probe, 0.0)) for probe in together.probes}
    most = max(differences, key=differences.__getitem__)
    if differences[most] > DRAWN:
        raise GeneratorError(undeclared(differences[most])).at(most)


def _alone(context: Context, subject: Subject, probe: Probe, chance: int) -> Tensor:
    """The output [1, 1, ...] of one sample, made alone from a random state."""
    return context.evidence(subject, points(), [probe], alone=True).again(0, chance=chance)


def _drawn_again(outputs: Outputs) -> Tensor:
    """The outputs from another random state, in the same batches."""
    return Outputs(outputs.maker, outputs.subject, outputs.family, outputs.probes, chance=1).values.flatten(0, 1)


def examine_again(context: Context, subject: Subject) -> None:
    """Make one of the samples once more, alone. Raises `GeneratorError` if it differs.

    Properties share evidence, and margins of different probes are compared. Both are valid only if the generator is the
    same function for the whole session.
    """
    before = context.examined[subject.key]
    first = independent(PILOT_SEED, EXAMINED - ALONE, 1)
    alone = context.evidence(subject, points(), first, alone=True)
    now = alone.again(0, chance=1) / alone.unit
    difference = (now - before).abs().max().item() if now.shape == before.shape else 1.0
    if not difference <= CHANGED:
        error = GeneratorError(
            "the same latent gives another output than earlier in this session, by up to "
            f"{difference:.3g} of its range: the generator changes between calls, or something other than a weight was "
            "changed on it; gentest believes none of its results"
        )
        raise error.at(first[0])
