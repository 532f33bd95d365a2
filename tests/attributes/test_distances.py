"""Distances of two images: what a function may be, LPIPS with its library, and errors that say what to do.

The weights of LPIPS's networks are not on every machine: they are random here, in the place of torchvision's.
"""

from __future__ import annotations

import functools
import sys
import warnings
from pathlib import Path
from types import ModuleType

import pytest
import torch
from torch import Tensor, nn

import gentest
from gentest.attributes import distances
from gentest.attributes.attribute import Setup, bind, describe, fingerprint
from gentest.attributes.distances import BACKBONES, distances_between, resized
from gentest.errors import AttributeFailed, InvalidArgument

CPU = Setup(torch.device("cpu"))


def rms(first: Tensor, second: Tensor) -> Tensor:
    return (first - second).square().mean((1, 2, 3)).sqrt()


class Net(nn.Module):
    def __init__(self, normalize: float = 1.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([normalize]))

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return self.weight * rms(first, second)


def images(n: int = 4, size: int = 8, channels: int = 3, seed: int = 0) -> Tensor:
    return torch.rand(n, channels, size, size, generator=torch.Generator().manual_seed(seed))


@pytest.fixture(scope="module")
def squeeze() -> nn.Module:
    """LPIPS on a SqueezeNet of random weights."""
    import lpips

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(3)
        network: nn.Module = lpips.LPIPS(net="squeeze", pnet_rand=True, verbose=False)
    return network


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty torch hub, and no network in memory."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(distances, "_networks", {})
    monkeypatch.setattr(distances, "getproxies", dict)
    return tmp_path / "hub" / "checkpoints"


# --- any function


def test_a_function_is_a_distance() -> None:
    """`gentest.distance` gives what the function gives, compares and hashes by it, and prints its name."""
    x, y = images(), images(seed=1)
    distance = gentest.distance(rms)
    assert isinstance(distance, gentest.Distance)
    assert (distances_between(distance, x, y) == rms(x, y)).all()
    assert distance == gentest.distance(rms)
    assert hash(distance) == hash(gentest.distance(rms))
    assert describe(distance) == "distance(rms)"
    assert describe(gentest.distance(rms, name="how far")) == "how far"
    assert fingerprint(distance) == ""


def test_a_module_is_put_in_eval_mode_and_has_the_fingerprint_of_its_weights() -> None:
    """This includes a module behind a partial or a method. Other weights have another fingerprint."""
    nets = [Net().train(), Net().train(), Net(2.0)]
    made = [gentest.distance(nets[0]), gentest.distance(functools.partial(nets[1].forward)), gentest.distance(nets[2])]
    assert not any(net.training for net in nets)
    prints = [fingerprint(bind(distance, CPU)) for distance in made]
    assert prints[0] == prints[1] != prints[2]
    assert len(prints[0]) == 16


def test_lpips_itself_is_given_images_from_0_to_1(squeeze: nn.Module) -> None:
    """`lpips.LPIPS` expects [-1, 1] by default: gentest switches it to [0, 1], and accepts its [B, 1, 1, 1]."""
    x, y = images(size=32), images(size=32, seed=1)
    with torch.no_grad():
        expected = squeeze(2 * x - 1, 2 * y - 1).flatten()
        assert torch.equal(distances_between(gentest.distance(squeeze), x, y), expected)
        told = functools.partial(squeeze, normalize=True)
        assert torch.equal(distances_between(gentest.distance(told), x, y), expected)
    assert (expected > 0).all()


