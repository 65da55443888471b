"""Control vectors: a steering that only shifts the residual stream, as a GGUF file for llama.cpp.

llama.cpp adds one vector to what a block hands to the next. That is what a shift does at a block's output,
and at the last module whose output the block adds to its stream: the output of the feed-forward, or the norm
after it. The program's scale is the strength, linear as ours. Its first block takes no vector.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from lineas.apply.check import check_fit
from lineas.errors import ExportError, require
from lineas.maps.affine import AffineMap
from lineas.modules.names import module_tree
from lineas.steering.files import write_atomically
from lineas.steering.site import Site
from lineas.steering.steering import Steering

_BLOCK = re.compile(r"(?:.*\.)?(?:layers|h|blocks)\.(\d+)(?:\.(.+))?")
# What a block adds to its stream last; a norm after it, where there is one, takes its place.
_LAST_BRANCH = ("post_feedforward_layernorm", "mlp.down_proj", "mlp.dense_4h_to_h", "mlp.c_proj", "fc2")


def control_vectors(steering: Steering, model: nn.Module, strength: float = 1.0) -> dict[int, Tensor]:
    """Block number, from 1 -> [d] float32 vector that llama.cpp adds to the stream after that block.

    model: the language model it is for. strength: what scale 1 in llama.cpp will mean, neutral 1.
    Raises `ExportError` that lists every site that is not a shift of the stream, and why.
    """
    components = module_tree(model)
    check_fit(components, steering)
    reasons = {site: why for site in steering.maps if (why := unsupported(steering, model, site))}
    if reasons:
        raise ExportError(_refusal(reasons, len(steering.maps)))
    vectors: dict[int, Tensor] = {}
    for site, map in steering.maps.items():
        if map.is_identity:
            continue
        assert isinstance(map, AffineMap)
        block, shift = _block_of(site)[0], strength * map.shift.detach().to("cpu", torch.float32)
        vectors[block] = vectors[block] + shift if block in vectors else shift
    return vectors


def unsupported(steering: Steering, model: nn.Module, site: Site) -> str | None:
    """Why a control vector cannot hold the map of a site, or None when it can."""
    map = steering.maps[site]
    if map.is_identity:
        return None
    if not isinstance(map, AffineMap):
        return f"a {map.kind} map depends on the activation, a control vector is the same for all"
    if bool(map.deviation.any()):
        return "it scales units, a control vector can only shift them"
    block, inside = _block_of(site)
    if block < 0 or site.output != 0 or not _is_last_branch(model, site, inside):
        return "it is not the output of a block, nor what a block adds last to its stream"
    return "llama.cpp gives no vector to the first block" if block == 0 else None


def save_control_vector(
    steering: Steering, model: nn.Module, path: str | Path, strength: float = 1.0
) -> list[int]:
    """Write `control_vectors` as one GGUF file, whole or not at all; returns the blocks that have a vector.

    Raises `ExportError` for what the format cannot hold, `MissingExtraError` without the package gguf.
    """
    gguf = require("gguf", "gguf")
    vectors = control_vectors(steering, model, strength)
    if not vectors:
        raise ExportError("The steering changes nothing, so there is nothing to export.")
    kind = getattr(getattr(model, "config", None), "model_type", "") or "unknown"
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.gguf"
        writer = gguf.GGUFWriter(draft, "controlvector")
        writer.add_string("controlvector.model_hint", _architecture(kind))
        writer.add_uint32("controlvector.layer_count", len(vectors))
        writer.add_string("general.description", _description(steering, strength))
        for block, vector in sorted(vectors.items()):
            writer.add_tensor(f"direction.{block}", vector.numpy())
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        write_atomically(path, draft.read_bytes())
    return sorted(vectors)


def _block_of(site: Site) -> tuple[int, str]:
    """Number of the block and path within it ("" for the block itself); −1 outside of blocks."""
    found = _BLOCK.fullmatch(site.name)
    return (int(found[1]), found[2] or "") if found else (-1, "")


def _is_last_branch(model: nn.Module, site: Site, inside: str) -> bool:
    if not inside:
        return True
    block = dict(model.named_modules())[site.name.removesuffix(f".{inside}")]
    paths = {path for path, _ in block.named_modules()}
    return inside == next((path for path in _LAST_BRANCH if path in paths), None)


def _architecture(model_type: str) -> str:
    """What llama.cpp calls a model type of transformers."""
    names: Mapping[str, str] = {"mistral": "llama", "gemma3_text": "gemma3", "gpt_neox": "gptneox"}
    return names.get(model_type, model_type)


def _description(steering: Steering, strength: float) -> str:
    made = steering.provenance
    return f"{made.method or 'steering'} for {made.base_model or 'a model'}; scale 1 is strength {strength:g}"


def _refusal(reasons: Mapping[Site, str], total: int, shown: int = 5) -> str:
    lines = [f"  {site}: {reason}" for site, reason in list(reasons.items())[:shown]]
    lines += [f"  … and {len(reasons) - shown} more"] if len(reasons) > shown else []
    remedy = (
        'Fit it where it can: a method that only shifts (such as mean_act or caa) with sites="mlp" or '
        '"blocks" from block 1 on, or save the model with the steering fused in and convert that to GGUF.'
    )
    return "\n".join([f"A control vector cannot hold {len(reasons)} of {total} sites:", *lines, remedy])
