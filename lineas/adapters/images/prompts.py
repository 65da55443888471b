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
    """An `encode_prompt` that encodes the same prompts once, without gradient."""
    known: dict[tuple[str, ...], Any] = {}

    def encoded(*args: Any, **kwargs: Any) -> Any:
        prompts = tuple(kwargs["prompt"] if "prompt" in kwargs else args[0])
        if prompts not in known:
            with torch.inference_mode(False), torch.no_grad():
                known[prompts] = encode(*args, **kwargs)
        return known[prompts]

    return encoded
