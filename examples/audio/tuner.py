"""A tuner: hears which of the 25 keys a sound is."""

from __future__ import annotations

import torch
from model import RATE, frequencies
from torch import Tensor

PARTIALS = 5
"""The harmonics that the tuner listens to."""


def tuner(sounds: Tensor) -> Tensor:
    """Logits [B, 25] of sounds [B, C, T]: how much of a key's spectrum lies on its harmonics and not between them.

    The score of a fundamental f is the mean, over its first five harmonics n f, of the logarithm of the magnitude
    there, less that at (n - 1/2) f, where a key an octave below has a harmonic of its own.
    """
    wave = sounds.mean(1)
    window = torch.hann_window(wave.shape[1], device=wave.device)
    spectrum = torch.fft.rfft(wave * window, n=8 * RATE).abs() / window.sum()  # [B, F], eighths of a hertz
    levels = (spectrum + 1e-6).log()
    n = torch.arange(1, PARTIALS + 1, device=wave.device)
    fundamentals = frequencies().to(wave)[:, None]  # [25, 1]

    def at(hertz: Tensor) -> Tensor:
        found: Tensor = levels[:, (8 * hertz).round().long()].mean(2)  # [B, 25]
        return found

    return at(fundamentals * n) - at(fundamentals * (n - 0.5))
