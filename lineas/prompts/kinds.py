"""Kinds of concepts: which of them a person's words mean, told by the words alone."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lineas.prompts.words import content_words

_STYLES = frozenset(
    "style art painting paintings sketch drawing watercolour watercolor watercolours gouache acrylic oil "
    "ukiyo anime manga cartoon comic comics sepia vaporwave cyberpunk steampunk noir monochrome "
    "engraving etching woodcut linocut collage mosaic origami claymation render rendering illustration "
    "lithograph fresco graffiti stained pastel charcoal crayon polaroid daguerreotype pixel voxel lineart "
    "low-poly poly doodle poster bauhaus baroque rococo impressionist expressionist surrealist cubist pop "
    "ghibli filter grayscale photorealistic photorealism".split()
)
_PERSPECTIVES = frozenset(
    "fisheye macro aerial panorama panoramic close-up closeup wide-angle bird's-eye top-down isometric "
    "selfie telephoto bokeh tilt-shift angle view viewpoint perspective shot overhead".split()
)
_TIMES_AND_WEATHERS = frozenset(
    "night dawn dusk sunrise sunset noon midnight day daytime evening morning winter summer autumn spring "
    "rain snow fog mist haze storm sun sunshine sunlight moonlight wind thunderstorm dark darkness shade "
    "shadow backlight candlelight motion focus flames fire colour color".split()
)
_ATTRIBUTES = frozenset(
    "red blue green yellow pink orange purple violet black white grey gray brown golden gold silver "
    "colourful colorful wooden metallic glass plastic furry shiny wet dirty old new young broken blurry "
    "sharp rusty transparent glowing neon happy sad angry smiling naked nude tiny huge giant big small "
    "bright dark dim foggy rainy snowy sunny cloudy stormy misty grainy "
    "overexposed underexposed symmetrical".split()
)
_BEFORE_PLACES = re.compile(
    r"^(?:in|on|at|inside|under|beneath|by|near|above)\s+(?:an?|the|some)\s|^(?:underwater|indoors|outdoors)$"
)
_BEFORE_OTHERS = re.compile(r"^(?:in|on|at|under|during|with|without|made of|covered in|seen from|from)\s")


@dataclass(frozen=True)
class Kind:
    """What a concept is taken for, and why: a sentence for people."""

    name: str
    why: str


def guessed_kind(concept: str) -> Kind:
    """The kind of a concept, such as "at night" or "pixel art"; one of `concepts.KINDS`.

    By its words: object where nothing tells otherwise. People say it with kind=… where it is wrong.
    """
    text = " ".join(concept.lower().split())
    words = set(re.findall(r"[\w'’]+", text))
    hyphened = words | set(re.findall(r"[\w'’-]+", text))
    if hyphened & _PERSPECTIVES or text.startswith(("from above", "from below", "seen from")):
        return Kind("perspective", "its words are those of a camera")
    if hyphened & _STYLES or re.search(r"\w(?:ism|esque)\b", text) or text.startswith("in the style"):
        return Kind("style", "its words are those of pictures")
    if _BEFORE_PLACES.match(text) and not words & _TIMES_AND_WEATHERS:
        return Kind("place", "it says where")
    if _BEFORE_OTHERS.match(text) or words <= _TIMES_AND_WEATHERS:
        return Kind("attribute", "it says when or how")
    if words & _ATTRIBUTES and content_words(text) <= _ATTRIBUTES:
        return Kind("attribute", "it is an adjective")
    return Kind("object", "nothing in its words tells otherwise")
