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
    made.chat_template = (
        "{% for message in messages %}{% if message['content'] is string %}{{ message['content'] }}"
        "{% else %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %} {% endfor %}"
    )
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


def _qwen3_vl(layers: int) -> Any:
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    language = {**_SMALL, "num_hidden_layers": layers, "rope_scaling": rope, "rope_parameters": rope}
    return transformers.Qwen3VLConfig(
        text_config=language,
        vision_config={**_VISION, "out_hidden_size": 16, "deepstack_visual_indexes": [0]},
    )


def qwen3_vl(layers: int = 2) -> Any:
    return transformers.Qwen3VLModel(_qwen3_vl(layers))


def qwen3_vl_lm(layers: int = 2) -> Any:
    return transformers.Qwen3VLForConditionalGeneration(_qwen3_vl(layers))


def umt5() -> Any:
    return transformers.UMT5EncoderModel(
        transformers.UMT5Config(
            vocab_size=_VOCABULARY, d_model=16, d_kv=8, d_ff=24, num_layers=1, num_heads=2, pad_token_id=0,
            eos_token_id=2, dropout_rate=0.0,
        )
    )  # fmt: skip


def smollm3(vocabulary: int) -> Any:
    return transformers.SmolLM3ForCausalLM(transformers.SmolLM3Config(**{**_SMALL, "vocab_size": vocabulary}))


def llama_lm() -> Any:
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**_SMALL))


def mistral3() -> Any:
    config = transformers.Mistral3Config(
        text_config={"model_type": "mistral", **_SMALL, "sliding_window": None},
        vision_config={
            "model_type": "pixtral", "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "image_size": 12, "patch_size": 6, "num_channels": 3,
        },
        image_token_index=0,
    )  # fmt: skip
    return transformers.Mistral3ForConditionalGeneration(config)


def gemma() -> Any:
    return transformers.GemmaForCausalLM(transformers.GemmaConfig(**_SMALL))


def glm() -> Any:
    return transformers.GlmForCausalLM(transformers.GlmConfig(**_SMALL))


def bert() -> Any:
    return transformers.BertModel(
        transformers.BertConfig(
            vocab_size=_VOCABULARY, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
            intermediate_size=24, max_position_embeddings=77,
        )
    )  # fmt: skip


def t5gemma() -> Any:
    config = transformers.T5GemmaModuleConfig(**_SMALL, query_pre_attn_scalar=8, dropout_rate=0.0)
    return transformers.models.t5gemma.modeling_t5gemma.T5GemmaEncoder(config)


class Processor:
    """A processor of texts and images that is given texts alone."""

    def __init__(self) -> None:
        self.tokenizer = chat_tokenizer(64)
        self.tokenizer.add_tokens(["<|image_pad|>"])

    def __call__(self, text: Any = None, images: Any = None, videos: Any = None, **options: Any) -> Any:
        return self.tokenizer(text, **options)

    def apply_chat_template(self, messages: Any, tokenize: bool = False, **options: Any) -> Any:
        made = self.tokenizer.apply_chat_template(messages, tokenize=tokenize, **options)
        return [made] if tokenize else made

    def __getattr__(self, name: str) -> Any:
        return getattr(self.tokenizer, name)


def processor() -> Any:
    return Processor()
