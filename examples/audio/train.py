"""Train the decoder again: `python examples/audio/train.py florestan-piano.sf2`. Some 2 minutes of one core.

The sound font is ten notes of a piano, recorded by Nando Florestan. It is in the public domain, as the file itself and
the NOTICE of tinysoundfont say. The source distribution of tinysoundfont ships it:

    pip install tinysoundfont
    pip download --no-deps --no-binary tinysoundfont tinysoundfont
    tar xzf tinysoundfont-*.tar.gz --wildcards --strip-components 2 '*/florestan-piano.sf2'

The 25 keys from C3 to C5 are struck 40 times each, with a velocity from 20 to 127, and released after 0.1 to 0.5 s. A
tenth of these strikes is held out; the key of each was struck in training as well.
"""

from __future__ import annotations

import argparse
import sys

import numpy as np
import torch
from model import PITCHES, RATE, SAMPLES, WEIGHTS, Decoder, Encoder, magnitudes
from safetensors.torch import save_file
from torch import Tensor
from tuner import tuner

import gentest

SEED = 0
STRIKES = 40
STEPS = 1_800
BATCH = 24
BETA = 1e-3
LOUDER = 2.5


def notes(font: str) -> tuple[Tensor, Tensor]:
    """Waveforms [1000, 4000] of the notes and their labels [1000], in random order."""
    from tinysoundfont import Synth

    rng = np.random.default_rng(SEED)
    waves, labels = [], []
    for label, key in enumerate(PITCHES):
        for _ in range(STRIKES):
            synth = Synth(samplerate=RATE)
            synth.program_select(0, synth.sfload(font), 0, 0)
            synth.noteon(0, key, int(rng.integers(20, 128)))
            held = int(rng.uniform(0.2, 1.0) * SAMPLES)
            parts = [bytes(synth.generate(held))]
            synth.noteoff(0, key)
            parts.append(bytes(synth.generate(SAMPLES - held)))
            waves.append(np.frombuffer(b"".join(parts), dtype=np.float32)[::2] * LOUDER)  # both channels are the same
            labels.append(label)
    order = torch.from_numpy(rng.permutation(len(waves)))
    return torch.from_numpy(np.stack(waves))[order], torch.tensor(labels)[order]


def distance(made: Tensor, true: Tensor) -> Tensor:
    """The multi-scale spectral loss of DDSP: differences of magnitudes and of their logarithms."""
    total = torch.zeros(())
    for size in (128, 512):
        a, b = magnitudes(made, size), magnitudes(true, size)
        total = total + (a - b).abs().mean() / b.mean() + 0.3 * ((a + 1e-4).log() - (b + 1e-4).log()).abs().mean()
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("font", help="florestan-piano.sf2")
    font: str = parser.parse_args().font
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    waves, labels = notes(font)
    n = len(waves) // 10
    encoder, decoder = Encoder(), Decoder()
    encoder(waves[:1], labels[:1])
    weights = [*encoder.parameters(), *decoder.parameters()]
    optimizer = torch.optim.Adam(weights, lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, STEPS)
    for _ in range(STEPS):
        rows = torch.randint(n, len(waves), (BATCH,))
        mean, log_variance = encoder(waves[rows], labels[rows])
        z = mean + torch.randn_like(mean) * (log_variance / 2).exp()
        divergence = 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance).sum(1).mean()
        loss = distance(decoder(z, labels[rows]), waves[rows]) + BETA * divergence
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
        schedule.step()
    save_file(decoder.state_dict(), WEIGHTS)
    with torch.no_grad():
        made = decoder(encoder(waves[:n], labels[:n])[0], labels[:n])
    sys.stdout.write(quality(made, waves[:n], labels[:n]))
    sys.stdout.write(measures(waves))


def quality(made: Tensor, true: Tensor, labels: Tensor) -> str:
    """The errors of reconstructions of held-out notes, in a sentence."""
    error = (decibels(magnitudes(made, 512)) - decibels(magnitudes(true, 512))).abs().mean()
    loudness = (decibels(made.square().mean(1).sqrt()) - decibels(true.square().mean(1).sqrt())).abs().mean()
    hits = (tuner(made[:, None]).argmax(1) == labels).sum()
    heard = (tuner(true[:, None]).argmax(1) == labels).sum()
    return (
        f"{len(true)} held-out notes: spectra differ by {error:.1f} dB, loudness by {loudness:.2f} dB; "
        f"the tuner is right for {hits}, and for {heard} of the piano's own\n"
    )


def measures(waves: Tensor) -> str:
    """The least and the most of each measure among the piano's own notes: the suite's limits come from them."""
    lines = []
    for measure in (gentest.loudness(), gentest.silence(), gentest.clipping(), gentest.clicks()):
        scores = measure.of_kind(gentest.Audio(rate=RATE))(waves[:, None])
        lines.append(f"{measure!r} of the piano: {scores.min():.2f} to {scores.max():.2f}\n")
    return "".join(lines)


def decibels(levels: Tensor) -> Tensor:
    return 20.0 * (levels + 1e-4).log10()


if __name__ == "__main__":
    main()
