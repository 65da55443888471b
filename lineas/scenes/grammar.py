"""Scenes in words: what a prompt of the bundled domain can say, and the words it says it with."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

OBJECTS = (
    "elephant", "white bear", "gorilla", "cat", "horse", "duck", "penguin", "owl",
    "turtle", "robot", "person", "clock", "ball", "car", "bus", "boat",
    "house", "tree", "cactus", "mushroom", "apple", "umbrella", "guitar", "book",
)  # fmt: skip
COLOURS = ("red", "blue", "green", "pink", "yellow")
PLACES = {
    "forest": "in the forest",
    "beach": "on the beach",
    "desert": "in the desert",
    "city": "in the city",
    "mountains": "in the mountains",
    "meadow": "in the meadow",
}
TIMES = {"night": "at night", "sunset": "at sunset"}
WEATHERS = {"rain": "in the rain", "snow": "in the snow", "fog": "in the fog"}
STYLES = {
    "pixel art": ("pixel art of {}", "{}, pixel art"),
    "pencil sketch": ("a pencil sketch of {}", "{}, pencil sketch"),
    "sepia": ("a sepia photo of {}", "{}, sepia"),
    "vaporwave": ("vaporwave art of {}", "{}, vaporwave"),
}
COLOURLESS_STYLES = ("pencil sketch", "sepia", "vaporwave")
PLAIN_OPENINGS = ("{}", "{}", "{}", "a photo of {}", "a picture of {}")
EMPTY_PLACE = "an empty scene"
KINDS = ("object", "colour", "place", "time", "weather", "style")


@dataclass(frozen=True)
class Scene:
    """What an image shows. Every part is optional; ``None`` or ``()`` means that it is not there.

    Attributes:
        objects: up to two ``(object, colour or None)`` pairs, in the order in which a prompt names them.
        place, time, weather, style: keys of the tables above.
    """

    objects: tuple[tuple[str, str | None], ...] = ()
    place: str | None = None
    time: str | None = None
    weather: str | None = None
    style: str | None = None

    def concepts(self) -> frozenset[tuple[str, str]]:
        """Everything that the scene names, as ``(kind, name)`` pairs."""
        named = [("object", name) for name, _ in self.objects]
        named += [("colour", colour) for _, colour in self.objects if colour]
        for kind in ("place", "time", "weather", "style"):
            if getattr(self, kind):
                named.append((kind, getattr(self, kind)))
        return frozenset(named)

    def visible(self) -> frozenset[tuple[str, str]]:
        """The concepts that can be seen: styles that repaint everything hide the objects' colours."""
        hidden = self.style in COLOURLESS_STYLES
        return frozenset(pair for pair in self.concepts() if not (hidden and pair[0] == "colour"))


def random_scene(rng: np.random.Generator) -> Scene:
    """A scene with every part drawn independently."""

    def maybe(names, chance):
        return str(rng.choice(list(names))) if rng.random() < chance else None

    count = int(rng.choice([0, 1, 2], p=[0.06, 0.54, 0.40]))
    names = rng.choice(len(OBJECTS), size=count, replace=False)
    objects = tuple((OBJECTS[i], maybe(COLOURS, 0.35)) for i in names)
    return Scene(
        objects=objects,
        place=maybe(PLACES, 0.8),
        time=maybe(TIMES, 0.36),
        weather=maybe(WEATHERS, 0.32),
        style=maybe(STYLES, 0.34),
    )


def with_concept(scene: Scene, kind: str, name: str, rng: np.random.Generator) -> Scene:
    """The scene with one concept put in; an object or a colour replaces one that is there."""
    if kind == "object":
        kept = [pair for pair in scene.objects if pair[0] != name][:1]
        return replace(scene, objects=tuple([(name, None), *kept][:: int(rng.choice([1, -1]))]))
    if kind == "colour":
        first = scene.objects[0][0] if scene.objects else str(rng.choice(OBJECTS))
        return replace(scene, objects=((first, name), *scene.objects[1:]))
    changes: dict[str, Any] = {kind: name}
    return replace(scene, **changes)