def test_a_torchmetrics_function_is_given_images_from_0_to_1() -> None:
    """gentest switches on torchmetrics' `normalize`, and leaves a parameter of that name elsewhere alone."""

    def theirs(first: Tensor, second: Tensor, normalize: bool = False) -> Tensor:  # noqa: FBT001, FBT002
        return torch.full((len(first),), float(normalize))

    assert gentest.distance(theirs)(images(), images()).tolist() == [0.0] * 4
    theirs.__module__ = "torchmetrics.functional.image"
    assert gentest.distance(theirs)(images(), images()).tolist() == [1.0] * 4


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda x, y: rms(x, y).mean(), r"gave shape \(\) for images \(4, 3, 8, 8\) and \(4, 3, 8, 8\); .*\(4,\)"),
        (lambda x, y: (x - y).abs(), r"gave shape \(4, 3, 8, 8\)"),
        (lambda x, y: rms(x, y)[1:], r"gave shape \(3,\)"),
        (lambda x, y: rms(x, y)[None], r"gave shape \(1, 4\)"),
        (lambda x, y: rms(x, y) - 1, "expected distances >= 0"),
        (lambda x, y: None, "gave a NoneType"),
        (lambda x, y: x == y, "gave torch.bool"),
        (lambda x: x, r"raised TypeError for images \(4, 3, 8, 8\) and"),
        (lambda x, y: 1 / 0, "raised ZeroDivisionError"),
    ],
)
def test_a_wrong_result_is_an_error_that_names_shapes(function: object, words: str) -> None:
    """For anything but B numbers >= 0, the error names the result and the images."""
    with pytest.raises(AttributeFailed, match=words):
        distances_between(gentest.distance(function, name="wrong"), images(), images(seed=1))  # type: ignore[arg-type]


def test_rounding_below_zero_is_zero() -> None:
    """The distance of equal images may be below 0 by rounding, but not by more."""
    assert distances_between(gentest.distance(lambda x, y: rms(x, y) - 1e-6), images(), images()).tolist() == [0.0] * 4


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: gentest.distance(3), "a callable on two batches of images but got function=3"),
        (lambda: gentest.distance(Net), "make an instance of it first"),
        (lambda: gentest.distance(gentest.lpips()), "not a distance yet"),
        (lambda: gentest.distance(rms, name=""), "a text but got name=''"),
        (lambda: gentest.lpips("resnet"), "one of 'alex', 'vgg', 'squeeze' but got net='resnet'"),
        (lambda: gentest.lpips(["alex"]), "net="),
        (lambda: gentest.lpips("alex", size=16), "a whole number >= 31, or None but got size=16"),
        (lambda: gentest.lpips(size=True), "size=True"),
    ],
)
def test_wrong_arguments_are_rejected(make: object, words: str) -> None:
    """When a distance is made, in an error that says what gentest expected."""
    with pytest.raises(InvalidArgument, match=words):
        make()  # type: ignore[operator]


# --- LPIPS


def test_lpips_is_the_librarys_own(hub: Path) -> None:
    """With torchvision's weights in the hub: the library's value of images in [0, 1], frozen, loaded once."""
    import torchvision

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(4)
        backbone = torchvision.models.squeezenet1_1()
    hub.mkdir(parents=True)
    torch.save(backbone.state_dict(), hub / "squeezenet1_1-b8a52dc0.pth")
    before = torch.get_rng_state()
    distance = gentest.lpips("squeeze")
    bound = bind(distance, CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert bind(gentest.lpips("squeeze"), CPU) == bound
    assert isinstance(bound, distances.BoundLpips)
    assert not bound.network.training
    assert not any(p.requires_grad for p in bound.network.parameters())
    assert len(fingerprint(bound)) == 16
    x, y = images(size=32), images(size=32, seed=1)
    with torch.no_grad():
        found = distances_between(bound, x, y)
        theirs = bound.network(2 * x - 1, 2 * y - 1).flatten()
        grey = x[:, :1], y[:, :1]
        assert torch.equal(
            distances_between(distance, *grey), distances_between(bound, *(g.expand(-1, 3, -1, -1) for g in grey))
        )
        small = gentest.lpips("squeeze", size=24)
        assert torch.equal(distances_between(small, x, y), distances_between(bound, resized(x, 24), resized(y, 24)))
    assert torch.equal(found, theirs)
    assert (found > 0).all()
    assert distances_between(bound, x, x).tolist() == [0.0] * 4
    with pytest.raises(AttributeFailed, match=r"at least 17 x 17 pixels, not \(16, 32\).*size=64"):
        distances_between(bound, x[:, :, :16], y[:, :, :16])
    assert distances_between(small, x[:, :, :16], y[:, :, :16]).shape == (4,)


@pytest.mark.parametrize("net", list(BACKBONES))
def test_the_fewest_pixels_are_the_networks_own(net: str) -> None:
    """One pixel less than declared fails in the network itself."""
    import lpips

    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net=net, pnet_rand=True, verbose=False)
    least = BACKBONES[net].least_side
    with torch.no_grad():
        network(images(1, least), images(1, least))
        with pytest.raises(RuntimeError, match="too small"):
            network(images(1, least - 1), images(1, least - 1))


