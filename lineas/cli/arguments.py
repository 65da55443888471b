"""Values on the command line: steerings with a strength, and ranges of strengths."""

from __future__ import annotations

import math
from argparse import ArgumentTypeError
from pathlib import Path

MOST = 25


def weighted_file(text: str) -> tuple[Path, float]:
    """ "night.safetensors:0.8" -> path and strength; without a strength it is 1."""
    path, colon, number = text.rpartition(":")
    if not colon or Path(text).exists():
        return Path(text), 1.0
    try:
        return Path(path), strength(number)
    except ArgumentTypeError:
        if "/" in number or "\\" in number:  # the colon of C:\folder\file
            return Path(text), 1.0
        raise


def strength(text: str) -> float:
    """A finite number."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ArgumentTypeError(f"{text!r} is no strength; expected a number such as 0.8 (0 is off, 1 full)")
    return value


def strengths(text: str) -> tuple[float, ...]:
    """ "0:1:5" -> five strengths from 0 to 1; "0,0.5,1" -> those. Two to 25 different ones."""
    parts = [strength(part) for part in text.replace(":", ",").split(",")]
    if ":" in text:
        if len(parts) != 3 or parts[2] != int(parts[2]):
            raise ArgumentTypeError(f"{text!r} is no range; expected FIRST:LAST:COUNT such as 0:1:5")
        first, last, count = parts[0], parts[1], int(parts[2])
        _check_count(count)
        parts = [first + (last - first) * i / (count - 1) for i in range(count)]
    _check_count(len(set(parts)))
    return tuple(round(value, 6) for value in parts)


def seeds(text: str) -> tuple[int, ...]:
    """ "0,1,7" -> the seeds; at least one, each 0 or more."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = (-1,)
    if min(found) < 0:
        raise ArgumentTypeError(f"{text!r} are no seeds; expected whole numbers such as 0,1,2")
    return found


def _check_count(count: int) -> None:
    if not 2 <= count <= MOST:
        raise ArgumentTypeError(f"got {count} strengths, expected 2 to {MOST} different ones such as 0:1:5")
