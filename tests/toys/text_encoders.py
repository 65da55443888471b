"""Text encoders of today's image pipelines: their own classes, two layers deep, random weights."""

from __future__ import annotations

from typing import Any

from toys.pipelines import LENGTH, SPECIAL, WORDS, tokenizer, transformers

_VOCABULARY = len(SPECIAL) + len(WORDS)
_SMALL: dict[str, Any] = {
    "vocab_size": _VOCABULARY, "hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2,
    "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 256,
    "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
}  # fmt: skip
_VISION: dict[str, Any] = {"depth": 1, "hidden_size": 16, "intermediate_size": 16, "num_heads": 2}


def chat_tokenizer(length: int = LENGTH) -> Any:
    """A tokenizer whose chat template is the text of the messages."""
    made = tokenizer(starts=False, length=length, pad="<pad>")
    made.chat_template = "{% for message in messages %}{{ message['content'] }}{% endfor %}"
    return made


def qwen3() -> Any:
    return transformers.Qwen3ForCausalLM(transformers.Qwen3Config(**_SMALL))


def gemma2() -> Any:
    return transformers.Gemma2Model(transformers.Gemma2Config(**_SMALL, query_pre_attn_scalar=8))


def llama() -> Any:
    return transformers.LlamaModel(transformers.LlamaConfig(**_SMALL))


def qwen2_5_vl() -> Any:
    rope = {"rope_type": "default", "type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    config = transformers.Qwen2_5_VLConfig(
        text_config={**_SMALL, "rope_scaling": rope, "rope_parameters": rope},
        vision_config={**_VISION, "out_hidden_size": 16, "fullatt_block_indexes": [0]},
    )
    return transformers.Qwen2_5_VLForConditionalGeneration(config)


def qwen3_vl() -> Any:
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    config = transformers.Qwen3VLConfig(
        text_config={**_SMALL, "rope_scaling": rope, "rope_parameters": rope},
        vision_config={**_VISION, "out_hidden_size": 16, "deepstack_visual_indexes": [0]},
    )
    return transformers.Qwen3VLModel(config)


def umt5() -> Any:
    return transformers.UMT5EncoderModel(
        transformers.UMT5Config(
            vocab_size=_VOCABULARY, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, pad_token_id=0,
            eos_token_id=2, dropout_rate=0.0,
        )
    )  # fmt: skip
