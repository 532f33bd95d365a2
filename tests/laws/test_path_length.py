"""Path lengths against torch-fidelity and torchmetrics: one generator, the same latents, the same distance.

Both draw pairs of latents, step off from the first of each and walk a line or a slerp; both are given ours. Their
distance is registered with them as a module, on their own ranges of values ([0, 255] and [-1, 1]).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch_fidelity
from torch import Tensor, nn
from torch_fidelity import registry
from torch_fidelity.sample_similarity_base import SampleSimilarityBase
from torchmetrics.functional.image import perceptual_path_length

import gentest
from gentest.probes.families import segments
from gentest.probes.probe import independent

N, DIM, EPSILON = 3000, 64, 1e-4
NAME = "gentest-small"
CLOSE = 0.01
"""How far figures may differ: what is asked."""


class Decoder(nn.Module):
    """Latents [B, 64] to images [B, 3, 16, 16] in [-1, 1], with weights large enough for images to differ."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.ConvTranspose2d(DIM, 32, 4), nn.LeakyReLU(0.2), nn.ConvTranspose2d(32, 16, 4, 2, 1), nn.LeakyReLU(0.2)
        )
        self.out = nn.ConvTranspose2d(16, 3, 4, 2, 1)

    def forward(self, z: Tensor) -> Tensor:
        return torch.tanh(4 * self.out(3 * self.net(3 * z[:, :, None, None])))


class Perceptual(nn.Module):
    """A small distance in the manner of LPIPS, of images in [0, 1]: squared differences of normalised activations."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU())

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        a, b = (nn.functional.normalize(self.net(2 * x - 1), dim=1, eps=1e-2) for x in (first, second))
        return (a - b).square().sum(1).mean((1, 2))


@pytest.fixture(scope="module")
def nets() -> tuple[Decoder, Perceptual]:
    """The generator and the distance, of seeded random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Decoder().eval(), Perceptual().eval()


def latents(space: gentest.Space) -> list[Tensor]:
    """Both ends of the paths that gentest looks at, [N, 64] each."""
    z = segments(2).place(space, independent(0, 0, N))[""]
    return [torch.from_numpy(np.ascontiguousarray(z[:, i])) for i in (0, 1)]


def by_torch_fidelity(nets: tuple[Decoder, Perceptual], ends: list[Tensor], path: str) -> dict[str, Any]:
    decoder, perceptual = nets
    given = iter(ends)

    class Similarity(SampleSimilarityBase):  # type: ignore[misc]
        def __init__(self, name: str, **_: object) -> None:
            super().__init__(name)

        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return perceptual(first / 255, second / 255)

    class Model(torch_fidelity.GenerativeModelBase):  # type: ignore[misc]
        z_size, z_type, num_classes = DIM, NAME, 0

        def forward(self, z: Tensor) -> Tensor:
            return (decoder(z) + 1) * 127.5

    registry.SAMPLE_SIMILARITY_REGISTRY.pop(NAME, None)
    registry.NOISE_SOURCE_REGISTRY.pop(NAME, None)
    registry.register_sample_similarity(NAME, Similarity)
    registry.register_noise_source(NAME, lambda rng, shape: next(given))
    try:
        return torch_fidelity.calculate_metrics(
            input1=Model(),
            input1_model_num_samples=N,
            ppl=True,
            ppl_epsilon=EPSILON,
            ppl_z_interp_mode=path,
            ppl_sample_similarity=NAME,
            ppl_sample_similarity_resize=None,
            ppl_sample_similarity_dtype="float32",
            batch_size=64,
            cuda=False,
            verbose=False,
        )
    finally:
        registry.SAMPLE_SIMILARITY_REGISTRY.pop(NAME)
        registry.NOISE_SOURCE_REGISTRY.pop(NAME)


