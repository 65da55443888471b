"""Texts of a causal language model of transformers: their loss, and what the model goes on to write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from lineas.problem import Group
from lineas.text_problem import Continuations, TextProblem


class CausalTexts(TextProblem):
    """The part of `LanguageProblem` that weighs and continues texts.

    model, tokenizer: of transformers. The rest of the class gives the texts' tokens and a model's inputs.
    """

    model: Any
    tokenizer: Any
    _tokens: dict[Group, list[Any]]

    def _inputs(self, ids: Sequence[Sequence[int]]) -> dict[str, Tensor]:
        raise NotImplementedError

    def text_loss(self, group: Group, indices: Sequence[int]) -> Tensor:
        """[b] mean negative log-likelihood per token, in nats; 0 for a text of one token."""
        texts = [self._tokens[group][index].ids for index in indices]
        losses, predicted = self._losses(texts, [1] * len(texts))
        return losses.sum(1) / predicted.sum(1).clamp_min(1)

    def log_likelihood(self, continuations: Continuations) -> Tensor:
        """[b] log-likelihood of each continuation after its opening."""
        losses, _ = self._losses(continuations.ids, continuations.starts)
        return -losses.sum(1)

    def openings(self, group: Group, indices: Sequence[int], tokens: int) -> list[list[int]]:
        """The first tokens of these texts, without special tokens at the end."""
        return [self._opening(self._tokens[group][index], tokens) for index in indices]

    @torch.no_grad()
    def continued(self, openings: Sequence[Sequence[int]], tokens: int, seed: int) -> Continuations:
        """Sampled at temperature 1 without any cut; torch's random state is left as it was."""
        pad = next(
            (i for i in (self.tokenizer.pad_token_id, self.tokenizer.eos_token_id) if i is not None), 0
        )
        length = max(map(len, openings))
        device = self.model.get_input_embeddings().weight.device
        ids = torch.tensor([[*[pad] * (length - len(o)), *o] for o in openings], device=device)
        mask = torch.tensor([[*[0] * (length - len(o)), *[1] * len(o)] for o in openings], device=device)
        plain = {"temperature": 1.0, "top_k": 0, "top_p": 1.0, "repetition_penalty": 1.0, "num_beams": 1}
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            made = self.model.generate(
                input_ids=ids,
                attention_mask=mask,
                max_new_tokens=tokens,
                do_sample=True,
                pad_token_id=pad,
                **plain,
            )
        new = [self._ended(row) for row in made[:, length:].tolist()]
        texts = self.tokenizer.batch_decode(new, skip_special_tokens=True)
        whole = [[*opening, *rest] for opening, rest in zip(openings, new, strict=True)]
        return Continuations(whole, [len(opening) for opening in openings], texts)

    def _losses(self, ids: Sequence[Sequence[int]], starts: Sequence[int]) -> tuple[Tensor, Tensor]:
        """[b, s − 1] loss of every token from its text's start on, 0 elsewhere; and which tokens count."""
        with torch.inference_mode(False):
            inputs = self._inputs(ids)
            lengths = torch.tensor([len(each) for each in ids])[:, None]
            place = torch.arange(1, inputs["input_ids"].shape[1])
            counts = (place >= torch.tensor(starts)[:, None]) & (place < lengths)
        logits = self.model(**inputs, use_cache=False).logits[:, :-1].float()
        wanted, counts = inputs["input_ids"][:, 1:].to(logits.device), counts.to(logits.device)
        losses = cross_entropy(logits.transpose(1, 2), wanted, reduction="none")
        return losses.masked_fill(~counts, 0), counts

    def _opening(self, text: Any, tokens: int) -> list[int]:
        last = max(i for i, own in enumerate(text.own) if own)
        return list(text.ids[: min(tokens, last + 1)])

    def _ended(self, ids: list[int]) -> list[int]:
        """Up to the first end token, with it; what follows is padding."""
        end = getattr(self.model.generation_config, "eos_token_id", None)
        ends = set(end if isinstance(end, list) else [end]) - {None}
        stop = next((place + 1 for place, token in enumerate(ids) if token in ends), len(ids))
        return ids[:stop]
