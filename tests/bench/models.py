"""What is measured on: generators of known cost, and a CLIP of random weights in a folder.

Speed does not depend on what weights say. Where it depends on what margins come to (which probes are looked at again),
the face GAN is real, and the random ViT-B-32 tells its faces apart (their embeddings lie 0.46 from their mean).
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn

import gentest
from tests.bench.attack_memory import Upsampling

ARCHITECTURE = "ViT-B-32"
PROMPTS = ("a photo of a smiling person", "a photo of a frowning person")
NEEDS_FACES = "needs gan-face-generate: pip install -e '.[faces]'"


class Missing(Exception):
    """What a row needs and this machine has not."""


def dcgan(dim: int, size: int, channels: int, *, seed: int = 0) -> nn.Module:
    """Latents [B, dim] to images [B, 3, size, size]: a DCGAN of random weights, `channels` before its last layer."""
    widths, at = [], size // 2
    while at >= 4:
        widths.append(min(channels * size // 2 // at, 512))
        at //= 2
    widths.reverse()
    layers: list[nn.Module] = [nn.Unflatten(1, (dim, 1, 1)), nn.ConvTranspose2d(dim, widths[0], 4, bias=False)]
    layers += [nn.BatchNorm2d(widths[0]), nn.ReLU()]
    for before, after in pairwise(widths):
        layers += [nn.ConvTranspose2d(before, after, 4, 2, 1, bias=False), nn.BatchNorm2d(after), nn.ReLU()]
    net = nn.Sequential(*layers, nn.ConvTranspose2d(widths[-1], 3, 4, 2, 1, bias=False), nn.Tanh())
    rng = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        if parameter.ndim > 1:
            nn.init.normal_(parameter, 0.0, 0.02, generator=rng)
    return net.eval()


class Flat(nn.Module):
    """A generator of latents [B, dim, 1, 1] that takes [B, dim]."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, z: Tensor) -> Tensor:
        """The images."""
        made: Tensor = self.net(z[..., None, None])
        return made


def faces() -> nn.Module:
    """The DCGAN of faces of `examples/faces`: latents [B, 100] to images [B, 3, 64, 64]. Raises `Missing`."""
    try:
        import gan_face_generate
        from gan_face_generate.models import Generator
    except ImportError:
        raise Missing(NEEDS_FACES) from None
    file = Path(gan_face_generate.__file__).parent / "weights.tar"
    net = Generator(ngpu=1, nc=3, nz=100, ngf=64)
    net.load_state_dict(torch.load(file, map_location="cpu", weights_only=True)["netG_state_dict"])
    return Flat(net).eval()


class Planted(nn.Module):
    """A generator that makes images brighter by `height` where coordinate `index` of a latent is within 0.05 of 1.2."""

    def __init__(self, net: nn.Module, index: int, height: float) -> None:
        super().__init__()
        self.net, self.index, self.height = net, index, height

    def forward(self, z: Tensor) -> Tensor:
        """The images."""
        ridge = ((z[:, self.index] - 1.2).abs() < 0.05).float()
        made: Tensor = (self.net(z) + self.height * ridge[:, None, None, None]).clamp(-1, 1)
        return made


def free(z: Tensor) -> Tensor:
    """Grey images [B, 1, 2, 2], all alike: a view of one number."""
    return z.new_full((1, 1, 1, 1), 0.5).expand(len(z), 1, 2, 2)


def nothing(images: Tensor) -> Tensor:
    """An attribute [B] that costs nothing: a view of one number."""
    return images.new_zeros(1).expand(len(images))


def linear(dim: int, size: int) -> nn.Module:
    """Latents to images [B, 3, size, size] by one matrix: a cheap generator whose outputs take memory."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(dim, 3 * size * size), nn.Tanh(), nn.Unflatten(1, (3, size, size)))


def generator(net: nn.Module, dim: int) -> gentest.Generator:
    """A module as gentest takes it."""
    return gentest.Generator(net, latent=gentest.Normal(dim), output_range=(-1, 1))


NETS = {
    "faces": (faces, 100),
    "dcgan64": (lambda: dcgan(100, 64, 64), 100),
    "dcgan256": (lambda: dcgan(128, 256, 64), 128),
    "dcgan64b": (lambda: dcgan(100, 64, 64, seed=1), 100),
    "tiny": (lambda: dcgan(16, 16, 8), 16),
    "tinyb": (lambda: dcgan(16, 16, 8, seed=1), 16),
    "large1024": (lambda: Upsampling(1024, 16), 512),
}
"""Generators by the name that rows, and the suites that they write, call them by; with their latent's size."""


def named(name: str) -> gentest.Generator:
    """The generator of that name."""
    make, dim = NETS[name]
    return generator(make(), dim)


def write_clip(folder: Path, *, small: bool, architecture: str = ARCHITECTURE) -> str:
    """A CLIP of random weights in a folder, both towers; what `settings(clip=...)` takes. `small`: of one layer."""
    import open_clip
    from safetensors.torch import save_file

    config = open_clip.get_model_config(architecture)
    if small:
        config["vision_cfg"] |= {"image_size": 32, "layers": 1, "width": 64, "patch_size": 16}
        config["text_cfg"] |= {"width": 64, "heads": 2, "layers": 1}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = open_clip.CLIP(**config)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, folder / "open_clip_model.safetensors")
    preprocess = {
        "mean": open_clip.OPENAI_DATASET_MEAN,
        "std": open_clip.OPENAI_DATASET_STD,
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    }
    written = json.dumps({"model_cfg": config, "preprocess_cfg": preprocess})
    (folder / "open_clip_config.json").write_text(written, encoding="utf-8")
    return f"local-dir:{folder}"
