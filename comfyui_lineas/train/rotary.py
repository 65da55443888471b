"""Rotary embeddings that gradients flow through: fast kernels of ComfyUI's transformers have none."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from ..apply.plain_run import unfused

_KERNELS = "comfy_kitchen"


def rotated(x: Tensor, rotations: Tensor) -> Tensor:
    """[…, 2n] and [..., n, 2, 2] -> […, 2n]: every pair of numbers times its rotation matrix."""
    pairs = x.to(rotations.dtype).unflatten(-1, (-1, 1, 2))
    return (rotations * pairs).sum(-1).flatten(-2).type_as(x)


def rotated_both(q: Tensor, k: Tensor, rotations: Tensor) -> tuple[Tensor, Tensor]:
    """Queries and keys, rotated alike."""
    return rotated(q, rotations), rotated(k, rotations)


@contextmanager
def differentiable_kernels() -> Iterator[None]:
    """Kernels without a gradient are replaced in ComfyUI's models until the block ends."""
    ours = {"apply_rope1": rotated, "apply_rope": rotated_both}
    replaced: list[tuple[Any, str, Any]] = [
        (module, name, vars(module)[name])
        for path, module in list(sys.modules.items())
        if path.startswith("comfy.ldm.") and module is not None
        for name in ours
        if str(getattr(vars(module).get(name), "__module__", "")).startswith(_KERNELS)
    ]
    try:
        for module, name, _ in replaced:
            setattr(module, name, ours[name])
        with unfused():
            yield
    finally:
        for module, name, kernel in replaced:
            setattr(module, name, kernel)
