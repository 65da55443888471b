"""A small concept detector of the bundled domain: which objects, colours, place, … an image shows."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from lineas.scenes.grammar import COLOURS, OBJECTS, PLACES, STYLES, TIMES, WEATHERS

WEIGHTS = Path(__file__).parent / "weights" / "detector.safetensors"
MANY = {"object": tuple(OBJECTS), "colour": tuple(COLOURS)}
"""Kinds of which an image may show several: each name is a yes or no of its own."""
ONE = {"place": tuple(PLACES), "time": tuple(TIMES), "weather": tuple(WEATHERS), "style": tuple(STYLES)}
"""Kinds of which an image shows one or none: a choice, the last option is none."""
SIZES = {
    **{kind: len(names) for kind, names in MANY.items()},
    **{kind: len(names) + 1 for kind, names in ONE.items()},
}

Found = frozenset[tuple[str, str]]


class Block(nn.Module):
    """[b, c, h, w] -> the same shape: a depth of two convolutions with a skip."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.inner = nn.Sequential(
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
        )

    def forward(self, x: Tensor) -> Tensor:
        return x + self.inner(x)


class Detector(nn.Module):
    """[b, 3, 128, 128] images in 0..1 -> logits per kind, a dictionary of [b, SIZES[kind]]."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 32, 4, stride=4),
            Block(32),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            Block(64),
            nn.Conv2d(64, 96, 3, stride=2, padding=1),
            Block(96),
            Block(96),
            nn.BatchNorm2d(96),
            nn.ReLU(),
        )
        self.heads = nn.ModuleDict({kind: nn.Linear(192, size) for kind, size in SIZES.items()})

    @classmethod
    def load(cls, path: Path = WEIGHTS) -> Detector:
        """The trained detector, ready to use."""
        detector = cls()
        detector.load_state_dict({name: t.float() for name, t in load_file(path).items()}, strict=False)
        return detector.eval()

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        features = self.body(images * 2 - 1)
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], dim=1)
        return {kind: head(pooled) for kind, head in self.heads.items()}

    @torch.no_grad()
    def found(self, images: Sequence[Image.Image | np.ndarray]) -> list[Found]:
        """What each image shows, as sets of (kind, name). Images of another size are resized to 128 × 128."""
        logits = [self(part) for part in _tensor(images).split(64)]
        joined = {kind: torch.cat([part[kind] for part in logits]) for kind in SIZES}
        return [_decoded({kind: rows[i] for kind, rows in joined.items()}) for i in range(len(images))]

    @torch.no_grad()
    def probability(self, images: Sequence[Image.Image | np.ndarray], kind: str, name: str) -> Tensor:
        """[b] in 0..1: how likely each image shows one concept."""
        logits = torch.cat([self(part)[kind] for part in _tensor(images).split(64)])
        if kind in MANY:
            return logits[:, MANY[kind].index(name)].sigmoid()
        return logits.softmax(1)[:, ONE[kind].index(name)]


def _decoded(logits: dict[str, Tensor]) -> Found:
    several = [
        (kind, name)
        for kind, names in MANY.items()
        for name, x in zip(names, logits[kind], strict=True)
        if x > 0
    ]
    chosen = {kind: int(logits[kind].argmax()) for kind in ONE}
    return frozenset([*several, *((kind, ONE[kind][i]) for kind, i in chosen.items() if i < len(ONE[kind]))])


def _tensor(images: Sequence[Image.Image | np.ndarray]) -> Tensor:
    pictures = [i if isinstance(i, Image.Image) else Image.fromarray(i) for i in images]
    sized = [p.convert("RGB").resize((128, 128), Image.Resampling.BICUBIC) for p in pictures]
    return torch.from_numpy(np.stack([np.asarray(p) for p in sized])).permute(0, 3, 1, 2).float() / 255
