"""The turned family: every position is turned away from a direction, or toward it, and keeps its length."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from lineas.maps.base import Map, along, check_tensors
from lineas.maps.sums import over_units

ROUNDING = 1e-6
"""Of a position's length: what is left of it is made as long as before only where it is more than this."""


@dataclass(frozen=True, eq=False)
class TurnedMap(Map):
    """[…, d, …] -> the same shape: z + λ weight (‖z‖ u / ‖u‖ − z), per token or pixel.

    u = z − away · max(v · z, 0) v + toward · v, with the direction v. Away from it only positions are turned
    that point along it, the further the more they do; toward it all.

    direction: [d] v, of length 1 (kept so by the method that fits it, not checked here).
    away: [] neutral 0, without unit; 1 leaves nothing along v, 2 mirrors.
    toward: [] neutral 0, in the activation's own units. weight: [] neutral 1.
    Source: CASteer, arXiv 2503.09630: its removal with β = away, its addition with α = toward, and its
    renormalisation of every patch.
    """

    direction: Tensor
    away: Tensor
    toward: Tensor
    weight: Tensor

    kind: ClassVar[str] = "turned"

    @classmethod
    def identity(cls, width: int) -> TurnedMap:
        """The map of `width` units that changes nothing."""
        return cls(torch.zeros(width), torch.zeros(()), torch.zeros(()), torch.ones(()))

    @property
    def width(self) -> int:
        return self.direction.numel()

    @property
    def support(self) -> Tensor:
        return (self.direction != 0) & ((self.away != 0) | (self.toward != 0)) & (self.weight != 0)

    def change(self, z: Tensor, axis: int) -> Tensor:
        direction, away, toward, weight = (each.to(z.dtype) for each in self.tensors().values())
        push = toward - away * over_units(z, direction, axis).clamp_min(0)
        moved = torch.addcmul(z, push, along(direction, axis, z))
        before, after = (each.norm(dim=axis, keepdim=True) for each in (z, moved))
        stretched = (before / after).masked_fill(after <= ROUNDING * before, 1)
        return weight * (moved * stretched - z)

    def at(self, strength: float) -> TurnedMap:
        """The weight scaled by `strength`; the turn stays as it is."""
        return replace(self, weight=strength * self.weight)

    def check(self) -> None:
        check_tensors(self, dict.fromkeys(self.names(), ()) | {"direction": (self.width,)})
