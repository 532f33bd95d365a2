"""Autoencoders: every form an encoder's answer may take, data in every form, and the bank that comes of it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, AutoencoderTiny
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import gentest
from gentest import Generator
from gentest.errors import InvalidArgument

if TYPE_CHECKING:
    from tests.helpers.whole_check import Checked

DATA = torch.linspace(0, 1, 10 * 4).reshape(10, 1, 2, 2)


class Encoder(nn.Module):
    """Latents [B, 3], with dropout while it trains, and gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)
        self.dropout = nn.Dropout(0.5)
        self.sizes: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        self.sizes.append(len(x))
        return self.dropout(self.layer(x.flatten(1)))


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, z: Tensor) -> Tensor:
        return self.layer(z).tanh().reshape(-1, 1, 2, 2)


class Whole(nn.Module):
    """An autoencoder with both, as variational as most are: (mu, logvar)."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = Encoder(), Decoder()

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mu = self.encoder(x)
        return mu, torch.zeros_like(mu)

    def decode(self, z: Tensor) -> Tensor:
        return self.decoder(z)


@pytest.fixture
def whole() -> Whole:
    torch.manual_seed(0)
    return Whole()


def bank(generator: Generator) -> Tensor:
    assert isinstance(generator.latent, gentest.Empirical)
    return torch.from_numpy(generator.latent.bank.copy())


def mean(whole: Whole) -> Tensor:
    with torch.no_grad():
        return whole.eval().encoder.layer(DATA.flatten(1))


ANSWERS: dict[str, Any] = {
    "tensor": lambda mu: mu,
    "array": lambda mu: mu.numpy(),
    "pair": lambda mu: (mu, torch.zeros_like(mu)),
    "list": lambda mu: [mu, torch.zeros_like(mu)],
    "distribution": lambda mu: torch.distributions.Normal(mu, torch.ones_like(mu)),
    "diffusers": lambda mu: SimpleNamespace(latent_dist=SimpleNamespace(mean=mu, std=mu)),
    "latents": lambda mu: SimpleNamespace(latents=mu),
    "half": lambda mu: mu.double(),
}


@pytest.mark.parametrize("answer", ANSWERS)
def test_an_encoder_may_answer_in_many_ways(answer: str, whole: Whole) -> None:
    """A tensor, (mu, logvar), or a distribution whose mean it is: the bank is the means, without gradients."""
    g = Generator.from_autoencoder(
        whole.decoder, encoder=lambda x: ANSWERS[answer](whole.encoder(x)), data=DATA, batch_size=4
    )
    torch.testing.assert_close(bank(g), mean(whole))
    assert whole.encoder.sizes == [4, 4, 2]
    assert not whole.encoder.training
    assert whole.decoder in g.modules
    assert whole.encoder not in g.modules


def test_a_tokenizer_makes_a_bank_of_codes() -> None:
    """An encoder that returns whole numbers gives a space of codes, and the decoder receives int64."""

    def encode(images: Tensor) -> Tensor:
        return (images * 7).long().flatten(1)

    def decode(codes: Tensor) -> Tensor:
        assert codes.dtype == torch.int64
        return codes[:, None, None].float() / 7

    generator = Generator.from_autoencoder(decode, encoder=encode, data=DATA.clamp(0, 1), batch_size=4)
    assert isinstance(generator.latent, gentest.Codes)
    assert generator.latent == gentest.Codes.from_bank(encode(DATA.clamp(0, 1)))
    assert gentest.well_formed().check(generator, settings=gentest.settings(examples=8)).passed


@pytest.mark.parametrize("form", ["tensor", "array", "batches", "loader", "labelled"])
def test_data_come_in_many_forms(form: str, whole: Whole) -> None:
    """An array, batches, and a loader with labels give the same bank."""
    data: Any = {
        "tensor": DATA,
        "array": DATA.numpy(),
        "batches": [DATA[:7].numpy(), DATA[7:]],
        "loader": DataLoader(TensorDataset(DATA), batch_size=3),
        "labelled": ((x, torch.zeros(len(x))) for x in DATA.split(3)),
    }[form]
    g = Generator.from_autoencoder(whole.decoder, encoder=whole.encoder, data=data)
    torch.testing.assert_close(bank(g), mean(whole))


def test_a_whole_autoencoder_is_checked(whole: Whole, checked: Checked) -> None:
    """An object with `encode` and `decode` needs no encoder, and passes through a whole check."""
    g = Generator.from_autoencoder(whole, data=DATA)
    torch.testing.assert_close(bank(g), mean(whole))
    z = torch.ones(2, 3)
    torch.testing.assert_close(g.outputs({"": z}), (whole.decoder(z) + 1) / 2)
    checked(g)


@pytest.mark.parametrize("kind", ["kl", "tiny"])
def test_autoencoders_of_diffusers_are_checked(kind: str, checked: Checked) -> None:
    """`AutoencoderKL` answers with a distribution, `AutoencoderTiny` with latents, and both decode to a sample."""
    torch.manual_seed(0)
    vae: Any = (
        AutoencoderKL(block_out_channels=(8,), norm_num_groups=4, latent_channels=2)
        if kind == "kl"
        else AutoencoderTiny(
            encoder_block_out_channels=(8, 8),
            decoder_block_out_channels=(8, 8),
            num_encoder_blocks=(1, 1),
            num_decoder_blocks=(1, 1),
            latent_channels=2,
        )
    )
    data = torch.rand(6, 3, 4, 4)
    g = Generator.from_autoencoder(vae, data=data, output_range=(-10, 10))
    with torch.no_grad():
        encoded = vae.encode(data)
        expected = encoded.latent_dist.mean if kind == "kl" else encoded.latents
        z = torch.ones_like(expected[:2])
        decoded = vae.decode(z).sample
    torch.testing.assert_close(bank(g), expected)
    torch.testing.assert_close(g.outputs({"": z}), (decoded + 10) / 20)
    checked(g)


def test_a_fingerprint_is_of_the_decoder(whole: Whole) -> None:
    """Other data are another bank over the same f; another decoder is another f."""
    g, h = (Generator.from_autoencoder(whole, data=data) for data in (DATA, DATA + 1))
    assert g.fingerprint() == h.fingerprint()
    assert g.latent != h.latent
    before = g.fingerprint()
    whole.decoder.layer.bias.data += 1
    assert g.fingerprint() == h.fingerprint() != before


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"encoder": 3}, "an nn.Module or a callable but got encoder=3"),
        ({"encoder": Encoder}, "encoder="),
        ({"encoder": None}, "Expected encoder=, or an autoencoder with the methods"),
        ({"data": 3}, r"images \[M, C, H, W\], or batches of them but got data=3"),
        ({"data": "images"}, "data='images'"),
        ({"data": []}, "Expected at least one image to encode"),
        ({"data": DATA[:0]}, "Expected at least one image to encode"),
        ({"data": [3]}, "a batch of images"),
        ({"data": torch.ones(3)}, r"Expected images \[M, C, H, W\] but got shape \(3,\)"),
        ({"batch_size": 0}, "a batch size >= 1 but got batch_size=0"),
        ({"encoder": lambda x: x.mean()}, r"the encoder gave shape \(\) for 10 images"),
        ({"encoder": lambda x: x[:1]}, r"the encoder gave shape \(1, 1, 2, 2\) for 10 images"),
        ({"encoder": lambda x: "z"}, "the encoder gave a str for 10 images"),
        ({"encoder": lambda x: x * np.nan}, "a bank of finite latents"),
    ],
)
def test_misuse_is_refused(arguments: dict[str, Any], message: str) -> None:
    """A wrong encoder, wrong data and wrong answers are told when the generator is made."""
    with pytest.raises(InvalidArgument, match=message):
        Generator.from_autoencoder(Decoder(), **{"encoder": Encoder(), "data": DATA} | arguments)
