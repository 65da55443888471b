"""How likely a language model finds texts, in summed negative log-likelihood."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn.functional import cross_entropy

from lineas.adapters.devices import input_device
from lineas.adapters.language.text_tokens import text_tokens

BATCH = 16


@torch.no_grad()
def summed_losses(
    model: Any, rows: list[list[int]], starts: list[int] | None = None, batch: int = BATCH
) -> list[float]:
    """Summed negative log-likelihood, in nats, of each row of token ids from its start on.

    starts: the first token of each row that is foretold, at least 1; None foretells all but the first.
    """
    begun = starts if starts is not None else [1] * len(rows)
    parts = [slice(start, start + batch) for start in range(0, len(rows), batch)]
    return [loss for part in parts for loss in _of_batch(model, rows[part], begun[part])]


def losses_after(
    model: Any, tokenizer: Any, before: Sequence[str], texts: Sequence[str], *, chat: bool, batch: int = BATCH
) -> list[tuple[float, int]]:
    """Of each text after what is before it: the summed loss of its tokens, and how many; (0, 0) if empty."""
    heads = [text_tokens(tokenizer, each, chat, answer=True).ids for each in before]
    tails = [list(tokenizer(each, add_special_tokens=False, verbose=False)["input_ids"]) for each in texts]
    kept = [number for number, tail in enumerate(tails) if tail]
    rows = [heads[number] + tails[number] for number in kept]
    losses = [0.0] * len(texts)
    for number, loss in zip(
        kept, summed_losses(model, rows, [len(heads[n]) for n in kept], batch), strict=True
    ):
        losses[number] = loss
    return [(loss, len(tail)) for loss, tail in zip(losses, tails, strict=True)]


def _of_batch(model: Any, rows: list[list[int]], starts: list[int]) -> list[float]:
    length = max(map(len, rows))
    device = input_device(model)
    ids = torch.tensor([row + [0] * (length - len(row)) for row in rows], device=device)
    mask = torch.tensor([[1] * len(row) + [0] * (length - len(row)) for row in rows], device=device)
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, :-1].float()
    each = cross_entropy(logits.transpose(1, 2), ids[:, 1:], reduction="none")
    first = torch.tensor(starts, device=device)[:, None]
    counts = mask[:, 1:].bool() & (torch.arange(1, length, device=device) >= first)
    return each.masked_fill(~counts, 0).double().sum(1).tolist()
