"""How often the notes of random latents are unlike the piano's own: `python examples/audio/measure.py`."""

from __future__ import annotations

import sys

import torch
from model import LATENT_DIM, PITCHES, RATE, load
from tuner import tuner

import gentest

SEED = 1
NOTES = 3_000
BATCH = 100


def main() -> None:
    rng = torch.Generator().manual_seed(SEED)
    decoder, kind = load(), gentest.Audio(rate=RATE)
    loudness, clipping = gentest.loudness().of_kind(kind), gentest.clipping().of_kind(kind)
    unlike = {"softer than -35 dB": 0, "louder than -8 dB": 0, "clipped": 0, "another key to the tuner": 0}
    with torch.no_grad():
        for _ in range(NOTES // BATCH):
            labels = torch.randint(len(PITCHES), (BATCH,), generator=rng)
            notes = decoder(torch.randn(BATCH, LATENT_DIM, generator=rng), labels)[:, None]
            unlike["softer than -35 dB"] += int((loudness(notes) < -35).sum())
            unlike["louder than -8 dB"] += int((loudness(notes) > -8).sum())
            unlike["clipped"] += int((clipping(notes) > 0.001).sum())
            unlike["another key to the tuner"] += int((tuner(notes).argmax(1) != labels).sum())
    for what, count in unlike.items():
        sys.stdout.write(f"{100 * count / NOTES:.1f} % of {NOTES:,} notes: {what}\n")


if __name__ == "__main__":
    main()
