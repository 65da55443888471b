"""The banded family: an affine map that acts only on values in the range that it was estimated on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from lineas.errors import MapError
from lineas.maps.base import Map, along, check_tensors


@dataclass(frozen=True, eq=False)
class BandedMap(Map):
    """[…, d, …] -> the same shape: z + λ (deviation ⊙ z + shift) where low ≤ z ≤ high, z elsewhere.

    Decided for every single value, so that what lies outside of what was seen is left alone.

    deviation: [d] ω − 1, neutral 0. shift: [d] b, neutral 0, in the activation's own units.
    low, high: [d] the range, low ≤ high, in the activation's own units.
    Source: the transport support Q_o of Lin-AcT, arXiv 2410.23054, section 3.1.
    """

    deviation: Tensor
    shift: Tensor
    low: Tensor
    high: Tensor

    kind: ClassVar[str] = "banded"

    @classmethod
    def identity(cls, width: int) -> BandedMap:
        """The map of `width` units that changes nothing, anywhere in −1..1."""
        zeros, ones = torch.zeros(width), torch.ones(width)
        return cls(zeros, zeros, -ones, ones)

    @property
    def width(self) -> int:
        return self.deviation.numel()

    @property
    def support(self) -> Tensor:
        return (self.deviation != 0) | (self.shift != 0)

    def change(self, z: Tensor, axis: int) -> Tensor:
        inside = (z >= along(self.low, axis, z)) & (z <= along(self.high, axis, z))
        plain = torch.addcmul(along(self.shift, axis, z), along(self.deviation, axis, z), z)
        return plain.masked_fill(~inside, 0)

    def at(self, strength: float) -> BandedMap:
        """Deviation and shift scaled by `strength`; the range stays as it is."""
        return replace(self, deviation=strength * self.deviation, shift=strength * self.shift)

    def check(self) -> None:
        check_tensors(self, dict.fromkeys(self.names(), (self.width,)))
        if not bool((self.low <= self.high).all()):
            raise MapError("low of a banded map lies above high, expected low ≤ high in every unit.")
