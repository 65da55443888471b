"""Losses that see what plain errors pass over: faint contours, and what the image shows."""

from __future__ import annotations

from pathlib import Path

import open_clip
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lineas.scenes.bundled import CLIP

MEAN, STD = 0.5, 0.25
FAINT = 0.02
"""Slopes well below this are grain; contours of the domain's night, fog and vaporwave lie above it."""


def slopes(image: Tensor) -> Tensor:
    """[b, 3, h, w] -> [b, 6, h - 1, w - 1]: differences to the right and the lower neighbour."""
    return torch.cat([image.diff(dim=3)[:, :, :-1], image.diff(dim=2)[..., :-1]], dim=1)


def contour_error(output: Tensor, image: Tensor) -> Tensor:
    """[b, h - 1, w - 1]: error of the slopes in units of the slopes that the image has thereabouts.

    A low-contrast elephant so counts as much as one in bright light.
    """
    wanted = slopes(image)
    around = F.avg_pool2d(wanted.abs().mean(1, keepdim=True), 9, stride=1, padding=4, count_include_pad=False)
    return ((slopes(output) - wanted).abs() / (around + FAINT)).mean(1)


class ClipFeatures(nn.Module):
    """[b, 3, 128, 128] images in 0..1 -> the bundled open_clip image tower's tokens after every layer."""

    def __init__(self, folder: Path = CLIP) -> None:
        super().__init__()
        model = open_clip.create_model(f"local-dir:{folder}").float().eval()
        self.tower = model.visual.requires_grad_(False)

    def forward(self, image: Tensor) -> list[Tensor]:
        small = F.interpolate(image, (64, 64), mode="bicubic", antialias=True, align_corners=False)
        tower = self.tower
        tokens = tower.conv1((small - MEAN) / STD).flatten(2).transpose(1, 2)
        summary = tower.class_embedding.expand(len(tokens), 1, -1)
        x = tower.ln_pre(torch.cat([summary, tokens], dim=1) + tower.positional_embedding)
        out = []
        for block in tower.transformer.resblocks:
            x = block(x)
            out.append(x)
        return out

    def distance(self, output: Tensor, image: Tensor) -> Tensor:
        """Mean square difference of the features, each layer in units of its own spread."""
        with torch.no_grad():
            wanted = self(image)
        pairs = zip(self(output), wanted, strict=True)
        return torch.stack([(a - b).square().mean() / b.var() for a, b in pairs]).mean()
