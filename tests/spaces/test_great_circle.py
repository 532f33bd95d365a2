"""Great circles between latents: finite, joined exactly, evenly long; and the derivative of each end."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import gentest
from gentest.probes.families import segments
from gentest.probes.probe import independent
from gentest.spaces.great_circle import great_circle, great_circle_gradients
from gentest.spaces.space import Array


@pytest.mark.parametrize("scale", [-1.0, 0.0, 1.0, 2.0, 1.0 + 1e-9, -1.0 - 1e-9])
@pytest.mark.parametrize("dim", [1, 2, 7])
def test_degenerate_great_circles_are_finite(dim: int, scale: float) -> None:
    """Parallel, opposite and zero ends make a finite path that begins and ends at them."""
    near = np.arange(1.0, dim + 1)[None]
    path = great_circle(near, scale * near, np.linspace(0, 1, 9)[None])
    assert np.isfinite(path).all()
    np.testing.assert_array_equal(path[0, 0], near[0])
    np.testing.assert_array_equal(path[0, -1], scale * near[0])


@given(hnp.arrays(np.float64, (2, 3), elements=st.floats(-100, 100)))
def test_any_great_circle_is_finite_and_keeps_its_ends(ends: Array) -> None:
    """Whatever the ends, a great circle is finite and joins them exactly."""
    path = great_circle(ends[:1], ends[1:], np.linspace(0, 1, 5)[None])
    assert np.isfinite(path).all()
    assert (path[0, 0] == ends[0]).all()
    assert (path[0, -1] == ends[1]).all()


@pytest.mark.parametrize("dim", [2, 3, 64])
def test_a_great_circle_keeps_between_the_lengths_of_its_ends(dim: int) -> None:
    """On 5,000 paths between normal samples, however nearly opposite, the length goes evenly from end to end."""
    z = segments(9).place(gentest.Normal(dim), independent(18, 0, 5000))[""].astype(float)
    lengths = np.linalg.norm(z, axis=2)
    evenly = lengths[:, :1] + (lengths[:, -1:] - lengths[:, :1]) * np.linspace(0, 1, 9)
    np.testing.assert_allclose(lengths, evenly, rtol=1e-6)


@pytest.mark.parametrize("off", [0.0, 1e-16, 1e-12, 1e-8, 1e-6, 1e-4])
@pytest.mark.parametrize("dim", [2, 3, 64])
def test_a_great_circle_of_nearly_opposite_ends_of_unequal_length(dim: int, off: float) -> None:
    """It goes round the origin by the shortest turn: lengths even, steps of one angle, the ends themselves."""
    rng = np.random.default_rng(dim)
    near = rng.normal(size=(1, dim))
    far = -2.3 * near + off * rng.normal(size=(1, dim))
    path = great_circle(near, far, np.linspace(0, 1, 17)[None])[0]
    lengths = np.linalg.norm(path, axis=1)
    np.testing.assert_allclose(lengths, np.linspace(lengths[0], lengths[-1], 17), rtol=1e-7)
    steps = np.einsum("pd,pd->p", path[1:], path[:-1]) / (lengths[1:] * lengths[:-1])
    np.testing.assert_allclose(steps, np.cos(np.pi / 16), rtol=1e-4)
    assert (path[0] == near[0]).all()
    assert (path[-1] == far[0]).all()


def test_a_great_circle_of_equal_lengths_is_slerp() -> None:
    """Between latents of one length it is Shoemake's formula, sin((1 - t) w) / sin w and sin(t w) / sin w."""
    near, far = (z / np.linalg.norm(z, axis=1, keepdims=True) for z in np.random.default_rng(0).normal(size=(2, 50, 7)))
    t = np.linspace(0, 1, 5)[None].repeat(50, 0)
    angle = np.arccos((near * far).sum(1))[:, None]
    a, b = np.sin((1 - t) * angle) / np.sin(angle), np.sin(t * angle) / np.sin(angle)
    expected = a[..., None] * near[:, None] + b[..., None] * far[:, None]
    np.testing.assert_allclose(great_circle(near, far, t), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim", [2, 3, 64])
def test_a_gradient_equals_differences(dim: int) -> None:
    """In every coordinate of both ends, on paths between ends of different lengths."""
    rng = np.random.default_rng(dim)
    near, far, t = rng.normal(size=(4, dim)), 2.0 * rng.normal(size=(4, dim)), np.sort(rng.random((4, 5)))
    weights = rng.normal(size=(4, 5, dim))
    gradients = great_circle_gradients(near, far, t, weights)
    step = 1e-6 * np.eye(dim)
    for coordinate in range(dim):
        for gradient, by in zip(gradients, ((step[coordinate], 0.0), (0.0, step[coordinate])), strict=True):
            change = great_circle(near + by[0], far + by[1], t) - great_circle(near - by[0], far - by[1], t)
            np.testing.assert_allclose(
                gradient[:, coordinate], (weights * change).sum((1, 2)) / 2e-6, rtol=1e-4, atol=1e-6
            )


def test_ends_without_an_angle_have_the_gradient_of_a_line() -> None:
    """Parallel ends and an end at the origin share the gradient by their distance, finite everywhere."""
    near, far = np.array([[1.0, 2.0], [1.0, 2.0]]), np.array([[2.0, 4.0], [0.0, 0.0]])
    t, weights = np.full((2, 1), 0.25), np.ones((2, 1, 2))
    by_near, by_far = great_circle_gradients(near, far, t, weights)
    assert (by_near == 0.75).all()
    assert (by_far == 0.25).all()
