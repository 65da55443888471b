"""What an intent achieved: the concept, all the rest of the same images, other prompts; beside prompting.

Prompting, the words left out, added or exchanged, is the oracle: what the model itself makes of them. Nothing
here knows a model or a detector.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from lineas.errors import PromptError
from lineas.evaluation.images.image_change import mean_square_change
from lineas.evaluation.rates import Rate, presence_rate, retain_rate
from lineas.evaluation.ways import table_of_ways

Images = Sequence[Image.Image]
Draw = Callable[[Sequence[str], float], Images]
"""(n prompts, strength) -> n images, prompt i from the same noise at every strength."""
Find = Callable[[Images], Sequence[Collection[Hashable]]]
"""n images -> for each what it shows."""


@dataclass(frozen=True)
class Wanted:
    """What images of a fulfilled intent show: `there`, and not `gone`; None asks for nothing."""

    there: Hashable | None = None
    gone: Hashable | None = None

    def __call__(self, shown: Collection[Hashable]) -> bool:
        return (self.there is None or self.there in shown) and self.gone not in shown


@dataclass(frozen=True)
class Figures:
    """Of images of the same prompts. done: those that are as wanted. rest_kept: of what else the prompt names
    and its unsteered image shows, what is still shown. all_kept: images as wanted in which all of that is."""

    done: Rate
    rest_kept: Rate
    all_kept: Rate


@dataclass(frozen=True)
class IntentReport:
    """Figures of the untouched model, of prompting and of the steering.

    others_kept: of what other prompts name and show, what they still show. others_change: mean square change
    of their images, 0 to 1.
    """

    label: str
    unsteered: Figures
    prompting: Figures
    steered: Figures
    others_kept: Rate
    others_change: float

    def markdown(self) -> str:
        """A table with a row for each way, rates with 95 % Wilson intervals over images."""
        table = table_of_ways(
            self,
            ("", self.label, "rest kept", "as wanted, all the rest kept"),
            lambda figures: (str(figures.done), str(figures.rest_kept), str(figures.all_kept)),
        )
        return (
            f"{table}\n\nOther prompts: {self.others_kept} kept, mean square change {self.others_change:.4f}."
        )

    def figures(self) -> dict[str, float]:
        """The rates and changes by name, for a table of many reports."""
        return {
            "done_unsteered": self.unsteered.done.value,
            "done": self.steered.done.value,
            "rest_kept": self.steered.rest_kept.value,
            "others_kept": self.others_kept.value,
            "others_change": self.others_change,
        }

    def as_dict(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def intent_report(
    draw: Draw,
    found: Find,
    wanted: Wanted,
    label: str,
    prompts: Sequence[str],
    twins: Sequence[str],
    others: Sequence[str],
    named: Callable[[str], Collection[Hashable]],
) -> IntentReport:
    """Draw held-out prompts without and with the steering, their twins, and other prompts; and count.

    twins: the same prompts in words that ask for what the steering does. named: what a prompt names, the
    concepts apart. Raises `PromptError` where a list is empty or the twins are not as many.
    """
    if not prompts or not others or len(prompts) != len(twins):
        raise PromptError(
            f"A report needs prompts, as many twins and others, got {len(prompts)}, {len(twins)} and "
            f"{len(others)}."
        )
    before = found(draw(prompts, 0.0))
    rest = [
        [each for each in sorted({*named(prompt)} - {wanted.there, wanted.gone}, key=repr) if each in shown]
        for prompt, shown in zip(prompts, before, strict=True)
    ]

    def figures(shown: Sequence[Collection[Hashable]]) -> Figures:
        done = [wanted(each) for each in shown]
        kept = [[one in each for one in those] for each, those in zip(shown, rest, strict=True)]
        return Figures(
            presence_rate(done),
            presence_rate(one for each in kept for one in each),
            presence_rate(d and all(each) for d, each in zip(done, kept, strict=True)),
        )

    untouched, changed = draw(others, 0.0), draw(others, 1.0)
    shown_before, shown_after = found(untouched), found(changed)
    pairs = [
        (one in a, one in b)
        for prompt, a, b in zip(others, shown_before, shown_after, strict=True)
        for one in named(prompt)
    ]
    return IntentReport(
        label,
        figures(before),
        figures(found(draw(twins, 0.0))),
        figures(found(draw(prompts, 1.0))),
        retain_rate([a for a, _ in pairs], [b for _, b in pairs]),
        float(mean_square_change(changed, untouched).mean()),
    )
