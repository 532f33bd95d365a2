"""Path lengths: the property that bounds each, and the mean over probes. `tests/laws` compares them with others'."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest.attributes import distances
from gentest.engine.check import Question, check
from gentest.engine.evidence.context import Context
from gentest.errors import AttributeFailed, GeneratorError, InvalidArgument
from gentest.probes.families import segments
from gentest.probes.probe import independent
from gentest.results.result import Verdict
from gentest.results.settings import Values
from tests.helpers import zoo

SLOPE = 0.1


def squared(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().mean((1, 2, 3))


def level(z: Tensor) -> Tensor:
    return 0.5 + SLOPE * z[:, 0]


def angled(z: Tensor) -> Tensor:
    """Level by the angle of the first two coordinates: what a change of the length leaves alone."""
    return 0.5 + 0.1 * torch.sin(torch.atan2(z[:, 1], z[:, 0]))


def true_lengths(n: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Of `level` on the straight paths of a uniform space: the square of its slope along each."""
    z = segments(2).place(gentest.Uniform(2), independent(seed, 0, n))[""].astype(float)
    return np.square(SLOPE * (z[:, 1, 0] - z[:, 0, 0]))


def generator(latent: gentest.Space | None = None) -> gentest.Generator:
    return zoo.generator(level, latent or gentest.Uniform(2))


# --- the mean


@pytest.mark.parametrize("distance", [gentest.pixels(), gentest.distance(squared)], ids=repr)
@pytest.mark.parametrize("at", ["ends", "path"])
def test_the_length_of_a_straight_path_is_its_slope_squared(distance: gentest.Distance, at: str) -> None:
    """A feature's distance is squared, a distance is taken to be a squared one; on a line, t does not matter."""
    found = gentest.perceptual_path_length(generator(), distance=distance, n=300, at=at, discard=None, epsilon=1e-3)  # type: ignore[arg-type]
    expected = true_lengths(300)
    assert found.n == 300
    assert found.mean == pytest.approx(expected.mean(), rel=1e-3)
    assert found.sd == pytest.approx(expected.std(), rel=1e-3)
    np.testing.assert_allclose(found.lengths, expected, rtol=0.02, atol=1e-6)


def test_what_is_trimmed_is_what_torch_fidelity_trims() -> None:
    """What is below the first quantile's lower neighbour and above the last's higher one: of 1,000, 9 and 9."""
    found = gentest.perceptual_path_length(generator(), distance=gentest.pixels(), n=1000)
    order = sorted(found.lengths)
    kept = [v for v in order if order[9] <= v <= order[990]]
    assert found.n == len(kept) < 990
    assert found.mean == pytest.approx(np.mean(kept))
    assert found.standard_error == pytest.approx(np.std(kept) / sqrt(len(kept)))
    assert str(found) == f"{found.mean:.4g} ± {found.standard_error:.2g} ({found.n} of 1000 paths)"
    assert "lengths" not in repr(found)


