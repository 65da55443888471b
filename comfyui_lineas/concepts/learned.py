"""Learn a concept, or take what was learned of it before."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import folder_paths
import safetensors
from torch import Tensor

from lineas.errors import LineasError
from lineas.steering.reading import open_tensors, parsed
from lineas.steering.steering import Steering

from ..files import FOLDER, named_files
from ..models.base_models import base_model_of
from ..models.check import acts_on_text
from ..models.tree import Tree
from ..notices import board
from ..report import image_of, steering_picture
from ..train.problem import check_clip
from .identity import key_of
from .request import KEY, ConceptInputs, ConceptRequest

_keys: dict[str, tuple[int, int, str]] = {}
"""By path: time, size and key of a file that was looked at."""


@dataclass(frozen=True)
class Learned:
    """A steering, a picture of it [1, h, w, 3], what is to be said of it, and whether it was learned now."""

    steering: Steering
    report: Tensor
    summary: str
    is_new: bool


def learned(
    model: Any, clip: Any, vae: Any, inputs: ConceptInputs, graph: Mapping[str, str] | None = None
) -> Learned:
    """The steering of a concept for this MODEL and CLIP, trained where no file of the same inputs is there.

    graph: kept in the file, see `graph_of`. Raises as `train` does, and `PromptError` or `ConfigError` for
    concepts that cannot be planned.
    """
    check_clip(clip)
    reads_text = any(map(acts_on_text, Tree(model, clip).modules))
    plan = inputs.plan(base_model_of(model), reads_text)
    key = key_of(model, clip, plan)
    if (path := found(key)) is not None:
        return _kept(path, plan.text())
    from ..train.training import train

    made = train(model, clip, vae, ConceptRequest(plan, key, inputs), graph)
    return Learned(made.steering, made.report, f"{made.summary}\n\n{plan.text()}", True)


def _kept(path: str, plan: str) -> Learned:
    steering = Steering.load(path)
    board().show(told := f"learned before: {path}")
    picture = image_of(steering_picture(steering))
    return Learned(steering, picture, "\n".join([told, steering.summary(), "", plan]), False)


def found(key: str) -> str | None:
    """The newest file in the folders of steerings that was learned for a key, whatever its name."""
    paths = (folder_paths.get_full_path(FOLDER, name) for name in named_files())
    fitting = [path for path in paths if path is not None and _key_in(path) == key]
    return max(fitting, key=os.path.getmtime, default=None)


def _key_in(path: str) -> str:
    try:
        state = os.stat(path)
        known = _keys.get(path)
        if known is None or known[:2] != (state.st_mtime_ns, state.st_size):
            known = _keys[path] = (state.st_mtime_ns, state.st_size, _read_key(path))
        return known[2]
    except OSError:
        return ""


def _read_key(path: str) -> str:
    try:
        with open_tensors(path) as file:
            settings = parsed((file.metadata() or {}).get("provenance", "{}")).get("settings", {})
        return str(settings.get(KEY, ""))
    except (LineasError, safetensors.SafetensorError, ValueError, AttributeError):
        return ""  # not ours, or broken: loading it by name says why
