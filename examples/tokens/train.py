"""Train the tokenizer again: `python examples/tokens/train.py`. Needs scikit-learn; some 15 s on one core."""

from __future__ import annotations

import sys

import torch
from model import WEIGHTS, K, Tokenizer, digits
from safetensors.torch import save_file
from torch.nn import functional

SEED = 0
STEPS = 2_000
BATCH = 64
COMMITMENT = 0.25


def main() -> None:
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    images, tokenizer = digits(), Tokenizer()
    train, test = images[:1500], images[1500:]
    optimizer = torch.optim.Adam(tokenizer.parameters(), lr=2e-3)
    for _ in range(STEPS):
        batch = train[torch.randint(len(train), (BATCH,))]
        features = tokenizer.encoder(batch)
        coded = tokenizer.codebook[tokenizer.nearest(features)].permute(0, 3, 1, 2)
        through = features + (coded - features).detach()  # the gradient passes straight through the codebook
        loss = functional.mse_loss(tokenizer.decoder(through), batch)
        loss = loss + functional.mse_loss(coded, features.detach())
        loss = loss + COMMITMENT * functional.mse_loss(features, coded.detach())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.no_grad():
        tokens = tokenizer.encode(test)
        error = functional.mse_loss(tokenizer.decode(tokens), test).sqrt().item()
    sys.stdout.write(f"held-out RMS error {error:.3f}; {len(tokens.unique())} of {K} codes in use\n")
    save_file(tokenizer.state_dict(), WEIGHTS)


if __name__ == "__main__":
    main()
