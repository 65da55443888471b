"""Nodes that merge or save a model take its weights alone: a steering that acts by hooks stays behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import ref

from comfy.patcher_extension import CallbacksMP

from ..notices import board

KEY = "lineas_taken_weights"
TOLD = (
    "The steering before this node acts by hooks, and this node takes the weights alone, so the result is "
    "not steered there. Connect the model before LinEAS Apply Steering, or let it act by weights (method)."
)

Asked = Callable[..., bool]
"""(arguments of the method) -> whether they ask for the weights to keep."""

# Merging asks for the patches of the image model; saving has weights patched for good in older releases, and
# a method of its own in newer ones.
_ASKING: dict[str, Asked] = {
    "get_key_patches": lambda prefix=None, *_, **__: str(prefix or "").startswith("diffusion_model"),
    "partially_load": lambda device, extra=0, force_patch_weights=False, **_: force_patch_weights,
    "state_dict_for_saving": lambda *_, **__: True,
}


def tell_when_taken(patcher: Any) -> None:
    """From now on whoever takes the weights of this MODEL, or of a clone of it, is told what it leaves."""
    if KEY in patcher.callbacks.get(CallbacksMP.ON_CLONE, {}):
        return
    _watch(patcher)
    patcher.add_callback_with_key(CallbacksMP.ON_CLONE, KEY, lambda _, clone: _watch(clone))


def _watch(patcher: Any) -> None:
    for name, asked in _ASKING.items():
        if hasattr(type(patcher), name):
            setattr(patcher, name, _telling(ref(patcher), name, asked))


def _telling(held: Any, name: str, asked: Asked) -> Callable[..., Any]:
    # The patcher is held weakly: it frees memory when it goes, and must not wait for the garbage collector.
    def method(*args: Any, **kwargs: Any) -> Any:
        patcher = held()
        if asked(*args, **kwargs):
            board().tell(TOLD)
        return getattr(type(patcher), name)(patcher, *args, **kwargs)

    return method
