"""The virtual-token family: vectors behind a prompt's words, which say what the prompt does not."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from lineas.errors import MapError
from lineas.maps.base import Map, along, check_tensors
from lineas.maps.gated import UNLIKE
from lineas.maps.parameters import Parameters, Start

COUNT = 3
"""Virtual tokens of a fit: as many as name a concept, and few enough for several steerings at once."""
LAST = 5
"""The same where an image model does not see what lies behind a prompt, so that they lie over its last
places: as many as a chat template ends with."""
MOST = 256
OWN = 0.5
"""A token of a target prompt is the concept's where it is at least this share as new as the newest one."""


WORDS = 0.3
"""How fast a prompt's own words move in training, beside the virtual tokens."""


class VirtualTokenParameters(Parameters):
    """The vectors [k, d], and scale and shift [d] of the prompt's own words, in units of each unit's spread.

    The vectors start as the words that name the concept.
    """

    positions = 64
    slots = LAST

    def __init__(self, start: Start) -> None:
        assert start.source is not None and start.target is not None and start.behind is not None
        self.spread, self.center = start.spread, start.center
        count = COUNT if start.seen else LAST
        words = concept_words(start.source / self.spread, start.target / self.spread, count)
        before = start.behind.mean(0)[:count] / self.spread
        self.vectors = (words - before if words is not None else torch.zeros_like(before)).requires_grad_()
        self.deviation = torch.zeros_like(start.spread).requires_grad_()
        self.shift = torch.zeros_like(start.spread).requires_grad_()
        self.offset = start.spread.new_tensor(0 if start.seen else 1 - count)

    def penalised(self) -> list[Tensor]:
        return [self.vectors, self.deviation, self.shift]

    def map(self) -> Map:
        deviation = WORDS * self.deviation
        shift = WORDS * self.spread * self.shift - self.center * deviation
        return VirtualTokenMap(self.spread * self.vectors, deviation, shift, self.offset)


def concept_words(source: Tensor, target: Tensor, count: int) -> Tensor | None:
    """[n, p, d], [m, q, d] tokens of prompts without and with a concept -> [count, d] what names the concept.

    The tokens of target prompts that are like no token of source prompts, in `count` clusters; None where
    there are none.
    """
    known = source.flatten(0, 1).unique(dim=0)
    nearest = torch.cdist(target, known.expand(len(target), -1, -1)).amin(-1)
    furthest = nearest.amax(1, keepdim=True)
    own = target[(nearest > OWN * furthest) & (furthest > UNLIKE * known.shape[1] ** 0.5)]
    return clusters(own.unique(dim=0), count) if len(own) else None


def clusters(rows: Tensor, count: int, turns: int = 20) -> Tensor:
    """[n, d] -> [count, d] centres of k-means, begun at rows that lie far apart; doubled where n is small."""
    centres = rows[(rows - rows.mean(0)).norm(dim=1).argmin()][None]
    while len(centres) < count:
        centres = torch.cat([centres, rows[torch.cdist(rows, centres).amin(1).argmax()][None]])
    for _ in range(turns):
        nearest = torch.cdist(rows, centres).argmin(1)
        centres = torch.stack(
            [rows[nearest == i].mean(0) if bool((nearest == i).any()) else c for i, c in enumerate(centres)]
        )
    return centres


@dataclass(frozen=True, eq=False)
class VirtualTokenMap(Map):
    """[b, s, d] -> the same shape: λ · vector added at k positions of each prompt, from its end token on.

    A text encoder fills a prompt up to a fixed length; what stands behind the prompt is seen by the image
    model as well as its words are, and means nothing yet. A prompt too long for k positions behind its end
    token has the last k instead. One
    without a token of its own is left alone: guidance steers away from the empty prompt.

    vectors: [k, d] neutral 0, in the activation's own units. Leading zeros leave positions to others.
    deviation, shift: [d] of the words before them, as in an affine map; neutral 0.
    offset: [] where the first of the k positions lies from the end token, 0 or before it (a whole number).
    first: [b] int, where each prompt's positions begin; known while the model runs, see `placed`.
    """

    vectors: Tensor
    deviation: Tensor
    shift: Tensor
    offset: Tensor
    first: Tensor | None = None

    kind: ClassVar[str] = "virtual"
    parameters = VirtualTokenParameters

    @classmethod
    def names(cls) -> tuple[str, ...]:
        return ("vectors", "deviation", "shift", "offset")

    @classmethod
    def identity(cls, width: int) -> VirtualTokenMap:
        """The map of `width` units that changes nothing."""
        return cls(torch.zeros(1, width), torch.zeros(width), torch.zeros(width), torch.zeros(()))

    @property
    def width(self) -> int:
        return self.vectors.shape[-1] if self.vectors.ndim else 1

    @property
    def support(self) -> Tensor:
        return (self.vectors != 0).any(0) | (self.deviation != 0) | (self.shift != 0)

    @property
    def needs_tokens(self) -> bool:
        return True

    def placed(self, real: Tensor) -> VirtualTokenMap:
        order = torch.arange(1, real.shape[1] + 1, device=real.device)
        start, last = (real * order).amax(1) - 1 + int(self.offset), max(0, real.shape[1] - self.slots)
        worded = real.any(1)
        if bool(((start > last) | (start < 0))[worded].any()):
            too_short, counts = bool((start < 0)[worded].any()), real.sum(1)[worded]
            count, advice = (counts.min(), "Lengthen") if too_short else (counts.max(), "Shorten")
            warnings.warn(
                f"A prompt of {int(count)} tokens leaves no room for {self.slots} virtual ones, "
                f"of {real.shape[1]} in all: they lie over its words. {advice} the prompt.",
                stacklevel=2,
            )
        return replace(self, first=start.clamp(0, last).masked_fill(~worded, -self.slots))

    @property
    def slots(self) -> int:
        return len(self.vectors)

    def behind(self, slots: int) -> VirtualTokenMap:
        if self.offset < 0:
            return replace(self, offset=self.offset - slots)
        return replace(self, vectors=pad(self.vectors, (0, 0, slots, 0)))

    def change(self, z: Tensor, axis: int) -> Tensor:
        if self.first is None or z.ndim != 3 or axis % 3 != 2 or len(z) != len(self.first):
            raise MapError(
                f"Virtual tokens act on texts [b, s, d] of a text encoder, got {list(z.shape)}. "
                "Keep them at the sites that they were fitted on."
            )
        place = torch.arange(z.shape[1], device=z.device) - self.first.to(z.device)[:, None]
        own = torch.addcmul(along(self.shift, 2, z), along(self.deviation, 2, z), z)
        inside = (place >= 0) & (place < self.slots)
        behind = pad(self.vectors.to(z.dtype), (0, 0, 0, 1))[torch.where(inside, place, self.slots)]
        return torch.where((place < 0)[..., None], own, behind)

    def at(self, strength: float) -> VirtualTokenMap:
        return replace(
            self,
            vectors=strength * self.vectors,
            deviation=strength * self.deviation,
            shift=strength * self.shift,
        )

    def check(self) -> None:
        count = len(self.vectors) if self.vectors.ndim == 2 else 0
        if not 0 < count <= MOST:
            raise MapError(
                f"vectors of a virtual map have shape {list(self.vectors.shape)}, expected [k, d]."
            )
        width = self.width
        shapes = {"vectors": (count, width), "deviation": (width,), "shift": (width,), "offset": ()}
        check_tensors(self, shapes)
        if not -MOST <= float(self.offset) <= 0 or float(self.offset) % 1:
            raise MapError(f"offset of a virtual map is {float(self.offset):g}, expected −{MOST} to 0.")
