"""Recomputing: activations are made again in the backward pass instead of being kept."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from torch import nn
from torch.utils.checkpoint import checkpoint


def checkpoints_itself(component: nn.Module) -> bool:
    """True for models with the interface of diffusers, as far as they support it."""
    offered = hasattr(component, "enable_gradient_checkpointing")
    return offered and getattr(component, "_supports_gradient_checkpointing", True)


@contextmanager
def in_its_own_way(component: Any) -> Iterator[None]:
    if component.is_gradient_checkpointing:
        yield
        return
    component.enable_gradient_checkpointing()
    try:
        yield
    finally:
        component.disable_gradient_checkpointing()


@contextmanager
def recomputed(block: nn.Module) -> Iterator[None]:
    """The block keeps its inputs alone, and runs again when the backward pass asks for more."""
    own = block.__dict__.get("forward")
    # Not the interface of transformers: it only acts in training mode, which would switch dropout on.
    block.forward = partial(checkpoint, block.forward, use_reentrant=False, preserve_rng_state=False)
    try:
        yield
    finally:
        if own is None:
            del block.forward
        else:
            block.forward = own
