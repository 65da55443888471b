"""The text encoder of the bundled model in ComfyUI's own classes, with its own tokenizer."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import comfy.clip_model
import comfy.sd
import torch
from comfy import sd1_clip
from torch import Tensor


def build_clip(config: Mapping[str, Any], weights: Mapping[str, Tensor], tokenizer: Path) -> Any:
    """A CLIP of a CLIPTextModel's configuration and weights, in float32; tokenizer: a `tokenizer.json`."""
    special = {"start": config["bos_token_id"], "end": config["eos_token_id"], "pad": config["pad_token_id"]}
    length, width = config["max_position_embeddings"], config["hidden_size"]

    class Tokens(sd1_clip.SDTokenizer):
        def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
            super().__init__(
                str(tokenizer),
                max_length=length,
                embedding_directory=embedding_directory,
                embedding_size=width,
                tokenizer_class=_FromFile,
            )

    class Text(comfy.clip_model.CLIPTextModel):
        def __init__(self, config_dict: Any, dtype: Any, device: Any, operations: Any) -> None:
            super().__init__(config_dict, dtype, device, operations)
            # ComfyUI fixes the number of words; ours is smaller.
            words = operations.Embedding(config_dict["vocab_size"], width, dtype=dtype, device=device)
            self.text_model.embeddings.token_embedding = words

    class Encoder(sd1_clip.SDClipModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            super().__init__(
                device=device,
                dtype=dtype,
                max_length=length,
                textmodel_json_config=dict(config),
                model_class=Text,
                special_tokens=special,
                return_projected_pooled=False,
                model_options=model_options or {},
            )

    class Tokenizer(sd1_clip.SD1Tokenizer):
        def __init__(self, embedding_directory: Any = None, tokenizer_data: Any = None) -> None:
            super().__init__(embedding_directory=embedding_directory, tokenizer=Tokens)

    class Model(sd1_clip.SD1ClipModel):
        def __init__(self, device: Any = "cpu", dtype: Any = None, model_options: Any = None) -> None:
            super().__init__(device, dtype, model_options or {}, clip_model=Encoder)

    clip = whole_clip(Model, Tokenizer)
    missing, unexpected = clip.load_sd(_prefixed(weights, width))
    assert not unexpected and not [name for name in missing if "logit_scale" not in name]
    return clip


def whole_clip(model: type, tokenizer: type) -> Any:
    """A CLIP of these classes in float32.

    Newer releases page text encoders through the GPU's memory; one this small stays there as a whole.
    """
    paging = "disable_dynamic" in inspect.signature(comfy.sd.CLIP.__init__).parameters
    whole = {"disable_dynamic": True} if paging else {}
    return comfy.sd.CLIP(_Target(model, tokenizer), model_options={"dtype": torch.float32}, **whole)


class _Target:
    """What ComfyUI makes a CLIP of."""

    def __init__(self, clip: type, tokenizer: type) -> None:
        self.clip, self.tokenizer, self.params = clip, tokenizer, {}


class _FromFile:
    """A tokenizer from its one file, which every release of transformers reads alike."""

    @staticmethod
    def from_pretrained(path: str, **_: Any) -> Any:
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast(tokenizer_file=path)


def _prefixed(weights: Mapping[str, Tensor], width: int) -> dict[str, Tensor]:
    """Weights by ComfyUI's names; older releases of transformers had the level `text_model` themselves."""
    named = {f"text_model.{name.removeprefix('text_model.')}": w.float() for name, w in weights.items()}
    named.pop("text_model.embeddings.position_ids", None)
    return {**named, "text_projection.weight": torch.eye(width)}
