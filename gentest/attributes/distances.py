"""A perceptual distance is of two images, not of one: how far apart a person, or a network, would say they are.

LPIPS is the one that papers use: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual
metric", arXiv:1801.03924. It is a *squared* distance: a weighted sum of squared differences of activations. The library
`lpips` of its authors computes it."""

from __future__ import annotations

import inspect
import os
import socket
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from threading import RLock
from types import MethodType
from typing import Any, Literal, NamedTuple, TypeAlias, get_args
from urllib.parse import urlsplit
from urllib.request import getproxies

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gentest._support.arguments import is_whole
from gentest._support.files import tensors_only
from gentest._support.printable import error_summary
from gentest.attributes.attribute import Setup, check_images, check_pairs, describe, failed, weights_fingerprint
from gentest.errors import AttributeFailed, InvalidArgument, out_of_memory


class Distance(ABC):
    """A distance of two images: float images [B, C, H, W] in [0, 1], twice, to distances [B] >= 0."""

    @abstractmethod
    def __call__(self, first: Tensor, second: Tensor, /) -> Tensor: ...


NO_SPREAD = "a number, since a distance of two images has no standard deviation under the prior"
"""What a tolerance in a distance is to be."""


def apart(distance: Distance, first: Tensor, second: Tensor) -> Tensor:
    """Distances [B], float32, of images first and second [B, C, H, W]. Whether they are finite is not asked here.

    Raises `AttributeFailed`, which names the distance and the shapes, where it raised or gave anything but B numbers
    >= 0 (which rounding may take 1e-5 below it). [B, 1, 1, 1], as `lpips` gives it, will do.

    >>> apart(distance(lambda x, y: (x - y).abs().amax((1, 2, 3))), torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
    tensor([1., 1.])
    """
    given = f"images {tuple(first.shape)} and {tuple(second.shape)}"
    try:
        result = distance(first, second)
    except Exception as error:
        if out_of_memory(error):
            raise
        raise failed(distance, given, error) from error
    return check_pairs(distance, result, len(first), given)


@dataclass(frozen=True, repr=False)
class FunctionDistance(Distance):
    """Any function of two batches of images as a distance, as a value: see `distance`."""

    function: Callable[..., Any]
    name: str | None = None

    def bind(self, setup: Setup) -> FunctionDistance:
        """With a module that the function is, or is bound to, on the session's device."""
        if (module := self._module) is not None:
            module.to(setup.device)
        return self

    @property
    def fingerprint(self) -> str:
        """That of the module's weights; empty where the function is none."""
        return "" if self._module is None else weights_fingerprint(self._module)

    @property
    def _module(self) -> nn.Module | None:
        function: object = self.function
        while isinstance(function, (partial, MethodType)):
            function = function.func if isinstance(function, partial) else function.__self__
        return function if isinstance(function, nn.Module) else None

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        from_zero_to_one = {"normalize": True} if _takes_normalize(self.function) else {}
        result: Tensor = self.function(first, second, **from_zero_to_one)
        return result

    def __repr__(self) -> str:
        return self.name or f"distance({describe(self.function)})"


def distance(function: Callable[..., Any], *, name: str | None = None) -> FunctionDistance:
    """Any callable on two batches of images [B, C, H, W] in [0, 1] that gives distances [B] >= 0, as a `Distance`.

    `name` is what reports call it. A module is put in eval mode and on the session's device. What the libraries `lpips`
    and `torchmetrics` have with a parameter `normalize` is called with `normalize=True`, without which it takes images
    in [-1, 1]; anything else is given [0, 1] as it is. What averages over the batch must be told not to
    (`reduction="none"`).

    >>> rms = distance(lambda x, y: (x - y).square().mean((1, 2, 3)).sqrt(), name="rms")
    >>> rms(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)), rms
    (tensor([1., 1.]), rms)
    """
    if not callable(function) or isinstance(function, type):
        hint = "make an instance of it first" if isinstance(function, type) else ""
        raise InvalidArgument.expected("a callable on two batches of images", "function", function, hint=hint)
    if isinstance(function, Distance):
        raise InvalidArgument.expected("a callable that is no distance yet", "function", function)
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise InvalidArgument.expected("a text", "name", name)
    made = FunctionDistance(function, name)
    if (module := made._module) is not None:
        module.eval()
    return made


TAKES_MINUS_ONE_TO_ONE = ("lpips", "torchmetrics")
"""Libraries whose functions have a `normalize=False` that asks for images in [-1, 1]."""


def _takes_normalize(function: object) -> bool:
    library = (getattr(function, "__module__", None) or "").partition(".")[0]
    if library not in TAKES_MINUS_ONE_TO_ONE or isinstance(function, partial):
        return False
    called = function.forward if isinstance(function, nn.Module) else function
    return callable(called) and "normalize" in inspect.signature(called).parameters


Net: TypeAlias = Literal["alex", "vgg", "squeeze"]


class Backbone(NamedTuple):
    """What LPIPS looks through: torchvision's model and its weights, and the fewest pixels a side that it takes."""

    model: str
    weights: str
    least: int


BACKBONES = {
    "alex": Backbone("alexnet", "AlexNet_Weights", 31),
    "vgg": Backbone("vgg16", "VGG16_Weights", 16),
    "squeeze": Backbone("squeezenet1_1", "SqueezeNet1_1_Weights", 17),
}


