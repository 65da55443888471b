"""Maps that act on the units of an activation: what all families share, and the affine family of LinEAS."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lineas.errors import MapError
from lineas.maps.base import Map, along, check_tensors
from lineas.maps.parameters import Parameters, Start
from lineas.maps.sums import over_positions, quick, scaled


class AffineParameters(Parameters):
    """ω − 1 and the shift at the pivot: T(z) = z + deviation ⊙ (z − center) + spread ⊙ shift, all [d].

    Both are zero at the identity, and a unit with two zeros is untouched, so a penalty on them is a penalty
    on the map's support.
    """

    def __init__(self, start: Start) -> None:
        self.spread, self.center = start.spread, start.center
        self.deviation = torch.zeros_like(start.spread).requires_grad_()
        self.shift = torch.zeros_like(start.spread).requires_grad_()

    def penalised(self) -> list[Tensor]:
        return [self.deviation, self.shift]

    def map(self) -> Map:
        return AffineMap(self.deviation, self.raw_shift())

    def raw_shift(self) -> Tensor:
        """[d] b, in the activation's own units."""
        return self.spread * self.shift - self.center * self.deviation


@dataclass(frozen=True, eq=False)
class AffineMap(Map):
    """[…, d, …] -> the same shape: z + λ (deviation ⊙ z + shift), with ω = 1 + deviation and b = shift.

    deviation: [d] ω − 1, neutral 0, without unit.
    shift: [d] b, neutral 0, in the activation's own units.
    Source: LinEAS section 3. Held as deviations, so that identity, penalty and sparsity share one zero.
    """

    deviation: Tensor
    shift: Tensor

    kind: ClassVar[str] = "affine"
    parameters = AffineParameters
    sparse: ClassVar[bool] = True

    @classmethod
    def identity(cls, width: int) -> AffineMap:
        """The map of `width` units that changes nothing."""
        return cls(torch.zeros(width), torch.zeros(width))

    @property
    def width(self) -> int:
        return self.deviation.numel()

    @property
    def scale(self) -> Tensor:
        """[d] ω."""
        return 1 + self.deviation

    @property
    def support(self) -> Tensor:
        return (self.deviation != 0) | (self.shift != 0)

    def change(self, z: Tensor, axis: int) -> Tensor:
        return torch.addcmul(along(self.shift, axis, z), along(self.deviation, axis, z), z)

    def moved(self, z: Tensor, strength: float, axis: int) -> Tensor:
        return scaled(z, *self._factors(strength, z.dtype), axis, torch.empty_like(z))

    def step(self, z: Tensor, strength: float, axis: int) -> Tensor:
        wide = torch.promote_types(z.dtype, torch.float32)
        return cast(Tensor, AffineStep.apply(z, *self._factors(strength, wide), axis))

    def _factors(self, strength: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
        """[d] of z and [d] beside it at a strength."""
        return 1 + strength * self.deviation.to(dtype), strength * self.shift.to(dtype)

    def affine(self) -> AffineMap:
        return self

    def at(self, strength: float) -> AffineMap:
        return AffineMap(strength * self.deviation, strength * self.shift)

    def inverse(self, min_scale: float = 0.05) -> tuple[AffineMap, Tensor]:
        """T⁻¹(z) = (z − b) ⊘ ω, and [d] bool: the units whose ω had to be limited.

        Where |ω| < `min_scale` (0 < min_scale ≤ 1) ω is pushed out to ±min_scale, keeping its sign, + for 0;
        for those units the inverse is only approximate. Raises `MapError` for another `min_scale`.
        """
        if not 0 < min_scale <= 1:
            raise MapError(f"min_scale is {min_scale}, expected a number in (0, 1]: the identity must stay.")
        limited = self.scale.abs() < min_scale
        outward = torch.where(self.scale < 0, -min_scale, min_scale).to(self.scale)
        deviation = torch.where(limited, outward - 1, self.deviation)
        scale = torch.where(limited, outward, self.scale)
        return AffineMap(-deviation / scale, -self.shift / scale), limited

    def then(self, other: Map) -> AffineMap:
        """`other` after this map: (ω₂ω₁, ω₂b₁ + b₂). Not commutative. `MapError` when they do not fit."""
        second = self._affine(other)
        deviation = self.deviation + second.deviation + self.deviation * second.deviation
        return AffineMap(deviation, second.scale * self.shift + second.shift)

    def plus(self, other: Map) -> AffineMap:
        """The sum of both deviations and shifts, as LoRA-style stacking does. Commutative."""
        second = self._affine(other)
        return AffineMap(self.deviation + second.deviation, self.shift + second.shift)

    def check(self) -> None:
        check_tensors(self, {"deviation": (self.width,), "shift": (self.width,)})

    def _affine(self, other: Map) -> AffineMap:
        affine = other.affine()
        if affine is None:
            raise MapError(
                f"An affine map and a {other.kind} map do not make one affine map. "
                "Apply both: steer(model, [a, b])."
            )
        if affine.width != self.width:
            raise MapError(f"The maps have {self.width} and {other.width} units; they must act on one site.")
        return affine


class AffineStep(torch.autograd.Function):
    """[…, d, …] z, [d] scale, [d] shift -> scale ⊙ z + shift in z's dtype, rounded once; keeps z alone."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, scale: Tensor, shift: Tensor, axis: int) -> Tensor:
        ctx.axis = axis
        ctx.save_for_backward(z if ctx.needs_input_grad[1] else None, scale)
        work = quick(z, scale.dtype)
        return scaled(work, scale, shift, axis, torch.empty_like(work)).to(z.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None, None]:
        z, scale = ctx.saved_tensors
        to_z, to_scale, to_shift, _ = ctx.needs_input_grad
        work = quick(gradient, scale.dtype)
        buffer = torch.empty_like(work)  # in this order one new tensor serves both
        scale_gradient = over_positions(torch.mul(work, z, out=buffer), ctx.axis) if to_scale else None
        return (
            scaled(work, scale, None, ctx.axis, buffer).to(gradient.dtype) if to_z else None,
            scale_gradient,
            over_positions(work, ctx.axis) if to_shift else None,
            None,
        )
