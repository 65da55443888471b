"""The report of an intent on any image model, judged by CLIP where no detector knows what its images show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from lineas.adapters.images.clip_score import ClipScore
from lineas.errors import ConfigError
from lineas.evaluation.images.image_change import mean_square_change
from lineas.evaluation.images.intent_report import Draw, Images
from lineas.evaluation.rates import Rate, presence_rate
from lineas.evaluation.ways import table_of_ways
from lineas.intents.clip_way import TOLD_APART, ClipScale
from lineas.intents.plan import Plan


@dataclass(frozen=True)
class ClipFigures:
    """Of images of the same prompts. done: those that CLIP takes for what prompting makes. way: mean share of
    the way from the untouched images to those of prompting. like_prompting: mean cosine to the images of
    prompting, which shows what else is different; 1 for equal images."""

    done: Rate
    way: float
    like_prompting: float


@dataclass(frozen=True)
class ClipReport:
    """Figures of the untouched model, of prompting and of the steering, by one CLIP model.

    others_like: mean cosine of other prompts' steered images to their untouched ones. others_change: mean
    square change of those images, 0 to 1.
    """

    label: str
    unsteered: ClipFigures
    prompting: ClipFigures
    steered: ClipFigures
    others_like: float
    others_change: float

    @property
    def told_apart(self) -> bool:
        """Whether this CLIP model tells images of prompting from untouched ones; else figures say little."""
        return self.prompting.done.value - self.unsteered.done.value >= TOLD_APART

    def markdown(self) -> str:
        """A table with a row for each way, rates with 95 % Wilson intervals over images."""
        table = table_of_ways(
            self,
            ("by CLIP", self.label, "share of the way", "like prompting's image"),
            lambda figures: (str(figures.done), f"{figures.way:.2f}", f"{figures.like_prompting:.3f}"),
        )
        others = (
            f"Other prompts: cosine {self.others_like:.3f} to the untouched images, mean square change "
            f"{self.others_change:.4f}."
        )
        doubt = (
            "\n\nThis CLIP model hardly tells prompting's images from untouched ones: look at the pictures, "
            "or give another with --clip."
        )
        return f"{table}\n\n{others}" + ("" if self.told_apart else doubt)

    def figures(self) -> dict[str, float]:
        """The rates and changes by name, for a table of many reports."""
        return {
            "done_unsteered": self.unsteered.done.value,
            "done": self.steered.done.value,
            "way": self.steered.way,
            "others_like": self.others_like,
            "others_change": self.others_change,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def clip_report(draw: Draw, plan: Plan, clip: ClipScore) -> ClipReport:
    """What a steering does on held-out prompts of its plan, in the eyes of a CLIP model.

    An image counts as what is wanted where it is beyond the middle of the way from untouched images to those
    of prompting, see `ClipScale`. draw: (prompts, strength) -> images. `ConfigError` for a plan without such
    prompts.
    """
    if plan.sets.for_reporting is None:
        raise ConfigError("The plan holds no prompts to measure on. Give a concept in words, not lists.")
    prompts, twins, others = plan.sets.for_reporting
    untouched, prompted, steered = draw(prompts, 0.0), draw(twins, 0.0), draw(prompts, 1.0)
    share = ClipScale(clip, prompts, twins, untouched, prompted)

    def figures(images: Images) -> ClipFigures:
        way = share(images)
        like = clip.image_image(images, prompted)
        return ClipFigures(presence_rate((way > 0.5).tolist()), float(way.mean()), float(like.mean()))

    usual, changed = draw(others, 0.0), draw(others, 1.0)
    return ClipReport(
        plan.sets.label,
        figures(untouched),
        figures(prompted),
        figures(steered),
        float(clip.image_image(changed, usual).mean()),
        float(mean_square_change(changed, usual).mean()),
    )
