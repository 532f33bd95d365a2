"""Properties of other priors and radii: misuse is named, and what does not move is no evidence."""

from __future__ import annotations

import pytest

import gentest
from gentest import Verdict, settings
from tests.helpers import zoo
from tests.helpers.zoo import FOLDS_FOR_LABEL_3, edge, slope

level = gentest.brightness()

BOX, NORMAL = gentest.Uniform(4), gentest.Normal(4)

QUICK = settings(examples=40)


between = gentest.between(level, tolerance=0.02)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gentest.holds_within(between.at_rate(0.9), 1.0), "give the rate to the whole"),
        (lambda: gentest.holds_within(between, 0), "radius"),
        (lambda: gentest.holds_within(between, 1.0, places=0), "places"),
        (lambda: gentest.holds_within("between", 1.0), "property"),
        (lambda: gentest.holds_within(gentest.holds_within(between, 1.0), 2.0), "names two radii"),
        (lambda: gentest.prior_invariant(between, priors=[NORMAL, NORMAL]), "priors that differ"),
        (
            lambda: gentest.prior_invariant(gentest.prior_invariant(between, priors=[NORMAL]), priors=[BOX]),
            "names priors twice",
        ),
        (lambda: gentest.prior_invariant(between, priors=[NORMAL], delta=0), "delta"),
        (lambda: between.at_rate(0.9, each=3), "each"),
    ],
)
def test_wrong_arguments_are_named(make: object, words: str) -> None:
    """In one line, where the property is checked."""
    with pytest.raises(gentest.InvalidArgument, match=words):
        make().check(FOLDS_FOR_LABEL_3)  # type: ignore[operator]


def test_the_own_prior_is_no_other() -> None:
    """Listed among others it is passed over; listed alone there would be nothing to compare."""
    generator = zoo.generator(slope, BOX)
    both, other = (
        gentest.prior_invariant(between, priors=priors).at_rate(0.9).check(generator, settings=QUICK)
        for priors in ([BOX, NORMAL], [NORMAL])
    )
    assert both.rate == other.rate
    alone = gentest.prior_invariant(between, priors=[BOX]).at_rate(0.9).check(generator, settings=QUICK)
    assert alone.verdict is Verdict.ERROR
    assert "a prior other than the generator's own" in alone.message


@pytest.mark.parametrize("rate", [None, 0.9])
def test_a_prior_under_which_nothing_moves_is_no_evidence(rate: float | None) -> None:
    """A bank of one entry is refused, and of a bank of two the paths from an entry to itself do not count."""
    property = gentest.prior_invariant(gentest.between(level, tolerance=1e-6), priors=[gentest.Empirical([[0.1] * 4])])
    property = property if rate is None else property.at_rate(rate)
    result = property.check(zoo.generator(edge, BOX), settings=QUICK)
    assert result.verdict is Verdict.ERROR
    assert "nothing moves in Empirical(1 of 4" in result.message
    two = gentest.Empirical([[1.9] * 4, [-1.9] * 4])
    property = gentest.prior_invariant(gentest.between(level, tolerance=0.1), priors=[two]).at_rate(0.5)
    found = property.check(zoo.generator(edge, BOX), settings=QUICK)
    assert found.rate is not None
    assert {arm.arm: arm.passes for arm in found.rate.arms}[repr(two)] == 0


@pytest.mark.parametrize("space", [gentest.Categorical(4), gentest.Joint(label=gentest.Categorical(4))], ids=repr)
def test_choices_alone_have_no_radius(space: gentest.Space) -> None:
    """Within a radius of a label is no claim."""
    generator = gentest.Generator(lambda label: zoo.images(label / 10 + 0.1), latent=space, output_range=zoo.UNIT)
    result = gentest.holds_within(gentest.well_formed(), 1.0).check(generator, settings=QUICK)
    assert result.verdict is Verdict.ERROR
    assert "has only choices: nothing in it has a radius" in result.message
