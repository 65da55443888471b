"""Sites whose modules are exchanged while they are steered, as where a LoRA is loaded or unloaded."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from torch import nn

from lineas.apply.steering_hook import SteeringHook
from lineas.apply.undo import Undo, put_hook, put_pre_hook, take_off
from lineas.modules.names import named_modules

Link = tuple[nn.Module, str, nn.Module]
"""A module, the name of one below it, and that one."""


def follow(name: str, root: nn.Module, hooks: Sequence[SteeringHook], undo: Undo) -> None:
    """Before each run of a component, move hooks to what lies at their sites by then, until `undo`.

    hooks: of this component's sites, on their modules, in the order in which they act.
    """
    if hooks:
        put_pre_hook(root, _Follower(name, root, hooks, undo), undo)


class _Follower:
    """Pre-forward hook of a component; while nothing was exchanged it compares references alone."""

    def __init__(self, name: str, root: nn.Module, hooks: Sequence[SteeringHook], undo: Undo) -> None:
        self.name, self.root, self.hooks, self.undo = name, root, hooks, undo
        table = named_modules({name: root})
        self._take(table[hook.site.name] for hook in hooks)

    def __call__(self, module: nn.Module, args: object, kwargs: object) -> None:
        if all(parent._modules.get(name) is child for parent, name, child in self._links):
            return
        before, table = self._modules, named_modules({self.name: self.root})
        # What is gone keeps its hook, which then stays silent.
        self._take(table.get(hook.site.name, old) for hook, old in zip(self.hooks, before, strict=True))
        new = {now for now, old in zip(self._modules, before, strict=True) if now is not old}
        for hook, now, old in zip(self.hooks, self._modules, before, strict=True):
            if now in new:  # every hook of that module, so that they go on acting in their order
                take_off(old, hook)
                put_hook(now, hook, self.undo)

    def _take(self, modules: Iterable[nn.Module]) -> None:
        self._modules = list(modules)
        self._links = list(_links(self.root, set(self._modules)))

    def __deepcopy__(self, memo: object) -> _Unsteered:
        return _Unsteered()


class _Unsteered:
    """What a copy of a steered model has in its place."""

    def __call__(self, module: nn.Module, args: object, kwargs: object) -> None:
        return None


def _links(module: nn.Module, wanted: set[nn.Module]) -> Iterable[Link]:
    """All that lie on the way from a module to those that are wanted."""
    found: list[Link] = []
    for name, child in module._modules.items():
        if child is None:
            continue
        below = list(_links(child, wanted))
        if below or child in wanted:
            found += [(module, name, child), *below]
    return found
