"""Perceptual distances: a number for two images that says how different they look.

LPIPS is the one in papers: Zhang et al. 2018, "The unreasonable effectiveness of deep features as a perceptual metric",
arXiv:1801.03924. It is a *squared* distance, a weighted sum of squared differences of activations. Its authors' library
`lpips` computes it.
"""

from __future__ import annotations

import inspect
import os
import socket
import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from importlib.metadata import PackageNotFoundError, version
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
from gentest.attributes.attribute import (
    Named,
    Setup,
    as_numbers,
    call,
    check_images,
    describe,
    weights_fingerprint,
)
from gentest.errors import AttributeFailed, InvalidArgument


class Distance(ABC):
    """A distance of two images: two batches of float images [B, C, H, W] in [0, 1] to distances [B] >= 0."""

    @abstractmethod
    def __call__(self, first: Tensor, second: Tensor, /) -> Tensor: ...


NO_SPREAD = "a number, since a distance of two images has no standard deviation under the prior"
"""The tolerance that a distance needs, for errors about `sd(...)`."""

ROUNDING = 1e-5
"""Rounding may take the distance of equal images this far below 0."""


def distances_between(distance: Distance, first: Tensor, second: Tensor) -> Tensor:
    """Distances [B], float32, of images first and second [B, C, H, W]. They may still be non-finite.

    Raises `AttributeFailed`, which names the distance and the shapes, if the distance raises or returns anything but B
    numbers >= -1e-5 (less than 0 counts as 0). [B, 1, 1, 1], as from `lpips`, is accepted.

    >>> largest = distance(lambda x, y: (x - y).abs().amax((1, 2, 3)))
    >>> distances_between(largest, torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4))
    tensor([1., 1.])
    """
    given = f"images {tuple(first.shape)} and {tuple(second.shape)}"
    distances, n = as_numbers(distance, call(distance, distance, given, first, second), None), len(first)
    if distances.ndim == 0 or len(distances) != n or distances.numel() != n:
        raise AttributeFailed(
            f"{describe(distance)} gave shape {tuple(distances.shape)} for {given}; "
            f"expected one distance for each pair of images: ({n},)"
        )
    if bool((distances < -ROUNDING).any()):
        raise AttributeFailed(
            f"{describe(distance)} gave {distances.min().item():.4g} for {given}; expected distances >= 0"
        )
    return distances.reshape(n).clamp(min=0.0)


@dataclass(frozen=True, repr=False)
class LargestDifference(Distance, Named):
    """The largest absolute difference of a value of two outputs [B, ...], in their units."""

    address = "largest difference"
    """The key of its rows in the cache."""

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        return (first - second).abs().flatten(1).amax(1)

    def __repr__(self) -> str:
        return "largest difference"


@dataclass(frozen=True, repr=False)
class FunctionDistance(Distance, Named):
    """The value of `distance`: a function of two batches of images."""

    function: Callable[..., Any]
    name: str | None = None

    def bind(self, setup: Setup) -> FunctionDistance:
        """The same distance, its module (if it has one) moved to the session's device."""
        if (module := self._module) is not None:
            module.to(setup.device)
        return self

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the module's weights; empty for a plain function."""
        return "" if self._module is None else weights_fingerprint(self._module)

    @property
    def _module(self) -> nn.Module | None:
        function: object = self.function
        while isinstance(function, (partial, MethodType)):
            function = function.func if isinstance(function, partial) else function.__self__
        return function if isinstance(function, nn.Module) else None

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        scale = {"normalize": True} if _takes_normalize(self.function) else {}
        result: Tensor = self.function(first, second, **scale)
        return result

    def __repr__(self) -> str:
        return self.name or f"distance({describe(self.function)})"


