"""The little English that templates need: articles, and whether a caption mentions a concept."""

from __future__ import annotations

import re

DETERMINERS = frozenset(
    "a an the some any no my your his her its our their this that these those two three many".split()
)
WITHOUT_ARTICLE = frozenset(
    "water snow fire rain fog smoke ice grass hair fur sand mud blood food bread fruit rice money lightning "
    "fireworks graffiti jewelry people children men women mice geese sheep feet teeth nudity text".split()
)
SINGULAR_IN_S = frozenset("lens gas atlas canvas christmas pancreas".split())
STOP_WORDS = DETERMINERS | frozenset("of in at on by with and or to from".split())
PREPOSITION = re.compile(r"\s+(?:of|in|at|on|by|with|from|under|over)\s+")
# By sound, not by letter: a unicorn, a European, a one-eyed cat; an hourglass, an heirloom.
SOUNDS_LIKE_VOWEL = re.compile(
    r"(?!uni(?!n)|us[aeu]|uk|ut[io]|eu|ewe|one\b|once\b)[aeiou]|hour|hono|hones|heir", re.IGNORECASE
)
SLOT = re.compile(r"\b(?P<article>an?) \{\}|\{\}|\{caption\}", re.IGNORECASE)


def halves(text: str) -> tuple[str, str]:
    """How a text begins and how it goes on: halves of its words, of its letters where it is one word."""
    parts = re.findall(r"\s*\S+", text)
    parts = parts if len(parts) > 1 else list(text)
    middle = (len(parts) + 1) // 2
    return "".join(parts[:middle]).strip(), "".join(parts[middle:])


def indefinite(phrase: str) -> str:
    """`a` or `an`, whichever the phrase takes."""
    return "an" if SOUNDS_LIKE_VOWEL.match(phrase) else "a"


def is_plural_or_mass(noun: str) -> bool:
    """True where the head of a noun phrase takes no `a`: "clocks", "red shoes", "snow" (by spelling)."""
    head = PREPOSITION.split(noun)[0].lower().split()[-1]
    if head in WITHOUT_ARTICLE:
        return True
    return head.endswith("s") and not head.endswith(("ss", "us", "is")) and head not in SINGULAR_IN_S


def with_article(noun: str) -> str:
    """A noun phrase as it stands in a sentence: "a clock", "an hourglass", "clocks", "the moon", "snow"."""
    first = noun.split()[0].lower()
    if first in DETERMINERS or first[0].isdigit() or is_plural_or_mass(noun):
        return noun
    return f"{indefinite(noun)} {noun}"


def fill(template: str, concept: str, caption: str, *, noun: bool = False) -> str:
    """A template with `{}` replaced by the concept and `{caption}` by the caption.

    `a {}` becomes `an {}` where the concept asks for it; a bare `{}` gets an article itself when the concept
    is a noun that needs one (`noun=True`). Braces inside concept and caption are left as they are.
    """

    def put(slot: re.Match[str]) -> str:
        if slot[0].lower() == "{caption}":
            return caption
        if slot["article"]:
            return f"{indefinite(concept)} {concept}"
        return with_article(concept) if noun else concept

    return SLOT.sub(put, template)


def content_words(text: str) -> frozenset[str]:
    """Lower-case words without articles and prepositions, a plural s removed."""
    words = re.findall(r"[^\W_]+", text.lower())
    return frozenset(
        word[:-1] if len(word) > 3 and word.endswith("s") and not word.endswith("ss") else word
        for word in words
        if word not in STOP_WORDS
    )


def mentions(caption: str, concept: str) -> bool:
    """True where a caption names the concept: as written, or by all its content words in any order."""
    words = content_words(concept)
    return concept.lower() in caption.lower() or (bool(words) and words <= content_words(caption))
