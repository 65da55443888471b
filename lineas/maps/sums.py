"""Sums over the units and over the positions of an activation, and what else a gradient needs of both.

Written for speed: on a CPU broadcasting along an inner axis is several times slower than a product of
matrices, and half precision slower than float32.
"""

from __future__ import annotations

import torch
from torch import Tensor


def quick(z: Tensor, wide: torch.dtype) -> Tensor:
    """The same in the dtype to compute in on its device: `wide` on a CPU, its own elsewhere."""
    return z.to(wide) if z.device.type == "cpu" else z


def over_units(z: Tensor, weights: Tensor, axis: int) -> Tensor:
    """[…, d, …], [d] -> […, 1, …] Σ weights · z of each position, in the dtype of `weights`."""
    if _is_last(z, axis):
        return (z.to(weights.dtype) @ weights).unsqueeze(-1)
    flat = _flat(z, axis)
    summed = torch.bmm(weights.expand(len(flat), 1, -1), flat.to(weights.dtype))
    return summed.view([1 if each == axis % z.ndim else size for each, size in enumerate(z.shape)])


def over_positions(z: Tensor, axis: int) -> Tensor:
    """[…, d, …] -> [d] Σ z of each unit, in float32 at least."""
    others = [each for each in range(z.ndim) if each != axis % z.ndim]
    wide = torch.promote_types(z.dtype, torch.float32)
    return z.sum(others, dtype=wide) if others else z.to(wide, copy=True)


def over_weighted_positions(z: Tensor, weights: Tensor, axis: int, buffer: Tensor) -> Tensor:
    """[…, d, …], […, 1, …] -> [d] Σ weights · z of each unit; `buffer`, which may be z, is written over."""
    if _is_last(z, axis) and z.ndim > 1 and z.dtype == weights.dtype:
        return weights.flatten() @ z.flatten(0, -2)
    return over_positions(torch.mul(z, weights, out=buffer), axis)


def add_outer(z: Tensor, positions: Tensor, units: Tensor, axis: int) -> None:
    """Add positions […, 1, …] times units [d] to z […, d, …], in place."""
    positions, units = positions.to(z.dtype), units.to(z.dtype)
    if not z.is_contiguous():
        shape = [1] * z.ndim
        shape[axis] = -1
        z.addcmul_(positions, units.view(shape))
    elif _is_last(z, axis):
        z.view(-1, len(units)).addr_(positions.flatten(), units)
    else:
        flat = _flat(z, axis)
        flat.baddbmm_(units[:, None].expand(len(flat), -1, 1), _flat(positions, axis))


def scaled(z: Tensor, scale: Tensor, shift: Tensor | None, axis: int, out: Tensor) -> Tensor:
    """[…, d, …], [d], [d] -> scale ⊙ z + shift in `out`, rounded once to its dtype."""
    shape = [1] * z.ndim
    shape[axis] = -1
    scale = scale.view(shape)
    if shift is None:
        return torch.mul(z, scale, out=out)
    if z.dtype == out.dtype and z.device.type == "cpu":
        return torch.mul(z, scale, out=out).add_(shift.view(shape))
    return torch.addcmul(shift.view(shape), scale, z, out=out)


def _is_last(z: Tensor, axis: int) -> bool:
    return axis % z.ndim == z.ndim - 1


def _flat(z: Tensor, axis: int) -> Tensor:
    """[…, d, …] -> [before, d, behind]."""
    axis %= z.ndim
    return z.flatten(axis + 1).flatten(0, axis - 1) if axis else z.flatten(1)[None]
