"""The report of an intent on the bundled model, whose detector tells what an image shows."""

from __future__ import annotations

from lineas.errors import ConfigError
from lineas.evaluation.images.intent_report import Draw, IntentReport, Wanted, intent_report
from lineas.intents.plan import Plan
from lineas.prompts.banks import ADD
from lineas.scenes.detector import Detector
from lineas.scenes.grammar import parse
from lineas.scenes.naming import named_concept


def scenes_report(draw: Draw, plan: Plan, concept: str, to: str | None = None) -> IntentReport:
    """What a steering does on held-out prompts of its plan; concept and `to` as the intent names them.

    draw: by the bundled model, (prompts, strength) -> images. `ConfigError` for a plan without such prompts.
    """
    if plan.sets.for_reporting is None:
        raise ConfigError("The plan holds no prompts to measure on. Give a concept in words, not lists.")
    return intent_report(
        draw,
        Detector.load().found,
        _wanted(plan, concept, to),
        plan.sets.label,
        *plan.sets.for_reporting,
        named=lambda prompt: parse(prompt).visible(),
    )


def _wanted(plan: Plan, concept: str, to: str | None) -> Wanted:
    first = named_concept(concept, plan.sets.kind)
    if plan.intent == ADD:
        return Wanted(there=first)
    return Wanted(gone=first, there=named_concept(to, plan.sets.kind) if to else None)
