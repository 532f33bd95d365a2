"""The same verdict and counterexample on a GPU as on the CPU."""

from __future__ import annotations

import gc

import pytest
import torch

import gentest

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def checked(device: str, tolerance: float, attack: int = 0) -> gentest.Result:
    """A small convolutional generator, checked on a device."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.ConvTranspose2d(16, 64, 4),
        torch.nn.BatchNorm2d(64),
        torch.nn.ReLU(),
        torch.nn.ConvTranspose2d(64, 3, 4, 2, 1),
        torch.nn.Tanh(),
    )
    generator = gentest.Generator(model, latent=gentest.Normal((16, 1, 1)), output_range=(-1, 1))
    property = gentest.between(gentest.brightness(), tolerance=tolerance)
    return property.check(generator, settings=gentest.settings(device=device, examples=100, attack=attack))


@pytest.mark.parametrize("tolerance", [0.001, 0.5])
def test_verdict_and_counterexample_are_those_of_the_cpu(tolerance: float) -> None:
    """Hardware rounds differently; what it could decide is decided alone, so the results agree."""
    cpu, cuda = checked("cpu", tolerance), checked("cuda", tolerance)
    assert cpu.verdict is cuda.verdict
    if cpu.counterexample is not None:
        assert cuda.counterexample is not None
        assert cpu.counterexample.replay == cuda.counterexample.replay
        assert cpu.counterexample.margin == pytest.approx(cuda.counterexample.margin, abs=1e-4)


def test_random_state_of_the_device_is_left_alone() -> None:
    """A check neither reads nor changes the device's global random state."""
    state = torch.cuda.get_rng_state()
    checked("cuda", 0.5)
    assert torch.equal(state, torch.cuda.get_rng_state())


def test_an_attack_on_the_device_is_confirmed_on_the_cpu() -> None:
    """The way down may be another one; what is found there violates here as well, and memory comes back."""
    before = torch.cuda.memory_allocated()
    found = checked("cuda", 0.01, attack=20_000)
    assert found.attack is not None
    assert (found.attack.method, found.attack.found) == ("gradient", True)
    assert found.counterexample is not None
    assert found.counterexample.moved is not None
    assert checked("cpu", 0.01, attack=20_000).verdict is gentest.Verdict.VIOLATED
    gc.collect()
    assert torch.cuda.memory_allocated() <= before + (1 << 24)
