"""Rows from activations: what one prompt contributes to a distribution per unit."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from lineas.errors import ConfigError, PromptError


class Pooling(Protocol):
    """[b, …, d, …] -> [rows, d]; `axis` holds the units, `mask` [b, s] is True at real tokens."""

    def __call__(self, z: Tensor, axis: int, mask: Tensor | None = None) -> Tensor: ...


@dataclass(frozen=True)
class MeanPooling:
    """One row per prompt: the mean over tokens or pixels. Affine maps commute with it."""

    def __call__(self, z: Tensor, axis: int, mask: Tensor | None = None) -> Tensor:
        return mean_rows(z, axis, mask)

    def __str__(self) -> str:
        return "mean"


@dataclass(frozen=True)
class TokenPooling:
    """`count` rows per prompt: single tokens or pixels, which see small objects that a mean hardly sees.

    count: positions per prompt, at least 1; more cost memory and follow the distribution more closely.
    seed: which positions.
    """

    count: int = 8
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < 1:
            raise ConfigError(f"Token pooling takes at least 1 position per prompt, got {self.count}.")

    def __call__(self, z: Tensor, axis: int, mask: Tensor | None = None) -> Tensor:
        return sampled_rows(z, axis, mask, self.count, self.seed)

    def __str__(self) -> str:
        return f"tokens:{self.count}"


@dataclass(frozen=True)
class LastPooling:
    """One row per prompt: its last real position, which in a causal language model has seen all others."""

    def __call__(self, z: Tensor, axis: int, mask: Tensor | None = None) -> Tensor:
        return last_rows(z, axis, mask)

    def __str__(self) -> str:
        return "last"


@dataclass(frozen=True)
class MaxPooling:
    """One row per prompt: the largest value of each unit over its real positions."""

    def __call__(self, z: Tensor, axis: int, mask: Tensor | None = None) -> Tensor:
        return max_rows(z, axis, mask)

    def __str__(self) -> str:
        return "max"


@dataclass(frozen=True)
class BehindPooling:
    """`count` rows per prompt: the positions from its last real one on, as far as there are any.

    back: begin so many positions before that one.
    """

    count: int
    back: int = 0

    def __call__(self, z: Tensor, axis: int, mask: Tensor | None = None) -> Tensor:
        positions = _positions_by_units(z, axis)
        real = _real_positions(positions, mask)
        order = torch.arange(1, real.shape[1] + 1, device=real.device)
        end = (real * order).amax(1, keepdim=True) - 1
        chosen = end - self.back + torch.arange(self.count, device=real.device)
        chosen = chosen.clamp(0, real.shape[1] - 1)
        rows = positions[torch.arange(len(positions), device=z.device)[:, None], chosen.to(z.device)]
        return rows.flatten(0, 1).to(torch.promote_types(z.dtype, torch.float32))


_SIMPLE: dict[str, type[Pooling]] = {"mean": MeanPooling, "last": LastPooling, "max": MaxPooling}


def parse_pooling(text: str, seed: int = 0) -> Pooling:
    """ "mean", "last", "max" or "tokens:<count>" -> the pooling of that name; `seed` chooses the positions.

    Raises `ConfigError` for anything else.
    """
    name, _, count = text.partition(":")
    if text in _SIMPLE:
        return _SIMPLE[text]()
    if name == "tokens" and count.isdecimal():
        return TokenPooling(int(count), seed)
    raise ConfigError(
        f'Unknown pooling {text!r}, expected "mean", "last", "max" or "tokens:8" (8 positions per prompt).'
    )


def mean_rows(z: Tensor, axis: int, mask: Tensor | None = None) -> Tensor:
    """[b, s, d] (axis −1), [b, c, h, w] (axis 1), any rank; [b, d] as it is -> [b, d] means over positions.

    `mask`: [b, s], bool or 0 and 1, True at real tokens, positions in the order of z's other axes; None takes
    all. Rows come in float32, or float64 when z is, as half precision would cost the coupling its order.
    Raises `PromptError` when a sample has no real token or the mask does not fit.
    """
    positions, wide = _positions_by_units(z, axis), torch.promote_types(z.dtype, torch.float32)
    if z.ndim == 2:
        return positions[:, 0].to(wide)
    if mask is None and positions.shape[1]:
        return positions.mean(1, dtype=wide)  # without a wider copy
    real, positions = _real_positions(positions, mask), positions.to(wide)
    # Filled, not multiplied: padding may hold NaN, and NaN · 0 is NaN.
    total = positions.masked_fill(~real[..., None], 0).sum(1)
    return total / real.sum(1, keepdim=True)


def last_rows(z: Tensor, axis: int, mask: Tensor | None = None) -> Tensor:
    """[b, s, d], any rank -> [b, d] the last real position of each sample. Arguments as `mean_rows`."""
    positions = _positions_by_units(z, axis)
    real = _real_positions(positions, mask)
    order = torch.arange(1, real.shape[1] + 1, device=real.device)
    last = (real * order).argmax(1).to(z.device)
    rows = positions[torch.arange(len(positions), device=z.device), last]
    return rows.to(torch.promote_types(z.dtype, torch.float32))


def max_rows(z: Tensor, axis: int, mask: Tensor | None = None) -> Tensor:
    """[b, s, d], any rank -> [b, d] each unit's largest value over real positions. As `mean_rows`."""
    positions = _positions_by_units(z, axis).to(torch.promote_types(z.dtype, torch.float32))
    real = _real_positions(positions, mask).to(z.device)
    return positions.masked_fill(~real[..., None], -torch.inf).amax(1)


