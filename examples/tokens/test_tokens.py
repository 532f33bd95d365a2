"""A tokenizer as two generators: its codebook, what comes back, and what tokens depend on."""

from __future__ import annotations

import torch
from model import K, Tokenizer

import gentest

SAME_TOKENS = gentest.agrees(within=0.5 / K)


@gentest.uses_codes(k=K, at_least=0.5)
def test_half_of_the_codebook_is_used(encoder: gentest.Generator) -> gentest.Generator:
    return encoder


@gentest.not_blank(at_least=0.1)
def test_digits_have_ink(decoder: gentest.Generator) -> gentest.Generator:
    return decoder


@SAME_TOKENS.at_rate(0.9)
def test_encoding_again_gives_the_same_tokens(encoder: gentest.Generator, tokenizer: Tokenizer) -> gentest.Pair:
    return encoder.against(lambda x: tokenizer.encode(tokenizer.decode(tokenizer.encode(x))))


@SAME_TOKENS
def test_tokens_do_not_depend_on_padding(encoder: gentest.Generator, tokenizer: Tokenizer) -> gentest.Pair:
    def encode_padded(x: torch.Tensor) -> torch.Tensor:
        return tokenizer.encode(torch.nn.functional.pad(x, (4, 4, 4, 4)))[:, 2:-2, 2:-2]

    return encoder.against(encode_padded)
