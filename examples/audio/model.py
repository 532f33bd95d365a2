"""A decoder of piano notes: harmonics of a pitch whose levels a latent decides (Engel et al. 2020, "DDSP")."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.nn import functional

RATE = 8_000
SAMPLES = 4_000
"""Half a second."""
PITCHES = range(48, 73)
"""C3 to C5, as MIDI counts keys."""
LATENT_DIM = 4
HARMONICS = 24
FRAMES = 51
"""Levels of the harmonics change linearly between frames, 10 ms apart."""
WEIGHTS = Path(__file__).parent / "piano.safetensors"


def frequencies() -> Tensor:
    """The fundamental of each pitch in Hz, equal-tempered with A4 at 440 Hz, [25]."""
    return 440.0 * 2.0 ** ((torch.tensor(PITCHES) - 69) / 12.0)


class Decoder(nn.Module):
    """Latents [B, 4] and labels int64 [B], 0 for C3 to 24 for C5, to waveforms [B, 4000]."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.levels = nn.Sequential(
            nn.Linear(LATENT_DIM + len(PITCHES), width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, HARMONICS * FRAMES),
        )
        # the overtones of a string are sharper than multiples of its fundamental: n f sqrt(1 + B n^2)
        self.stiffness = nn.Parameter(torch.zeros(len(PITCHES)))

    def forward(self, z: Tensor, label: Tensor) -> Tensor:
        pitch = functional.one_hot(label, len(PITCHES)).to(z)
        raw = self.levels(torch.cat([z, pitch], 1)).reshape(-1, HARMONICS, FRAMES)
        levels = 2.0 * (raw - 3.0).sigmoid() ** math.log(10.0)  # a level is at most 2, equation 5 of the paper
        levels = functional.interpolate(levels, SAMPLES, mode="linear", align_corners=True)  # [B, H, T]
        hertz = self.partials()[label]  # [B, H]
        time = torch.arange(SAMPLES, device=z.device) / RATE
        waves = (2.0 * math.pi * hertz[:, :, None] * time).sin() * (hertz < RATE / 2)[:, :, None]
        return (levels * waves).sum(1)

    def partials(self) -> Tensor:
        """The frequency of each harmonic of each key in Hz, [25, H].

        They are worked out for all keys at once: with another rounding in each batch, waves would drift apart.
        """
        n = torch.arange(1, HARMONICS + 1, device=self.stiffness.device)
        stiffness = 4e-4 * self.stiffness.exp()
        return frequencies().to(n.device)[:, None] * n * (1.0 + stiffness[:, None] * n.square()).sqrt()


class Encoder(nn.Module):
    """Waveforms [B, 4000] and labels [B] to the mean and the log variance of latents, [B, 4] each."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.LazyLinear(width), nn.SiLU(), nn.Linear(width, 2 * LATENT_DIM))

    def forward(self, waves: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        spectrum = (magnitudes(waves, 256) + 1e-4).log().flatten(1) / 5.0 + 1.0
        mean, log_variance = self.net(torch.cat([spectrum, functional.one_hot(label, len(PITCHES))], 1)).chunk(2, 1)
        return mean, log_variance


def magnitudes(waves: Tensor, size: int) -> Tensor:
    """Short-time spectra [B, F, W] of waveforms, with windows of this size, a quarter apart."""
    window = torch.hann_window(size, device=waves.device)
    return torch.stft(waves, size, size // 4, window=window, return_complex=True).abs() / window.sum()


def load() -> Decoder:
    """The trained decoder."""
    decoder = Decoder()
    decoder.load_state_dict(load_file(WEIGHTS))
    return decoder.eval()