@pytest.mark.parametrize("batch_size", [1, 7, 16, 1000])
def test_the_mean_does_not_depend_on_the_batch_size(batch_size: int) -> None:
    """The same probes, all of them, at any batch size, a batch full of pairs at a time."""
    some, made = gentest.settings(batch_size=batch_size), generator()
    found = gentest.perceptual_path_length(made, distance=gentest.pixels(), n=50, settings=some)
    again = gentest.perceptual_path_length(generator(), distance=gentest.pixels(), n=50)
    assert found.lengths == pytest.approx(again.lengths, rel=0.02)
    assert len(found.lengths) == 50
    examined = 2 * -(-16 // batch_size) + 5
    pairs = max(batch_size // 2, 1)
    assert len(made.function.batches) == examined + -(-50 // pairs) * (2 if batch_size == 1 else 1)  # type: ignore[attr-defined]


def test_the_seed_says_which_probes() -> None:
    """Another seed looks at other paths; the same one, whatever the settings' own, at the same."""
    lengths = [
        gentest.perceptual_path_length(generator(), distance=gentest.pixels(), n=20, seed=seed, settings=some).lengths
        for seed, some in [(0, None), (0, gentest.settings(seed=5)), (1, None)]
    ]
    assert lengths[0] == lengths[1] != lengths[2]


def test_straight_lines_are_shorter_than_great_circles() -> None:
    """Where only the angle counts, a great circle sets off at pi/2 the speed of the line between orthogonal ends."""
    latent = gentest.Normal(512)
    lines, circles = (
        gentest.perceptual_path_length(
            zoo.generator(lambda z: 0.5 + z[:, 0] / z.norm(dim=1), latent), distance=gentest.pixels(), n=400, straight=s
        ).mean
        for s in (True, False)
    )
    assert circles / lines == pytest.approx((pi / 2) ** 2, rel=0.05)


def test_a_generator_that_cannot_be_judged_is_an_error() -> None:
    """It is examined first, as for any property; and what a distance does wrong is said."""
    half = gentest.Generator(lambda z: z.sigmoid()[:, :, None, None], latent=gentest.Normal(3))
    with pytest.raises(GeneratorError, match="no output is negative"):
        gentest.perceptual_path_length(half, distance=gentest.pixels(), n=10)
    with pytest.raises(AttributeFailed, match="one distance for each pair"):
        gentest.perceptual_path_length(generator(), distance=gentest.distance(lambda x, y: (x - y).norm()), n=10)


def test_the_default_distance_is_lpips_by_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in the paper; its weights must be there."""
    asked: list[str] = []

    def load(net: str, device: torch.device) -> None:
        asked.append(net)
        raise AttributeFailed("no weights")

    monkeypatch.setattr(distances, "_load", load)
    with pytest.raises(AttributeFailed, match="no weights"):
        gentest.perceptual_path_length(generator(), n=10)
    assert asked == ["vgg"]


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"n": 0}, "a number of probes >= 1 but got n=0"),
        ({"n": 10.0}, "n=10.0"),
        ({"discard": (0.9, 0.1)}, "two quantiles"),
        ({"discard": 0.01}, "two quantiles"),
        ({"discard": (0.0, float("nan"))}, "two quantiles"),
        ({"epsilon": 0.0}, "epsilon=0.0"),
        ({"at": "middle"}, "at='middle'"),
        ({"straight": "yes"}, "straight='yes'"),
        ({"seed": -1}, "seed=-1"),
        ({"settings": 3}, "settings=3"),
        ({"distance": 3}, "distance=3"),
        ({"distance": gentest.pixels}, r"call it first: pixels\(\)"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_wrong_arguments_are_refused(wrong: dict[str, object], words: str) -> None:
    """Each with what was expected."""
    with pytest.raises(InvalidArgument, match=words):
        gentest.perceptual_path_length(generator(), **{"distance": gentest.pixels(), **wrong})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="generator"):
        gentest.perceptual_path_length(level)  # type: ignore[arg-type]


# --- the property


def test_the_property_bounds_each_length() -> None:
    """It holds just above the longest length there is and not below the longest that was seen."""
    longest = (SLOPE * 2 * sqrt(3)) ** 2
    some = gentest.settings(examples=200)
    assert gentest.path_length(at_most=longest).check(generator(), settings=some).verdict is Verdict.NO_COUNTEREXAMPLE
    result = gentest.path_length(gentest.distance(squared), at_most=longest / 4).check(generator(), settings=some)
    assert result.verdict is Verdict.VIOLATED
    assert result.counterexample is not None
    assert result.counterexample.groups == ("0",)  # the level does not look at the other coordinate
    (step,) = result.counterexample.scores["step in distance(squared)"]
    assert longest / 4 - step / 1e-4**2 == pytest.approx(result.counterexample.margin, abs=1e-5)


def test_a_length_is_replayed() -> None:
    """The probe of a counterexample gives its margin again."""
    property = gentest.path_length(at_most=0.01)
    found = property.check(generator()).counterexample
    assert found is not None
    again = property.replay(generator(), found.replay)
    assert again.verdict is Verdict.VIOLATED
    assert again.counterexample is not None
    assert again.counterexample.margin == found.margin


def test_a_length_at_a_rate() -> None:
    """It is decided on independent probes: true for 87 % of the paths, it holds at 0.7 and is refuted at 0.95."""
    limit = float(np.quantile(true_lengths(20_000, seed=9), 0.87))
    for p0, verdict in ((0.7, Verdict.HOLDS), (0.95, Verdict.VIOLATED)):
        result = gentest.path_length(at_most=limit).at_rate(p0).check(generator())
        assert result.verdict is verdict


def test_a_length_under_other_priors_and_in_a_baseline() -> None:
    """`prior_invariant` of it runs, and a sample for a baseline names the distance and the model it asks."""

    class Net(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return self.weight * squared(first, second)

    normal = zoo.generator(angled, gentest.Normal(2))
    property = gentest.path_length(gentest.distance(Net(), name="net"), at_most=2.0)
    both = gentest.prior_invariant(property, priors=[gentest.Uniform(2)])
    assert both.check(normal, settings=gentest.settings(examples=50)).verdict is not Verdict.ERROR
    values = Values(examples=20)
    question = Question(property.definition, n_sampled=64, blesses=True)
    sample = check(question, normal, Context(values), values).sample
    assert sample is not None
    assert list(sample.measures) == ["net"]
    assert len(sample.measures["net"]) == 16
    assert sample.look is not None
    assert list(sample.look.embeddings) == ["thumbnails"]


def test_it_is_written_as_it_was_declared() -> None:
    """Only what differs from the defaults is said."""
    assert str(gentest.path_length(at_most=1)) == "path_length(pixels(), at_most=1)"
    full = gentest.path_length(gentest.lpips("vgg", size=64), at_most=1, epsilon=1e-3, at="ends", straight=True)
    assert str(full) == "path_length(lpips('vgg', size=64), at_most=1, epsilon=0.001, at='ends', straight=True)"


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gentest.path_length(at_most=-1), "at_most=-1"),
        (lambda: gentest.path_length(at_most=gentest.sd(2)), "at_most"),  # type: ignore[arg-type]
        (lambda: gentest.path_length(at_most=float("nan")), "at_most=nan"),
        (lambda: gentest.path_length(3, at_most=1), "distance=3"),  # type: ignore[arg-type]
        (lambda: gentest.path_length(at_most=1, epsilon=1.0), "epsilon=1.0"),
        (lambda: gentest.path_length(at_most=1, at="x"), "at='x'"),  # type: ignore[arg-type]
    ],
)
def test_wrong_arguments_of_the_property_are_refused(make: object, words: str) -> None:
    """They are kept until the property is checked, as those of any other."""
    with pytest.raises(InvalidArgument, match=words):
        _ = make().definition  # type: ignore[operator]
