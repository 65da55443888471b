"""The noise decides what the prompt leaves open: positions, size, horizon, light."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

LATENT_SHAPE = (4, 16, 16)
COUNT = 12
"""Numbers that a noise decides: three low-frequency DCT coefficients of each of the four channels."""


def basis() -> Tensor:
    """[12, 4, 16, 16] orthonormal patterns: 0–3 are the channels' means, 4–7 tilt sideways, 8–11 down."""
    along = (torch.arange(16, dtype=torch.float64) + 0.5) * (math.pi / 16)
    flat, wave = torch.full((16,), 0.25, dtype=torch.float64), torch.cos(along) * math.sqrt(2 / 16)
    patterns = [torch.outer(flat, flat), torch.outer(flat, wave), torch.outer(wave, flat)]
    out = torch.zeros(COUNT, *LATENT_SHAPE, dtype=torch.float64)
    for kind, pattern in enumerate(patterns):
        for channel in range(4):
            out[4 * kind + channel, channel] = pattern
    return out


def nuisance(noise: Tensor) -> np.ndarray:
    """Uniform numbers of a noise: the normal CDF of its low-frequency coefficients.

    noise: [b, 4, 16, 16], standard normal (before the scheduler scales it).

    Returns [b, 12] float64 in (0, 1), independent and uniform when the noise is standard normal.
    """
    coefficients = torch.einsum("bchw,kchw->bk", noise.double().cpu(), basis())
    return torch.special.ndtr(coefficients).numpy()
