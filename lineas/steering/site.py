"""A site, and choosing sites by name."""

from __future__ import annotations

import difflib
import re
import warnings
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from lineas.errors import SiteError, plain

LONGEST_NAME = 500


@dataclass(frozen=True, order=True)
class Site:
    """One output of one module, and the axis that holds its units.

    name: canonical module path, such as "unet.mid_block.attentions.0.norm".
    output: index into the module's outputs, 0 for the first or only one.
    axis: unit axis of the output, −1 for [b, s, d], 1 for [b, c, h, w].

    Raises `SiteError` for a name that is empty, longer than 500 signs or holds signs that do not print, and
    for a negative output.
    """

    name: str
    output: int = 0
    axis: int = -1

    def __post_init__(self) -> None:
        if not self.name or self.output < 0:
            raise SiteError(f"A site needs a name and an output ≥ 0, got {self.name!r}, {self.output}.")
        if len(self.name) > LONGEST_NAME or not self.name.isprintable():
            raise SiteError(
                f"The site name {plain(self.name, 80)!r} is too long or holds signs that do not print, "
                f"expected a module path of up to {LONGEST_NAME} signs."
            )

    @property
    def component(self) -> str:
        """The part of a pipeline that holds it, such as "unet"; in a lone model its first name."""
        return self.name.partition(".")[0]

    def __str__(self) -> str:
        return self.name if self.output == 0 else f"{self.name}:{self.output}"

    @classmethod
    def parse(cls, text: str, axis: int = -1) -> Site:
        """The site that prints as `text`: "name" or "name:output". Raises `SiteError` on an empty name."""
        found = re.fullmatch(r"(.*):(\d+)", text)
        return cls(found[1], int(found[2]), axis) if found else cls(text, 0, axis)


def match_names(patterns: str | Sequence[str], names: Iterable[str]) -> list[str]:
    """The names that match any pattern (fnmatch, case-sensitive), in the order of `names`.

    Raises `SiteError` with near names when no pattern matches; warns when only some of them do not.
    """
    names = list(names)
    patterns = [patterns] if isinstance(patterns, str) else list(patterns)
    unmatched = [p for p in patterns if not any(fnmatchcase(name, p) for name in names)]
    message = (
        f"No site matches {', '.join(map(repr, unmatched)) or 'an empty list'}. {_near(unmatched, names)}"
    )
    if len(unmatched) == len(patterns):
        raise SiteError(message)
    if unmatched:
        warnings.warn(message, stacklevel=2)
    return [name for name in names if any(fnmatchcase(name, p) for p in patterns)]


def _near(patterns: Sequence[str], names: Sequence[str]) -> str:
    near = [n for p in patterns for n in difflib.get_close_matches(p, names, n=3, cutoff=0.3)] or names[:3]
    return f"Near names: {', '.join(dict.fromkeys(near))}." if near else "There are no sites to choose from."
