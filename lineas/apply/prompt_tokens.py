"""Prompt tokens: which positions of a text encoder's run are a prompt's own, the others being its padding."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from lineas.apply.text_start import TextStart
from lineas.apply.undo import Undo, put_pre_hook
from lineas.errors import MismatchError
from lineas.maps.base import Map
from lineas.modules.names import named_modules
from lineas.steering.site import Site
from lineas.steering.slots import behind, slots_of
from lineas.steering.steering import Steering

LEGACY_END = 2
"""The end token that old configurations of CLIP name; their true one is the largest id of a prompt."""


class TokenWatch:
    """Pre-forward hook of a text encoder: keeps which positions are tokens of the prompt.

    tokenizer: the encoder's, for its end token; None takes that of the encoder's configuration.
    `real` is [b, s], True at tokens with start and end, of the first call; None when it cannot be told.
    """

    def __init__(self, tokenizer: Any = None) -> None:
        # Not the end token of the encoder's configuration, which is another one in Stable Diffusion 1.
        self._end = getattr(tokenizer, "eos_token_id", None)
        self._specials = torch.tensor(list(getattr(tokenizer, "all_special_ids", ())), dtype=torch.long)
        self._worded: Tensor | None = None
        self._masks: list[Tensor | None] = []

    @property
    def real(self) -> Tensor | None:
        """Of the first call of a run."""
        return self._masks[0] if self._masks else None

    def start(self) -> None:
        """Forget what the run before gave."""
        self._masks = []

    def real_for(self, z: Tensor) -> Tensor | None:
        """[b, s] of the first call whose batch and length are those of z [b, s, …] or [b · s, d], else None.

        Guidance encodes the empty prompt too, in a call of its own that may be shorter.
        """
        fitting = (mask for mask in self._masks if mask is not None and _covers(mask, z))
        return next(fitting, None)

    def now(self, site: Site, z: Tensor) -> Tensor:
        """[b, s] of the call that z [b, s, d] belongs to, the newest; all False for prompts without a word.

        `MismatchError` where none is known.
        """
        mask = self._masks[-1] if self._masks else None
        if mask is None or not _covers(mask, z):
            raise MismatchError(
                f"{site}: the tokens of the prompts are not known where {list(z.shape)} comes out, so "
                "virtual tokens have no place. Steer the pipeline, and give prompts as text."
            )
        return mask if self._worded is None else mask & self._worded.to(mask.device)[:, None]

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        mask = _real_tokens(self._end, module, args, kwargs)
        self._worded = self._with_words(mask, kwargs.get("input_ids", args[0] if args else None))
        if mask is not None and self._masks:
            mask = mask | ~mask.any(1, keepdim=True)  # an empty prompt may have no token at all
        self._masks.append(mask)

    def _with_words(self, mask: Tensor | None, ids: Any) -> Tensor | None:
        """[b] True for prompts with a token that is not a special one; None where that cannot be told."""
        if mask is None or not isinstance(ids, Tensor) or ids.shape != mask.shape or not len(self._specials):
            return None
        return (~torch.isin(ids, self._specials.to(ids.device)) & mask.to(ids.device)).any(1)


class NewestTokens(TokenWatch):
    """The same for a model that is steered, which runs without an end: it keeps the newest call alone."""

    def __call__(self, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self._masks = self._masks[-1:]
        super().__call__(module, args, kwargs)


def watch_tokens(
    obj: Any, components: Mapping[str, nn.Module], steerings: Iterable[Steering], undo: Undo
) -> dict[Site, TokenWatch | TextStart]:
    """Follow the texts that maps need the tokens of, until `undo` is called; a watch per site."""
    watches: dict[str, TokenWatch] = {}
    found: dict[Site, TokenWatch | TextStart] = {}
    placed = {site: map for one in steerings for site, map in one.maps.items() if map.needs_tokens}
    start = TextStart(components, undo) if any(map.at_start for map in placed.values()) else None
    for site, map in placed.items():
        if start and map.at_start:
            found[site] = start
            continue
        name = site.component
        name = name if name in components else ""
        if name not in watches:
            watches[name] = NewestTokens(getattr(obj, name.replace("text_encoder", "tokenizer"), None))
            put_pre_hook(components[name], watches[name], undo)
        found[site] = watches[name]
    return found


def in_own_slots(components: Mapping[str, nn.Module], steerings: Sequence[Steering]) -> list[Steering]:
    """The steerings, whose virtual tokens lie behind those of the ones before and on the model already."""
    if not any(map.slots for one in steerings for map in one.maps.values()):
        return list(steerings)
    hooked = (
        (Site(name), map)
        for name, module in named_modules(components).items()
        for hook in module._forward_hooks.values()
        if isinstance(map := getattr(hook, "map", None), Map)
    )
    taken = slots_of(hooked)
    placed = []
    for one in steerings:
        maps = behind(one.maps, taken)
        placed.append(Steering(maps, one.provenance) if any(map.slots for map in maps.values()) else one)
        taken |= slots_of(maps.items())  # the larger of both
    return placed


def _covers(mask: Tensor, z: Tensor) -> bool:
    return len(z) == mask.numel() if z.ndim == 2 else z.shape[:2] == mask.shape


def _real_tokens(
    end: int | None, module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> Tensor | None:
    """From an attention mask where the encoder gets one, else up to the first end token."""
    ids = kwargs.get("input_ids", args[0] if args else None)
    mask = kwargs.get("attention_mask", args[1] if len(args) > 1 else None)
    if isinstance(mask, Tensor) and mask.ndim == 2:
        return mask.bool()
    if not isinstance(ids, Tensor):
        return None
    if end is None:
        end = getattr(getattr(module, "config", None), "eos_token_id", None)
        if not isinstance(end, int):
            return None
        if end == LEGACY_END:
            order = torch.arange(ids.shape[1], device=ids.device)
            return order <= ids.argmax(1, keepdim=True)
    ended = (ids == end).long()
    return ended.cumsum(1) - ended == 0
