"""Which concept of the bundled model a text means."""

from __future__ import annotations

from lineas.errors import PromptError
from lineas.scenes.detector import MANY, ONE
from lineas.scenes.grammar import parse

KNOWN = {**MANY, **ONE}


def named_concept(text: str, kind: str | None = None) -> tuple[str, str]:
    """Kind and name of what a text means: "time:night", "night" or "at night" -> ("time", "night").

    kind: decides where a text names several concepts, as "pink elephant" does; with any other text, and with
    a kind of everyday captions such as "attribute", what the text names is found without it.
    Raises `PromptError` that lists what the model knows.
    """
    before, colon, name = text.partition(":")
    named = {(before.strip(), name.strip())} if colon else set(parse(text).concepts()) | _colours(text)
    known = [each for each in sorted(named) if each[1] in KNOWN.get(each[0], ())]
    fits = [each for each in known if each[0] == kind] or known
    if len(fits) == 1:
        return fits[0]
    got = f"several of its concepts ({', '.join(map(':'.join, fits))})" if fits else "none of its concepts"
    choice = "; ".join(f"{kind}: {', '.join(names)}" for kind, names in KNOWN.items())
    raise PromptError(
        f"{text!r} names {got}. Name one of those the bundled model knows, as in time:night. {choice}."
    )


def _colours(text: str) -> set[tuple[str, str]]:
    """A colour by itself, which a prompt only has before an object."""
    return {("colour", text.strip())} if text.strip() in KNOWN["colour"] else set()
