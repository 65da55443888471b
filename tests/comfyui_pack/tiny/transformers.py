"""Diffusion transformers with blocks of their own."""

from __future__ import annotations

import inspect
from typing import Any

import pytest
from comfyui_pack.tiny.making import made


def sd3() -> Any:
    embedder = {"target": "torch.nn.Linear", "params": {"in_features": 12, "out_features": 128}}
    sizes = {"depth": 2, "in_channels": 16, "adm_in_channels": 8, "context_embedder_config": embedder}
    places = {"pos_embed_max_size": 16, "num_patches": 256, "pos_embed_scaling_factor": None}
    return made("SD3", "SD3", {"patch_size": 2, "input_size": None, **sizes, **places})


def pixart() -> Any:
    sizes = {"hidden_size": 48, "depth": 2, "num_heads": 2, "caption_channels": 12, "mlp_ratio": 2.0}
    return made("PixArtSigma", "PixArt", {"image_model": "pixart_sigma", "micro_condition": False, **sizes})


def hunyuan_dit() -> Any:
    sizes = {"hidden_size": 64, "depth": 4, "num_heads": 2, "text_states_dim": 12, "text_states_dim_t5": 16}
    return made("HunyuanDiT", "HunyuanDiT", {"image_model": "hydit", **sizes})


def lumina2(family: str = "Lumina2", **changes: Any) -> Any:
    sizes = {
        "dim": 48,
        "n_layers": 2,
        "n_refiner_layers": 1,
        "n_heads": 2,
        "n_kv_heads": 2,
        "cap_feat_dim": 12,
    }
    places = {"axes_dims": [8, 8, 8], "axes_lens": [300, 64, 64]}
    given = {"image_model": "lumina2", "in_channels": 16, "patch_size": 2, "qk_norm": True}
    return made(family, "Lumina2", {**given, **sizes, **places, "multiple_of": 16, **changes})


def qwen_image() -> Any:
    sizes = {"num_layers": 2, "attention_head_dim": 24, "num_attention_heads": 2, "joint_attention_dim": 12}
    given = {"image_model": "qwen_image", "in_channels": 64, "axes_dims_rope": (8, 8, 8)}
    return made("QwenImage", "QwenImage", {**given, **sizes})


def wan() -> Any:
    sizes = {"dim": 48, "ffn_dim": 64, "freq_dim": 16, "text_dim": 12, "num_heads": 2, "num_layers": 2}
    given = {"image_model": "wan2.1", "model_type": "t2v", "in_dim": 16, "out_dim": 16}
    return made("WAN21_T2V", "WAN21", {**given, **sizes})


def z_image() -> Any:
    import comfy.ldm.lumina.model

    if "z_image_modulation" not in inspect.signature(comfy.ldm.lumina.model.NextDiT).parameters:
        pytest.skip("this release of ComfyUI does not know Z-Image")
    kind = {"z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32, "rope_theta": 256.0}
    # The embedding of the noise level has the width of the large model.
    sizes = {"dim": 256, "n_layers": 1, "axes_dims": [32, 48, 48]}
    return lumina2("ZImage", **kind, **sizes)


def aura_flow() -> Any:
    sizes = {"dim": 32, "n_layers": 2, "n_double_layers": 1, "n_heads": 2, "global_conddim": 32}
    return made("AuraFlow", "AuraFlow", {"in_channels": 4, "cond_seq_dim": 12, "max_seq": 64, **sizes})


def cosmos_predict2() -> Any:
    places = {"max_img_h": 32, "max_img_w": 32, "max_frames": 4, "pos_emb_cls": "rope3d"}
    ends = {"in_channels": 16, "out_channels": 16, "patch_spatial": 2, "patch_temporal": 1}
    sizes = {"model_channels": 48, "num_blocks": 2, "num_heads": 2, "mlp_ratio": 2.0}
    more = {"crossattn_emb_channels": 12, "use_adaln_lora": True, "adaln_lora_dim": 8}
    given = {"image_model": "cosmos_predict2", "concat_padding_mask": True}
    return made("CosmosT2IPredict2", "CosmosPredict2", {**given, **places, **ends, **sizes, **more})


def hidream() -> Any:
    ends = {"in_channels": 16, "out_channels": 16, "patch_size": 2, "max_resolution": [32, 32]}
    text = {"caption_channels": [12, 12], "text_emb_dim": 8, "llama_layers": [0, 1]}
    sizes = {"num_layers": 1, "num_single_layers": 1, "attention_head_dim": 16, "num_attention_heads": 2}
    more = {"num_routed_experts": 2, "num_activated_experts": 1, "axes_dims_rope": [8, 4, 4]}
    return made("HiDream", "HiDream", {"image_model": "hidream", **ends, **text, **sizes, **more})


def kandinsky5() -> Any:
    text = {"in_text_dim": 12, "in_text_dim2": 8, "num_text_blocks": 1}
    sizes = {"model_dim": 48, "time_dim": 32, "ff_dim": 64, "axes_dims": (8, 8, 8), "num_visual_blocks": 2}
    given = {"image_model": "kandinsky5", "visual_embed_dim": 64, "rope_scale_factor": (1.0, 1.0, 1.0)}
    return made("Kandinsky5Image", "Kandinsky5Image", {**given, **text, **sizes})


def omnigen2() -> Any:
    sizes = {"hidden_size": 48, "num_layers": 2, "num_refiner_layers": 1, "num_attention_heads": 2}
    more = {"num_kv_heads": 2, "multiple_of": 16, "axes_dim_rope": [8, 8, 8], "axes_lens": [300, 64, 64]}
    given = {"image_model": "omnigen2", "in_channels": 16, "text_feat_dim": 12, "timestep_scale": 1000.0}
    return made("Omnigen2", "Omnigen2", {**given, **sizes, **more})


def krea2() -> Any:
    sizes = {"features": 32, "tdim": 16, "heads": 2, "kvheads": 1, "layers": 2, "multiplier": 2}
    text = {"txtdim": 6, "txtlayers": 2, "txtheads": 1, "txtkvheads": 1}
    return made("Krea2", "Krea2", {"image_model": "krea2", "channels": 16, **sizes, **text})


def ernie_image() -> Any:
    sizes = {"hidden_size": 48, "num_attention_heads": 2, "num_layers": 2, "ffn_hidden_size": 64}
    more = {"text_in_dim": 12, "rope_axes_dim": (8, 8, 8)}
    return made("ErnieImage", "ErnieImage", {"image_model": "ernie", **sizes, **more})


def ideogram4() -> Any:
    sizes = {"num_layers": 2, "num_attention_heads": 2, "attention_head_dim": 16, "intermediate_size": 64}
    more = {"adaln_dim": 16, "llm_features_dim": 12, "mrope_section": (4, 2, 2)}
    return made("Ideogram4", "Ideogram4", {"image_model": "ideogram4", "in_channels": 128, **sizes, **more})
