"""A small Qwen3 text encoder in ComfyUI's own classes for Z-Image, with its own tokenizer."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.text_encoders.llama
import comfy.text_encoders.z_image
from comfy import sd1_clip
from torch import Tensor

from .clip import _FromFile, whole_clip

NAME = "qwen3_4b"
"""The name by which ComfyUI knows Z-Image's text encoder, of whatever size."""
SHAPE = (
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
)


def build_text_encoder(config: Mapping[str, Any], weights: Mapping[str, Tensor], tokenizer: Path) -> Any:
    """A CLIP of a Qwen3Model's configuration and weights, in float32; tokenizer: a `tokenizer.json`.

    Its heads have 128 units, which ComfyUI's class fixes.
    """
    padding = _FromFile.from_pretrained(str(tokenizer)).convert_tokens_to_ids("<|endoftext|>")

    class Tokens(sd1_clip.SDTokenizer):
        def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
            super().__init__(
                str(tokenizer),
                pad_with_end=False,
                embedding_directory=embedding_directory,
                embedding_size=config["hidden_size"],
                embedding_key=NAME,
                tokenizer_class=_FromFile,
                has_start_token=False,
                has_end_token=False,
                pad_to_max_length=False,
                max_length=99999999,
                min_length=1,
                pad_token=padding,
            )

    class Tokenizer(comfy.text_encoders.z_image.ZImageTokenizer):
        def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
            super().__init__(embedding_directory, {f"{NAME}_tokenizer_class": Tokens})

    class Encoder(sd1_clip.SDClipModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            super().__init__(
                device=device,
                dtype=dtype,
                layer="hidden",
                layer_idx=-2,
                textmodel_json_config={name: config[name] for name in SHAPE},
                special_tokens={"pad": padding},
                layer_norm_hidden_state=False,
                model_class=comfy.text_encoders.llama.Qwen3_4B,
                enable_attention_masks=True,
                return_attention_masks=True,
                model_options=model_options or {},
            )

    class Model(sd1_clip.SD1ClipModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            super().__init__(device, dtype, model_options or {}, name=NAME, clip_model=Encoder)

    clip = whole_clip(Model, Tokenizer)
    missing, unexpected = clip.load_sd({f"model.{name}": weight.float() for name, weight in weights.items()})
    assert not unexpected and not [name for name in missing if "logit_scale" not in name]
    return clip