def sampled_rows(z: Tensor, axis: int, mask: Tensor | None = None, count: int = 8, seed: int = 0) -> Tensor:
    """[b, s, d], [b, c, h, w], any rank -> [b · count, d] rows of single positions, sample after sample.

    Which of its real positions a sample gives depends on `seed` and on how many it has, never on the batch
    around it, so micro-batches of any size give the same rows. Positions repeat only when a sample has fewer
    than `count`. `mask`, dtype and errors as `mean_rows`.
    """
    positions = _positions_by_units(z, axis)
    real = _real_positions(positions, mask).cpu()
    chosen = torch.stack([_chosen(sample.nonzero()[:, 0], count, seed) for sample in real]).to(z.device)
    rows = positions[torch.arange(len(positions), device=z.device)[:, None], chosen].flatten(0, 1)
    return rows.to(torch.promote_types(z.dtype, torch.float32))


def _chosen(real: Tensor, count: int, seed: int) -> Tensor:
    order = torch.randperm(len(real), generator=torch.Generator().manual_seed(seed))
    return real[order[torch.arange(count) % len(real)]]


def _positions_by_units(z: Tensor, axis: int) -> Tensor:
    """[b, …, d, …] -> [b, positions, d]."""
    if z.ndim < 2 or axis % z.ndim == 0:
        raise PromptError(f"Rows need a batch axis and a unit axis, got {list(z.shape)}, {axis}.")
    if z.ndim == 2:
        return z[:, None]
    return z.movedim(axis, -1).flatten(1, -2)


def _real_positions(positions: Tensor, mask: Tensor | None) -> Tensor:
    """[b, positions, d] -> [b, positions] bool."""
    shape = positions.shape[:2]
    if mask is None:
        real = torch.ones(shape, dtype=torch.bool)
    elif mask.shape == shape:
        real = mask.to(positions.device, torch.bool)
    else:
        raise PromptError(
            f"A mask of shape {list(mask.shape)} does not fit {shape[0]} times {shape[1]} positions. "
            "Leave it out where positions are not the tokens of the prompt."
        )
    empty = (~real.any(1)).nonzero()[:, 0].tolist()
    if empty:
        raise PromptError(f"No real token in the prompts at {empty} of the batch. Remove the empty prompts.")
    return real
