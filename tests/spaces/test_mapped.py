"""Spaces that a network makes of others: the same latents at any batch size, for ever; a mean; what is refused."""

from __future__ import annotations

import functools
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest import Mapped, Normal, settings
from gentest.errors import InvalidArgument
from gentest.probes.families import points, segments
from gentest.probes.probe import independent
from gentest.spaces import Part, Space
from gentest.spaces.streams import uniforms


class Mapping(nn.Module):
    """z [N, 16] to w [N, n_ws, 32], as StyleGAN's: normalised, through layers, repeated; dropout while it trains."""

    def __init__(self, n_ws: int = 2) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Linear(16, 64),
            nn.LeakyReLU(0.2),
            nn.Linear(64, 64),
            nn.LeakyReLU(0.2),
            nn.Dropout(0.5),
            nn.Linear(64, 32),
        )
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))
        self.n_ws = n_ws

    def forward(self, z: Tensor, c: Any = "missing") -> Tensor:
        assert c in ("missing", None)
        z = z * (z.square().mean(1, keepdim=True) + 1e-8).rsqrt()
        return self.layers(z)[:, None].repeat(1, self.n_ws, 1)


class Single(Mapping):
    """One that computes in single precision, whatever it is given: a batch then rounds otherwise than one alone."""

    def forward(self, z: Tensor, c: Any = "missing") -> Tensor:
        for layer in self.layers:
            if isinstance(layer, nn.Linear):
                z = nn.functional.linear(z.float(), layer.weight.float(), layer.bias.float())
            elif not isinstance(layer, nn.Dropout):
                z = layer(z)
        return z


GOLDEN = [1.9722374, 1.7362926, 0.7579495]
MATRIX = np.linspace(-1, 1, 6).reshape(2, 3)


