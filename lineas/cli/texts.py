"""Text of a language model under steerings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from lineas.apply import steer
from lineas.steering import Steering


class Writer:
    """Continues a prompt: a callable (prompt, strength, seed) -> the new text, sampled alike for one seed."""

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        steerings: Sequence[Steering],
        weights: Sequence[float],
        tokens: int,
        where: str = "all",
    ) -> None:
        self.model, self.tokenizer, self.tokens, self.where = model, tokenizer, tokens, where
        self.steerings, self.weights = list(steerings), list(weights)

    @torch.no_grad()
    def __call__(self, prompt: str, strength: float = 1.0, seed: int = 0) -> str:
        given = self.tokenizer(prompt, return_tensors="pt").to(self.model.device)
        with (
            steer(self.model, self.steerings, [strength * w for w in self.weights], where=self.where),
            torch.random.fork_rng(),
        ):
            torch.manual_seed(seed)
            out = self.model.generate(
                **given,
                max_new_tokens=self.tokens,
                do_sample=True,
                top_p=0.9,
                pad_token_id=self.tokenizer.pad_token_id,
            )
        # Decoded with the prompt: on their own, many tokenizers drop the space before the new tokens.
        before, whole = (self._decoded(ids) for ids in (given["input_ids"][0], out[0]))
        return whole[len(before) :]

    def _decoded(self, ids: Any) -> str:
        return self.tokenizer.decode(ids, skip_special_tokens=True)