def distance(function: Callable[..., Any], *, name: str | None = None) -> FunctionDistance:
    """A `Distance` from any callable on two batches of images [B, C, H, W] in [0, 1] that returns distances [B] >= 0.

    Reports call it `name`. A module is put in eval mode and on the session's device. Distances of the libraries `lpips`
    and `torchmetrics` that have a parameter `normalize` expect images in [-1, 1] by default; gentest calls them with
    `normalize=True`, so that they take [0, 1] as all others do. A distance that averages over the batch needs
    `reduction="none"`. Raises `InvalidArgument` for anything but a callable that is not a distance yet.

    >>> rms = distance(lambda x, y: (x - y).square().mean((1, 2, 3)).sqrt(), name="rms")
    >>> rms(torch.ones(2, 3, 4, 4), torch.zeros(2, 3, 4, 4)), rms
    (tensor([1., 1.]), rms)
    """
    if not callable(function) or isinstance(function, type):
        hint = "make an instance of it first" if isinstance(function, type) else ""
        raise InvalidArgument.expected("a callable on two batches of images", "function", function, hint=hint)
    if isinstance(function, Distance):
        raise InvalidArgument.expected("a callable that is not a distance yet", "function", function)
    if name is not None and (not isinstance(name, str) or not name.strip()):
        raise InvalidArgument.expected("a text", "name", name)
    value = FunctionDistance(function, name)
    if (module := value._module) is not None:
        module.eval()
    return value


MINUS_ONE_TO_ONE = ("lpips", "torchmetrics")
"""The libraries with distances that take images in [-1, 1] unless called with `normalize=True`."""


def _takes_normalize(function: object) -> bool:
    library = (getattr(function, "__module__", None) or "").partition(".")[0]
    if library not in MINUS_ONE_TO_ONE or isinstance(function, partial):
        return False
    forward = function.forward if isinstance(function, nn.Module) else function
    return callable(forward) and "normalize" in inspect.signature(forward).parameters


Net: TypeAlias = Literal["alex", "vgg", "squeeze"]


class Backbone(NamedTuple):
    """A network of LPIPS: torchvision's names for the model and its weights, and the smallest image side it takes."""

    model: str
    weights: str
    least_side: int


BACKBONES = {
    "alex": Backbone("alexnet", "AlexNet_Weights", 31),
    "vgg": Backbone("vgg16", "VGG16_Weights", 16),
    "squeeze": Backbone("squeezenet1_1", "SqueezeNet1_1_Weights", 17),
}


@dataclass(frozen=True, repr=False)
class Lpips(Distance, Named):
    """The value of `lpips`."""

    net: Net
    size: int | None = None

    def bind(self, setup: Setup) -> BoundLpips:
        """The same distance with its network, loaded once a process and device. Raises `AttributeFailed`."""
        return BoundLpips(self, *_load(self.net, setup.device))

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        return self.bind(Setup(first.device))(first, second)

    def __repr__(self) -> str:
        return f"lpips({self.net!r}{'' if self.size is None else f', size={self.size}'})"


@dataclass(frozen=True, repr=False)
class BoundLpips(Distance, Named):
    """LPIPS with its network; equal for the same network on the same device."""

    declared: Lpips
    network: nn.Module
    fingerprint: str = field(compare=False)

    @property
    def address(self) -> str:
        """The key of its distances in the cache: the network with its weights, and the library."""
        return f"{self.declared!r} {self.fingerprint} {version('lpips')}"

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        distances: Tensor = self.network(self._prepared(first), self._prepared(second), normalize=True)
        return distances.flatten(1).squeeze(1)

    def _prepared(self, images: Tensor) -> Tensor:
        images = check_images(images).expand(-1, 3, -1, -1)
        least = BACKBONES[self.declared.net].least_side
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
    """LPIPS (Zhang et al. 2018), a squared perceptual distance [B] >= 0, by the library `lpips` with its weights 0.1.

    `net` is the network with the activations to compare: "alex", the authors' recommendation; "vgg", as for path
    lengths in papers; or "squeeze". `size` first resizes images to size x size, by area if both sides are longer and
    bilinearly otherwise, as torch-fidelity and torchmetrics do (to 64). Without it, images below 31 ("alex"), 16
    ("vgg") or 17 ("squeeze") pixels a side are an error. A grey image counts as three equal channels.

    It needs `pip install 'pytest-gentest[lpips]'`. The network's weights come from torchvision's hub. If they are not
    on this machine and cannot be fetched, `AttributeFailed` says how to fetch them beforehand.

    >>> lpips("vgg", size=64)
    lpips('vgg', size=64)
    """
    if not isinstance(net, str) or net not in BACKBONES:
        raise InvalidArgument.expected(f"one of {', '.join(map(repr, get_args(Net)))}", "net", net)
    if size is not None and not is_whole(size, BACKBONES[net].least_side):
        raise InvalidArgument.expected(f"a whole number >= {BACKBONES[net].least_side}, or None", "size", size)
    return Lpips(net, size)


