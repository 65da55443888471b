"""The low-rank family: representation finetuning in a linear subspace."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from lineas.maps.base import Map, check_tensors


@dataclass(frozen=True, eq=False)
class LowRankMap(Map):
    """[…, d, …] -> the same shape: z + λ Rᵀ(W z + b − R z), in the r-dimensional row space of R.

    rotation: [r, d] R, with orthonormal rows (kept so by the method that fits it, not checked here).
    weight: [r, d] W, neutral R. bias: [r] b, neutral 0.
    Source: LoReFT, arXiv 2404.03592, equation 2.
    """

    rotation: Tensor
    weight: Tensor
    bias: Tensor

    kind: ClassVar[str] = "low_rank"

    @classmethod
    def identity(cls, width: int, rank: int = 1) -> LowRankMap:
        """The map of `width` units that changes nothing, in the space of the first `rank` units."""
        return cls(torch.eye(rank, width), torch.eye(rank, width), torch.zeros(rank))

    @property
    def width(self) -> int:
        return self.rotation.shape[-1] if self.rotation.ndim else 1

    @property
    def support(self) -> Tensor:
        acting = (self.weight != self.rotation).any(-1) | (self.bias != 0)
        return ((self.rotation != 0) & acting[:, None]).any(0)

    def change(self, z: Tensor, axis: int) -> Tensor:
        rotation, weight, bias = (t.to(z.dtype) for t in (self.rotation, self.weight, self.bias))
        units_last = z.movedim(axis, -1)
        residual = torch.nn.functional.linear(units_last, weight - rotation, bias)
        return (residual @ rotation).movedim(-1, axis)

    def at(self, strength: float) -> LowRankMap:
        """R stays; λ(W z + b − R z) = (λW + (1 − λ)R) z + λb − R z."""
        weight = strength * self.weight + (1 - strength) * self.rotation
        return replace(self, weight=weight, bias=strength * self.bias)

    def check(self) -> None:
        rank = self.bias.numel()
        shape = (rank, self.width)
        check_tensors(self, {"rotation": shape, "weight": shape, "bias": (rank,)})
