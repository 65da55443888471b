"""A ComfyUI model as a tree of canonical names, which the library reads like any other model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from .names import image_names, text_names

Weight = Callable[["Place", str], Tensor]
"""(place, "weight" or "bias") -> the tensor of a parameter that exists."""


@dataclass(frozen=True)
class Place:
    """Where a canonical module lies: in the image model or in the text encoder, and its path there.

    `key` is what patches of that model call the module.
    """

    path: str
    is_text: bool

    @property
    def key(self) -> str:
        return self.path if self.is_text else f"diffusion_model.{self.path}"


class Tree:
    """The modules of a MODEL and, where there is one, a CLIP, by canonical name.

    components: for the library: trees of empty modules with the model's own modules as their leaves, so that
    hooks, gradients and weights reach the model itself. places: where each canonical name lies.
    """

    def __init__(self, model: Any, clip: Any = None) -> None:
        roots = [(model.model.diffusion_model, False, image_names)]
        roots += [(clip.cond_stage_model, True, text_names)] if clip is not None else []
        self.places: dict[str, Place] = {}
        self.modules: dict[str, nn.Module] = {}
        for root, is_text, translate in roots:
            table = {_uncompiled(name): m for name, m in root.named_modules() if not _is_nothing(m)}
            for name, path in translate(table).items():
                self.places[name], self.modules[name] = Place(path, is_text), table[path]

    @property
    def components(self) -> dict[str, nn.Module]:
        return _planted(self.modules)

    def with_weights(
        self, names: Iterable[str], weight: Callable[[Place, str], Tensor]
    ) -> dict[str, nn.Module]:
        """Components in which the modules of these names are stand-ins that hold other weights.

        weight(place, "weight" or "bias") gives the tensor of a parameter that exists.
        """
        chosen = set(names)
        stand_ins = {
            name: _stand_in(module, self.places[name], weight) if name in chosen else module
            for name, module in self.modules.items()
        }
        return _planted(stand_ins)


def _uncompiled(name: str) -> str:
    """The path of a module that lies in a part that torch.compile has wrapped, without the wrapping."""
    return name.replace("_orig_mod.", "")


def _is_nothing(module: nn.Module) -> bool:
    return isinstance(module, nn.Identity)


def _planted(modules: Mapping[str, nn.Module]) -> dict[str, nn.Module]:
    """{canonical name: module} -> {component: a tree with these modules at their names}.

    Only leaves of the naming are planted as they are: a module that has others below it in the tree would
    bring its own children along under ComfyUI's names.
    """
    parents = {name.rpartition(".")[0] for name in modules}
    parents |= {
        ".".join(parent.split(".")[:n]) for parent in parents for n in range(1, parent.count(".") + 2)
    }
    roots: dict[str, nn.Module] = {}
    for name, module in modules.items():
        component, *path = name.split(".")
        node = roots.setdefault(component, nn.Module())
        if name in parents:
            continue
        for part in path[:-1]:
            if part not in node._modules:
                node.add_module(part, nn.Module())
            node = node._modules[part]
        node.add_module(path[-1], module)
    return roots


def _above(name: str) -> Iterator[str]:
    parts = name.split(".")
    yield from (".".join(parts[:length]) for length in range(1, len(parts)))


def _stand_in(module: nn.Module, place: Place, weight: Weight) -> nn.Module:
    twin = copy.copy(module)
    held = {
        name: None if old is None else nn.Parameter(weight(place, name), requires_grad=False)
        for name, old in module._parameters.items()
    }
    vars(twin)["_parameters"] = held
    # What stands on the module itself at the moment, such as hooks and patches for low memory.
    vars(twin)["_forward_hooks"] = type(module._forward_hooks)()
    for functions in {"weight_function", "bias_function"} & set(vars(twin)):
        vars(twin)[functions] = []
    return twin
