"""A model run as its plain modules, so that hooks are called: neither compiled nor with fused norms."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import comfy.model_management
import torch

from lineas.errors import ConfigError


@contextmanager
def as_plain_modules(is_compiled: bool, hooks_norms: bool) -> Iterator[None]:
    """Until the block ends, compiled code is passed over, and norms are called where training calls them.

    is_compiled: whether a compiled model is known to run; it cannot be passed over before torch 2.6, and is
    refused by a `ConfigError` there. hooks_norms: whether norms are hooked; newer releases fuse them with
    what follows, except in training.
    """
    with ExitStack() as stack:
        stack.enter_context(_uncompiled(is_compiled))
        if hooks_norms:
            stack.enter_context(unfused())
        yield


@contextmanager
def unfused() -> Iterator[None]:
    """Newer releases choose their kernels by whether they train; older ones know no such choice."""
    memory: Any = comfy.model_management
    before = getattr(memory, "in_training", None)
    try:
        if before is not None:
            memory.in_training = True
        yield
    finally:
        if before is not None:
            memory.in_training = before


@contextmanager
def _uncompiled(is_compiled: bool) -> Iterator[None]:
    # Whoever has compiled anything has imported it; the import alone takes seconds.
    if "torch._dynamo" not in sys.modules:
        yield
        return
    stance = getattr(torch.compiler, "set_stance", None)
    if stance is not None:
        with stance("force_eager"):
            yield
        return
    if is_compiled:
        raise ConfigError(
            "The model is compiled, and this torch cannot pass over that while a steering acts by hooks. "
            "Take TorchCompileModel out, update torch to 2.6 or newer, or set method to weights."
        )
    yield
