"""The cost of moving source rows onto target rows, one unit at a time."""

from __future__ import annotations

import torch
from torch import Tensor

from lineas.errors import MismatchError, PromptError


def cost_per_unit(u: Tensor, v: Tensor) -> Tensor:
    """[n, d] source rows, [m, d] target rows -> [d] squared 2-Wasserstein distances, in squared units.

    Sorted coupling, and the exact quantile coupling when n ≠ m. Differentiable in both. Computed and returned
    in float32, or in float64 when an input is float64. 0 for equal rows in any order.
    Raises `PromptError` without rows, `MismatchError` on other shapes. Source: LinEAS section 3.
    """
    u, v, mass = coupling(u, v)
    return (u - v).square().mean(0) if mass is None else mass @ (u - v).square()


def paired_cost_per_unit(u: Tensor, v: Tensor) -> Tensor:
    """[n, d], [n, d] -> [d] mean squared differences of row i to row i, in squared units.

    At least `cost_per_unit`, as the best coupling is the sorted one; equal where rows keep their order.
    dtype and errors as there, and `MismatchError` where n is not the same.
    """
    u, v = _comparable(u, v)
    if len(u) != len(v):
        raise MismatchError(
            f"There are {len(u)} source and {len(v)} target rows, which make no pairs. Give as many target "
            "prompts as source prompts, or couple by rank."
        )
    return (u - v).square().mean(0)


def coupling(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """[n, d], [m, d] -> [p, d], [p, d] the rows that optimal transport pairs per unit, and [p] their mass.

    Sorted for n = m, where every pair carries the same mass and None is returned for it; cut at the common
    quantiles otherwise. Differentiable in both. dtype and errors as `cost_per_unit`.
    """
    u, v = _comparable(u, v)
    u, v = u.sort(dim=0).values, v.sort(dim=0).values
    if len(u) == len(v):
        return u, v, None
    rows_u, rows_v, mass = _quantile_coupling(len(u), len(v))
    index_u, index_v = torch.tensor(rows_u, device=u.device), torch.tensor(rows_v, device=v.device)
    return u[index_u], v[index_v], torch.tensor(mass, dtype=u.dtype, device=u.device)


def cost(u: Tensor, v: Tensor, spread: Tensor | None = None) -> Tensor:
    """[n, d], [m, d] -> [] the sum over units of W2² / spread².

    `spread`: [d], positive; it makes every unit count alike, whatever its scale. None, equal to ones, is the
    cost as written in the paper. Errors as `cost_per_unit`.
    """
    per_unit = cost_per_unit(u, v)
    return per_unit.sum() if spread is None else (per_unit / spread.square()).sum()


def spread(u: Tensor, v: Tensor, floor: float = 1e-3) -> Tensor:
    """[n, d], [m, d] -> [d] the pooled standard deviation per unit, the root of the mean variance.

    Never below `floor` (0..1) times its median over the units that vary, so that dead units do not blow up.
    Ones when no unit varies. A constant: no gradient flows through it. Errors as `cost_per_unit`.
    """
    u, v = _comparable(u.detach(), v.detach())
    pooled = ((_variance(u) + _variance(v)) / 2).sqrt()
    varying = pooled[pooled > 0]
    return pooled.clamp_min(floor * varying.median()) if len(varying) else torch.ones_like(pooled)


def _variance(rows: Tensor) -> Tensor:
    # Relative to the first row a constant unit is exactly 0; around its rounded mean it would be noise.
    return (rows - rows[:1]).var(0, correction=0)


def _quantile_coupling(n: int, m: int) -> tuple[list[int], list[int], list[float]]:
    """Rows of both sides and the mass each pair carries, from the cuts i/n and j/m of [0, 1] in integers."""
    cuts = sorted({*range(0, n * m, m), *range(0, n * m, n)})
    mass = [(end - start) / (n * m) for start, end in zip(cuts, [*cuts[1:], n * m], strict=True)]
    return [cut // m for cut in cuts], [cut // n for cut in cuts], mass


def _comparable(u: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    if u.ndim != 2 or v.ndim != 2 or u.shape[1] != v.shape[1]:
        raise MismatchError(
            f"Rows of shapes {list(u.shape)} and {list(v.shape)} differ, expected [n, d] and [m, d]. "
            "Pool both in the same way, at the same site."
        )
    if not len(u) or not len(v):
        raise PromptError(f"There are {len(u)} source and {len(v)} target rows; give at least one of each.")
    dtype = torch.promote_types(torch.promote_types(u.dtype, v.dtype), torch.float32)
    return u.to(dtype), v.to(dtype)


def same_rows(u: Tensor, v: Tensor) -> bool:
    """[n, d], [m, d] -> True where both hold the same values in every unit, in any order, up to rounding."""
    if u.shape != v.shape:
        return False
    atol = 1e-7 * float(u.detach().abs().max()) if u.numel() else 0.0
    return torch.allclose(u.sort(0).values, v.sort(0).values, rtol=1e-6, atol=atol)
