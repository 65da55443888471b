"""The gated family: an affine map that acts only where the activation looks like the concept."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lineas.errors import MapError
from lineas.maps.affine import AffineParameters
from lineas.maps.base import Map, along, check_tensors
from lineas.maps.parameters import Start
from lineas.maps.sums import add_outer, over_positions, over_units, over_weighted_positions, quick, scaled
from lineas.maths.transport import spread

SHARPNESS = 4.0
UNLIKE = 1e-3
"""How far source and target must lie apart at least, in spreads per unit, to give a gate a direction."""


class GatedParameters(AffineParameters):
    """An affine map's parameters and those of its gate, which starts where the concept was found."""

    positions = 64

    def __init__(self, start: Start) -> None:
        super().__init__(start)
        assert start.source is not None and start.target is not None
        self.gate_center, self.gate_spread, direction, offset = gate_start(start.source, start.target)
        self.direction, self.offset = direction.requires_grad_(), offset.requires_grad_()

    def free(self) -> list[Tensor]:
        return [self.direction, self.offset]

    def map(self) -> Map:
        gate = (self.direction, self.offset, self.gate_center, self.gate_spread)
        return GatedMap(self.deviation, self.raw_shift(), *gate)


def gate_start(source: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """[n, p, d], [m, p, d] positions -> [d] center, [d] spread, [d] direction and [] offset of a gate.

    The gate starts open where positions of source prompts are most unlike all target positions. A concept
    fills few positions of a prompt, so its direction is found in turns: the position of each prompt that lies
    furthest along the direction so far is taken for the concept, and gives the next direction. Where source
    and target do not differ the gate is half open everywhere, direction and offset 0.
    """
    u, v = source.flatten(0, 1), target.flatten(0, 1)
    center, unit = v.mean(0), spread(u, v)
    away = (source - center) / unit
    direction = away.mean((0, 1))
    if direction.square().mean().sqrt() < UNLIKE:
        return center, unit, torch.zeros_like(direction), direction.new_zeros(())
    for _ in range(5):
        furthest = (away @ direction).argmax(1)
        direction = away[torch.arange(len(away), device=away.device), furthest].mean(0)
    found, usual = (away @ direction).amax(1).mean(), ((v - center) / unit) @ direction
    threshold = (found + torch.quantile(usual, 0.95)) / 2
    # Where the concept hardly stands out, a gate as sharp as the gap would be a step that cannot learn.
    scale = 1 / torch.maximum(found - threshold, usual.std(correction=0) / 2).clamp_min(1e-6)
    return center, unit, direction * scale, -threshold * scale


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
    parameters = GatedParameters

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

    def step(self, z: Tensor, strength: float, axis: int) -> Tensor:
        wide = torch.promote_types(z.dtype, torch.float32)
        deviation, shift = strength * self.deviation.to(wide), strength * self.shift.to(wide)
        weight = SHARPNESS * (self.direction / self.spread).to(wide)
        offset = SHARPNESS * self.offset.to(wide) - weight @ self.center.to(wide)
        return cast(Tensor, GatedStep.apply(z, deviation, shift, weight, offset, axis))

    def at(self, strength: float) -> GatedMap:
        """Deviation and shift scaled by `strength`; the gate stays as it is."""
        return replace(self, deviation=strength * self.deviation, shift=strength * self.shift)

    def check(self) -> None:
        check_tensors(self, {name: () if name == "offset" else (self.width,) for name in self.names()})
        if not bool((self.spread > 0).all()):
            raise MapError("spread of a gated map holds values ≤ 0, expected positive ones.")


class GatedStep(torch.autograd.Function):
    """[…, d, …] z, [d] deviation, shift, weight, [] offset -> z + g ⊙ (deviation ⊙ z + shift), as z.

    g = σ(weight · z + offset), per position. It keeps z and g, which is one number per position.
    """

    @staticmethod
    def forward(ctx: Any, z: Tensor, deviation: Tensor, shift: Tensor, weight: Tensor, offset: Tensor,
                axis: int) -> Tensor:  # fmt: skip
        ctx.axis = axis
        work = quick(z, weight.dtype)
        gate = torch.sigmoid(over_units(work, weight, axis) + offset)
        ctx.save_for_backward(z, gate, deviation, shift, weight)
        change = scaled(work, deviation, shift, axis, torch.empty_like(work))
        return torch.addcmul(work, gate, change, out=change).to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        z, gate, deviation, shift, weight = ctx.saved_tensors
        axis, dtype = ctx.axis, gradient.dtype
        z, gradient = quick(z, weight.dtype), quick(gradient, weight.dtype)
        buffer = gradient * z  # one new tensor serves all that follows
        opened = over_units(buffer, deviation, axis) + over_units(gradient, shift, axis)
        score = gate * (1 - gate) * opened
        to_deviation = over_weighted_positions(buffer, gate, axis, buffer)
        to_weight = over_weighted_positions(z, score, axis, buffer)
        through = torch.mul(gradient, gate, out=buffer)
        to_shift = over_positions(through, axis)
        to_z = scaled(through, deviation, None, axis, buffer).add_(gradient)
        add_outer(to_z, score, weight, axis)
        return to_z.to(dtype), to_deviation, to_shift, to_weight, score.sum(), None
