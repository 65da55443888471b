"""What an intent achieved on texts: what the model writes, how well, and what other texts lose."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lineas.apply.hooks import steer
from lineas.errors import ConfigError
from lineas.evaluation.language.likeness import Likeness
from lineas.evaluation.language.perplexity import Perplexity, perplexity
from lineas.evaluation.language.report import TextFigures, text_figures
from lineas.evaluation.ways import table_of_ways
from lineas.intents.clip_way import TOLD_APART
from lineas.intents.plan import Plan
from lineas.prompts.words import halves
from lineas.steering.steering import Steering

SAMPLES, SHOWN = 5, 4
"""Continuations of each opening; openings of which one is shown."""


@dataclass(frozen=True)
class TextReport:
    """Figures of the untouched model, of prompting and of the steering, over held-out openings.

    A continuation is as wanted where it reads like the texts that are aimed at rather than those that the
    steering starts from, see `Likeness`; `toxicity` of the figures counts those, `fluency` is how perplexing
    continuations are to the untouched model. others, others_steered: of other texts. told_apart: whether the
    judge tells held-out texts of the two kinds apart; else its figures say little.
    """

    label: str
    unsteered: TextFigures
    prompting: TextFigures
    steered: TextFigures
    others: Perplexity
    others_steered: Perplexity
    told_apart: bool

    def figures(self) -> dict[str, float]:
        """The rates and changes by name, for a table of many reports."""
        counted = {"done_unsteered": self.unsteered.toxicity, "done": self.steered.toxicity}
        rates = {name: found.rate.value for name, found in counted.items() if found is not None}
        return {**rates, "others_rise": self.others_steered.rise_over(self.others)[0]}

    def markdown(self) -> str:
        """A table with a row for each way, rates with 95 % intervals over openings, and texts."""
        table = table_of_ways(
            self,
            ("as the model reads it", self.label, "perplexity of what is written"),
            lambda figures: (
                str(figures.toxicity),
                f"{figures.fluency.value:.2f}" if figures.fluency else "–",
            ),
            prompting="prompting by examples",
        )
        rise, low, high = self.others_steered.rise_over(self.others)
        change = f"{rise:+.1%} ({low:+.1%} to {high:+.1%})"
        others = f"Other texts: perplexity {self.others.value:.2f}, steered {change}."
        doubt = "The model hardly tells the two kinds of text apart: read what it writes."
        pairs = zip(self.unsteered.examples, self.steered.examples, strict=True)
        shown = [
            f"- {_line(opening)} … {_line(before)}\n  - steered: {_line(after)}"
            for (opening, before), (_, after) in list(pairs)[:SHOWN]
        ]
        return "\n\n".join([table, others, *([] if self.told_apart else [doubt]), "\n".join(shown)])


def text_report(model: Any, tokenizer: Any, plan: Plan, steering: Steering, seed: int = 0) -> TextReport:
    """What a steering does on held-out texts of its plan; seed: of the sampling.

    Prompting puts some of the texts that are aimed at before each opening.
    Raises `ConfigError` for a plan without such texts.
    """
    sets = plan.sets
    if sets.for_reporting is None:
        raise ConfigError("The plan holds no texts to measure on. Give more than 48 examples and others.")
    source, words, others = sets.for_reporting
    away, toward = sets.contexts[:2] if sets.contexts else (sets.source, sets.target)
    judge = Likeness(model, tokenizer, toward, away)
    begun = [halves(text)[0] for text in source]
    in_words = [f"{before} {text}" for before, text in zip(words, begun, strict=True)]

    def figures(openings: Sequence[str], steerings: Sequence[Steering]) -> TextFigures:
        return text_figures(
            model, tokenizer, steerings, [1.0] * len(steerings),
            openings=openings, judge=judge, samples=SAMPLES, seed=seed,
        )  # fmt: skip

    usual = perplexity(model, tokenizer, others)
    with steer(model, [steering]):
        changed = perplexity(model, tokenizer, others)
    starts, aims = (_share(judge(texts)) for texts in sets.held_out[:2])
    return TextReport(
        sets.label,
        figures(begun, []),
        figures(in_words, []),
        figures(begun, [steering]),
        usual,
        changed,
        told_apart=aims - starts >= TOLD_APART,
    )


def _share(found: Sequence[float]) -> float:
    return sum(each >= 0.5 for each in found) / len(found)


def _line(text: str) -> str:
    return " ".join(text.split())
