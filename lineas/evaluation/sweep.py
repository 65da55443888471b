"""Measurements over a range of strengths: the curve by which a removal or an addition is judged."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from PIL import Image
from torch import Tensor

from lineas.errors import ConfigError
from lineas.evaluation.rates import Rate, monotonicity

Images = Sequence[Image.Image]
Measure = Callable[[Images, Images], "Tensor | Sequence[bool] | Sequence[float]"]


@dataclass(frozen=True)
class Sweep:
    """Means and rates of named measures at each strength, in rising order of strength."""

    strengths: tuple[float, ...]
    measures: Mapping[str, tuple[Rate | float, ...]]
    """For each name one entry per strength: a `Rate` of judgements, or the mean of other values."""

    def values(self, name: str) -> tuple[float, ...]:
        """One number per strength."""
        return tuple(one.value if isinstance(one, Rate) else one for one in self.measures[name])

    def interval(self, name: str) -> tuple[tuple[float, float], ...] | None:
        """95 % interval per strength of a rate; None for a mean."""
        entries = self.measures[name]
        return (
            tuple(one.interval for one in entries if isinstance(one, Rate)) if _are_rates(entries) else None
        )

    def monotonicity(self, name: str) -> float:
        """−1 … 1, see `lineas.evaluation.monotonicity`."""
        return monotonicity(self.values(name))

    def join(self, other: Sweep, suffix: str) -> Sweep:
        """Both sets of measures in one sweep, the other's names followed by the suffix.

        Raises `ConfigError`: the strengths differ.
        """
        if self.strengths != other.strengths:
            raise ConfigError(
                f"Cannot join sweeps over the strengths {self.strengths} and {other.strengths}. "
                "Measure both at the same ones."
            )
        added = {f"{name}{suffix}": entries for name, entries in other.measures.items()}
        return Sweep(self.strengths, MappingProxyType({**self.measures, **added}))

    def markdown(self) -> str:
        """A table with a row per strength."""
        rows = [["strength", *self.measures], ["---:"] * (1 + len(self.measures))]
        for i, strength in enumerate(self.strengths):
            rows.append([f"{strength:g}", *(_cell(entries[i]) for entries in self.measures.values())])
        return "\n".join(f"| {' | '.join(row)} |" for row in rows)

    def csv(self) -> str:
        """A row per strength with full precision; rates also give `name low` and `name high`."""
        columns = {"strength": self.strengths}
        for name in self.measures:
            columns[name] = self.values(name)
            if interval := self.interval(name):
                columns[f"{name} low"], columns[f"{name} high"] = map(tuple, zip(*interval, strict=True))
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows([list(columns), *zip(*columns.values(), strict=True)])
        return text.getvalue()


def sweep_strengths(
    draw: Callable[[float], Images], strengths: Sequence[float], measures: Mapping[str, Measure]
) -> Sweep:
    """Draw the same prompts and seeds at each strength and measure them against the unsteered images.

    draw: strength → n images; called once per strength, and once at 0 for the reference.
    strengths: in any order, 0 included or not.
    measures: name → f(images, reference) → [n] values; bools become a rate, numbers a mean.
    `ClipScore.image_image` and `mean_square_change` fit as they are; `lambda images, _: detector(images)`
    makes a presence rate.

    Raises `ConfigError`: no strengths.
    """
    if not strengths:
        raise ConfigError("Got no strengths, expected at least one, such as (0, 0.5, 1).")
    ordered = tuple(sorted({float(strength) for strength in strengths}))
    reference = draw(0.0)
    columns: dict[str, list[Rate | float]] = {name: [] for name in measures}
    for strength in ordered:
        images = reference if strength == 0 else draw(strength)
        for name, measure in measures.items():
            columns[name].append(_summarise(measure(images, reference)))
    return Sweep(ordered, MappingProxyType({name: tuple(column) for name, column in columns.items()}))


def _summarise(values: Tensor | Sequence[bool] | Sequence[float]) -> Rate | float:
    tensor = torch.as_tensor(values)
    if tensor.dtype == torch.bool:
        return Rate(int(tensor.sum()), tensor.numel())
    return float(tensor.double().mean())


def _are_rates(entries: Sequence[Rate | float]) -> bool:
    return all(isinstance(one, Rate) for one in entries)


def _cell(entry: Rate | float) -> str:
    return str(entry) if isinstance(entry, Rate) else f"{entry:.4g}"
