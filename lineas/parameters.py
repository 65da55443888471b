"""What training moves: a few numbers per unit, in units of the unit's own spread, that make a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lineas.affine import AffineMap, UnitMap
from lineas.gated import GatedMap


@dataclass(frozen=True, eq=False)
class Statistics:
    """[d] constants of one site that make its parameters free of scale.

    spread: the unit that a shift is measured in; ones for the paper's raw parameters.
    center: where a scale pivots, so that scale and shift do not fight; zeros for the paper's raw parameters.
    direction, offset, gate_center, gate_spread: where the gate of a gated map starts, None for affine maps.
    """

    spread: Tensor
    center: Tensor
    direction: Tensor | None = None
    offset: Tensor | None = None
    gate_center: Tensor | None = None
    gate_spread: Tensor | None = None


class AffineParameters:
    """ω − 1 and the shift at the pivot: T(z) = z + deviation ⊙ (z − center) + spread ⊙ shift, all [d].

    Both are zero at the identity, and a unit with two zeros is untouched, so a penalty on them is a penalty
    on the map's support.
    """

    kind: ClassVar[str] = "affine"

    def __init__(self, statistics: Statistics) -> None:
        self.statistics = statistics
        self.deviation = torch.zeros_like(statistics.spread).requires_grad_()
        self.shift = torch.zeros_like(statistics.spread).requires_grad_()

    def penalised(self) -> list[Tensor]:
        """The parameters that the sparse group lasso shrinks."""
        return [self.deviation, self.shift]

    def free(self) -> list[Tensor]:
        """The parameters that no penalty touches."""
        return []

    def all(self) -> list[Tensor]:
        """Every parameter, in a fixed order."""
        return [*self.penalised(), *self.free()]

    def gradients(self) -> list[Tensor]:
        """The gradients that there are."""
        return [p.grad for p in self.all() if p.grad is not None]

    def forget_gradients(self) -> None:
        """As if no backward pass had been."""
        for parameter in self.all():
            parameter.grad = None

    def map(self) -> UnitMap:
        """The map; gradients flow through it to the parameters."""
        return AffineMap(self.deviation, self._raw_shift())

    def _raw_shift(self) -> Tensor:
        return self.statistics.spread * self.shift - self.statistics.center * self.deviation


class GatedParameters(AffineParameters):
    """An affine map's parameters and those of its gate, which starts where the concept was found."""

    kind: ClassVar[str] = "gated"

    def __init__(self, statistics: Statistics) -> None:
        super().__init__(statistics)
        assert statistics.direction is not None and statistics.offset is not None
        self.direction = statistics.direction.clone().requires_grad_()
        self.offset = statistics.offset.clone().requires_grad_()

    def free(self) -> list[Tensor]:
        return [self.direction, self.offset]

    def map(self) -> UnitMap:
        center, spread = self.statistics.gate_center, self.statistics.gate_spread
        assert center is not None and spread is not None
        return GatedMap(self.deviation, self._raw_shift(), self.direction, self.offset, center, spread)


PARAMETERS = {kind.kind: kind for kind in (AffineParameters, GatedParameters)}
