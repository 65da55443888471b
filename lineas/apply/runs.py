"""Whether a component of a model ran, and what torch.compile hides from hooks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from torch import nn

from lineas.apply.undo import Undo, put_hook, put_pre_hook


class Run:
    """began: a component ran. is_broken: its last run did not come to an end, as an exception came.

    is_unseen: nobody knows, as a method of its own is compiled. on_module notes the run of a module
    inside, where a component runs by such a method.
    """

    def __init__(self) -> None:
        self.began = self.is_broken = self.is_unseen = False

    def watch(self, root: nn.Module, undo: Undo) -> None:
        """Note the runs of a component, and of what is compiled in it, until `undo` is called."""
        methods = vars(root).keys() - {"forward", "_compiled_call_impl"}
        self.is_unseen = any(_is_compiled(vars(root)[name]) for name in methods)
        put_pre_hook(root, self.begin, undo)
        put_hook(root, self.end, undo)
        for module in root.modules():
            if getattr(module, "_compiled_call_impl", None) is not None:
                self._around(module, undo)

    def begin(self, *_: object) -> None:
        self.began = self.is_broken = True

    def end(self, *_: object) -> None:
        self.is_broken = False

    def on_module(self, *_: object) -> None:
        self.began = True

    def _around(self, module: nn.Module, undo: Undo) -> None:
        """What `module.compile()` made runs no new hooks: note its runs around it."""
        compiled: Any = module._compiled_call_impl

        def noted(*args: Any, **kwargs: Any) -> Any:
            self.begin()
            result = compiled(*args, **kwargs)
            self.end()
            return result

        undo.add(_put_back, module, noted, compiled)
        module._compiled_call_impl = noted  # type: ignore[assignment]


def _put_back(module: nn.Module, ours: object, before: Any) -> None:
    if module._compiled_call_impl is ours:  # else it was compiled anew
        module._compiled_call_impl = before


def without_new_hooks(root: nn.Module) -> Iterator[nn.Module]:
    """Modules that torch.compile has compiled, in which a hook that comes later stays without effect."""
    for module in root.modules():
        if getattr(module, "_compiled_call_impl", None) is not None:
            yield from module.modules()
        elif _is_compiled(vars(module).get("forward")):
            yield from (inner for inner in module.modules() if inner is not module)


def _is_compiled(function: object) -> bool:
    return hasattr(function, "_torchdynamo_orig_callable")
