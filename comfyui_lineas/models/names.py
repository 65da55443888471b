"""Names at the border: ComfyUI's module paths and the canonical ones of diffusers, both ways.

The translation is read off the module paths themselves, so it holds for every UNet of Stable Diffusion's
family whatever its widths and depths. An image model of another family keeps its ComfyUI names under the
component `comfy`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Set

UNET, OTHER, TEXT = "unet", "comfy", "text_encoder"
_CLIPS = {"clip_l": 1, "clip_h": 1, "clip_g": 2}
"""The numbers of CLIP's text encoders, by their names in ComfyUI."""
_SIGHT = re.compile(r"(visual|vision\w*|multi_modal_projector)(\.|$)")
"""Parts of language models that look at pictures, which prompts do not run."""

_RESNET = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}
_FIXED = {
    "time_embed.0": "time_embedding.linear_1",
    "time_embed.2": "time_embedding.linear_2",
    "label_emb.0.0": "add_embedding.linear_1",
    "label_emb.0.2": "add_embedding.linear_2",
    "input_blocks.0.0": "conv_in",
    "out.0": "conv_norm_out",
    "out.2": "conv_out",
}


def image_names(paths: Iterable[str]) -> dict[str, str]:
    """Module paths below `diffusion_model` -> {canonical name with its component: path}, in their order.

    Modules that have no name in diffusers, such as activations, are left out of a UNet.
    """
    table = list(dict.fromkeys(path for path in paths if path))
    known = set(table)
    if not _is_unet(known):
        return {f"{OTHER}.{path}": path for path in table}
    prefixes = dict(_prefixes(known))
    named = ((_unet_name(path, prefixes), path) for path in table)
    return {f"{UNET}.{name}": path for name, path in named if name}


def text_components(encoders: Iterable[str]) -> dict[str, str]:
    """Text encoders by their names in ComfyUI, in their order -> the components that they are in diffusers.

    Those of other families stand behind CLIP's, as in Stable Diffusion 3 and FLUX.1.
    """
    numbers: dict[str, int] = {}
    for name in sorted(encoders, key=lambda name: name not in _CLIPS):  # the order of equals stays
        numbers[name] = _CLIPS.get(name) or max(numbers.values(), default=0) + 1
    return {name: TEXT if number == 1 else f"{TEXT}_{number}" for name, number in numbers.items()}


def text_names(paths: Iterable[str]) -> dict[str, str]:
    """Module paths below `cond_stage_model` -> {canonical name: path} of what reads prompts."""
    parts = [(path, *path.partition(".transformer.")[::2]) for path in paths]
    known = text_components(dict.fromkeys(encoder for _, encoder, inside in parts if inside))
    return {
        f"{known[encoder]}.{inside.removeprefix('model.')}": path
        for path, encoder, inside in parts
        if inside not in ("", "model") and not _SIGHT.match(inside)
    }


def serves_comfyui_alone(name: str) -> bool:
    """True for the canonical name of a module that has no name outside ComfyUI."""
    return name.partition(".")[0] == OTHER


def _is_unet(paths: Set[str]) -> bool:
    return {"input_blocks.0.0", "input_blocks.1.0.in_layers", "output_blocks.0.0.in_layers"} <= paths


def _prefixes(paths: Set[str]) -> Iterator[tuple[str, str]]:
    """Paths of blocks and what diffusers calls them."""
    yield from _down(paths)
    for index, (kind, number) in enumerate(_middle(paths)):
        yield f"middle_block.{index}", f"mid_block.{kind}.{number}"
    yield from _up(paths)


def _down(paths: Set[str]) -> Iterator[tuple[str, str]]:
    level, number = 0, 0
    for block in _counted("input_blocks", paths, start=1):
        if f"{block}.0.in_layers" not in paths:
            yield f"{block}.0.op", f"down_blocks.{level}.downsamplers.0.conv"
            yield f"{block}.0", f"down_blocks.{level}.downsamplers.0"
            level, number = level + 1, 0
            continue
        yield f"{block}.0", f"down_blocks.{level}.resnets.{number}"
        yield f"{block}.1", f"down_blocks.{level}.attentions.{number}"
        number += 1


def _middle(paths: Set[str]) -> Iterator[tuple[str, int]]:
    counts = {"resnets": 0, "attentions": 0}
    for part in _counted("middle_block", paths):
        kind = "resnets" if f"{part}.in_layers" in paths else "attentions"
        yield kind, counts[kind]
        counts[kind] += 1


def _up(paths: Set[str]) -> Iterator[tuple[str, str]]:
    level, number = 0, 0
    for block in _counted("output_blocks", paths):
        yield f"{block}.0", f"up_blocks.{level}.resnets.{number}"
        upsampler = next((p for p in _counted(block, paths, start=1) if f"{p}.conv" in paths), None)
        if f"{block}.1" != upsampler:
            yield f"{block}.1", f"up_blocks.{level}.attentions.{number}"
        number += 1
        if upsampler is not None:
            yield upsampler, f"up_blocks.{level}.upsamplers.0"
            level, number = level + 1, 0


def _counted(parent: str, paths: Set[str], start: int = 0) -> Iterator[str]:
    """parent.start, parent.start+1, … as far as they exist."""
    index = start
    while f"{parent}.{index}" in paths:
        yield f"{parent}.{index}"
        index += 1


def _unet_name(path: str, prefixes: dict[str, str]) -> str | None:
    if path in _FIXED:
        return _FIXED[path]
    parts = path.split(".")
    for length in range(len(parts), 1, -1):
        prefix, rest = ".".join(parts[:length]), ".".join(parts[length:])
        if prefix not in prefixes:
            continue
        name = prefixes[prefix]
        if not rest:
            return name
        if ".resnets." in name:
            return f"{name}.{_RESNET[rest]}" if rest in _RESNET else None
        return f"{name}.{rest}"
    return None
