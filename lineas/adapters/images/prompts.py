"""Prompts on their way into an image pipeline: checked, encoded once, and which of their tokens are real."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

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


class TokenWatch:
    """Pre-forward hook of a text encoder: keeps which positions are tokens of the prompt.

    `real` is [b, s], True at tokens with start and end, of the first call; None when it cannot be told.
    """

    def __init__(self, tokenizer: Any) -> None:
        # Not the end token of the encoder's configuration, which is another one in Stable Diffusion 1.
        self._end = getattr(tokenizer, "eos_token_id", None)
        self._masks: list[Tensor | None] = []

    @property
    def real(self) -> Tensor | None:
        """Of the first call of a run."""
        return self._masks[0] if self._masks else None

    def start(self) -> None:
        """Forget what the run before gave."""
        self._masks = []

    def real_for(self, z: Tensor) -> Tensor | None:
        """[b, s] of the first call whose batch and length are those of z [b, s, …] or [b · s, d], else None.

        Guidance encodes the empty prompt too, in a call of its own that may be shorter.
        """
        fitting = (mask for mask in self._masks if mask is not None and _covers(mask, z))
        return next(fitting, None)

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        mask = _real_tokens(self._end, args, kwargs)
        if mask is not None and self._masks:
            mask = mask | ~mask.any(1, keepdim=True)  # an empty prompt may have no token at all
        self._masks.append(mask)


def _covers(mask: Tensor, z: Tensor) -> bool:
    return len(z) == mask.numel() if z.ndim == 2 else z.shape[:2] == mask.shape


def _real_tokens(end: int | None, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Tensor | None:
    """From an attention mask where the encoder gets one, else up to the first end token."""
    ids = kwargs.get("input_ids", args[0] if args else None)
    mask = kwargs.get("attention_mask", args[1] if len(args) > 1 else None)
    if mask is not None and mask.ndim == 2:
        return mask.bool()
    if ids is None or end is None:
        return None
    ended = (ids == end).long()
    return ended.cumsum(1) - ended == 0
