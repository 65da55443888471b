"""What a training would do and what memory it would need, for people to read before it starts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lineas.cli import models
from lineas.errors import LineasError

if TYPE_CHECKING:
    from lineas.cli.runs import Run
    from lineas.methods.registry import Method

SIZES = (1, 2, 4, 8, 16)
"""Prompts at once that are told of."""


def plan_of(asked: Run, method: Method, given: Mapping[str, Any]) -> str:
    """The prompts, sites and given options of a training, told as a plan of an intent is, and its memory."""
    from lineas.intents.plan import Plan
    from lineas.prompts.banks import PromptSets

    sets = PromptSets(asked.source, asked.target, asked.preserve, asked.label or f"train by {method.name}")
    plan = Plan("train", sets, " ".join(asked.sites) if asked.sites else None, given)
    return f"{plan.text()}\n{_memory(asked, method)}"


def _memory(asked: Run, method: Method) -> str:
    is_image = asked.model in models.BUNDLED or (asked.task or models.find_task(asked.model)) == "image"
    if method.name != "lineas" or not is_image:
        return "memory: counted for LinEAS on image models alone"
    largest = max(len(asked.source), len(asked.target))
    try:
        needs = _counted(asked)
    except LineasError as error:
        return f"memory: {error}"
    return needs.table(sorted({size for size in SIZES if size < largest} | {largest}))


def _counted(asked: Run) -> Any:
    import torch

    from lineas.adapters.images.plan import memory_of
    from lineas.scenes.bundled import FOLDERS

    return memory_of(
        FOLDERS.get(asked.model, asked.model),
        asked.source,
        asked.target,
        asked.preserve or None,
        sites=asked.sites[0] if asked.sites and len(asked.sites) == 1 else asked.sites,
        recipe=asked.recipe or (asked.model if asked.model in FOLDERS else None),
        dtype=getattr(torch, asked.dtype) if asked.dtype else None,
    )
