"""Rotary embeddings that gradients flow through: fast kernels of ComfyUI's transformers have none."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from ..apply.plain_run import unfused

_KERNELS = "comfy_kitchen"
Turn = Callable[[Tensor, Tensor], Tensor]


def rotated(x: Tensor, rotations: Tensor) -> Tensor:
    """[…, 2n] and [..., n, 2, 2] -> […, 2n]: every pair of neighbours times its rotation matrix."""
    pairs = x.to(rotations.dtype).unflatten(-1, (-1, 1, 2))
    return (rotations * pairs).sum(-1).flatten(-2).type_as(x)


def halves_rotated(x: Tensor, rotations: Tensor) -> Tensor:
    """[…, 2n] and [..., n, 2, 2] -> […, 2n]: number i and number n + i, as one pair, times its matrix."""
    pairs = x.to(rotations.dtype).unflatten(-1, (2, -1)).movedim(-2, -1).unsqueeze(-2)
    return (rotations * pairs).sum(-1).movedim(-1, -2).flatten(-2).type_as(x)


def rotated_both(q: Tensor, k: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys, rotated alike."""
    return rotated(q, rotations), rotated(k, rotations)


def _halves_of_both(q: Tensor, k: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
    return halves_rotated(q, rotations), halves_rotated(k, rotations)


def _after_norm(turn: Turn) -> Callable[..., Tensor]:
    """What a kernel does that divides by the root mean square of each head first.

    rot_dim: how many of a head's numbers are turned, the first ones; 0 is all.
    """

    def normed(
        x: Tensor, rotations: Tensor, scale: Tensor, epsilon: float = 1e-6, rot_dim: int = 0
    ) -> Tensor:
        x = torch.nn.functional.rms_norm(x, x.shape[-1:], scale.to(x), epsilon)
        end = rot_dim or x.shape[-1]
        return torch.cat([turn(x[..., :end], rotations), x[..., end:]], -1)

    return normed


def _both_after_norm(turn: Turn) -> Callable[..., tuple[Tensor, Tensor]]:
    normed = _after_norm(turn)

    def both(
        q: Tensor,
        k: Tensor,
        rotations: Tensor,
        q_scale: Tensor,
        k_scale: Tensor | None = None,
        epsilon: float = 1e-6,
        rot_dim: int = 0,
    ) -> tuple[Tensor, Tensor]:
        scales = (q_scale, q_scale if k_scale is None else k_scale)
        first, second = (
            normed(x, rotations, s, epsilon, rot_dim) for x, s in zip((q, k), scales, strict=True)
        )
        return first, second

    return both


OURS: dict[str, Callable[..., Any]] = {
    "apply_rope1": rotated,
    "apply_rope": rotated_both,
    "apply_rope_split_half1": halves_rotated,
    "apply_rope_split_half": _halves_of_both,
    "rms_rope1": _after_norm(rotated),
    "rms_rope": _both_after_norm(rotated),
    "rms_rope_split_half1": _after_norm(halves_rotated),
    "rms_rope_split_half": _both_after_norm(halves_rotated),
}
"""By the kernels' names, what they compute."""


@contextmanager
def differentiable_kernels() -> Iterator[None]:
    """Kernels without a gradient are replaced, in ComfyUI's models and where those ask for them, for a while.

    Older releases import the kernels into their models, newer ones call them in the package itself.
    """
    replaced: list[tuple[Any, str, Any]] = [
        (module, name, vars(module)[name])
        for path, module in list(sys.modules.items())
        if (path == _KERNELS or path.startswith("comfy.ldm.")) and module is not None
        for name in OURS
        if str(getattr(vars(module).get(name), "__module__", "")).startswith(_KERNELS)
    ]
    try:
        for module, name, _ in replaced:
            setattr(module, name, OURS[name])
        with unfused():
            yield
    finally:
        for module, name, kernel in replaced:
            setattr(module, name, kernel)
