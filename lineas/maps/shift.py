"""The shift family: a shift alone, which is what servers that add a vector to an activation can take."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lineas.maps.affine import AffineMap
from lineas.maps.base import Map, along, check_tensors
from lineas.maps.parameters import Parameters, Start


class ShiftParameters(Parameters):
    """The shift in units of each unit's spread, [d]."""

    def __init__(self, start: Start) -> None:
        self.spread = start.spread
        self.shift = torch.zeros_like(start.spread).requires_grad_()

    def penalised(self) -> list[Tensor]:
        return [self.shift]

    def map(self) -> Map:
        return ShiftMap(self.spread * self.shift)


@dataclass(frozen=True, eq=False)
class ShiftMap(Map):
    """[…, d, …] -> the same shape: z + λ shift; the affine map whose scale ω is 1.

    shift: [d] b, neutral 0, in the activation's own units.
    """

    shift: Tensor

    kind: ClassVar[str] = "shift"
    parameters = ShiftParameters
    sparse: ClassVar[bool] = True

    @classmethod
    def identity(cls, width: int) -> ShiftMap:
        """The map of `width` units that changes nothing."""
        return cls(torch.zeros(width))

    @property
    def width(self) -> int:
        return self.shift.numel()

    @property
    def support(self) -> Tensor:
        return self.shift != 0

    def change(self, z: Tensor, axis: int) -> Tensor:
        return along(self.shift, axis, z).expand_as(z)

    def affine(self) -> AffineMap:
        return AffineMap(torch.zeros_like(self.shift), self.shift)

    def at(self, strength: float) -> ShiftMap:
        return ShiftMap(strength * self.shift)

    def inverse(self, min_scale: float = 0.05) -> tuple[ShiftMap, Tensor]:
        """The shift the other way; no unit has to be limited, whatever `min_scale` is."""
        return ShiftMap(-self.shift), torch.zeros_like(self.support)

    def check(self) -> None:
        check_tensors(self, {"shift": (self.width,)})
