"""Fingerprints as text: "2:unet=a1b2c3d4…,text_encoder=…", one part per component, compared and combined.

The number before the colon is the version of how they are made; parts of several versions stand side by
side, separated by a space. In version 1 a part is one hash. In version 2 it is a row of entries of eight
signs, four that name a group of weights (by shape and count) and four of what they hold, so that two models
are compared in the groups that both have, whatever the rest is called or fused to.
"""

from __future__ import annotations

from collections.abc import Iterable

ENTRY, NAME = 8, 4
Parts = dict[tuple[str, str], str]
"""By version and component."""


def parse(text: str) -> Parts:
    """The parts of a fingerprint; what is no fingerprint has none."""
    parts: Parts = {}
    for one in text.split(" "):
        version, _, rest = one.partition(":")
        for part in rest.split(","):
            name, equals, digest = part.rpartition("=")
            if version.isdecimal() and equals and digest:
                parts[version, name] = digest
    return parts


def written(parts: Parts) -> str:
    """The inverse of `parse`."""
    versions = sorted({version for version, _ in parts})
    return " ".join(
        f"{version}:{','.join(f'{name}={digest}' for (v, name), digest in parts.items() if v == version)}"
        for version in versions
    )


def same_weights(one: str, two: str) -> bool | None:
    """Do two fingerprints agree on every component they share? None when they cannot be compared."""
    a, b = parse(one), parse(two)
    answers = [_same(key[0], a[key], b[key]) for key in a if key in b]
    known = [answer for answer in answers if answer is not None]
    return all(known) if known else None


def restricted(text: str, components: Iterable[str]) -> str:
    """The parts of these components."""
    kept = set(components)
    return written({key: digest for key, digest in parse(text).items() if key[1] in kept})


def joined(one: str, two: str) -> str:
    """The parts of both; of a component that both have, that of the first."""
    return one if one == two else written(parse(two) | parse(one))


def _same(version: str, one: str, two: str) -> bool | None:
    if version == "1":
        return one == two
    a, b = _entries(one), _entries(two)
    shared = a.keys() & b.keys()
    return all(a[name] == b[name] for name in shared) if shared else None


def _entries(digest: str) -> dict[str, str]:
    each = (digest[start : start + ENTRY] for start in range(0, len(digest), ENTRY))
    return {entry[:NAME]: entry[NAME:] for entry in each}
