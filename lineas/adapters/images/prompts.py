"""Prompts on their way into an image pipeline: checked, and encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from os import PathLike
from typing import Any

import torch
from torch import Tensor

from lineas.errors import PromptError


def checked_prompts(group: str, prompts: Iterable[str]) -> list[str]:
    """The prompts as a list. `PromptError` for a lone string, a path, and anything that is not text."""
    several = isinstance(prompts, Iterable) and not isinstance(prompts, (str, bytes, Mapping))
    found = list(prompts) if several else []
    if not several or not all(isinstance(prompt, str) for prompt in found):
        hint = " read_prompts of lineas.prompts.files reads a file." if isinstance(prompts, PathLike) else ""
        raise PromptError(f"The {group} prompts are {str(prompts)[:80]!r}, expected a list of strings.{hint}")
    return found


def remembered(
    encode: Callable[..., Any],
    at_hand: Callable[[], AbstractContextManager[None]] = nullcontext,
    expected: Callable[[Sequence[str]], Iterable[Sequence[str]]] = lambda prompts: (),
) -> Callable[..., Any]:
    """An `encode_prompt` that encodes the same prompts in the same way once, without gradient.

    at_hand: has the text encoders where they work. expected: which prompts will follow those that were asked
    for; they are encoded in the same go.
    """
    known: dict[str, Any] = {}

    def made(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        call = repr((args, sorted(kwargs.items())))
        if call not in known:
            known[call] = encode(*args, **kwargs)
        return known[call]

    def encoded(*args: Any, **kwargs: Any) -> Any:
        remembers = not any(isinstance(value, Tensor) for value in (*args, *kwargs.values()))
        if remembers and (call := repr((args, sorted(kwargs.items())))) in known:
            return known[call]
        with torch.inference_mode(False), torch.no_grad(), at_hand():
            if not remembers:
                return encode(*args, **kwargs)
            for each in _following(args, kwargs, expected):
                made(*each)
            return made(args, kwargs)

    return encoded


def _following(
    args: tuple[Any, ...], kwargs: dict[str, Any], expected: Callable[[Sequence[str]], Iterable[Sequence[str]]]
) -> Iterator[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The calls for the prompts that will follow; none where something else is given for each prompt too."""
    prompts, *others = [kwargs["prompt"], *args] if "prompt" in kwargs else args
    others += [value for name, value in kwargs.items() if name != "prompt"]
    if isinstance(prompts, list) and not any(isinstance(value, list) for value in others):
        for each in map(list, expected(prompts)):
            yield (args, {**kwargs, "prompt": each}) if "prompt" in kwargs else ((each, *args[1:]), kwargs)


def in_parts(groups: Iterable[Sequence[str]], size: int) -> list[Sequence[str]]:
    """The prompts of every group, so many at once."""
    return [each[start : start + size] for each in groups for start in range(0, len(each), size)]
