"""The gated family: an affine map that acts only where the activation looks like the concept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from lineas.errors import MapError
from lineas.maps.base import Map, along, check_tensors

SHARPNESS = 4.0


@dataclass(frozen=True, eq=False)
class GatedMap(Map):
    """[…, d, …] -> the same shape: z + λ g(z) (deviation ⊙ z + shift), the gate decided per token or pixel.

    g(z) = σ(4 (direction · ẑ + offset)) in 0..1, with ẑ = (z − center) / spread.

    deviation: [d] ω − 1, neutral 0. shift: [d] b, neutral 0, in the activation's own units.
    direction: [d] what the concept looks like on ẑ; 0 makes the gate constant.
    offset: [] how readily the gate opens; 0 is half open at ẑ = 0.
    center, spread: [d] the statistics that standardise z; spread > 0.
    Source: a per-position logistic gate as in conditional steering (DSAS), on the maps of LinEAS.
    """

    deviation: Tensor
    shift: Tensor
    direction: Tensor
    offset: Tensor
    center: Tensor
    spread: Tensor

    kind: ClassVar[str] = "gated"

    @classmethod
    def identity(cls, width: int) -> GatedMap:
        """The map of `width` units that changes nothing, behind a half-open gate."""
        zeros = torch.zeros(width)
        return cls(zeros, zeros, zeros, torch.zeros(()), zeros, torch.ones(width))

    @property
    def width(self) -> int:
        return self.deviation.numel()

    @property
    def support(self) -> Tensor:
        return (self.deviation != 0) | (self.shift != 0)

    def gate(self, z: Tensor, axis: int = -1) -> Tensor:
        """[…, d, …] float32 or float64 -> […, 1, …] g(z): 0 leaves a position alone, 1 steers it in full."""
        weight = along(self.direction / self.spread, axis, z)
        projection = ((z - along(self.center, axis, z)) * weight).sum(axis, keepdim=True)
        return torch.sigmoid(SHARPNESS * (projection + self.offset.to(z.dtype)))

    def change(self, z: Tensor, axis: int) -> Tensor:
        plain = torch.addcmul(along(self.shift, axis, z), along(self.deviation, axis, z), z)
        return self.gate(z, axis) * plain

    def at(self, strength: float) -> GatedMap:
        """Deviation and shift scaled by `strength`; the gate stays as it is."""
        return replace(self, deviation=strength * self.deviation, shift=strength * self.shift)

    def check(self) -> None:
        check_tensors(self, {name: () if name == "offset" else (self.width,) for name in self.names()})
        if not bool((self.spread > 0).all()):
            raise MapError("spread of a gated map holds values ≤ 0, expected positive ones.")
