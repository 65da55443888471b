"""Inputs of a node from the fields of its options, where defaults, limits and sentences are written once."""

from __future__ import annotations

from dataclasses import Field, fields
from typing import Any, get_type_hints

from comfy_api.v0_0_2 import io

from lineas.fitting.options import choices_of

from .types import advanced, seed_input

LIMITS = {"minimum": "min", "maximum": "max", "step": "step", "round": "round"}
"""What a number's limits are called there and in ComfyUI."""


def inputs_of(options: type[Any]) -> list[Any]:
    """One input per field of a dataclass of options, in their order, which saved workflows rely on."""
    types = get_type_hints(options)
    entries = ((_input(entry, types[entry.name]), entry.metadata) for entry in fields(options))
    return [advanced(made) if told.get("advanced") else made for made, told in entries]


def _input(entry: Field[Any], kind: Any) -> Any:
    told = entry.metadata
    given = {"default": entry.default, "tooltip": told["help"], "optional": told.get("optional", False)}
    if choices := choices_of(entry, kind):
        return io.Combo.Input(entry.name, options=list(choices), **given)
    if entry.name == "seed":
        return seed_input(told["help"])
    if kind is bool:
        return io.Boolean.Input(entry.name, **given)
    if kind is str:
        return io.String.Input(entry.name, multiline=told.get("multiline", False), **given)
    numbers = {name: told[limit] for limit, name in LIMITS.items() if limit in told}
    return (io.Int if kind is int else io.Float).Input(entry.name, **numbers, **given)
