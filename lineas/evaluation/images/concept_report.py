"""One concept, measured: how much of it is gone at each strength, and how much of everything else stayed.

Nothing here knows a model or a detector: both come in as functions, so the demo and the benchmarks measure
with the same code.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

from PIL import Image

from lineas.adapters.images.clip_score import ClipScore
from lineas.errors import ConfigError, MismatchError, PromptError
from lineas.evaluation.images.image_change import mean_square_change
from lineas.evaluation.rates import Rate, erasure_rate, presence_rate, retain_rate
from lineas.evaluation.sweep import Sweep

Images = Sequence[Image.Image]
Draw = Callable[[Sequence[str], float], Images]
"""(n prompts, strength) -> n images, prompt i from the same noise at every strength."""
Find = Callable[[Images], Sequence[Collection[Hashable]]]
"""n images -> for each what it shows; concepts are any hashable, such as ("time", "night")."""
Named = Callable[[str], Collection[Hashable]]
"""prompt -> the concepts that it names."""


@dataclass(frozen=True)
class ConceptFigures:
    """What was found at one strength, over the prompts with the concept and those without it ("cross")."""

    strength: float
    presence: Rate
    """With: images that show the concept."""
    erased: Rate
    """With: of the images that show the concept unsteered, those that no longer do."""
    others_found: Rate
    """With: other concepts that a prompt names, found in its image."""
    others_kept: Rate
    """With: of the other concepts found unsteered, those still found."""
    cross_kept: Rate
    """Without: of the concepts found unsteered, those still found."""
    cross_presence: Rate
    """Without: images that show the concept, which should not rise."""
    change: float
    """With: mean square change of the image, 0 … 1."""
    cross_change: float
    """Without: mean square change of the image, 0 … 1; 0 is best."""
    img_score: float | None = None
    """With: mean cosine of steered and unsteered image; None without a CLIP model."""
    cross_img_score: float | None = None
    """Without: the same; 1 is best."""
    clip_score: float | None = None
    """With: mean cosine of the image and the concept's text; None without a CLIP model or a text."""


