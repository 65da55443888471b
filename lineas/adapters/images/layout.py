"""What of a run belongs to a prompt: found by changing one prompt of three and seeing which rows move.

The third is the longest there is and stays, so that padding stays as well.

The latents are held fixed while a prompt is changed: every step goes on from what the unchanged run gave. So
a row moves only where the model is told the prompt, not where it looks at an image that the prompt
has shaped.
"""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from lineas.errors import MismatchError, NonFiniteError
from lineas.steering.site import Site

PROMPTS = 3
ATTEMPTS = 3
"""Pairs of prompts that are tried, and the two that differ most, before a model is said not to see them."""
MOVED = 0.2
"""A row has moved when it moved by this share of what the row that moved most did, in the same firing."""
FAINT = 1e-4
"""Below this share of the largest move in a component, what moved is rounding."""


@dataclass(frozen=True)
class Layout:
    """Where the rows of n prompts lie among the rows of one firing: [halves, n, each].

    step: of denoising, from 0. halves: how often the whole batch is repeated, as by guidance. each: rows of
    one prompt that follow one another: frames, views, images of the prompt. own: which of a prompt's rows
    [halves · each] see the prompt.
    """

    step: int
    own: tuple[int, ...] = (0,)
    halves: int = 1
    each: int = 1

    def pick(self, rows: Tensor, prompts: int) -> Tensor:
        """[r, d] rows of a firing, c for each row of the batch -> [prompts, own, c, d] those of the prompts.

        Raises `MismatchError` when the firing has another number of rows than this layout says.
        """
        expected = self.halves * prompts * self.each
        if len(rows) % expected:
            raise MismatchError(
                f"A site gives {len(rows)} rows for {prompts} prompts, expected a multiple of {expected}. "
                "Its rows cannot be told apart by prompt; choose other sites."
            )
        by_prompt = rows.unflatten(0, (self.halves, prompts, self.each, -1)).transpose(0, 1)
        return by_prompt.flatten(1, 2)[:, list(self.own)]


@dataclass
class Firing:
    """One firing of a site, or of a whole component where the site is None: at which step, in which call of
    which component and for which time in this call, and what it gave [r, d], a row for each of the batch."""

    site: Site | None
    step: int
    call: tuple[str, int, int]
    rows: Tensor


@dataclass
class Run:
    """Firings of a run in their order, and what each step of the scheduler returned."""

    firings: list[Firing] = field(default_factory=list)
    steps: list[Any] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    _times: Counter[tuple[Site | None, str, int]] = field(default_factory=Counter)

    def watch_steps(self, scheduler: Any, held: Run | None = None) -> None:
        """Count the steps of a scheduler; those of another run are returned in place of its own."""
        step = scheduler.step

        def counted(*args: Any, **kwargs: Any) -> Any:
            result = step(*args, **kwargs)
            if held is not None:
                if len(self.steps) >= len(held.steps):
                    raise _unlike()
                result = copy.deepcopy(held.steps[len(self.steps)])
            self.steps.append(copy.deepcopy(result))
            return result

        scheduler.step = counted

    def note(self, component: str, site: Site | None, rows: Tensor) -> None:
        """One more firing."""
        call = self.calls[component]
        times = self._times[site, component, call]
        self._times[site, component, call] += 1
        self.firings.append(Firing(site, len(self.steps), (component, call, times), rows.detach()))

    def watch(self, name: str, component: nn.Module) -> tuple[RemovableHandle, RemovableHandle]:
        """Count the calls of a component, and note what each gives: it tells whether it sees the prompts."""

        def begin(*_: Any) -> None:
            self.calls[name] += 1

        def end(module: nn.Module, args: Any, output: Any) -> None:
            rows = None if name.startswith("text_encoder") else _images(output)
            if rows is not None:
                self.note(name, None, rows)

        return component.register_forward_pre_hook(begin), component.register_forward_hook(end)


def find_layouts(base: Run, changed: Sequence[Run]) -> dict[Site, list[Layout | None]]:
    """Layouts of every firing of every site from a run of three prompts, and one run each with the first and
    with the second of them changed.

    None is for firings that do not see the prompts, such as a pass on the empty prompt. Raises
    `MismatchError` where rows cannot be told apart by prompt, and where nothing moves at all.
    """
    bad = next((f.site for f in base.firings if f.site and not bool(f.rows.isfinite().all())), None)
    if bad is not None:
        raise NonFiniteError(
            f"What the untouched model gives is not finite, first at {bad}. Load the model in bfloat16 or "
            "float32.",
            step=0,
            site=str(bad),
        )
    moves = [_moves(base, run) for run in changed]
    strongest: dict[str, float] = {}
    for (call, _), evidence in (item for each in moves for item in each.items()):
        strongest[call[0]] = max(strongest.get(call[0], 0.0), float(evidence.max()))
    if not any(strongest.values()):
        raise MismatchError(
            "What the model gives does not depend on the prompts, so there is nothing to learn from them. "
            "Give a recipe under which it sees them."
        )
    found = {key: [_moved(each[key], FAINT * strongest[key[0][0]]) for each in moves] for key in moves[0]}
    outputs = [firing for firing in base.firings if firing.site is None]
    whole = {firing.call[:2] for firing in outputs if _sees_all(firing, found[firing.call, len(firing.rows)])}
    known: dict[Any, Layout | None] = {}
    for firing in (each for each in base.firings if each.site is not None):
        key = (firing.call, len(firing.rows))
        if key not in known:
            known[key] = _layout(firing, found[key], firing.call[:2] in whole)
    layouts: dict[Site, list[Layout | None]] = {}
    for firing in base.firings:
        if firing.site is not None:
            layouts.setdefault(firing.site, []).append(known[firing.call, len(firing.rows)])
    return layouts


