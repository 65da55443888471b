"""Penalties on deviations: a value, and the proximal step that makes exact zeros."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from lineas.errors import ConfigError

NEWTON_STEPS = 12


@dataclass(frozen=True)
class SparseGroupLasso:
    """l1 · ‖x‖₁ + group · √d · ‖x‖₂ on one vector: ω − 1 of a site, or its b, each on its own.

    l1: at least 0; raising it leaves fewer units touched within a site.
    group: at least 0; raising it leaves fewer sites touched at all.
    Source: LinEAS section 3.2.
    """

    l1: float = 1.0
    group: float = 1.0

    def __post_init__(self) -> None:
        if not (0 <= self.l1 < math.inf and 0 <= self.group < math.inf):
            raise ConfigError(
                f"Penalty weights must be finite and at least 0, got {self.l1} and {self.group}."
            )

    def value(self, x: Tensor) -> Tensor:
        """[d] -> [] the penalty, 0 at x = 0, where its gradient is 0 too."""
        return self.l1 * x.abs().sum() + self._group_weight(x) * torch.linalg.vector_norm(x)

    def prox(self, x: Tensor, step: float | Tensor) -> Tensor:
        """[d] -> [d]: argmin over y of step · value(y) + ½ ‖y − x‖², for `step` ≥ 0 (0 returns x's values).

        Soft threshold by step · l1, then group shrink by step · group · √d; exact and finite at 0.
        A step per unit, [d] > 0, is that of a diagonal metric: argmin of value(y) + Σ (y − x)² / (2 step).
        """
        if isinstance(step, Tensor):
            return self._diagonal_prox(x, step)
        if not 0 <= step < math.inf:
            raise ConfigError(f"A proximal step must be finite and at least 0, got {step}.")
        work = x.to(torch.promote_types(x.dtype, torch.float32))
        soft = work.sign() * (work.abs() - step * self.l1).clamp_min(0)
        threshold = step * self._group_weight(x)
        if threshold == 0:
            return soft.to(x.dtype)
        norm = torch.linalg.vector_norm(soft)
        # The norm is replaced where it is not divided by, so that no gradient meets 0/0.
        kept = norm > threshold
        # Among subnormal numbers the quotient overflows.
        shrunk = soft * (1 - (threshold / torch.where(kept, norm, 1)).clamp_max(1))
        return torch.where(kept, shrunk, 0).to(x.dtype)

    def _diagonal_prox(self, x: Tensor, step: Tensor) -> Tensor:
        """y = soft / (1 + step · weight / r), r = ‖y‖ by Newton's method; 0 if ‖soft / step‖ ≤ weight."""
        work, weight = x.to(torch.promote_types(x.dtype, torch.float32)), self._group_weight(x)
        soft = work.sign() * (work.abs() - step * self.l1).clamp_min(0)
        if weight == 0:
            return soft.to(x.dtype)
        kept = torch.linalg.vector_norm(soft / step) > weight
        square, offset = soft.square(), step * weight
        # Never above the root, and close to it where the offsets are small.
        r = (torch.linalg.vector_norm(soft) - torch.where(soft != 0, offset, 0).max()).clamp_min(0)
        for _ in range(NEWTON_STEPS):
            # ‖y‖ = r where q = 1; 1/√q is close to linear in r, and exactly so for equal steps.
            q = (square / (r + offset).square()).sum()
            slope = (square / (r + offset) ** 3).sum()
            r = r + (q.pow(1.5) - q) / torch.where(kept, slope, 1)
        return torch.where(kept, soft * r / (r + offset), 0).to(x.dtype)

    def _group_weight(self, x: Tensor) -> float:
        return self.group * math.sqrt(x.numel())
