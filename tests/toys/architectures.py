"""Tiny random models of the language architectures that people run, by their classes in transformers."""

from __future__ import annotations

from typing import Any

import torch
from toys.language import COMMON, transformers

SIZES: dict[str, Any] = {
    **COMMON,
    "num_hidden_layers": 3, "num_key_value_heads": 1, "head_dim": 8, "sliding_window": 4, "num_experts": 4,
    "num_local_experts": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "moe_topk": 2,
    "moe_num_experts": 4, "moe_k": 2, "n_group": 1, "topk_group": 1, "n_shared_experts": 1,
    "num_shared_experts": 1, "first_k_dense_replace": 1, "num_dense_layers": 1, "moe_intermediate_size": 8,
    "shared_expert_intermediate_size": 8, "moe_shared_expert_intermediate_size": 8, "intermediate_size_mlp":
    24, "shared_intermediate_size": 8, "ffn_hidden_size": 24, "expert_ffn_hidden_size": 8,
    "zero_expert_num": 1, "q_lora_rank": 8, "kv_lora_rank": 8, "o_lora_rank": 8, "qk_nope_head_dim": 8,
    "qk_rope_head_dim": 8, "v_head_dim": 8, "index_n_heads": 2, "index_head_dim": 8, "index_topk": 8,
    "o_groups": 1, "mamba_n_heads": 4, "mamba_d_head": 8, "mamba_d_state": 4, "mamba_d_ssm": 32,
    "mamba_n_groups": 1, "mamba_expand": 2, "mamba_chunk_size": 4, "mamba_num_heads": 4, "mamba_head_dim":
    8, "ssm_state_size": 4, "n_groups": 1, "state_size": 4, "mamba_dt_rank": 4, "time_step_rank": 4,
    "chunk_size": 4, "expand": 2, "num_heads": 4, "linear_num_key_heads": 2, "linear_num_value_heads": 2,
    "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_head_dim": 8, "linear_num_heads": 2,
    "lru_width": 16, "attention_window_size": 4, "block_size": 4, "num_experts_per_token": 2,
    "num_expert_group": 1,
}  # fmt: skip
"""What a configuration may be asked for; each takes the fields that it has."""
_TWO = {"num_key_value_heads": 2}
_LINEAR = {"layer_types": ["linear_attention", "full_attention", "linear_attention"]}
_CONV = {"layer_types": ["conv", "full_attention", "conv"]}

ARCHITECTURES: dict[str, dict[str, Any]] = {
    **{name: {} for name in (
        "Afmoe", "Apertus", "Arcee", "AriaText", "BailingHybrid", "Bloom", "Cohere", "Cohere2",
        "Cohere2Moe", "DeepseekV4", "Dots1", "Ernie4_5", "Ernie4_5_Moe", "Exaone4", "ExaoneMoe", "Falcon",
        "FalconH1", "FalconMamba", "FlexOlmo", "GPT2LMHeadModel", "GPTBigCode", "GPTNeoX", "Gemma",
        "Gemma2", "Gemma3", "Glm", "Glm4", "Glm4Moe", "GptOss", "Granite", "GraniteMoe", "GraniteMoeShared",
        "HYV3", "Helium", "HunYuanDenseV1", "HunYuanMoEV1", "JetMoe", "KimiLinear", "Lfm3", "Llama",
        "Llama4", "Mamba", "Mamba2", "MiMoV2Flash", "MiniMaxM2", "Ministral", "Ministral3", "Mistral",
        "Mixtral", "ModernBertDecoder", "Mpt", "NanoChat", "Nemotron", "NemotronH", "Olmo", "Olmo2",
        "Olmo3", "Olmoe", "Persimmon", "Phi", "Phi3", "Phimoe", "Qwen2", "Qwen2Moe", "Qwen3", "Qwen3Moe",
        "RecurrentGemma", "Rwkv", "SeedOss", "SmolLM3", "SolarOpen", "StableLm", "Starcoder2", "VaultGemma",
        "xLSTM",
    )},
    "DeepseekV2": _TWO, "DeepseekV3": _TWO, "DeepseekV32": _TWO, "DiffLlama": _TWO, "Glm4MoeLite": _TWO,
    "GlmMoeDsa": _TWO, "MiniCPM3": _TWO,
    "LongcatFlash": {**_TWO, "num_hidden_layers": 4, "num_layers": 2},
    "Zaya": {"num_experts_per_tok": 1},
    "Bamba": {"attn_layer_indices": [1]},
    "GPTJ": {"rotary_dim": 4},
    "Gemma3n": {
        "num_kv_shared_layers": 0, "layer_types": ["sliding_attention", "full_attention", "full_attention"],
        "hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 40, "laurel_rank": 4,
        "intermediate_size": [24] * 3, "activation_sparsity_pattern": [0.0] * 3, "altup_num_inputs": 2,
    },
    "Gemma4": {"hidden_size_per_layer_input": 4, "vocab_size_per_layer_input": 40, "per_layer_config": None},
    "GraniteMoeHybrid": {"layer_types": ["mamba", "attention", "mamba"]},
    "Jamba": {"attn_layer_period": 2, "attn_layer_offset": 1, "expert_layer_offset": 1},
    "Lfm2": _CONV, "Lfm2Moe": _CONV,
    "MiniMax": _LINEAR, "OlmoHybrid": _LINEAR,
    "Qwen3Next": _LINEAR, "Qwen3_5": _LINEAR, "Qwen3_5Moe": _LINEAR,
    "OPT": {"ffn_dim": 24, "word_embed_proj_dim": 16},
}  # fmt: skip
"""What a class needs besides its sizes. Names are those of the classes, ForCausalLM left out."""


def class_name(name: str) -> str:
    return name if name.endswith("Model") else f"{name}ForCausalLM"


def architecture(name: str) -> Any:
    """A model of the class, with irregular weights so that norms are not the identity and prompts differ."""
    kind = getattr(transformers, class_name(name))
    config = kind.config_class
    fields, plain = getattr(config, "__dataclass_fields__", {}), config()
    known = {key for key in SIZES if key in fields or hasattr(plain, key) or key in config.attribute_map}
    computed = {key for key in known if isinstance(getattr(config, key, None), property)}
    sizes = {key: value for key, value in SIZES.items() if key in known - computed}
    torch.manual_seed(0)
    built = kind(config(**{**sizes, **ARCHITECTURES[name]}))
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in built.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator))
    return built.eval()