def bent(z: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """w [N, 3] of z [N, 2]."""
    return np.asarray(np.tanh(z @ MATRIX) + 1.0)


@pytest.mark.parametrize("network", [Mapping(), Single()], ids=["double", "single"])
def test_a_latent_does_not_depend_on_its_batch(network: nn.Module) -> None:
    """64 latents drawn at once and one by one are the same, bit for bit."""
    space = Mapped(Normal(16), network)
    probes = independent(0, 0, 64)
    for family in (points(), segments(3)):
        together = family.place(space, probes)[""]
        alone = np.concatenate([family.place(space, [probe])[""] for probe in probes])
        assert together.dtype == np.float32
        assert np.array_equal(together, alone)


def test_latents_are_what_the_network_gives() -> None:
    """w is the network of z, in eval mode, without a gradient, and the module itself is left as it was."""
    network = Mapping().train()
    space = Mapped(Normal(16), network)
    assert space.shape == (2, 32)
    assert network.training
    assert next(network.parameters()).dtype == torch.float32
    u = np.stack([uniforms(seed, 0, 0, 16) for seed in range(5)])
    with torch.no_grad():
        expected = network.eval()(torch.from_numpy(Normal(16).from_uniforms(u)).float())
    np.testing.assert_allclose(space.from_uniforms(u), expected, atol=1e-5)


def test_a_latent_is_golden() -> None:
    """The latent of seed 0 of a space of arrays never changes."""
    made = Mapped(Normal(2), bent).from_uniforms(uniforms(0, 0, 0, 2)[None]).astype(np.float32)
    assert made[0].tolist() == pytest.approx(GOLDEN, abs=1e-6)


def test_paths_are_straight_lines_in_w() -> None:
    """The middle of a path is the mean of its ends."""
    w = segments(3).place(Mapped(Normal(2), bent), independent(0, 0, 8))[""]
    np.testing.assert_allclose(w[:, 1], (w[:, 0] + w[:, 2]) / 2, atol=1e-6)


def test_groups_are_those_of_z() -> None:
    """A counterexample is reduced in the coordinates of the inner space, and the far end stays a sample."""
    space = Mapped(Normal(16), Mapping())
    assert space.dim == 16
    assert space.groups == Normal(16).groups


def test_truncation_draws_to_the_mean_of_fixed_samples() -> None:
    """The mean is that of w, of the same samples each time, and truncation draws toward it as StyleGAN's does."""
    space = Mapped(Normal(2), bent)
    mean = space.mean()
    assert mean.shape == (3,)
    np.testing.assert_allclose(mean, [1, 1, 1], atol=0.05)
    assert np.array_equal(mean, Mapped(Normal(2), bent).mean())
    assert not np.array_equal(mean, [1, 1, 1])
    u = np.stack([uniforms(seed, 0, 0, 2) for seed in range(5)])
    w = space.from_uniforms(u)
    np.testing.assert_allclose(space.truncated(0.7).from_uniforms(u), mean + 0.7 * (w - mean))


@pytest.mark.parametrize(
    "inner", [gentest.Uniform(2), gentest.Sphere(2), gentest.Empirical(np.eye(2)), Normal(2).truncated(0.5)]
)
def test_any_space_of_one_part_can_be_mapped(inner: Part) -> None:
    """The inner space may be any part that moves; different inner spaces make different spaces."""
    space = Mapped(inner, bent)
    probes = independent(0, 0, 4)
    np.testing.assert_allclose(
        points().place(space, probes)[""][:, 0], bent(points().place(inner, probes)[""][:, 0]), atol=1e-6
    )
    assert space != Mapped(Normal(2), bent)


def test_a_space_is_identified_by_its_network() -> None:
    """Equal networks make equal spaces; another weight or function makes another space, with another repr."""
    network = Mapping()
    space = Mapped(Normal(16), network)
    assert space == Mapped(Normal(16), Mapping())
    assert hash(space) == hash(Mapped(Normal(16), Mapping()))
    assert re.fullmatch(r"Mapped\(Normal\(16\) to \(2, 32\), [0-9a-f]{16}\)", repr(space))
    latents = space.from_uniforms(np.full((1, 16), 0.3))
    with torch.no_grad():
        network.layers[0].bias[0] += 1e-6
    assert space != Mapped(Normal(16), network)
    assert np.array_equal(space.from_uniforms(np.full((1, 16), 0.3)), latents)  # of a copy
    assert Mapped(Normal(2), bent) == Mapped(Normal(2), bent)
    assert Mapped(Normal(2), bent) != Mapped(Normal(2), lambda z: bent(z) + 1e-3)
    assert re.fullmatch(r"Mapped\(Normal\(2\) to 3, [0-9a-f]{16}\)", repr(Mapped(Normal(2), bent)))


def test_further_inputs_are_given_by_a_partial() -> None:
    """A partial sets the label of a mapping network."""
    space = Mapped(Normal(16), functools.partial(Mapping(), c=None))
    assert space.shape == (2, 32)
    u = np.full((1, 16), 0.3)
    assert np.array_equal(space.from_uniforms(u), Mapped(Normal(16), Mapping()).from_uniforms(u))


@pytest.mark.filterwarnings("ignore:`torch.jit.script:FutureWarning")
def test_exported_networks_work_too() -> None:
    """A TorchScript module, and a program of `torch.export` in double precision, are modules too."""
    network = nn.Sequential(nn.Linear(2, 3), nn.Tanh()).double().eval()
    dynamic = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(network, (torch.zeros(2, 2, dtype=torch.float64),), dynamic_shapes=dynamic)
    expected = Mapped(Normal(2), network)
    for other in (torch.jit.script(network), program.module()):
        space = Mapped(Normal(2), other)
        assert space == expected
        assert np.array_equal(space.mean(), expected.mean())


def test_a_whole_check_in_w() -> None:
    """A synthesis network on its w is checked, with the same outcome at any batch size, truncated too."""
    torch.manual_seed(1)
    synthesis = nn.Sequential(nn.Linear(32, 12), nn.Tanh(), nn.Unflatten(1, (3, 2, 2)))
    synthesis[0].weight.data *= 30
    space = Mapped(Normal(16), Mapping(n_ws=1))
    generator = gentest.Generator(lambda w: synthesis(w[:, 0]), latent=space).truncated(0.7)
    results = [
        gentest.between(gentest.brightness(), tolerance=1e-3, points=5).check(
            generator, settings=settings(examples=20, batch_size=size, device="cpu")
        )
        for size in (1, 64)
    ]
    assert results[0].verdict is results[1].verdict is gentest.Verdict.VIOLATED, results[0].message
    assert results[0].counterexample == results[1].counterexample
    under = generator.under(Mapped(gentest.Uniform(16), Mapping(n_ws=1)))
    assert under.latent.parts[""].shape == (1, 32)


@pytest.mark.parametrize(
    ("part", "network", "message"),
    [
        (3, bent, "a space of one part that is not a choice but got part=3"),
        (gentest.Joint(z=Normal(2)), bent, "part=Joint"),
        (gentest.Categorical(3), bent, "part=Categorical"),
        (Normal(2), 3, "an nn.Module or a callable on arrays but got network=3"),
        (Normal(2), Mapping, "network=<class"),
        (Normal(3), bent, r"the network of a Mapped space raised ValueError: .* \(for latents \(1, 3\)\)"),
        (Normal(3), Mapping(), "raised RuntimeError"),
        (Normal(2), lambda z: z.sum(), r"gave shape \(\) for latents \(1, 2\); expected finite latents \[1, \*shape\]"),
        (Normal(2), lambda z: z.sum(1), r"gave shape \(1,\)"),
        (Normal(2), lambda z: np.repeat(z, 2, 0), r"gave shape \(2, 2\)"),
        (Normal(2), lambda z: z * np.nan, "gave values that are not finite"),
        (Normal(2), lambda z: "w", "raised ValueError"),
        (Normal(2), nn.Tanh(), "has no weights: give a callable on arrays instead"),
    ],
)
def test_misuse_is_rejected_in_one_line(part: Space, network: Any, message: str) -> None:
    """A wrong part or network is an error when the space is made."""
    with pytest.raises(InvalidArgument, match=message) as caught:
        Mapped(part, network)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("mask", [None, 1])
def test_a_direction_of_more_coordinates_than_uniforms(mask: int | None) -> None:
    """A shift moves all of w, which has more coordinates than z."""
    space = Mapped(Normal(2), lambda z: np.tanh(z @ MATRIX))
    probes = independent(1, 0, 5)
    probes = probes if mask is None else [replace(probe, mask=mask) for probe in probes]
    direction = gentest.Direction([1.0, 0.0, 0.0])
    z = gentest.along(direction, reach=2.0, points=3).place(space, probes)[""]
    np.testing.assert_allclose(z - z[:, :1], np.tile([[0, 0, 0], [1, 0, 0], [2, 0, 0]], (5, 1, 1)), atol=1e-6)


def test_its_samples_lie_at_radius_one() -> None:
    """Radius 1 is their root-mean-square distance from the mean, however far from 0 and however narrow they lie."""
    space = Mapped(Normal(2), lambda z: 5 + 0.01 * np.tanh(z @ MATRIX))
    (part,) = space.parts.values()
    w = points().place(space, independent(1, 0, 2000))[""][:, 0]
    assert np.sqrt(np.square(part.radii(w)).mean()) == pytest.approx(1.0, abs=0.03)
    assert Mapped(Normal(2), lambda z: 0 * z + 3).unit_radius() == 1.0
