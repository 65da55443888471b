"""Weights that are away between forwards, by group offloading or layerwise casting of diffusers, in a fit.

Diffusers brings the weights of a module before its forward and sends them away after it; a backward pass
would find them away, on another device or in another precision. Here they come again when the gradient
reaches what a module gave, and leave once it has passed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any

from torch import Tensor, nn
from torch.autograd import Variable
from torch.autograd.graph import register_multi_grad_hook

from lineas.modules.recorder import replaying


@contextmanager
def weights_return(components: Mapping[str, nn.Module]) -> Iterator[None]:
    """Backward passes inside the block have the weights of these components when they need them."""
    with ExitStack() as stack:
        for module in {m: None for root in components.values() for m in root.modules()}:
            hooks = getattr(getattr(module, "_diffusers_hook", None), "hooks", {})
            if (casting := hooks.get("layerwise_casting")) is not None and not _is_seen_to(casting):
                _follow(module, stack.enter_context(_cast(module, casting)), stack)
        for group, modules in _groups(components).values():
            weights = stack.enter_context(_offloaded(group))
            for module in modules:
                _follow(module, weights, stack)
        yield


def come_and_go(component: nn.Module) -> bool:
    """True where a library moves or casts weights of a component by itself."""
    return any(hasattr(each, "_hf_hook") or hasattr(each, "_diffusers_hook") for each in component.modules())


class _Weights:
    """Those of one group: how they come and go, and how many backward passes of modules need them now."""

    def __init__(self, come: Callable[[], object], go: Callable[[], object]) -> None:
        self._come, self._go, self._needed = come, go, 0

    def leave(self) -> None:
        """After a forward, but for those of a checkpointed block that runs again in the backward pass."""
        if not self._needed and not replaying():
            self._go()

    def for_one_pass(self) -> tuple[Callable[[object], None], Callable[[object], None]]:
        """What fetches them before the backward of one call of a module, and what releases them after it."""
        fetched: list[bool] = []

        def fetch(_: object) -> None:
            if not self._needed:
                self._come()
            self._needed += 1
            fetched.append(True)
            # No gradient may go on to the inputs, as before the first site; then they leave with all others.
            Variable._execution_engine.queue_callback(lambda: release(None))

        def release(_: object) -> None:
            if fetched:  # its output may have gone nowhere, or they have left already
                fetched.clear()
                self._needed -= 1
                if not self._needed:
                    self._go()

        return fetch, release


@contextmanager
def _cast(module: nn.Module, hook: Any) -> Iterator[_Weights]:
    weights = _Weights(lambda: hook.pre_forward(module), lambda: hook.post_forward(module, None))
    after = hook.fn_ref.post_forward

    def left(module: nn.Module, output: Any) -> Any:
        weights.leave()
        return output

    hook.fn_ref.post_forward = left
    try:
        yield weights
    finally:
        hook.fn_ref.post_forward = after
        hook.post_forward(module, None)


@contextmanager
def _offloaded(group: Any) -> Iterator[_Weights]:
    weights = _Weights(group.onload_, go := group.offload_)
    group.offload_ = weights.leave
    try:
        yield weights
    finally:
        del group.offload_
        go()


def _is_seen_to(hook: Any) -> bool:
    """True inside a block of `weights_return`, where another one has nothing to do."""
    return hook.fn_ref.post_forward != hook.post_forward


def _groups(components: Mapping[str, nn.Module]) -> dict[int, tuple[Any, list[nn.Module]]]:
    """Every group of group offloading by its id, with the modules in whose backward it is needed."""
    found = {}
    for module in (m for root in components.values() for m in root.modules()):
        hooks = getattr(getattr(module, "_diffusers_hook", None), "hooks", {})
        if (hook := hooks.get("group_offloading")) is not None:
            group = hook.group
            if "offload_" in vars(group):  # by a block around this one
                continue
            loose = [group.offload_leader] if group.parameters or group.buffers else []
            found[id(group)] = (group, [*group.modules, *loose])
    return found


def _follow(module: nn.Module, weights: _Weights, stack: ExitStack) -> None:
    """Fetch the weights when a gradient reaches the outputs of a module, and release them at its inputs."""

    def watch(module: nn.Module, args: Any, kwargs: Any, output: Any) -> None:
        given, taken = list(_with_gradient(output)), list(_with_gradient((args, kwargs)))
        if given and not replaying():
            fetch, release = weights.for_one_pass()
            register_multi_grad_hook(given, fetch, mode="any")
            if taken:
                register_multi_grad_hook(taken, release, mode="all")

    stack.callback(module.register_forward_hook(watch, with_kwargs=True).remove)


def _with_gradient(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        if value.requires_grad:
            yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _with_gradient(each)
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _with_gradient(each)
