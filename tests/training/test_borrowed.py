"""A borrowed module comes back bit for bit, whatever the body did to it, and whether or not it raised."""

from __future__ import annotations

import random
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import gentest


def network() -> nn.Sequential:
    """A network in mixed modes, with frozen and tied weights, gradients, running statistics, a hook, NaN and -0."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(), nn.Linear(8, 4), nn.Linear(8, 4))
    net[4].weight = net[3].weight
    net.train()
    net[1].eval()
    net[3].bias.requires_grad_(requires_grad=False)
    net[4].bias.data[:2] = torch.tensor([float("nan"), -0.0])
    net[0].steps, net[0].window = [1, 2], torch.arange(3.0)
    net[0].register_forward_hook(counting)
    net[:4](torch.randn(6, 4)).sum().backward()
    return net


def counting(module: nn.Module, inputs: object, output: Tensor) -> None:
    """A hook that changes nothing."""


def bits(tensor: Tensor | None) -> object:
    """A tensor down to its bits."""
    if tensor is None:
        return None
    values = None if tensor.is_meta else tensor.detach().contiguous().reshape(-1).view(torch.uint8).tolist()
    return tensor.dtype, tensor.device, tuple(tensor.shape), values


def everything(net: nn.Module) -> list[object]:
    """Everything that borrowing must give back."""
    found: list[object] = [torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())]  # noqa: NPY002
    for name, part in net.named_modules():
        hooks = {key: list(value) for key, value in vars(part).items() if key.endswith("_hooks") and value}
        found.append((name, id(part), type(part), part.training, hooks, sorted(vars(part))))
    for name, tensor in [*net.named_parameters(remove_duplicate=False), *net.named_buffers()]:
        found.append((name, id(tensor), tensor.data_ptr(), bits(tensor), tensor.requires_grad))
        found.append((id(tensor.grad), bits(tensor.grad)))
    window, steps = getattr(net.get_submodule("0"), "window", None), getattr(net.get_submodule("0"), "steps", None)
    return [*found, bits(window), steps]


def noise(net: nn.Sequential) -> None:
    torch.randn(3)
    np.random.rand(3)  # noqa: NPY002
    random.random()


def ruin(net: nn.Sequential) -> None:
    with torch.no_grad():
        net[0].weight.add_(1.0)
        net[4].bias.zero_()
        net[0].window.mul_(2)
    net[0].weight.grad.zero_()
    net.half()


def replace_parts(net: nn.Sequential) -> None:
    net[3].weight = nn.Parameter(torch.zeros(4, 8))
    net[1].running_mean = torch.ones(8)
    net.add_module("more", nn.Linear(2, 2))
    net[0].steps.append(3)
    net[0].other = 1
    del net[0].window


def hook(net: nn.Sequential) -> None:
    net[0]._forward_hooks.clear()
    net[2].register_forward_pre_hook(lambda module, inputs: None)
    net[3].register_full_backward_hook(lambda module, inputs, outputs: None)


BODIES: list[Callable[[nn.Sequential], object]] = [
    noise,
    ruin,
    replace_parts,
    hook,
    lambda net: net.train(),
    lambda net: net.eval(),
    lambda net: net.double(),
    lambda net: net.bfloat16().float(),
    lambda net: net.to("meta"),
    lambda net: net.requires_grad_(requires_grad=False),
    lambda net: net.requires_grad_(requires_grad=True),
    lambda net: net.zero_grad(),
    lambda net: net.train()[:4](torch.randn(6, 4)).sum().backward(),
    lambda net: nn.utils.parametrizations.weight_norm(net[0]),
    lambda net: torch.optim.SGD(net.parameters(), lr=1.0).step(),
]


@pytest.mark.parametrize("body", BODIES)
def test_it_comes_back_bit_for_bit(body: Callable[[nn.Sequential], object]) -> None:
    """The body does change it, inside; afterwards nothing has changed, although the body raises."""
    net = network()
    before = everything(net)

    def lend() -> None:
        with gentest.borrowed(net):
            body(net)
            assert everything(net) != before
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        lend()
    assert everything(net) == before


def test_a_class_that_the_body_changed_is_the_one_it_was() -> None:
    """A parametrization gives a module another class: it gets its own again, and works."""
    net = network()
    with gentest.borrowed(net):
        nn.utils.parametrizations.weight_norm(net[0])
    assert type(net[0]) is nn.Linear
    assert net[0](torch.zeros(1, 4)).shape == (1, 8)


def test_a_hook_can_still_be_removed() -> None:
    """The handle of a hook that was there before removes it."""
    net = network()
    handle = net[2].register_forward_hook(counting)
    with gentest.borrowed(net):
        net[2]._forward_hooks.clear()
    handle.remove()
    assert not net[2]._forward_hooks


def test_training_goes_on_as_if_nothing_had_happened() -> None:
    """Borrowing between a forward and its backward pass, and between steps, changes no weight of the run."""

    def trained(*, lends: bool) -> list[object]:
        net = network()[:4]
        optimizer = torch.optim.Adam(net.parameters())
        for _ in range(5):
            loss = net(torch.randn(6, 4)).square().mean()
            if lends:
                with gentest.borrowed(net):
                    ruin(nn.Sequential(*net, nn.Linear(8, 4)))
                    torch.manual_seed(9)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return [bits(tensor) for tensor in net.state_dict().values()]

    assert trained(lends=True) == trained(lends=False)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_it_comes_back_from_a_gpu() -> None:
    """A module on the GPU is back there, and so is the random state of CUDA."""
    net = network().cuda()
    before, state = everything(net), torch.cuda.get_rng_state().tolist()
    with gentest.borrowed(net):
        net.cpu().half()
        torch.randn(3, device="cuda")
    assert everything(net) == before
    assert torch.cuda.get_rng_state().tolist() == state


def test_wrong_arguments_are_named() -> None:
    with pytest.raises(gentest.InvalidArgument, match=r"a torch.nn.Module but got module='net' \(type=str\)"):
        gentest.borrowed("net").__enter__()
    with pytest.raises(gentest.InvalidArgument, match="call it on a batch first"):
        gentest.borrowed(nn.LazyLinear(3)).__enter__()
