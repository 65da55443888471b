"""What all nodes share: the type of a steering, the category, and sentences written once in the library."""

from __future__ import annotations

from typing import Any

from comfy_api.v0_0_2 import io

CATEGORY = "LinEAS"
Steering = io.Custom("STEERING")


class _Any(str):
    """A type that equals every other: 0.3.64 compares it with the list of choices of a loader."""

    __slots__ = ()

    def __ne__(self, other: object) -> bool:
        return False


FileName = io.Custom(_Any("*"))
"""The name of a file, for the list of choices of a loader."""
STRENGTHS = {"default": 1.0, "min": -3.0, "max": 3.0, "step": 0.05, "round": 0.001}


def advanced(entry: Any) -> Any:
    """An input that frontends fold away until it is asked for; older ones show it."""
    entry.extra_dict = {**(getattr(entry, "extra_dict", None) or {}), "advanced": True}
    return entry


def found_by(*words: str) -> dict[str, Any]:
    """Words that find a node in the search, for releases whose schemas have a place for them."""
    known = "search_aliases" in getattr(io.Schema, "__dataclass_fields__", {})
    return {"search_aliases": list(words)} if known else {}


def seed_input(tooltip: str) -> io.Int.Input:
    """A seed that stays: by default the frontend draws a new one after every run, and the node runs again."""
    return io.Int.Input(
        "seed", default=0, min=0, max=2**31 - 1, control_after_generate=False, tooltip=tooltip
    )
