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


Following = Callable[[Sequence[str]], Iterable[Sequence[str]]]
"""Prompts that were asked for -> those that will be asked for next, each as a batch."""
Call = tuple[tuple[Any, ...], dict[str, Any]]


def remembered(
    encode: Callable[..., Any],
    at_hand: Callable[[], AbstractContextManager[None]] = nullcontext,
    expected: Following = lambda prompts: (),
) -> Callable[..., Any]:
    """An `encode_prompt` that encodes the same prompts in the same way once, without gradient.

    at_hand: has the text encoders where they work. expected: prompts that are encoded in the same go.
    """
    known: dict[str, Any] = {}

    def encoded(*args: Any, **kwargs: Any) -> Any:
        is_plain = not any(isinstance(value, Tensor) for value in (*args, *kwargs.values()))
        if is_plain and (key := _key((args, kwargs))) in known:
            return known[key]
        with torch.inference_mode(False), torch.no_grad(), at_hand():
            made = encode(*args, **kwargs)
            if is_plain:
                known[key] = made
                for call in _following((args, kwargs), expected):
                    if (other := _key(call)) not in known:
                        known[other] = encode(*call[0], **call[1])
        return made

    return encoded


def _key(call: Call) -> str:
    return repr((call[0], sorted(call[1].items())))


def _following(call: Call, expected: Following) -> Iterator[Call]:
    """The calls for the prompts that come next; none where something else is given for each prompt too."""
    args, kwargs = call
    prompts, *others = [kwargs["prompt"], *args] if "prompt" in kwargs else args
    others += [value for name, value in kwargs.items() if name != "prompt"]
    if isinstance(prompts, list) and not any(isinstance(value, list) for value in others):
        for each in map(list, expected(prompts)):
            yield (args, {**kwargs, "prompt": each}) if "prompt" in kwargs else ((each, *args[1:]), kwargs)


def in_parts(groups: Iterable[Sequence[str]], size: int) -> list[Sequence[str]]:
    """The prompts of every group, so many at once."""
    return [each[start : start + size] for each in groups for start in range(0, len(each), size)]
