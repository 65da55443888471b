"""Prompts on their way into an image pipeline: checked, and encoded once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
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


def remembered(encode: Callable[..., Any]) -> Callable[..., Any]:
    """An `encode_prompt` that encodes the same prompts in the same way once, without gradient."""
    known: dict[str, Any] = {}

    def encoded(*args: Any, **kwargs: Any) -> Any:
        call = repr((args, sorted(kwargs.items()))) if not _tensors(args, kwargs) else None
        if call is None or call not in known:
            with torch.inference_mode(False), torch.no_grad():
                made = encode(*args, **kwargs)
            if call is None:
                return made
            known[call] = made
        return known[call]

    return encoded


def _tensors(args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    return any(isinstance(value, Tensor) for value in (*args, *kwargs.values()))
