"""When two requests are the same: the same prompts and settings on the same weights."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from lineas.apply.fingerprint import fingerprint
from lineas.apply.steering_hook import SteeringHook
from lineas.intents.plan import Plan

from ..models.base_models import base_model_of
from ..models.check import pristine
from ..models.one_step import AUTOMATIC, prepared
from ..models.tree import Tree

LENGTH = 24
"""Signs of a key."""
SAMPLES = 64


def key_of(model: Any, clip: Any, plan: Plan) -> str:
    """A key of a plan on a MODEL and a CLIP: their weights, what is patched on them, the denoising step."""
    sets = plan.sets
    _, sigmas = prepared(model, AUTOMATIC)
    parts = {
        "prompts": [sets.source, sets.target, sets.preserve, sets.held_out],
        "sites": plan.sites,
        "settings": sorted((name, str(value)) for name, value in plan.settings.items()),
        "model": base_model_of(model),
        "weights": _weights(model, clip),
        "patches": [list(_patches(patcher)) for patcher in (model, clip.patcher)],
        "sigma": round(float(sigmas[0]), 5),
        "layer": clip.layer_idx,
    }
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:LENGTH]


def _weights(model: Any, clip: Any) -> str:
    tree = Tree(model, clip)
    components = tree.with_weights(tree.modules, lambda place, name: pristine(model, clip, place, name))
    return fingerprint(components, components)


def _patches(patcher: Any) -> Iterator[list[Any]]:
    """What is on a MODEL beside its weights, in a form that stays the same after a restart."""
    for key in sorted(patcher.patches):
        for patch in patcher.patches[key]:
            yield [key, float(patch[0]), float(patch[2]), _content(patch[1])]
    for kind in sorted(map(str, patcher.wrappers)):
        for name, wrappers in sorted(patcher.wrappers[kind].items(), key=lambda entry: str(entry[0])):
            yield [kind, str(name), len(wrappers), [_content(getattr(w, "content", ())) for w in wrappers]]
    for name in sorted(patcher.object_patches):
        hooks = patcher.object_patches[name]
        if isinstance(hooks, dict):  # of a text encoder that is steered by hooks
            yield [name, [_content(hook) for hook in hooks.values()]]


def _content(value: Any) -> Any:
    """Numbers of a patch: samples of its tensors, and what else it says of itself."""
    if isinstance(value, SteeringHook):
        return [value.strength, *(_content(each) for each in value.map.tensors().values())]
    if isinstance(value, Tensor):
        flat = value.detach().flatten()
        step = max(1, flat.numel() // SAMPLES)
        return [list(value.shape), flat[::step][:SAMPLES].to("cpu", torch.float32).tolist()]
    if isinstance(value, (list, tuple)):
        return [_content(each) for each in value]
    if hasattr(value, "weights"):
        return [type(value).__name__, _content(value.weights)]
    return value if isinstance(value, (str, int, float, bool, type(None))) else type(value).__name__
