"""Which concept of the bundled model a text means."""

from __future__ import annotations

from lineas.errors import PromptError
from lineas.scenes.detector import MANY, ONE
from lineas.scenes.grammar import parse


def named_concept(text: str, kind: str | None = None) -> tuple[str, str]:
    """Kind and name of what a text means: "time:night", "night" or "at night" -> ("time", "night").

    Raises `PromptError` that lists what the model knows.
    """
    known = {**MANY, **ONE}
    before, colon, name = text.partition(":")
    named = {(before.strip(), name.strip())} if colon else set(parse(text).concepts()) | _colours(text, known)
    fits = [c for c in sorted(named) if c[1] in known.get(c[0], ()) and kind in (None, c[0])]
    if len(fits) == 1:
        return fits[0]
    got = f"several of its concepts ({', '.join(map(':'.join, fits))})" if fits else "none of its concepts"
    choice = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in known.items())
    raise PromptError(
        f"{text!r} names {got}. Name one of those the bundled model knows, as in time:night. {choice}."
    )


def _colours(text: str, known: dict[str, tuple[str, ...]]) -> set[tuple[str, str]]:
    """A colour by itself, which a prompt only has before an object."""
    return {("colour", text.strip())} if text.strip() in known["colour"] else set()
