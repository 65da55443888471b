"""The way of a steering in the eyes of a CLIP model, by images that are drawn at a strength."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

from PIL import Image
from torch import Tensor

from lineas.intents.calibration import Way

Images = Sequence[Image.Image]
Draw = Callable[[Sequence[str], float], Images]
"""(n prompts, strength) -> n images, prompt i from the same noise at every strength."""
TOLD_APART = 0.8
"""A judge tells two sets apart where the shares that it takes for the second are so far apart."""
IMAGES, OTHERS = 16, 8
"""At each strength that is tried: of prompts with the concept, and of others, whose change few tell."""
STEP = 0.25
"""Between the strengths that are drawn; what lies between is interpolated."""


class Judge(Protocol):
    """Cosines of a CLIP model, [n] in −1 … 1; `ClipScore` is one. name: what files say of it."""

    name: str

    def image_text(self, images: Images, texts: Sequence[str], /) -> Tensor: ...

    def image_image(self, images: Images, reference: Images, /) -> Tensor: ...


class ClipScale:
    """[n] shares of the way from n untouched images, 0 in the mean, to those of prompting, 1 in the mean.

    An image lies where the difference of its cosines, to the prompt that asks for what is wanted and to its
    own prompt, lies between the means of both sets: a text that CLIP likes better anyway counts for nothing.
    """

    def __init__(
        self, clip: Judge, prompts: Sequence[str], twins: Sequence[str], untouched: Images, prompted: Images
    ) -> None:
        self.clip, self.prompts, self.twins = clip, prompts, twins
        leanings = self._leaning(untouched), self._leaning(prompted)
        self.start, self.end = (each.mean() for each in leanings)
        before, wanted = (float((self._share(each) > 0.5).float().mean()) for each in leanings)
        self.told_apart = wanted - before >= TOLD_APART
        """Whether this CLIP model tells the two sets apart; else shares say little."""

    def __call__(self, images: Images) -> Tensor:
        return self._share(self._leaning(images))

    def _leaning(self, images: Images) -> Tensor:
        return self.clip.image_text(images, self.twins) - self.clip.image_text(images, self.prompts)

    def _share(self, leaning: Tensor) -> Tensor:
        return (leaning - self.start) / (self.end - self.start)


class ClipWay:
    """How far a steering has come at a strength, as a calibration asks: strength -> `Way`.

    along: the mean share of the way that a `ClipScale` gives. off: how far images lie from those of
    prompting, and other prompts' images from their untouched ones, by 1 − cosine; 1 without a steering.
    Draws up to `IMAGES` and `OTHERS` images at every multiple of `STEP` that is asked for, and at 0.

    twins: the prompts in words that ask for what the steering does. others: prompts to leave alone, or none.
    """

    leads = True

    def __init__(
        self, draw: Draw, clip: Judge, prompts: Sequence[str], twins: Sequence[str], others: Sequence[str]
    ) -> None:
        self.draw, self.clip = draw, clip
        self.prompts, self.others = prompts[:IMAGES], others[:OTHERS]
        untouched, self.prompted = draw(self.prompts, 0.0), draw(twins[:IMAGES], 0.0)
        self.usual = self._drawn_others(0.0)
        self.scale = ClipScale(clip, self.prompts, twins[:IMAGES], untouched, self.prompted)
        self.name, self.told_apart = clip.name, self.scale.told_apart
        self.doubt = (
            f"{clip.name} hardly tells images of prompting from untouched ones, so the strength is "
            "calibrated by the cost. Look at pictures of several strengths, or name another CLIP model."
        )
        self.whole = self._apart(untouched, self.prompted)
        self.known = {0.0: Way(0.0, 1.0)}

    def __call__(self, strength: float) -> Way:
        steps, rest = divmod(strength, STEP)
        here = self._at(steps * STEP)
        if not rest:
            return here
        there, share = self._at((steps + 1) * STEP), rest / STEP
        return Way(here.along + share * (there.along - here.along), here.off + share * (there.off - here.off))

    def _at(self, strength: float) -> Way:
        if strength not in self.known:
            steered = self.draw(self.prompts, strength)
            off = self._apart(steered, self.prompted) + self._apart(self._drawn_others(strength), self.usual)
            self.known[strength] = Way(float(self.scale(steered).mean()), off / self.whole)
        return self.known[strength]

    def _drawn_others(self, strength: float) -> Images:
        return self.draw(self.others, strength) if self.others else ()

    def _apart(self, images: Images, reference: Images) -> float:
        return float((1 - self.clip.image_image(images, reference)).mean()) if images else 0.0
