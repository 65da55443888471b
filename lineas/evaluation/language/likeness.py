"""A judge that every language model brings along: which of two kinds of text a text reads like."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lineas.adapters.devices import input_device
from lineas.adapters.language.text_tokens import text_tokens
from lineas.errors import PromptError
from lineas.modules.names import without_adapter

RIDGE = 10.0
"""Of the regression, per feature of unit spread: many more features than texts."""
BATCH = 32


class Likeness:
    """Whether texts read like some texts rather than others, to an untouched language model.

    A ridge regression on what the model's head reads, the mean over a text's own tokens: 1 for the texts
    alike, 0 for the others. Called with n texts it gives n numbers in 0 … 1, as judges of toxicity do; an
    empty text reads like neither and gets 0. It must be called while the model is not steered.

    alike, others: texts, one or more each. Raises `PromptError` where there are none.
    """

    def __init__(self, model: Any, tokenizer: Any, alike: Sequence[str], others: Sequence[str]) -> None:
        if not alike or not others:
            raise PromptError("To tell texts apart needs some of either kind. Give examples and others.")
        self.tokenizer = tokenizer
        self._device = input_device(model)
        inner = without_adapter(model)
        self._layers: Any = getattr(inner, "base_model", inner)  # without the head
        seen = torch.cat([self._states(alike), self._states(others)])
        self._mean, spread = seen.mean(0), seen.std(0).clamp_min(1e-6)
        seen = (seen - self._mean) / spread
        wanted = torch.tensor([1.0] * len(alike) + [-1.0] * len(others))
        inverse = seen @ seen.T + RIDGE * seen.shape[1] * torch.eye(len(seen))
        self._weight = seen.T @ torch.linalg.solve(inverse, wanted) / spread

    def __call__(self, texts: Sequence[str]) -> list[float]:
        found = (self._states(texts) - self._mean) @ self._weight
        empty = [not any(text_tokens(self.tokenizer, text).own) for text in texts]
        shares = ((found + 1) / 2).clamp(0, 1).tolist()
        return [0.0 if nothing else share for share, nothing in zip(shares, empty, strict=True)]

    @torch.no_grad()
    def _states(self, texts: Sequence[str]) -> Tensor:
        """[n, d] in float32, on the CPU."""
        parts = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        return torch.cat([self._of_batch(part) for part in parts])

    def _of_batch(self, texts: Sequence[str]) -> Tensor:
        tokens = [text_tokens(self.tokenizer, text) for text in texts]
        length = max(1, *(len(each.ids) for each in tokens))
        rows = [each.ids + [0] * (length - len(each.ids)) for each in tokens]
        mask = [[1] * max(1, len(each.ids)) + [0] * (length - max(1, len(each.ids))) for each in tokens]
        own = torch.tensor([each.own + [False] * (length - len(each.own)) for each in tokens])[..., None]
        given = {"input_ids": torch.tensor(rows), "attention_mask": torch.tensor(mask)}
        states = self._layers(
            **{name: each.to(self._device) for name, each in given.items()}, use_cache=False
        )[0]
        states = states.float().cpu()
        return states.where(own, 0).sum(1) / own.sum(1).clamp_min(1)