def by_torchmetrics(nets: tuple[Decoder, Perceptual], ends: list[Tensor], path: str) -> float:
    decoder, perceptual = nets
    given = iter(ends)

    class Model(nn.Module):
        def sample(self, num_samples: int) -> Tensor:
            return next(given)

        def forward(self, z: Tensor) -> Tensor:
            return (decoder(z) + 1) * 127.5

    class Similarity(nn.Module):
        def forward(self, first: Tensor, second: Tensor) -> Tensor:
            return perceptual((first + 1) / 2, (second + 1) / 2)

    mean, _, _ = perceptual_path_length(
        Model(), num_samples=N, batch_size=64, interpolation_method=path, epsilon=EPSILON, resize=None,
        sim_net=Similarity(),
    )  # fmt: skip
    return float(mean)


@pytest.fixture(autouse=True)
def percentile(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """torch-fidelity 0.4 calls `np.percentile(..., interpolation=...)`, a name that NumPy 2.4 no longer knows."""
    original: Callable[..., Any] = np.percentile

    def renamed(a: Any, q: Any, *, interpolation: str | None = None, **more: Any) -> Any:
        return original(a, q, **({} if interpolation is None else {"method": interpolation}), **more)

    with monkeypatch.context() as patch:
        patch.setattr(np, "percentile", renamed)
        yield


@pytest.mark.parametrize(
    ("space", "straight", "path"),
    [
        (gentest.Normal(DIM), True, "lerp"),
        (gentest.Uniform(DIM), False, "lerp"),
        (gentest.Sphere(DIM), False, "slerp_any"),
    ],
    ids=str,
)
def test_it_is_what_torch_fidelity_and_torchmetrics_measure(
    nets: tuple[Decoder, Perceptual], space: gentest.Space, path: str, *, straight: bool
) -> None:
    """Within 1 % of both, mean and spread, by lines and by great circles."""
    generator = gentest.Generator(nets[0], latent=space)
    ours = gentest.perceptual_path_length(
        generator, distance=gentest.distance(nets[1]), n=N, epsilon=EPSILON, straight=straight
    )
    theirs = by_torch_fidelity(nets, latents(space), path)
    assert ours.mean == pytest.approx(theirs["perceptual_path_length_mean"], rel=CLOSE)
    assert ours.sd == pytest.approx(theirs["perceptual_path_length_std"], rel=CLOSE)
    assert ours.mean == pytest.approx(by_torchmetrics(nets, latents(space), path), rel=CLOSE)
    print(f"\n{space} {path}: {ours}; {theirs['perceptual_path_length_mean']:.5g}")  # noqa: T201
    assert ours.sd > 0.05 * ours.mean  # the paths do differ


def test_rounding_latents_to_float32_does_not_show(nets: tuple[Decoder, Perceptual]) -> None:
    """At epsilon 1e-4, in float32 throughout, the mean is within 0.1 % of all of it in float64."""
    first, far = (z.double() for z in latents(gentest.Uniform(DIM)))
    decoder, perceptual = Decoder().double(), Perceptual().double()
    decoder.load_state_dict(nets[0].state_dict())
    perceptual.load_state_dict(nets[1].state_dict())
    with torch.no_grad():
        a, b = ((decoder(z) + 1) / 2 for z in (first, first + EPSILON * (far - first)))
        exact = perceptual(a, b) / EPSILON**2
    generator = gentest.Generator(nets[0], latent=gentest.Uniform(DIM))
    ours = gentest.perceptual_path_length(generator, distance=gentest.distance(nets[1]), n=N, discard=None)
    print(f"\nfloat32 {ours.mean:.6g}, float64 {exact.mean():.6g}")  # noqa: T201
    assert ours.mean == pytest.approx(float(exact.mean()), rel=1e-3)


def test_8_bits_would_show(nets: tuple[Decoder, Perceptual]) -> None:
    """Rounded to 8 bits, as in files, the same paths are another length by more than half: gentest never rounds."""
    generator, distance = gentest.Generator(nets[0], latent=gentest.Uniform(DIM)), nets[1]

    def rounded(first: Tensor, second: Tensor) -> Tensor:
        return distance((first * 255).round() / 255, (second * 255).round() / 255)

    floats, bytes_ = (
        gentest.perceptual_path_length(generator, distance=gentest.distance(f), n=300).mean for f in (distance, rounded)
    )
    assert abs(bytes_ / floats - 1) > 0.5