def without_concept(scene: Scene, kind: str, name: str, rng: np.random.Generator) -> Scene:
    """The scene with one concept left out; another object takes the place of an object."""
    if kind == "object":
        others = [other for other in OBJECTS if other not in {o for o, _ in scene.objects}]
        swapped = tuple((str(rng.choice(others)), c) if o == name else (o, c) for o, c in scene.objects)
        return replace(scene, objects=swapped)
    if kind == "colour":
        plain = tuple((o, None if c == name else c) for o, c in scene.objects)
        return replace(scene, objects=plain)
    changes: dict[str, Any] = {kind: None} if getattr(scene, kind) == name else {}
    return replace(scene, **changes)


def replaced_concept(scene: Scene, kind: str, name: str, to: str | None = None) -> Scene:
    """The scene with another concept of the kind in the place of one, or with nothing there."""
    if kind == "object":
        kept = ((to if o == name else o, colour) for o, colour in scene.objects)
        return replace(scene, objects=tuple((o, colour) for o, colour in kept if o is not None))
    if kind == "colour":
        return replace(scene, objects=tuple((o, to if c == name else c) for o, c in scene.objects))
    changes: dict[str, Any] = {kind: to} if getattr(scene, kind) == name else {}
    return replace(scene, **changes)


def prompt(scene: Scene, rng: np.random.Generator | None = None, last: str | None = None) -> str:
    """The scene in words; ``rng`` varies the wording, without it the wording is the plainest.

    last: a kind whose words come behind all others, as far as the grammar lets them: a scene with and one
    without a concept of that kind are then worded alike by the same ``rng``.
    """
    pick = (
        (lambda options: options[0]) if rng is None else (lambda options: options[rng.integers(len(options))])
    )
    tables = {"place": PLACES, "time": TIMES, "weather": WEATHERS}
    chosen = [(kind, phrases, getattr(scene, kind)) for kind, phrases in tables.items()]
    parts = [phrases[name] for kind, phrases, name in chosen if name and kind != last]
    if rng is not None:
        rng.shuffle(parts)
    parts += [phrases[name] for kind, phrases, name in chosen if name and kind == last]
    subject = " and ".join(_named(name, colour) for name, colour in scene.objects) or EMPTY_PLACE
    text = " ".join([subject, *parts])
    if last == "style":
        return STYLES[scene.style][-1].format(text) if scene.style else text
    return pick(STYLES[scene.style] if scene.style else PLAIN_OPENINGS).format(text)


def parse(text: str) -> Scene:
    """The scene that a prompt describes; words that the domain does not know are passed over."""
    flat = " ".join(words(text))
    found = sorted((m.start(), name) for name in OBJECTS for m in re.finditer(rf"\b{name}s?\b", flat))
    objects = tuple((name, _colour_before(flat, start)) for start, name in found[:2])

    def first(names):
        return next((name for name in names if re.search(rf"\b{name}\b", flat)), None)

    return Scene(objects, first(PLACES), first(TIMES), first(WEATHERS), first(STYLES))


def words(text: str) -> list[str]:
    """The lower-case words of a prompt, without punctuation."""
    return re.findall(r"[a-z]+", text.lower())


def vocabulary() -> tuple[str, ...]:
    """Every word that some prompt of the grammar can hold, in alphabetical order."""
    phrases = [*OBJECTS, *COLOURS, *PLACES, *PLACES.values(), *TIMES.values(), *WEATHERS.values()]
    phrases += [form for forms in STYLES.values() for form in forms]
    phrases += [*PLAIN_OPENINGS, EMPTY_PLACE, "a an and the of with in on at without no scene image drawing"]
    return tuple(sorted({word for phrase in phrases for word in words(phrase)}))


def unknown_words(text: str) -> list[str]:
    """Words of a prompt that the bundled model has never seen, in order, without repeats."""
    known = set(vocabulary())
    return list(dict.fromkeys(word for word in words(text) if word not in known))


def _named(name: str, colour: str | None) -> str:
    phrase = f"{colour} {name}" if colour else name
    return f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def _colour_before(flat: str, start: int) -> str | None:
    before = flat[:start].split()
    return before[-1] if before and before[-1] in COLOURS else None
