"""Values on the command line: steerings with a strength, and ranges of strengths."""

from __future__ import annotations

from argparse import ArgumentTypeError
from pathlib import Path

from lineas.apply.strengths import many_strengths, one_strength, weighted_name
from lineas.errors import ConfigError

MOST = 25


def weighted_file(text: str) -> tuple[Path, float]:
    """ "night.safetensors:0.8" -> path and strength; without a strength it is 1."""
    try:
        name, value = weighted_name(text)
    except ConfigError as error:
        raise ArgumentTypeError(str(error)) from error
    return Path(name), value


def strength(text: str) -> float:
    """A finite number."""
    try:
        return one_strength(text)
    except ConfigError as error:
        raise ArgumentTypeError(str(error)) from error


def strengths(text: str) -> tuple[float, ...]:
    """ "0:1:5" -> five strengths from 0 to 1; "0,0.5,1" -> those. Two to 25 different ones."""
    try:
        return many_strengths(text, 2, MOST)
    except ConfigError as error:
        raise ArgumentTypeError(str(error)) from error


def seeds(text: str) -> tuple[int, ...]:
    """ "0,1,7" -> the seeds; at least one, each 0 or more."""
    try:
        found = tuple(int(part) for part in text.split(","))
    except ValueError:
        found = (-1,)
    if min(found) < 0:
        raise ArgumentTypeError(f"{text!r} are no seeds; expected whole numbers such as 0,1,2")
    return found
