"""Sites: which outputs of a model can be steered, by canonical name.

A model is a mapping of components, "unet" or "text_encoder" for a pipeline and "" for a lone module. A
canonical name is the module path below its component: "unet.down_blocks.0.resnets.0.norm1".
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from torch import nn

from lineas.errors import MismatchError, SiteError
from lineas.modules.kinds import is_norm, is_projection, unit_axis, wrapped
from lineas.steering.site import Site, match_names

NOT_STEERED = ("vae", "safety_checker")


def module_tree(obj: Any, exclude: Sequence[str] = NOT_STEERED) -> dict[str, nn.Module]:
    """The components of a model: a mapping as it is, a lone module under "", a pipeline's modules by name.

    A text-generation pipeline of transformers counts as the model that it holds. `exclude` names components
    of a pipeline that are left out. Raises `MismatchError` for anything else.
    """
    if isinstance(obj, nn.Module):
        return {"": obj}
    named = obj if isinstance(obj, Mapping) else getattr(obj, "components", None)
    if isinstance(named, Mapping):
        left_out = () if isinstance(obj, Mapping) else exclude
        found = {
            name: part for name, part in named.items() if isinstance(part, nn.Module) and name not in left_out
        }
        if found:
            return found
    inner = getattr(obj, "model", None)
    if isinstance(inner, nn.Module):
        return {"": inner}
    raise MismatchError(
        f"Got {type(obj).__name__}, expected a module, a pipeline with components or a mapping of modules."
    )


def named_modules(components: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """Every module of every component by canonical name; a shared module appears under each of its names."""
    table: dict[str, nn.Module] = {}
    for component, root in components.items():
        root = without_adapter(getattr(root, "_orig_mod", root))  # what is wrapped keeps its names
        for path, module in root.named_modules(remove_duplicate=False):
            table[".".join(filter(None, (component, _hidden_level(root, path), path)))] = module
    return table


def without_adapter(model: nn.Module) -> nn.Module:
    """The model that a PEFT adapter is wrapped around, its layers with their LoRA; any other as it is."""
    wrapper: Any = model
    is_wrapped = hasattr(wrapper, "peft_config") and hasattr(wrapper, "get_base_model")
    inner = wrapper.get_base_model() if is_wrapped else model
    return inner if isinstance(inner, nn.Module) else model


def resolve(components: Mapping[str, nn.Module], site: Site | str) -> nn.Module:
    """The module of a site. Raises `SiteError` with near names when there is none."""
    name = site.name if isinstance(site, Site) else site
    for component, root in components.items():
        if (module := _below(without_adapter(getattr(root, "_orig_mod", root)), component, name)) is not None:
            return module
    raise SiteError(f"The model has no module {name!r}. {near_names(name, named_modules(components))}")


def _below(root: nn.Module, component: str, name: str) -> nn.Module | None:
    """The module that `named_modules` lists under this name, without a walk through all others."""
    inside = f"{component}." if component else ""
    path = name[len(inside) :]
    level = _hidden_level(root, path)
    outer = f"{level}." if level else ""
    is_inside = name == component or (name.startswith(inside) and path)
    if not is_inside or not path.startswith(outer):
        return None
    try:
        return root.get_submodule(path[len(outer) :])
    except AttributeError:
        return None


def find_sites(components: Mapping[str, nn.Module], patterns: str | Sequence[str]) -> list[Site]:
    """Sites whose canonical names match any pattern (fnmatch, "unet.*norm*"), in the order of the model.

    A pattern finds norms, linear layers and convolutions; an exact name finds any module. A module that is
    shared under several names is one site. A layer under a LoRA is the layer with its LoRA, under its own
    name. Raises `SiteError` with near names when nothing matches.
    """
    table = named_modules(components)
    exact = {patterns} if isinstance(patterns, str) else set(patterns)
    inside = _adapters(table)
    choice = {
        name: module
        for name, module in table.items()
        if name and (name in exact or (_is_kind(module) and not name.startswith(inside)))
    }
    first_name = {module: name for name, module in reversed(choice.items())}
    names = [name for name, module in choice.items() if first_name[module] == name or name in exact]
    return [Site(name, 0, unit_axis(table[name])) for name in match_names(patterns, names)]


def block_ends(table: Mapping[str, nn.Module]) -> list[str]:
    """The last projection of each outermost numbered block: in a text encoder what its feed-forward adds."""
    inside, ends = _adapters(table), {}
    for name, module in table.items():
        if is_projection(module) and not name.startswith(inside) and (block := block_of(name)):
            ends[block] = name
    return list(ends.values())


def block_of(name: str) -> str | None:
    """The outermost numbered module around one: "model.layers.3" of "model.layers.3.mlp"."""
    found = re.match(r".*?\.\d+(?=\.)", name)
    return found[0] if found else None


def _adapters(table: Mapping[str, nn.Module]) -> tuple[str, ...]:
    """What the names begin with that lie inside a layer under a LoRA."""
    return tuple(f"{name}." for name, module in table.items() if wrapped(module) is not None)


def _is_kind(module: nn.Module) -> bool:
    """What a pattern finds."""
    return is_norm(module) or is_projection(module)


def near_names(name: str, names: Iterable[str]) -> str:
    """A sentence with the names most like `name`, for error messages."""
    near = difflib.get_close_matches(name, [n for n in names if n], n=3, cutoff=0.5)
    return (
        f"Near names: {', '.join(near)}."
        if near
        else "No name is near; list them with find_sites(model, '*')."
    )


def _hidden_level(root: nn.Module, path: str) -> str:
    """Newer transformers dropped a level of CLIP's text encoder; its canonical names keep it."""
    dropped = type(root).__name__ == "CLIPTextModel" and "text_model" not in root._modules
    return "text_model" if dropped and path else ""
