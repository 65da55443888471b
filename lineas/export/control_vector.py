"""Control vectors: a steering that only shifts the residual stream, as a GGUF file for llama.cpp.

llama.cpp adds one vector to what a block hands to the next; its scale is the strength, linear as ours, and
its first block takes no vector.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from lineas.errors import require
from lineas.export.stream_shifts import stream_shifts
from lineas.steering.files import write_atomically
from lineas.steering.steering import Steering


def control_vectors(steering: Steering, model: nn.Module, strength: float = 1.0) -> dict[int, Tensor]:
    """Block number, from 1 -> [d] float32 vector that llama.cpp adds to the stream after that block.

    model: the language model it is for. strength: what scale 1 in llama.cpp will mean, neutral 1.
    Raises `ExportError` that lists every site that is not a shift of the stream, and why.
    """
    return stream_shifts(steering, model, strength, first=1)


def save_control_vector(
    steering: Steering, model: nn.Module, path: str | Path, strength: float = 1.0
) -> list[int]:
    """Write `control_vectors` as one GGUF file, whole or not at all; returns the blocks that have a vector.

    Raises `ExportError` for what the format cannot hold, `MissingExtraError` without the package gguf.
    """
    gguf = require("gguf", "gguf")
    vectors = control_vectors(steering, model, strength)
    kind = getattr(getattr(model, "config", None), "model_type", "") or "unknown"
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.gguf"
        writer = gguf.GGUFWriter(draft, "controlvector")
        writer.add_string("controlvector.model_hint", _architecture(kind))
        writer.add_uint32("controlvector.layer_count", len(vectors))
        writer.add_string("general.description", _description(steering, strength))
        for block, vector in vectors.items():
            writer.add_tensor(f"direction.{block}", vector.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        write_atomically(path, draft.read_bytes())
    return list(vectors)


def _architecture(model_type: str) -> str:
    """What llama.cpp calls a model type of transformers."""
    names: Mapping[str, str] = {"mistral": "llama", "gemma3_text": "gemma3", "gpt_neox": "gptneox"}
    return names.get(model_type, model_type)


def _description(steering: Steering, strength: float) -> str:
    made = steering.provenance
    return f"{made.method or 'steering'} for {made.base_model or 'a model'}; scale 1 is strength {strength:g}"