def prompts_to_change(prompts: Iterable[str]) -> list[tuple[str, str, str]]:
    """Two different prompts and the longest of all, several times, those whose lengths differ least first.

    Empty where all prompts are one.
    """
    ordered = sorted(set(prompts), key=lambda prompt: (len(prompt.split()), len(prompt), prompt))
    pairs = sorted(pairwise(ordered), key=lambda pair: len(pair[1].split()) - len(pair[0].split()))
    apart = [(ordered[0], ordered[-1])] if pairs else []
    return [(*pair, ordered[-1]) for pair in (*pairs[:ATTEMPTS], *apart)]


def anything_moves(base: Run, changed: Sequence[Run]) -> bool:
    """True where a changed prompt changes anything that the model gives."""
    return any(bool(move.any()) for run in changed for move in _moves(base, run).values())


def _images(output: Any) -> Tensor | None:
    """[r, values] of a component's first output: a tensor or a list of one for each image; else None."""
    while not isinstance(output, Tensor):
        values = list(output.values()) if isinstance(output, Mapping) else output
        if not isinstance(values, (tuple, list)) or not values:
            return None
        if isinstance(values, list) and all(isinstance(each, Tensor) for each in values):
            same = not isinstance(output, Mapping) and len({each.shape for each in values}) == 1
            output = torch.stack(values) if same else values[0]
        else:
            output = values[0]
    return output.flatten(1) if output.ndim > 1 else None


def _moves(base: Run, changed: Run) -> dict[Any, Tensor]:
    """[r] how far each row moved at the site where it moved most, relative to its size, by call and rows."""
    if len(base.firings) != len(changed.firings):
        raise _unlike()
    found: dict[Any, Tensor] = {}
    for old, new in zip(base.firings, changed.firings, strict=True):
        if old.site != new.site or old.rows.shape != new.rows.shape:
            raise _unlike()
        size = old.rows.float().square().mean(-1).sqrt().clamp_min(1e-12)
        move = ((new.rows.float() - old.rows.float()).square().mean(-1).sqrt() / size).cpu()
        move = torch.nan_to_num(move)
        key = (old.call, len(old.rows))
        found[key] = torch.maximum(found[key], move) if key in found else move
    return found


def _moved(evidence: Tensor, faint: float) -> list[int]:
    largest = float(evidence.max())
    return (evidence > MOVED * largest).nonzero()[:, 0].tolist() if largest > faint else []


def _sees_all(firing: Firing, moved: Sequence[list[int]]) -> bool:
    """True where no row of what a component returns goes without the prompt."""
    first, second = moved
    parts, odd = divmod(len(firing.rows), PROMPTS)
    return not odd and len(first) == len(second) == parts and not set(first) & set(second)


def _layout(firing: Firing, moved: Sequence[list[int]], whole: bool) -> Layout | None:
    """The layout in which the first prompt has these rows and the second those; `whole` where all have."""
    first, second = moved
    parts, odd = divmod(len(firing.rows), PROMPTS)
    if whole and parts == 1 and not odd:
        return Layout(firing.step)
    if not first and not second:
        return None
    if first and second and not odd:
        each = second[0] - first[0]
        if each > 0 and parts % each == 0 and second == [row + each for row in first]:
            own = tuple(row // (PROMPTS * each) * each + row % each for row in first)
            if all(row // each % PROMPTS == 0 for row in first) and (not whole or len(own) == parts):
                return Layout(firing.step, own, parts // each, each)
    apart = max(first, default=0) < parts <= min(second, default=parts)
    apart = apart and max(second, default=parts) < 2 * parts
    if whole and not odd and apart:
        # Rows that are tokens or frames: some of them may be the same in two prompts.
        return Layout(firing.step, tuple(range(parts)), 1, parts)
    raise MismatchError(
        f"The rows of {firing.site} cannot be told apart by prompt: of {len(firing.rows)} rows for "
        f"{PROMPTS} prompts, {first} move with the first and {second} with the second. Choose "
        "sites elsewhere, or a pipeline that keeps prompts apart in its batch."
    )


def _unlike() -> MismatchError:
    return MismatchError(
        "The model runs differently when a prompt is exchanged for another one, as where the tokens of all "
        "prompts lie end to end, so its rows cannot be told apart by prompt. Choose sites elsewhere, such as "
        "those of its text encoder."
    )
