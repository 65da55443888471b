"""Does a steering fit a MODEL and a CLIP? Asked before anything is touched."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from lineas.apply.check import check_fit
from lineas.errors import MismatchError
from lineas.modules.kinds import is_norm
from lineas.steering.steering import Steering

from ..notices import warnings_told
from .base_models import base_model_of, made_for
from .names import TEXT
from .tree import Place, Tree


def fitting_tree(model: Any, clip: Any, steering: Steering) -> Tree:
    """The modules of the models that a steering fits; other weights of the same shape only warn in the log.

    Raises `MismatchError` that names both models and the sites that do not fit, or asks for the CLIP.
    """
    if clip is None and any(acts_on_text(site.name) for site in steering.sites):
        raise MismatchError(
            "The steering acts in the text encoder too, and no CLIP is connected. Connect the CLIP here and "
            "use the CLIP that comes out, or keep the image model alone with LinEAS Restrict Steering."
        )
    tree = Tree(model, clip)
    norms = [name for name, module in tree.modules.items() if is_norm(module)]
    untouched = tree.with_weights(norms, lambda place, name: pristine(model, clip, place, name))
    try:
        with warnings_told():
            check_fit(untouched, steering)
    except MismatchError as error:
        raise MismatchError(
            f"This steering was made for {made_for(steering)}, the connected model is {base_model_of(model)}."
            f" Nothing was changed.\n{error}"
        ) from error
    return tree


def acts_on_text(name: str) -> bool:
    """True for canonical names of modules in text encoders."""
    return name.startswith(TEXT)


def pristine(model: Any, clip: Any, place: Place, parameter: str) -> Tensor:
    """A parameter as it is without any patch, although some clone's patches may be on it at the moment."""
    patcher = clip.patcher if place.is_text else model
    key = f"{place.key}.{parameter}"
    kept = patcher.backup.get(key)
    if key in patcher.hook_backup:
        return patcher.hook_backup[key][0]
    module, _, name = key.rpartition(".")
    return kept.weight if kept is not None else patcher.model.get_submodule(module)._parameters[name]
