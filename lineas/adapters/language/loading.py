"""Load language models: a folder, a name on the hub, or a GGUF file, which becomes an ordinary model."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import torch

from lineas.adapters.devices import best_device
from lineas.errors import HubError, require

_MARKS = ("hf_quantizer", "quantization_method", "is_quantized")


def load_language_model(
    name_or_path: str | Path, dtype: torch.dtype | None = None, device: str | torch.device | None = None
) -> tuple[Any, Any]:
    """A causal language model of transformers in evaluation mode, and its tokenizer with a padding token.

    name_or_path: a folder, a name on the hub, or a .gguf file; the weights of a GGUF file are dequantised
    once, so that they can be steered, fused and saved like any others (see `plain_weights`).
    dtype: None is that of the checkpoint, float32 for GGUF. device: None is the best there is.

    Raises `HubError` when nothing is found, `MissingExtraError` without transformers or gguf.
    """
    transformers = require("transformers", "transformers")
    place, options = _where(Path(name_or_path))
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(place, **options)
        dtype = dtype or (torch.float32 if options else "auto")  # type: ignore[assignment]
        options[_dtype_word(transformers.__version__)] = dtype
        model = transformers.AutoModelForCausalLM.from_pretrained(place, **options)
    except (OSError, ValueError) as error:
        first = str(error).strip().partition("\n")[0]
        raise HubError(
            f"Cannot load {str(name_or_path)!r}: it is no folder or .gguf file here, and the hub has no such "
            f"model or cannot be reached ({first}). Check the name and the connection, or give the folder of "
            "a downloaded model."
        ) from error
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    return plain_weights(model).to(device or best_device()).eval(), tokenizer


def plain_weights(model: Any) -> Any:
    """The model without the marks of a quantisation that is not there any more; returned for convenience.

    A GGUF file is dequantised when it is loaded, and still calls itself quantised: transformers then refuses
    to save it or to change its dtype. Models whose weights are quantised in memory are left as they are.
    """
    method = getattr(getattr(model, "quantization_method", None), "value", "")
    if method != "gguf" or not all(weight.is_floating_point() for weight in model.parameters()):
        return model
    for mark in _MARKS:
        with contextlib.suppress(AttributeError):
            delattr(model, mark)
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    return model


def _dtype_word(version: str) -> str:
    """What this version of transformers calls the dtype; before 4.56 `dtype` is unknown to it."""
    return "dtype" if tuple(map(int, version.split(".")[:2])) >= (4, 56) else "torch_dtype"


def _where(path: Path) -> tuple[str, dict[str, Any]]:
    """The folder or name to load from, and how to find a GGUF file in it."""
    if path.suffix.lower() != ".gguf":
        return str(path), {}
    require("gguf", "gguf")
    return str(path.parent), {"gguf_file": path.name}