@dataclass(frozen=True, repr=False)
class Lpips(Distance):
    """LPIPS as a value: see `lpips`."""

    net: Net
    size: int | None = None

    def bind(self, setup: Setup) -> BoundLpips:
        """With the network loaded on the session's device, once for the whole process. Raises `AttributeFailed`."""
        return BoundLpips(self, *_load(self.net, setup.device))

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        return self.bind(Setup(first.device))(first, second)

    def __repr__(self) -> str:
        return f"lpips({self.net!r}{'' if self.size is None else f', size={self.size}'})"


@dataclass(frozen=True, repr=False)
class BoundLpips(Distance):
    """LPIPS with its network. Those of one network on one device are equal."""

    declared: Lpips
    network: nn.Module
    fingerprint: str = field(compare=False)

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        distances: Tensor = self.network(self._seen(first), self._seen(second), normalize=True)
        return distances.flatten(1).squeeze(1)

    def _seen(self, images: Tensor) -> Tensor:
        images = check_images(images).expand(-1, 3, -1, -1)
        least = BACKBONES[self.declared.net].least
        if self.declared.size is not None:
            return resized(images, self.declared.size)
        if min(images.shape[2:]) < least:
            raise InvalidArgument(
                f"{self!r} needs images of at least {least} x {least} pixels, not {tuple(images.shape[2:])}: "
                f"say lpips({self.declared.net!r}, size=64) to resize them"
            )
        return images

    def __repr__(self) -> str:
        return repr(self.declared)


def lpips(net: Net = "alex", *, size: int | None = None) -> Lpips:
    """LPIPS (Zhang et al. 2018), a squared perceptual distance [B], by the library `lpips`, version 0.1 of its weights.

    `net` is the network whose activations are compared: "alex", which the authors recommend; "vgg", which path lengths
    in papers are by; or "squeeze". `size` resizes images to size x size first, by area where both sides are longer and
    bilinearly otherwise, as torch-fidelity and torchmetrics do (to 64); without it, images below 31, 16 and 17 pixels a
    side are an error. Grey images count as three equal channels.

    It needs `pip install 'pytest-gentest[lpips]'`. The network's own weights come from torchvision's hub: where they
    are not on this machine and cannot be fetched, `AttributeFailed` says how to fetch them beforehand.

    >>> lpips("vgg", size=64)
    lpips('vgg', size=64)
    """
    if not isinstance(net, str) or net not in BACKBONES:
        raise InvalidArgument.expected(f"one of {', '.join(map(repr, get_args(Net)))}", "net", net)
    if size is not None and not is_whole(size, BACKBONES[net].least):
        raise InvalidArgument.expected(f"a whole number >= {BACKBONES[net].least}, or None", "size", size)
    return Lpips(net, size)


def resized(images: Tensor, size: int) -> Tensor:
    """Images [B, C, size, size]: shrunk by area where both sides are longer, else bilinearly."""
    if min(images.shape[2:]) > size:
        return F.interpolate(images, (size, size), mode="area")
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False)


class Loaded(NamedTuple):
    network: nn.Module
    fingerprint: str


_networks: dict[tuple[str, torch.device], Loaded] = {}
_loading = RLock()


def _load(net: Net, device: torch.device) -> Loaded:
    """The network in eval mode, its weights without gradients, on the device: once a process and device."""
    with _loading:
        if (net, device) not in _networks:
            network = _network(net)
            _networks[net, device] = Loaded(network.to(device), weights_fingerprint(network))
        return _networks[net, device]


def _network(net: Net) -> nn.Module:
    try:
        import lpips as library
    except ImportError as error:
        raise InvalidArgument(f"lpips({net!r}) needs the library: pip install 'pytest-gentest[lpips]'") from error
    import torchvision

    backbone = BACKBONES[net]
    url = getattr(torchvision.models, backbone.weights).IMAGENET1K_V1.url
    file = Path(torch.hub.get_dir(), "checkpoints", os.path.basename(urlsplit(url).path))
    try:
        if not file.is_file() and not getproxies():  # a name that does not resolve is said at once
            socket.getaddrinfo(urlsplit(url).hostname, 443)
        with (
            warnings.catch_warnings(),
            tensors_only(),
            torch.random.fork_rng(devices=[]),
        ):  # a model draws weights
            warnings.simplefilter("ignore")  # lpips asks torchvision in words that it deprecates
            network: nn.Module = library.LPIPS(net=net, verbose=False)
    except Exception as error:  # torch.hub raises whatever its network and its unpickler raise
        said = error_summary(error)[:300]
        if file.is_file():
            raise AttributeFailed(f"lpips({net!r}): cannot load the weights {file}: {said}") from error
        raise AttributeFailed(
            f"lpips({net!r}): the weights of its network are not on this machine and cannot be downloaded ({said}). "
            f"Fetch them where there is a network, with the same TORCH_HOME: "
            f"python -c \"import torchvision; torchvision.models.{backbone.model}(weights='IMAGENET1K_V1')\"; "
            f"or put {url} at {file}"
        ) from error
    return network.float().eval().requires_grad_(requires_grad=False)
