"""Path lengths: the property that bounds each, and their mean. `tests/laws` compares them with other libraries."""

from __future__ import annotations

from math import pi, sqrt

import numpy as np
import pytest
import torch
from torch import Tensor

import gentest
from gentest.attributes import distances
from gentest.errors import AttributeFailed, GeneratorError, InvalidArgument
from gentest.probes.families import segments
from gentest.probes.probe import independent
from tests.helpers import zoo

SLOPE = 0.1


def squared(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().mean((1, 2, 3))


def level(z: Tensor) -> Tensor:
    return 0.5 + SLOPE * z[:, 0]


def true_lengths(n: int, seed: int = 0) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """The lengths of `level` on the straight paths of a uniform space: its squared slope along each."""
    z = segments(2).place(gentest.Uniform(2), independent(seed, 0, n))[""].astype(float)
    return np.square(SLOPE * (z[:, 1, 0] - z[:, 0, 0]))


def generator(latent: gentest.Space | None = None) -> gentest.Generator:
    return zoo.generator(level, latent or gentest.Uniform(2))


@pytest.mark.parametrize("distance", [gentest.pixels(), gentest.distance(squared)], ids=repr)
@pytest.mark.parametrize("at", ["ends", "path"])
def test_the_length_of_a_straight_path_is_its_slope_squared(distance: gentest.Distance, at: str) -> None:
    """A feature's distance is squared; a distance counts as squared already. On a line, t does not matter."""
    found = gentest.perceptual_path_length(generator(), distance=distance, n=300, at=at, discard=None, epsilon=1e-3)  # type: ignore[arg-type]
    expected = true_lengths(300)
    assert found.n == 300
    assert found.mean == pytest.approx(expected.mean(), rel=1e-3)
    assert found.sd == pytest.approx(expected.std(), rel=1e-3)
    np.testing.assert_allclose(found.lengths, expected, rtol=0.02, atol=1e-6)


def test_what_is_trimmed_is_what_torch_fidelity_trims() -> None:
    """Trimming drops values beyond the outer neighbours of the quantiles: 9 and 9 of 1,000."""
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
    """All the same probes are measured at any batch size, in batches full of pairs."""
    some, made = gentest.settings(batch_size=batch_size), generator()
    found = gentest.perceptual_path_length(made, distance=gentest.pixels(), n=50, settings=some)
    again = gentest.perceptual_path_length(generator(), distance=gentest.pixels(), n=50)
    assert found.lengths == pytest.approx(again.lengths, rel=0.02)
    assert len(found.lengths) == 50
    examined = 2 * -(-16 // batch_size) + 5
    pairs = max(batch_size // 2, 1)
    assert len(made.function.batches) == examined + -(-50 // pairs) * (2 if batch_size == 1 else 1)  # type: ignore[attr-defined]


def test_the_seed_says_which_probes() -> None:
    """The `seed` argument alone decides which paths are measured, whatever the seed of the settings."""
    lengths = [
        gentest.perceptual_path_length(generator(), distance=gentest.pixels(), n=20, seed=seed, settings=some).lengths
        for seed, some in [(0, None), (0, gentest.settings(seed=5)), (1, None)]
    ]
    assert lengths[0] == lengths[1] != lengths[2]


def test_straight_lines_are_shorter_than_great_circles() -> None:
    """If only the angle counts, a great circle starts pi/2 times as fast as the line between orthogonal ends."""
    latent = gentest.Normal(512)
    lines, circles = (
        gentest.perceptual_path_length(
            zoo.generator(lambda z: 0.5 + z[:, 0] / z.norm(dim=1), latent), distance=gentest.pixels(), n=400, straight=s
        ).mean
        for s in (True, False)
    )
    assert circles / lines == pytest.approx((pi / 2) ** 2, rel=0.05)


def test_a_generator_that_cannot_be_judged_is_an_error() -> None:
    """The generator is examined first, as for any property, and errors of a distance are reported."""
    half = gentest.Generator(lambda z: z.sigmoid()[:, :, None, None], latent=gentest.Normal(3))
    with pytest.raises(GeneratorError, match="no output is negative"):
        gentest.perceptual_path_length(half, distance=gentest.pixels(), n=10)
    with pytest.raises(AttributeFailed, match="one distance for each pair"):
        gentest.perceptual_path_length(generator(), distance=gentest.distance(lambda x, y: (x - y).norm()), n=10)


def test_the_default_distance_is_lpips_by_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    """The default distance is the paper's, and needs its weights."""
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
    """Each error names the argument and the values that it accepts."""
    with pytest.raises(InvalidArgument, match=words):
        gentest.perceptual_path_length(generator(), **{"distance": gentest.pixels(), **wrong})  # type: ignore[arg-type]
    with pytest.raises(InvalidArgument, match="generator"):
        gentest.perceptual_path_length(level)  # type: ignore[arg-type]
