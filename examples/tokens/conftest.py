"""The tokenizer's two functions as generators: images of tokens, and tokens of images."""

from __future__ import annotations

import pytest
import torch
from model import K, Tokenizer, digits, load

import gentest


@pytest.fixture(scope="session")
def tokenizer() -> Tokenizer:
    return load()


@pytest.fixture(scope="session")
def decoder(tokenizer: Tokenizer) -> gentest.Generator:
    """Images of the digits' own grids of tokens."""
    with torch.no_grad():
        grids = tokenizer.encode(digits())
    return gentest.Generator(tokenizer.decode, latent=gentest.Codes.from_bank(grids, k=K), output_range=(0, 1))


@pytest.fixture(scope="session")
def encoder(tokenizer: Tokenizer) -> gentest.Generator:
    """Tokens of the digits."""
    return gentest.Generator(tokenizer.encode, latent=gentest.Empirical(digits()), images=False)