@dataclass(frozen=True)
class ConceptReport:
    """Figures of one concept at rising strengths, 0 among them."""

    concept: Hashable
    figures: tuple[ConceptFigures, ...]

    def at(self, strength: float) -> ConceptFigures:
        """The figures at one of the strengths that were measured, else `ConfigError`."""
        for figures in self.figures:
            if figures.strength == strength:
                return figures
        known = ", ".join(f"{figures.strength:g}" for figures in self.figures)
        raise ConfigError(f"Strength {strength:g} was not measured. Expected one of: {known}.")

    def sweep(self, names: Sequence[str] = ("presence", "others_kept", "cross_kept")) -> Sweep:
        """Some of the figures, under the heads of the table, to draw or to write as CSV."""
        strengths = tuple(figures.strength for figures in self.figures)
        return Sweep(
            strengths,
            {HEADS.get(name, name): tuple(getattr(f, name) for f in self.figures) for name in names},
        )

    def markdown(self) -> str:
        """A table with a row per strength."""
        return "\n".join([markdown_head(), *(self.markdown_row(f.strength) for f in self.figures)])

    def markdown_row(self, strength: float = 1.0) -> str:
        """The figures at one strength as a table row under `markdown_head`, rates with 95 % intervals."""
        figures = self.at(strength)
        cells = [_concept_text(self.concept), f"{strength:g}"]
        cells += [_cell(getattr(figures, name)) for name in HEADS]
        return f"| {' | '.join(cells)} |"

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON: rates with hits, total, value and their 95 % interval."""
        return {"concept": _concept_text(self.concept), "strengths": [_plain(f) for f in self.figures]}


HEADS = {
    "presence": "concept found",
    "erased": "erased",
    "others_found": "rest of the prompt found",
    "others_kept": "rest kept",
    "cross_kept": "other prompts kept",
    "change": "change",
    "cross_change": "change of other prompts",
    "img_score": "IMGScore",
    "cross_img_score": "IMGScore of other prompts",
    "clip_score": "CLIPScore",
}


def markdown_head() -> str:
    """The head of the table that `markdown_row` gives rows for."""
    heads = ["concept", "strength", *HEADS.values()]
    return f"| {' | '.join(heads)} |\n|{'---|' * 2}{'---:|' * len(HEADS)}"


def concept_report(
    draw: Draw,
    found: Find,
    concept: Hashable,
    prompts_with: Sequence[str],
    prompts_without: Sequence[str],
    strengths: Sequence[float] = (0.0, 1.0),
    *,
    named: Named | None = None,
    clip: ClipScore | None = None,
    text: str | None = None,
) -> ConceptReport:
    """Draw both sets of prompts at every strength, look at what the images show, and count.

    draw: (prompts, strength) → images; prompt i must start from the same noise at every strength.
    found: a detector, images → what each of them shows.
    concept: what is removed or added, in the detector's words.
    prompts_with, prompts_without: held-out prompts, at least one of each.
    strengths: in any order; 0, which everything is compared with, is measured in any case.
    named: what a prompt names. Only that is expected in its image; None expects whatever the unsteered image
    shows.
    clip: adds IMGScore, a cosine in this model's space; None leaves it out.
    text: the concept in words; with `clip` it adds CLIPScore.

    Raises `PromptError`: no prompts. `MismatchError`: `draw` or `found` gives another number than it was
    given.
    """
    if not prompts_with or not prompts_without:
        raise PromptError(
            f"Got {len(prompts_with)} prompts with and {len(prompts_without)} without the concept, "
            "expected at least one of each; 32 or more give useful intervals."
        )
    groups = [
        _Group(draw, found, concept, prompts, named, clip, text)
        for prompts in (prompts_with, prompts_without)
    ]
    ordered = sorted({0.0, *(float(strength) for strength in strengths)})
    return ConceptReport(concept, tuple(_figures(strength, *groups) for strength in ordered))


class _Group:
    """One set of prompts: its unsteered images, what they show, and what is expected in them."""

    def __init__(
        self,
        draw: Draw,
        found: Find,
        concept: Hashable,
        prompts: Sequence[str],
        named: Named | None,
        clip: Any,
        text: str | None,
    ) -> None:
        self.draw, self.find, self.concept, self.prompts = draw, found, concept, prompts
        self.clip, self.text = clip, text
        self.reference, self.before = self.seen(0.0)
        expected = [named(prompt) for prompt in prompts] if named else self.before
        # Sorted, as sets have no order: the same pairs in the same order on every run.
        self.others = [sorted({*some} - {concept}, key=repr) for some in expected]

    def seen(self, strength: float) -> tuple[Images, Sequence[Collection[Hashable]]]:
        images = self.draw(self.prompts, strength)
        found = self.find(images)
        if not len(images) == len(found) == len(self.prompts):
            raise MismatchError(
                f"{len(self.prompts)} prompts gave {len(images)} images and {len(found)} sets of findings, "
                "expected one of each per prompt."
            )
        return images, found

    def shows(self, found: Sequence[Collection[Hashable]]) -> list[bool]:
        return [self.concept in each for each in found]

    def shows_others(self, found: Sequence[Collection[Hashable]]) -> list[bool]:
        """One judgement per image and other concept expected in it."""
        return [other in each for each, others in zip(found, self.others, strict=True) for other in others]

    def img_score(self, images: Images) -> float | None:
        return float(self.clip.image_image(images, self.reference).mean()) if self.clip else None

    def clip_score(self, images: Images) -> float | None:
        return float(self.clip.image_text(images, self.text).mean()) if self.clip and self.text else None


def _figures(strength: float, inside: _Group, cross: _Group) -> ConceptFigures:
    (images, found), (cross_images, cross_found) = (
        (group.reference, group.before) if strength == 0 else group.seen(strength)
        for group in (inside, cross)
    )
    before, after = inside.shows_others(inside.before), inside.shows_others(found)
    return ConceptFigures(
        strength=strength,
        presence=presence_rate(inside.shows(found)),
        erased=erasure_rate(inside.shows(inside.before), inside.shows(found)),
        others_found=presence_rate(after),
        others_kept=retain_rate(before, after),
        cross_kept=retain_rate(cross.shows_others(cross.before), cross.shows_others(cross_found)),
        cross_presence=presence_rate(cross.shows(cross_found)),
        change=float(mean_square_change(images, inside.reference).mean()),
        cross_change=float(mean_square_change(cross_images, cross.reference).mean()),
        img_score=inside.img_score(images),
        cross_img_score=cross.img_score(cross_images),
        clip_score=inside.clip_score(images),
    )


def _concept_text(concept: Hashable) -> str:
    return ":".join(str(part) for part in concept) if isinstance(concept, tuple) else str(concept)


def _cell(value: Rate | float | None) -> str:
    if value is None:
        return "–"
    return str(value) if isinstance(value, Rate) else f"{value:.4f}"


def _plain(figures: ConceptFigures) -> dict[str, Any]:
    values = {entry.name: getattr(figures, entry.name) for entry in fields(figures)}
    return {name: _plain_rate(v) if isinstance(v, Rate) else v for name, v in values.items()}


def _plain_rate(rate: Rate) -> dict[str, float | int | None]:
    low, high = rate.interval
    # JSON knows no NaN, which is the value of a rate without samples.
    return {**asdict(rate), "value": rate.value if rate.total else None, "low": low, "high": high}
