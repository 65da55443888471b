"""Vectors for plugins of vLLM, which serve a model and steer it request by request.

hotwire-vllm: a .pt file with a row for each block, which the server loads by its name, and beside it what a
request says to have all of it. vllm-lens: the steering vector itself, as JSON that goes with a request.
Both add a vector to what a block hands on, the first block too, and multiply it by a scale: the strength.
"""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from lineas.errors import ExportError
from lineas.export.stream_shifts import stream_shifts
from lineas.modules.blocks import decoder_blocks
from lineas.modules.names import module_tree, named_modules
from lineas.steering.files import write_atomically
from lineas.steering.steering import Steering


def save_hotwire(
    steering: Steering, model: nn.Module, path: str | Path, strength: float = 1.0
) -> tuple[list[int], Path]:
    """Write path (.pt, [blocks, d] float32, zeros where nothing is added) and path's stem + ".hotwire.json".

    The JSON is the value of a request's "hotwire" argument: one entry for each block that has a vector, of
    which the server holds 16 unless HOTWIRE_SLOTS says otherwise. strength: what scale 1 will mean there.
    Returns the blocks and the second path. Raises `ExportError` for what the format cannot hold.
    """
    path, vectors = Path(path), stream_shifts(steering, model, strength)
    blocks = len(decoder_blocks(named_modules(module_tree(model))))
    if max(vectors) >= blocks:
        raise ExportError(
            f"The steering has a vector for block {max(vectors)}, the model has {blocks} blocks."
        )
    rows = torch.zeros(blocks, len(next(iter(vectors.values()))))
    for block, vector in vectors.items():
        rows[block] = vector
    held = io.BytesIO()
    torch.save(rows, held)
    entries = [{"id": path.stem, "layer": block, "scale": 1.0} for block in vectors]
    request = path.with_name(f"{path.stem}.hotwire.json")
    write_atomically(path, held.getvalue())
    write_atomically(request, json.dumps(entries).encode())
    return list(vectors), request


def save_vllm_lens(
    steering: Steering, model: nn.Module, path: str | Path, strength: float = 1.0
) -> list[int]:
    """Write a JSON file that vllm-lens validates as its `SteeringVector`; returns the blocks that it has.

    strength: what scale 1 will mean there, neutral 1. Raises `ExportError` for what the format cannot hold.
    """
    vectors = stream_shifts(steering, model, strength)
    write_atomically(path, json.dumps(_lens_vector(vectors)).encode())
    return list(vectors)


def _lens_vector(vectors: dict[int, torch.Tensor]) -> dict[str, Any]:
    rows = torch.stack(list(vectors.values())).contiguous()
    data = base64.b64encode(rows.numpy().astype("<f4").tobytes()).decode("ascii")
    activations = {
        "data": data,
        "dtype": "float32",
        "original_dtype": "torch.float32",
        "shape": [*rows.shape],
    }
    return {"activations": activations, "layer_indices": list(vectors), "scale": 1.0, "norm_match": False}
