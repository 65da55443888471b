"""Tokens: regions of a text in which a steering acts, right under padding, batches and generation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lineas.apply.masks import Region
from lineas.errors import ConfigError, MismatchError
from lineas.steering.site import Site


@dataclass(frozen=True)
class Call:
    """One forward of a language model: `shape` (b, s) of the tokens that go in.

    before: how many tokens of each sequence came in earlier forwards, and are in a cache.
    prompt: how many tokens the prompt has, from the sequence's start on. in_generation: `generate` has told
    it; else it is read off the forwards. real: [b, s] bool, False at padding; None where nothing is padded.
    """

    shape: tuple[int, int]
    before: int = 0
    prompt: int = 0
    in_generation: bool = False
    real: Tensor | None = None


@dataclass
class TokenRegion:
    """A region (site, z) -> [b, s, 1] weights, from what is known of the forward that z belongs to.

    weigh(call, device): [b or 1, s]. `watch` puts it on a model, whose forwards it then follows.
    """

    weigh: Callable[[Call, torch.device], Tensor]
    _call: Call | None = field(default=None, init=False)
    _ids: Tensor | None = field(default=None, init=False)
    _prompts: list[int] = field(default_factory=list, init=False)

    def __call__(self, site: Site, z: Tensor) -> Tensor:
        flat = z.ndim == 2 and self._call is not None and len(z) == self._call.shape[0] * self._call.shape[1]
        if site.axis % z.ndim != z.ndim - 1 or not (flat or z.ndim == 3):
            raise MismatchError(
                f"{site}: {list(z.shape)} is not a token sequence [b, s, d]. Use where='all' here."
            )
        if flat:  # some models lay the tokens of all sequences end to end
            assert self._call is not None
            return self.weigh(self._call, z.device).expand(self._call.shape).reshape(-1, 1)
        shape = (z.shape[0], z.shape[1])
        call = self._call if self._call is not None and self._call.shape == shape else _unseen(shape)
        return self.weigh(call, z.device)[..., None]

    @property
    def in_generation(self) -> bool:
        """Whether `generate` of the model is running."""
        return bool(self._prompts)

    def watch(self, components: Mapping[str, nn.Module]) -> list[tuple[nn.Module, Callable[..., None]]]:
        """Follow the forwards of every language model in the components; gives the hooks that see them."""
        inner = [found for root in components.values() if (found := _token_module(root)) is not None]
        return [(module, partial(_note, self)) for module in inner]

    def begin(self, prompt: int) -> None:
        """A generation begins: its prompt has this many tokens. One within another does not count."""
        self._prompts.append(self._prompts[0] if self._prompts else prompt)
        self._call = self._ids = None

    def end(self) -> None:
        """The generation is over."""
        self._prompts.pop()
        self._call = self._ids = None

    def see(self, ids: Tensor, cached: int | None, real: Tensor | None) -> None:
        """A forward begins, with these token ids (or embeddings).

        cached: tokens in the cache; None where it does not tell, as the states of Mamba do not. Tokens are
        then counted: no more of them than came before go on from there, more are the whole text again.
        """
        shape, last = (ids.shape[0], ids.shape[1]), self._call
        seen = 0 if last is None else last.before + last.shape[1]
        before = (seen if shape[1] <= seen else 0) if cached is None else cached
        if self._prompts:
            prompt = self._prompts[0]
        elif before:
            prompt = before + (shape[1] if shape[1] > 1 else 0)  # tokens that come one by one are new ones
        else:
            prompt = last.prompt if last is not None and self._goes_on(ids) else shape[1]
        self._ids = ids
        self._call = Call(shape, before, prompt, bool(self._prompts), real)

    def _goes_on(self, ids: Tensor) -> bool:
        """Whether a step without cache repeats the last text and adds to it."""
        old = self._ids
        return (
            old is not None
            and old.shape[0] == ids.shape[0]
            and old.shape[1] < ids.shape[1]
            and torch.equal(ids[:, : old.shape[1]], old)
        )


def token_region(where: str | Tensor | Region) -> Region | None:
    """The region of "all", "last", "generated", a mask or a region itself; None means everywhere.

    "last": the last real token of each sequence, whichever side is padded; in `generate` the last token of
    the prompt and then every new one, however it decodes.
    "generated": tokens that generation adds to a prompt; the prompt is left alone. `generate` tells how long
    that is; without it, the first forward is the prompt, and tokens that come one by one are new.
    A tensor: see `token_mask`. Raises `ConfigError` for anything else.
    """
    if isinstance(where, Tensor):
        return token_mask(where)
    if callable(where):
        return where
    regions = {"last": _last, "generated": _generated}
    if where != "all" and where not in regions:
        raise ConfigError(
            f"where is {where!r}, expected one of {sorted([*regions, 'all'])}, a mask of tokens or a "
            "function (site, z) -> mask."
        )
    return None if where == "all" else TokenRegion(regions[where])


def token_mask(mask: Tensor, after: float = 0.0) -> TokenRegion:
    """[s] or [b, s] mask in 0..1 (1 steered), laid out like the token ids with their padding -> a region.

    after: weight of tokens beyond the mask, such as those that are generated. A batch that is a multiple of
    the mask's, as with several samples per prompt, repeats each row. Raises `MismatchError` for other shapes.
    """
    if mask.ndim not in (1, 2):
        raise MismatchError(f"The mask of tokens has shape {list(mask.shape)}, expected [s] or [b, s].")
    rows = mask.detach().float().reshape(-1, mask.shape[-1]).clone()

    def weigh(call: Call, device: torch.device) -> Tensor:
        batch, length = call.shape
        if batch % len(rows):
            raise MismatchError(
                f"{len(rows)} token masks do not fit a batch of {batch}. Give one per sequence."
            )
        start = call.before
        part = rows[:, start : start + length]
        beyond = part.new_full((len(rows), length - part.shape[1]), after)
        return torch.cat([part, beyond], 1).repeat_interleave(batch // len(rows), 0).to(device)

    return TokenRegion(weigh)


def _unseen(shape: tuple[int, int]) -> Call:
    """A forward of which nothing was seen but its shape: tokens that come one by one are new ones."""
    return Call(shape, prompt=shape[1] if shape[1] > 1 else 0)


def _last(call: Call, device: torch.device) -> Tensor:
    positions = torch.arange(call.shape[1], device=device)
    if call.in_generation:  # prompts of a batch are padded on the left
        return (call.before + positions >= call.prompt - 1)[None]
    if call.real is None:
        return (positions == call.shape[1] - 1)[None]
    last = (positions * call.real.to(device)).argmax(1, keepdim=True)
    return positions == last


def _generated(call: Call, device: torch.device) -> Tensor:
    return (call.before + torch.arange(call.shape[1], device=device) >= call.prompt)[None]


def _token_module(root: nn.Module) -> nn.Module | None:
    """The innermost module that takes token ids: in it, all paths through the model meet."""
    takers = [m for m in root.modules() if {"input_ids", "attention_mask"} <= _parameters(m)]
    return takers[-1] if takers else None


def _parameters(module: nn.Module) -> set[str]:
    return set(inspect.signature(module.forward).parameters)


def _note(region: TokenRegion, module: nn.Module, args: Any, kwargs: Any) -> None:
    given = inspect.signature(module.forward).bind_partial(*args, **kwargs).arguments
    given = {**given, **given.get("kwargs", {})}
    ids = given.get("input_ids")
    ids = given.get("inputs_embeds") if ids is None else ids
    if not isinstance(ids, Tensor):
        return
    mask, length = given.get("attention_mask"), ids.shape[1]
    is_plain = isinstance(mask, Tensor) and mask.ndim == 2 and mask.shape[1] >= length
    real = mask[:, -length:].bool() if is_plain and isinstance(mask, Tensor) else None
    region.see(ids, _cached(given, region.in_generation), real)


def _cached(given: Mapping[str, Any], in_generation: bool) -> int | None:
    """How many tokens the cache holds; None where there is one that does not tell.

    Within a generation a model may also keep its states to itself.
    """
    # Releases and classes of transformers call it past_key_values, cache or cache_params.
    for name in ("past_key_values", "cache", "cache_params", "state"):
        if (cache := given.get(name)) is not None:
            try:
                return int(cache.get_seq_length())
            except (AttributeError, ValueError):
                return None
    return None if in_generation else 0
