"""What training moves: a few numbers per unit, in units of the unit's own spread, that make a map."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lineas.fitting.micro_batches import MicroBatches
from lineas.maps.affine import AffineMap
from lineas.maps.base import Map
from lineas.maps.gated import GatedMap
from lineas.maths.pooling import TokenPooling
from lineas.maths.transport import spread
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.objective import Objective
from lineas.steering.site import Site


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

    def map(self) -> Map:
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

    def map(self) -> Map:
        center, spread = self.statistics.gate_center, self.statistics.gate_spread
        assert center is not None and spread is not None
        return GatedMap(self.deviation, self._raw_shift(), self.direction, self.offset, center, spread)


PARAMETERS = {kind.kind: kind for kind in (AffineParameters, GatedParameters)}


GATE_POSITIONS = 64
"""Positions per prompt that a gate is started from."""


def starting_statistics(
    batches: MicroBatches, config: TrainConfig, objective: Objective
) -> dict[Site, Statistics]:
    """Statistics of every site, from the rows of the untouched model."""
    plain = {site: _statistics(site, config, objective) for site in batches.problem.sites}
    if config.map == "affine":
        return plain
    pooling = TokenPooling(GATE_POSITIONS, config.seed)
    source, target = batches.rows("source", pooling), batches.rows("target", pooling)
    prompts = batches.problem.sizes["source"]
    return {site: _with_gate(each, prompts, source[site], target[site]) for site, each in plain.items()}


def _statistics(site: Site, config: TrainConfig, objective: Objective) -> Statistics:
    if not config.standardise:
        ones = torch.ones_like(objective.spreads[site][0])
        return Statistics(spread=ones, center=torch.zeros_like(ones))
    spreads, rows = objective.spreads[site], objective.source[site]
    return Statistics(spread=torch.stack(spreads).mean(0), center=torch.cat(rows).mean(0))


def _with_gate(plain: Statistics, prompts: int, source: list[Tensor], target: list[Tensor]) -> Statistics:
    """The gate starts open where positions of source prompts are most unlike all target positions.

    A concept fills few positions of a prompt, so its direction is found in turns: the position of each prompt
    that lies furthest along the direction so far is taken for the concept, and gives the next direction.
    """
    u, v = torch.cat(source), torch.cat(target)
    center, unit = v.mean(0), spread(u, v)
    away = ((u - center) / unit).unflatten(0, (prompts * len(source), -1))
    direction = away.mean((0, 1))
    for _ in range(5):
        furthest = (away @ direction).argmax(1)
        direction = away[torch.arange(len(away), device=away.device), furthest].mean(0)
    found, usual = (away @ direction).amax(1).mean(), ((v - center) / unit) @ direction
    threshold = (found + torch.quantile(usual, 0.95)) / 2
    # Where the concept hardly stands out, a gate as sharp as the gap would be a step that cannot learn.
    scale = 1 / torch.maximum(found - threshold, usual.std(correction=0) / 2).clamp_min(1e-6)
    return Statistics(plain.spread, plain.center, direction * scale, -threshold * scale, center, unit)
