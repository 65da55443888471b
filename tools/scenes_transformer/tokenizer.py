"""The tokenizer of the bundled transformer: a Qwen2Tokenizer whose every known word is one token."""

from __future__ import annotations

from transformers import Qwen2Tokenizer

from lineas.scenes.grammar import vocabulary
from tools.scenes_model.text import pair_merges

LENGTH = 32
"""Tokens that a prompt of the grammar has at most, its template included."""
SPACE, LINE = "Ġ", "Ċ"
"""How byte-level tokens write a space and a line break."""
END, TURN, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}"
    "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)
"""What Qwen3 puts around a prompt."""


def byte_tokens() -> list[str]:
    """The 256 one-byte tokens in the spelling of byte-level tokenizers, so that no text is unknown."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    spelled = {byte: chr(byte) for byte in printable}
    rest = (byte for byte in range(256) if byte not in spelled)
    spelled |= {byte: chr(256 + place) for place, byte in enumerate(rest)}
    return [spelled[byte] for byte in range(256)]


def build_tokenizer() -> Qwen2Tokenizer:
    """Words of the grammar, at the start of a prompt and behind a space, are single tokens."""
    known = [*vocabulary(), "user", "assistant"]
    merges = pair_merges([list(word) for word in known] + [[SPACE, *word] for word in known])
    tokens = list(dict.fromkeys([*byte_tokens(), *(a + b for a, b in merges), END, TURN, TURN_END]))
    tokenizer = Qwen2Tokenizer(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=merges,
        unk_token=END,
        eos_token=TURN_END,
        pad_token=END,
        additional_special_tokens=[TURN, TURN_END],
        model_max_length=512,
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def token_ids(tokenizer: Qwen2Tokenizer, prompts: list[str]) -> tuple[list[list[int]], list[list[int]]]:
    """Numbers and mask [n, 32] of prompts in their template, padded on the right as the pipeline does."""
    turns = ([{"role": "user", "content": prompt}] for prompt in prompts)
    texts = [tokenizer.apply_chat_template(t, tokenize=False, add_generation_prompt=True) for t in turns]
    encoded = tokenizer(texts, padding="max_length", max_length=LENGTH, truncation=True)
    return encoded.input_ids, encoded.attention_mask