def test_images_are_resized_as_in_torch_fidelity() -> None:
    """By area if both sides are longer, bilinearly otherwise."""
    from torch_fidelity.sample_similarity_lpips import SampleSimilarityLPIPS

    for height, width in [(32, 32), (16, 16), (32, 8), (24, 24)]:
        x = torch.rand(2, 3, height, width, generator=torch.Generator().manual_seed(5))
        assert torch.equal(resized(x, 24), SampleSimilarityLPIPS.resize(x, 24))


def test_weights_that_cannot_be_fetched_say_how(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Offline, the error comes at once, with the command that fetches them and the place to put them."""

    def offline(*_: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(distances.socket, "getaddrinfo", offline)
    with pytest.raises(AttributeFailed) as raised:
        bind(gentest.lpips("vgg"), CPU)
    said = str(raised.value)
    assert "torchvision.models.vgg16(weights='IMAGENET1K_V1')" in said
    assert str(hub / "vgg16-397923af.pth") in said
    assert "TORCH_HOME" in said


def test_weights_that_cannot_be_read_name_their_file(hub: Path) -> None:
    """A broken file is reported as one, and not as a missing network."""
    hub.mkdir(parents=True)
    (hub / "squeezenet1_1-b8a52dc0.pth").write_bytes(b"no weights")
    with pytest.raises(AttributeFailed, match=r"cannot load the weights .*squeezenet1_1-b8a52dc0\.pth"):
        bind(gentest.lpips("squeeze"), CPU)


def test_without_the_library_the_extra_is_named(hub: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`lpips` is imported only when a network is needed. If it is missing, the error says what to install."""
    missing: ModuleType | None = None
    monkeypatch.setitem(sys.modules, "lpips", missing)  # type: ignore[arg-type]
    distance = gentest.lpips("squeeze")
    with pytest.raises(InvalidArgument, match=r"pip install 'pytest-gentest\[lpips\]'"):
        bind(distance, CPU)


class TestSsim:
    """`ssim` is 1 - SSIM of each pair of images."""

    def test_it_is_the_library_s(self) -> None:
        """With its Gaussian window, one pair at a time or many."""
        metrics = pytest.importorskip("torchmetrics.functional.image", reason="needs torchmetrics")
        rng = torch.Generator().manual_seed(0)
        first, second = torch.rand(4, 3, 20, 20, generator=rng), torch.rand(4, 3, 20, 20, generator=rng)
        distances = gentest.ssim()(first, second)
        assert distances.shape == (4,)
        for one, other, value in zip(first, second, distances, strict=True):
            alone = metrics.structural_similarity_index_measure(one[None], other[None], data_range=1.0)
            assert value.item() == pytest.approx(1.0 - alone.item(), abs=1e-5)
        assert gentest.ssim()(first, first).abs().max().item() < 1e-5

    def test_a_pair_agrees_by_it(self) -> None:
        """A blurred candidate is further from the reference than one with a little more light."""
        pytest.importorskip("torchmetrics", reason="needs torchmetrics")

        def f(z: Tensor) -> Tensor:
            return (z.reshape(-1, 1, 16, 16) * 2).sigmoid()

        def blurred(z: Tensor) -> Tensor:
            return torch.nn.functional.avg_pool2d(f(z), 3, 1, 1)

        g = gentest.Generator(f, latent=gentest.Normal(256), output_range=(0, 1))
        settings = gentest.settings(device="cpu", examples=20)
        lighter = g.then(lambda x: (x + 0.02).clamp(0, 1))
        agrees = gentest.agrees(gentest.ssim(), within=0.05)
        assert agrees.check(lighter.against(g), settings=settings).verdict is gentest.Verdict.NO_COUNTEREXAMPLE
        assert agrees.check(g.then(lambda x: x), settings=settings).verdict is gentest.Verdict.ERROR
        blur = gentest.Generator(blurred, latent=gentest.Normal(256), output_range=(0, 1))
        assert agrees.check(blur.against(g), settings=settings).verdict is gentest.Verdict.VIOLATED

    def test_small_images_are_one_line(self) -> None:
        """They have no window of 11 x 11."""
        pytest.importorskip("torchmetrics", reason="needs torchmetrics")
        with pytest.raises(InvalidArgument, match="at least 11 x 11 pixels"):
            gentest.ssim()(torch.ones(2, 3, 8, 8), torch.ones(2, 3, 8, 8))