@dataclass(frozen=True, repr=False)
class Ssim(Distance, Named):
    """The value of `ssim`."""

    @property
    def address(self) -> str:
        """The key of its distances in the cache: the library that computes them."""
        with suppress(PackageNotFoundError):
            return f"{self!r} {version('torchmetrics')}"
        return ""

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        try:
            from torchmetrics.functional.image import structural_similarity_index_measure as similarity
        except ImportError as error:
            raise InvalidArgument("ssim() needs torchmetrics: pip install 'pytest-gentest[ssim]'") from error
        # in float32, the variances of flat images are rounding
        first, second = check_images(first).double(), check_images(second).double()
        if min(first.shape[2:]) < LEAST_SSIM:
            raise InvalidArgument(
                f"ssim() needs images of at least {LEAST_SSIM} x {LEAST_SSIM} pixels, not {tuple(first.shape[2:])}"
            )
        similarities = similarity(first, second, data_range=1.0, reduction="none")
        assert isinstance(similarities, Tensor)
        return (1.0 - similarities).clamp_min(0.0).float().reshape(len(first))

    def __repr__(self) -> str:
        return "ssim()"


LEAST_SSIM = 11
"""Side of SSIM's window in pixels."""


def ssim() -> Ssim:
    """1 - SSIM, from 0 for equal images to 2, [B] (Wang et al. 2004, "Image quality assessment: from error visibility
    to structural similarity"), by torchmetrics with its 11 x 11 Gaussian window.

    It needs `pip install 'pytest-gentest[ssim]'`, and images of at least 11 x 11 pixels. An SSIM of at least 0.95 is a
    distance of at most 0.05: `gentest.agrees(gentest.ssim(), within=0.05)`.

    >>> ssim()(torch.ones(2, 3, 16, 16), torch.ones(2, 3, 16, 16)).round(decimals=4)
    tensor([0., 0.])
    """
    return Ssim()


def resized(images: Tensor, size: int) -> Tensor:
    """Images [B, C, size, size]: resized by area if both sides are longer than that, bilinearly otherwise."""
    if min(images.shape[2:]) > size:
        return F.interpolate(images, (size, size), mode="area")
    return F.interpolate(images, (size, size), mode="bilinear", align_corners=False)


class Loaded(NamedTuple):
    network: nn.Module
    fingerprint: str


_networks: dict[tuple[str, torch.device], Loaded] = {}
_loading = RLock()


def _load(net: Net, device: torch.device) -> Loaded:
    """The network on the device, in eval mode and without gradients: loaded once a process and device."""
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
        if not file.is_file() and not getproxies():  # fail at once without a network
            socket.getaddrinfo(urlsplit(url).hostname, 443)
        # building a model draws initial weights
        with warnings.catch_warnings(), tensors_only(), torch.random.fork_rng(devices=[]):
            warnings.simplefilter("ignore")  # lpips uses a deprecated argument of torchvision
            network: nn.Module = library.LPIPS(net=net, verbose=False)
    except Exception as error:  # torch.hub raises whatever its network and its unpickler raise
        reason = error_summary(error)[:300]
        if file.is_file():
            raise AttributeFailed(f"lpips({net!r}): cannot load the weights {file}: {reason}") from error
        raise AttributeFailed(
            f"lpips({net!r}): the weights of its network are not on this machine and cannot be downloaded ({reason}). "
            f"Fetch them where there is a network, with the same TORCH_HOME: "
            f"python -c \"import torchvision; torchvision.models.{backbone.model}(weights='IMAGENET1K_V1')\"; "
            f"or put {url} at {file}"
        ) from error
    return network.float().eval().requires_grad_(requires_grad=False)
