"""From one concept to the three prompt sets that a method needs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle
from random import Random

from lineas.errors import PromptError
from lineas.prompts.files import hash_prompts, neutral_captions
from lineas.prompts.words import content_words, fill, mentions

# (with the concept, without it). `{}` is the concept, `{caption}` the caption it is woven into. In the second
# text of an object `{}` is another everyday thing, so that the sets differ in the concept alone.
TEMPLATES: dict[str, tuple[tuple[str, str], ...]] = {
    "object": tuple(
        (text, text)
        for text in (
            "{caption}, with {}",
            "{} in front of {caption}",
            "{caption}, with {} in the foreground",
            "{} next to {caption}",
        )
    ),
    "style": (
        ("{caption}, in {} style", "{caption}"),
        ("a {} style picture of {caption}", "a picture of {caption}"),
        ("{caption}, {}", "{caption}"),
    ),
    "attribute": (("{caption}, {}", "{caption}"), ("{}, {caption}", "{caption}")),
    "place": (("{caption} {}", "{caption}"), ("{}, {caption}", "{caption}"), ("{caption}, {}", "{caption}")),
    "perspective": (
        ("{caption}, {} shot", "{caption}"),
        ("a {} photo of {caption}", "a photo of {caption}"),
        ("{caption}, {}", "{caption}"),
    ),
}
KINDS = tuple(TEMPLATES)
COUNT = 32
"""Prompts in each set, where nothing else is said."""
THINGS = tuple(
    "chair,wooden box,red ball,lamp,potted plant,bucket,backpack,umbrella,teapot,ladder,suitcase,guitar,"
    "candle,wheelbarrow,barrel,blanket,watering can,basket,broom,vase,bicycle,pumpkin,lantern,mailbox".split(
        ","
    )
)


@dataclass(frozen=True)
class ConceptPrompts:
    """Three prompt sets. To remove the concept steer source → target, to add it target → source."""

    source: tuple[str, ...]
    """Captions with the concept woven in."""
    target: tuple[str, ...]
    """The same captions without it, prompt i beside source prompt i."""
    preserve: tuple[str, ...]
    """Other neutral captions, whose activations are to stay what they are."""

    @property
    def hash(self) -> str:
        """SHA-256 of the three sets, for the provenance of a steering."""
        return hash_prompts(self.source, self.target, self.preserve)


Prompts = tuple[str, ...]


def directed(
    with_it: Prompts, without: Prompts, preserve: Prompts, add: bool
) -> tuple[Prompts, Prompts, Prompts]:
    """Source, target and preserve prompts that remove a concept, or add it.

    What is added goes into prompts that do not name it: holding such prompts where they are would undo it, so
    there are none to preserve then.
    """
    return (without, with_it, ()) if add else (with_it, without, preserve)


def concept_prompts(
    concept: str,
    kind: str = "object",
    count: int = COUNT,
    seed: int = 0,
    base: Sequence[str] | None = None,
    template: str | None = None,
    others: Sequence[str] | None = None,
    to: str | None = None,
    appended: bool = False,
) -> ConceptPrompts:
    """Source, target and preserve prompts for a concept, `count` of each, the same ones for the same seed.

    concept: what to remove or add, such as "pink elephant", "ukiyo-e", "at night" or "fisheye".
    kind: object, style, attribute, place or perspective: how the concept is woven in.
    count: prompts per set, at least 2; LinEAS (arXiv 2503.10679) reports little gain beyond 32.
    seed: chooses the captions and their order, alike for all concepts (captions that mention it go).
    base: captions to weave into, at least 2 × `count`; None takes the bundled bank.
    template: own words around the concept, `{}`, such as "covered in {}". It follows the caption after a
    comma, or goes around it where the template names `{caption}`, as in "{caption} beside a {}".
    to: another concept, which stands in the place of the first in the target prompts. appended: the concept
    stands behind the caption, and the target prompts are captions without it.
    others: what stands in an object's place in the target prompts; None takes a list of everyday things.
    Raises `PromptError` for an empty concept, an unknown kind, a template without `{}`, and too few captions
    or other things.
    """
    concept = " ".join(concept.split())
    _check(concept, kind, count, template)
    if to is not None and (not to.strip() or to.split() == concept.split()):
        raise PromptError(f"{concept!r} is to be swapped for {to!r}. Name two concepts.")
    rng = Random(seed)
    captions = _shuffled(rng, neutral_captions() if base is None else base, concept)
    captions = [caption for caption in captions if to is None or not mentions(caption, to)]
    noun = kind == "object"
    pairs = _pairs(kind, template, swap=to is not None, appended=appended)
    things = [" ".join(to.split())] if to is not None else []
    if noun and not things and not appended:
        things = _things(rng, others, concept)
    source, target = [], []
    for i, (caption, (with_it, without)) in enumerate(zip(captions[:count], cycle(pairs), strict=False)):
        source.append(fill(with_it, concept, caption, noun=noun))
        target.append(fill(without, things[i % len(things)] if things else "", caption, noun=noun))
    taken = {*source, *target}
    preserve = [caption for caption in captions[count:] if caption not in taken][:count]
    if len(preserve) < count:
        raise PromptError(
            f"Too few captions: {len(captions)} distinct ones do not mention {concept!r}, expected at least "
            f"{2 * count}. Ask for at most {len(captions) // 2} prompts, or pass more captions as `base`."
        )
    return ConceptPrompts(tuple(source), tuple(target), tuple(preserve))


def _check(concept: str, kind: str, count: int, template: str | None) -> None:
    if not concept:
        raise PromptError('The concept is empty. Name what to remove or add, such as "pink elephant".')
    if kind not in TEMPLATES:
        raise PromptError(f"Unknown kind of concept {kind!r}. Expected one of: {', '.join(KINDS)}.")
    if count < 2:
        raise PromptError(f"Got count={count}, expected at least 2 prompts per set; 16 to 64 work well.")
    if template is not None:
        check_template(template)


def check_template(template: str) -> None:
    """Refuse a template that has no place for the concept: `PromptError`."""
    if "{}" not in template:
        raise PromptError(
            f'The template {template!r} has no "{{}}" for the concept. Write for example "covered in {{}}".'
        )


def _shuffled(rng: Random, captions: Sequence[str], concept: str) -> list[str]:
    """Distinct captions that do not mention the concept, in the order of the seed.

    Sorting by a random key per caption keeps the order of the others when a concept takes some captions out.
    """
    keyed = [(rng.random(), caption) for caption in dict.fromkeys(captions)]
    return [caption for _, caption in sorted(keyed) if not mentions(caption, concept)]


def _things(rng: Random, others: Sequence[str] | None, concept: str) -> list[str]:
    words = content_words(concept)
    things = [thing for thing in (THINGS if others is None else others) if not words & content_words(thing)]
    if not things:
        raise PromptError(
            f"Every thing that could stand in place of {concept!r} shares a word with it; pass `others`."
        )
    return rng.sample(things, len(things))


def _pairs(kind: str, template: str | None, swap: bool, appended: bool) -> list[tuple[str, str]]:
    """(with the concept, without it), in turn."""
    pairs = list(TEMPLATES[kind])
    if template is not None:
        text = template if "{caption}" in template else f"{{caption}}, {template}"
        pairs = [(text, text if kind == "object" else "{caption}")]
    if appended:
        pairs = [(text, "{caption}") for text, _ in pairs if text.startswith("{caption}")]
        if not pairs:
            raise PromptError(f"To add, the concept stands behind the caption, got {template!r}.")
    return [(text, text) for text, _ in pairs] if swap else pairs
