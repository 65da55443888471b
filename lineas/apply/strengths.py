"""Strengths: one or several, as numbers and as people write them."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path

from lineas.errors import ConfigError

Strengths = float | Sequence[float]


def strengths_for(strength: Strengths, count: int) -> list[float]:
    """One number per steering. `ConfigError` for another count, and for what is no finite number."""
    many = isinstance(strength, Sequence) and not isinstance(strength, str)
    given = list(strength) if many else [strength] * count  # type: ignore[arg-type]
    if len(given) != count:
        raise ConfigError(
            f"Got {len(given)} strengths for {count} steerings. Give one number, or one for each."
        )
    return [number(value) for value in given]


def number(strength: object) -> float:
    """A strength as a finite number. `ConfigError` for anything else."""
    scalar = getattr(strength, "shape", None) == ()  # of numpy or torch
    plain = scalar or (isinstance(strength, (int, float)) and not isinstance(strength, bool))
    value = float(strength) if plain else float("nan")  # type: ignore[arg-type]
    if not -float("inf") < value < float("inf"):
        raise ConfigError(
            f"A strength is {str(strength)[:40]!r}, expected a finite number: 0 is off, 1 full."
        )
    return value


def one_strength(text: str) -> float:
    """ "0.8" -> λ: 0 is off, 1 full, others extrapolate. Finite, else `ConfigError`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ConfigError(f"{text!r} is no strength; expected a number such as 0.8 (0 is off, 1 full)")
    return value


def weighted_name(text: str) -> tuple[str, float]:
    """ "night.safetensors:0.8" -> name of a file and λ; without a strength it is 1. `ConfigError`."""
    name, colon, strength = text.strip().rpartition(":")
    if not colon or Path(text).exists():
        return text.strip(), 1.0
    try:
        return name, one_strength(strength)
    except ConfigError:
        if "/" in strength or "\\" in strength:  # the colon of C:\folder\file, or of hf:owner/name
            return text.strip(), 1.0
        raise


def many_strengths(text: str, least: int = 1, most: int = 64, largest: float = math.inf) -> tuple[float, ...]:
    """ "0:1:5" (from, to, count) or "0, 0.5, 1" -> `least` to `most` different strengths, to six places.

    largest: how far from 0 they may lie. Raises `ConfigError` for anything else.
    """
    parts = [one_strength(part) for part in re.split(r"[:,;\s]+", text.strip()) if part]
    if ":" in text:
        if len(parts) != 3 or parts[2] != int(parts[2]):
            raise ConfigError(f"{text!r} is no range, expected from:to:count such as 0:1:5")
        first, last, count = parts[0], parts[1], int(parts[2])
        _check(text, count, max(least, 2), most)
        parts = [first + (last - first) * i / (count - 1) for i in range(count)]
    _check(text, len(set(parts)), least, most)
    _check(text, len(parts), least, most)
    if any(abs(value) > largest for value in parts):
        raise ConfigError(f"{text!r} holds strengths beyond {largest:g}, expected numbers such as 0, 0.5, 1")
    return tuple(round(value, 6) for value in parts)


def group_strengths(text: str, largest: float = math.inf) -> dict[str, float]:
    """ "down 0.5, up=0" -> strengths by group of blocks or pattern of sites, for `at_groups`; "" is none.

    largest: how far from 0 they may lie. Raises `ConfigError` for a part without a number, and for a name
    that comes twice.
    """
    strengths: dict[str, float] = {}
    for part in filter(None, (part.strip() for part in re.split(r"[,;\n]", text))):
        name, _, value = re.sub(r"\s*[:=]\s*|\s+", " ", part).rpartition(" ")
        if not name or " " in name or name in strengths:
            raise ConfigError(f"{part!r} is no group with its strength, once, such as down 0.5, up 0")
        strengths[name] = one_strength(value)
        if abs(strengths[name]) > largest:
            raise ConfigError(f"{part!r} holds a strength beyond {largest:g}, expected one such as 0.5")
    return strengths


def _check(text: str, count: int, least: int, most: int) -> None:
    if not least <= count <= most:
        raise ConfigError(
            f"{text!r} gives {count} strengths, expected {least} to {most} different ones such as 0:1:5 or "
            "0, 0.5, 1"
        )
