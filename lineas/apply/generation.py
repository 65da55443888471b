"""Generation: who calls `generate` of a model, and how long the prompt is that it is given."""

from __future__ import annotations

import functools
import types
from collections.abc import Mapping
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor, nn

from lineas.apply.undo import Undo

if TYPE_CHECKING:
    from collections.abc import Iterator


class Follower(Protocol):
    """What wants to know of generations."""

    def begin(self, prompt: int) -> None:
        """A generation begins, whose prompt has this many tokens, padding included."""

    def end(self) -> None:
        """It is over, also by an exception."""


def follow_generations(components: Mapping[str, nn.Module], follower: Follower, undo: Undo) -> None:
    """Tell `follower` of every `generate` of a model in the components, until `undo` is called."""
    for root in components.values():
        for module in root.modules():
            if callable(getattr(type(module), "generate", None)):
                undo.add(_leave, module, follower)
                _followed(module).followers.append(follower)


class FollowedGenerate:
    """The `generate` of a model, told to its followers. A copy of the model has its own, unfollowed one."""

    def __init__(self, model: nn.Module) -> None:
        functools.update_wrapper(self, model.generate)  # type: ignore[arg-type]
        self.model, self.inner = model, model.generate
        self.was_set = "generate" in model.__dict__
        self.followers: list[Follower] = []

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        with ExitStack() as stack:
            for follower in self.followers:
                stack.enter_context(_told(follower, prompt_length(args, kwargs)))
            return self.inner(*args, **kwargs)  # type: ignore[operator]

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        copied = memo.get(id(self.model), self.model)
        return types.MethodType(type(copied).generate, copied)


def prompt_length(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> int:
    """Tokens of the prompt that `generate` is called with; 1, the start token, where there is none."""
    given = [*args[:1], *(kwargs.get(name) for name in ("inputs", "input_ids", "inputs_embeds"))]
    prompt = next((each for each in given if isinstance(each, Tensor) and each.ndim > 1), None)
    return prompt.shape[1] if prompt is not None and prompt.shape[1] else 1


@contextmanager
def _told(follower: Follower, prompt: int) -> Iterator[None]:
    follower.begin(prompt)
    try:
        yield
    finally:
        follower.end()


def _followed(model: nn.Module) -> FollowedGenerate:
    found = model.__dict__.get("generate")
    if not isinstance(found, FollowedGenerate):
        found = model.__dict__["generate"] = FollowedGenerate(model)
    return found


def _leave(model: nn.Module, follower: Follower) -> None:
    found = model.__dict__.get("generate")
    if not isinstance(found, FollowedGenerate):
        return
    found.followers = [each for each in found.followers if each is not follower]
    if not found.followers:
        del model.__dict__["generate"]
        if found.was_set:
            model.__dict__["generate"] = found.inner
