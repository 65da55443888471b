"""Tiny random language models of every architecture that has presets, and a word tokenizer built in code."""

from __future__ import annotations

from typing import Any

import pytest
import torch

tokenizers = pytest.importorskip("tokenizers")
transformers = pytest.importorskip("transformers")

SOURCE = ["the cold rain falls", "cold night", "the grey night is cold and long", "rain at night again"]
TARGET = ["the warm sun shines", "a warm day", "sun and light all day", "the day is long and bright", "warm"]
PRESERVE = ["a cat and a dog", "the dog is at the door", "bread and salt"]
WORDS = sorted({word for text in (*SOURCE, *TARGET, *PRESERVE) for word in text.split()})

COMMON: dict[str, Any] = {
    "vocab_size": len(WORDS) + 3,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_position_embeddings": 64,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "pad_token_id": 0,
}
GQA = {"num_key_value_heads": 1, "head_dim": 8}
ARCHITECTURES: dict[str, dict[str, Any]] = {
    "Llama": GQA,
    "Mistral": {**GQA, "sliding_window": 4},
    "Qwen2": {"num_key_value_heads": 1},
    "Qwen3": GQA,
    "Gemma": GQA,
    "Gemma2": {**GQA, "sliding_window": 4},
    "Gemma3": {**GQA, "sliding_window": 4, "layer_types": ["sliding_attention", "full_attention"]},
    "Phi3": {"num_key_value_heads": 1},
    "GPT2": {},
    "GPTNeoX": {},
    "OPT": {"ffn_dim": 24, "word_embed_proj_dim": 16, "dropout": 0.1},
}


def config(name: str) -> Any:
    suffix = "TextConfig" if name == "Gemma3" else "Config"
    options = {**COMMON, **ARCHITECTURES[name]}
    if name == "GPT2":
        renamed = {"hidden_size": "n_embd", "num_hidden_layers": "n_layer", "num_attention_heads": "n_head"}
        renamed |= {"max_position_embeddings": "n_positions", "intermediate_size": "n_inner"}
        options = {renamed.get(key, key): value for key, value in options.items()}
    return getattr(transformers, name + suffix)(**options)


def model(name: str, dtype: torch.dtype = torch.float32) -> Any:
    """A model with irregular weights, so that norms are not the identity and prompts differ."""
    torch.manual_seed(0)
    built = transformers.AutoModelForCausalLM.from_config(config(name))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.15 * torch.randn(parameter.shape, generator=generator))
    return built.to(dtype).eval()


def tokenizer(specials: bool = True, pad: bool = True) -> Any:
    """One token per word; with `specials` every text starts with one."""
    vocabulary = {word: number for number, word in enumerate(["<pad>", "<s>", "</s>", *WORDS])}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="</s>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    if specials:
        backend.post_processor = tokenizers.processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", 1)]
        )
    named = {"bos_token": "<s>", "eos_token": "</s>"} | ({"pad_token": "<pad>"} if pad else {})
    return transformers.PreTrainedTokenizerFast(tokenizer_object=backend, **named)
