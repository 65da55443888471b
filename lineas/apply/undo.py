"""Taking things off a model again, so that no interrupt on the way loses any of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from torch import nn


class Undo:
    """Steps that are taken last to first when it is called, each of which may be repeated.

    A step is added before what it undoes is done, and forgotten after it was taken: called again after an
    interrupt, it goes on where it was.
    """

    def __init__(self) -> None:
        self._steps: list[Callable[[], object]] = []

    def add(self, step: Callable[..., object], *arguments: Any) -> None:
        """One more step, which does nothing where there is nothing to undo."""
        self._steps.append(partial(step, *arguments))

    def __call__(self) -> None:
        while self._steps:
            self._steps[-1]()
            self._steps.pop()


def put_hook(module: nn.Module, hook: Callable[..., Any], undo: Undo) -> None:
    """A forward hook on a module, until `undo` is called."""
    undo.add(take_off, module, hook)
    module.register_forward_hook(hook)


def put_pre_hook(module: nn.Module, hook: Callable[..., Any], undo: Undo) -> None:
    """A hook (module, args, kwargs) before the forward of a module, until `undo` is called."""
    undo.add(take_off, module, hook)
    module.register_forward_pre_hook(hook, with_kwargs=True)


def take_off(module: nn.Module, hook: object) -> None:
    """By the hook itself: its handle may have been lost to an interrupt while it was registered."""
    for hooks in (module._forward_hooks, module._forward_pre_hooks):
        for number in [number for number, each in hooks.items() if each is hook]:
            module._forward_pre_hooks_with_kwargs.pop(number, None)
            del hooks[number]
