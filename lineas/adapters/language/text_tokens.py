"""Texts as tokens: plain or as a chat, with one start token, and which tokens are a text's own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lineas.errors import ConfigError

_MARK = "\ue000"
"""A letter for private use, which no template and no text has."""


@dataclass(frozen=True)
class Tokens:
    """One text: its token ids, and per token whether it is the text's own (True) or one around it."""

    ids: list[int]
    own: list[bool]


def text_tokens(tokenizer: Any, text: str, chat: bool = False, answer: bool = False) -> Tokens:
    """The tokens of a text; special ones are not its own, also those that the text itself has.

    chat: put it as a user's message into the tokenizer's own template, whose words are not the text's own
    either. answer: then also begin the model's answer, as for generation. A start token that both a template
    and the tokenizer give is there once. Raises `ConfigError` for a chat without a template.
    """
    if chat:
        return _message(tokenizer, text, answer)
    encoded = tokenizer(text, return_special_tokens_mask=True, truncation=False, verbose=False)
    ids, added = list(encoded["input_ids"]), list(encoded["special_tokens_mask"])
    if len(ids) > 1 and ids[0] == ids[1] == tokenizer.bos_token_id:
        ids, added = ids[1:], added[1:]
    special = _special(tokenizer)
    return Tokens(ids, [not mark and token not in special for token, mark in zip(ids, added, strict=True)])


def text_after(tokenizer: Any, before: str, text: str) -> Tokens:
    """The tokens of a text after another, which are not its own; nor is the first of all but a single one."""
    whole, head = (text_tokens(tokenizer, each) for each in (f"{before} {text}".lstrip(), before))
    end = max((place + 1 for place, own in enumerate(head.own) if own), default=min(1, len(whole.ids) - 1))
    return Tokens(whole.ids, [own and place >= end for place, own in enumerate(whole.own)])


def _message(tokenizer: Any, text: str, answer: bool) -> Tokens:
    whole, marked = (_rendered(tokenizer, content, answer) for content in (text, _MARK))
    before, _, after = marked.partition(_MARK)
    start, end = len(before), len(whole) - len(after)
    fast = getattr(tokenizer, "is_fast", False)
    encoded = tokenizer(
        whole, add_special_tokens=False, return_offsets_mapping=fast, truncation=False, verbose=False
    )
    ids, special = list(encoded["input_ids"]), _special(tokenizer)
    # Tokenizers in Python do not tell where a token lies: there only the special ones are left out.
    places = encoded["offset_mapping"] if fast else [(start, end)] * len(ids)
    return Tokens(
        ids,
        [
            first < end and last > start and token not in special
            for token, (first, last) in zip(ids, places, strict=True)
        ],
    )


def _rendered(tokenizer: Any, text: str, answer: bool) -> str:
    if not getattr(tokenizer, "chat_template", None):
        raise ConfigError(
            "The tokenizer has no chat template, so that texts cannot be put into a chat. Leave chat out, "
            "take an instruction-tuned model, or set tokenizer.chat_template."
        )
    messages = [{"role": "user", "content": text}]
    return str(tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer))


def _special(tokenizer: Any) -> set[int]:
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {*tokenizer.all_special_ids, *(number for number, token in added.items() if token.special)}
