"""Prompts on their way into an image pipeline: checked, and encoded once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from lineas.errors import PromptError


def checked_prompts(group: str, prompts: Sequence[str]) -> list[str]:
    """The prompts as a list. `PromptError` for a lone string and for anything that is not text."""
    if isinstance(prompts, str) or not all(isinstance(prompt, str) for prompt in prompts):
        raise PromptError(f"The {group} prompts are {str(prompts)[:80]!r}, expected a list of strings.")
    return list(prompts)


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
