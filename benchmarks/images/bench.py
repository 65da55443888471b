"""Rows of table B: a steering fitted to an intent by one method at one place, and what it does."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from PIL import Image

from benchmarks.images.concepts import swapped_for, weights_there
from lineas import fit
from lineas.adapters.images.drawing import Drawer
from lineas.adapters.intents import carry_out, plan
from lineas.evaluation.images.intent_report import Draw
from lineas.evaluation.images.scenes_report import scenes_report
from lineas.intents.plan import Plan
from lineas.methods.registry import METHODS
from lineas.pictures.contact_sheet import strength_sheet
from lineas.prompts.banks import ADD, CALIBRATING, REMOVE
from lineas.steering.steering import Steering

NOISE = 7000
"""Seed of the measured images; the fits' noise starts at their own seeds, 0, 1, 2."""
TRYING_SEED, TRYING_NOISE, TRIED = 5, 3000, 8
"""Of the prompts and images that places and strengths are chosen on, and how many of each kind: the rows have
the seeds below."""
STRENGTHS = (0.0, 0.5, 1.0, 1.5)
"""Of the pictures."""
PLACES = ("norms", "attention", "text")
"""Where other methods may act: all norms of the UNet, as LinEAS is published, its attentions' outputs, and
the text encoder's norms, where the intents act."""
PUBLISHED = "LinEAS as published"
"""Affine maps at all norms of the UNet, pooled means coupled by rank, no preserve prompts."""
PUBLISHED_STEPS = 100
"""Of the preset fast, which is at the cost of the paper's 1000 steps after 50 (see optimisation.py)."""
DAMPING = "aura"
"""A method that can only take away."""
TURNING = "casteer"
"""A method that takes away by default, and is told where it is to add."""
CROSS_ATTENTION = "unet.*attn2.to_out.0"
CROSSING = (TURNING, "midsteer")
"""Methods whose authors put them at what the cross-attentions of a UNet give."""


@dataclass(frozen=True)
class Way:
    """A method at one place, and its λ. name: of the row."""

    name: str
    sites: str
    strength: float = 1.0

    @property
    def method(self) -> str:
        """In the registry."""
        return "lineas" if self.name == PUBLISHED else self.name

    def options(self, intent: str) -> dict[str, Any]:
        """Beside the method's defaults."""
        if self.name == PUBLISHED:
            return {"steps": PUBLISHED_STEPS}
        return {"turn": "toward"} if (self.name, intent) == (TURNING, ADD) else {}


def rivals(intent: str) -> tuple[str, ...]:
    """Names of the rows beside LinEAS by intent: every method for images that can do what is intended."""
    others = [each.name for each in METHODS.values() if not each.needs_texts and each.name != "lineas"]
    first = ("lin-act", "iti-c", PUBLISHED)
    able = (each for each in others if each not in first and (each != DAMPING or intent == REMOVE))
    return (*first, *able)


def places_of(name: str, pipe: Any) -> tuple[str, ...]:
    """Where the method of a row may act in a pipeline."""
    if name in CROSSING and hasattr(pipe, "unet"):
        return (*PLACES, CROSS_ATTENTION)
    return PLACES[:1] if name == PUBLISHED else PLACES


@dataclass
class Bench:
    """The bundled model, and the folder of its steerings and pictures."""

    pipe: Any
    folder: Path
    weights: str = field(default_factory=weights_there)
    options: Mapping[str, Any] = field(default_factory=dict)
    """Of every plan, to try a run with few prompts and steps."""
    unsteered: dict[tuple[Any, ...], list[Image.Image]] = field(default_factory=dict)
    """Images by noise and prompts: every way is compared with the same."""

    def plan(self, intent: str, concept: str, seed: int) -> Plan:
        """The prompts that every way gets."""
        return plan(self.pipe, intent, concept, swapped_for(intent, concept), seed=seed, **self.options)

    def drawn(self, steering: Steering, strength: float, noise: int) -> Draw:
        """What draws with a steering, whose strength 1 is `strength` here."""
        draw = Drawer(self.pipe, [steering], [strength], seed=noise, batch=8)

        def images(prompts: Sequence[str], share: float) -> list[Image.Image]:
            if share:
                return draw(prompts, share)
            key = (noise, *prompts)
            if key not in self.unsteered:
                self.unsteered[key] = draw(prompts, 0.0)
            return self.unsteered[key]

        return images

    def by_intent(self, intent: str, concept: str, seed: int) -> dict[str, Any]:
        """What a person gets who says it: the setting of the intent, at its calibrated strength 1."""
        start, began = time.process_time(), time.perf_counter()
        made = self.plan(intent, concept, seed)
        with warnings.catch_warnings(record=True) as told:
            steering = carry_out(self.pipe, made)
        seconds = {"cpu_seconds": time.process_time() - start, "seconds": time.perf_counter() - began}
        steering.save(self.folder / f"{made.sets.file_name}-{seed}.safetensors")
        report = scenes_report(self.drawn(steering, 1.0, NOISE), made, concept, swapped_for(intent, concept))
        if seed == 0:
            self.picture(steering, made)
        settings = steering.provenance.settings
        kept = ("strength_unit", "usable_from", "usable_to", "cost", "cost_at_start", "steps_done")
        return {
            **{name: round(value, 1) for name, value in seconds.items()},
            **{name: settings.get(name) for name in kept},
            "told": [str(each.message)[:200] for each in told],
            **report.as_dict(),
        }

    def by(self, way: Way, intent: str, concept: str, seed: int) -> dict[str, Any]:
        """The same prompts and measure for another way."""
        made = self.plan(intent, concept, seed)
        steering = self.fitted(way, made, seed)
        draw = self.drawn(steering, way.strength, NOISE)
        report = scenes_report(draw, made, concept, swapped_for(intent, concept))
        return {"seconds": steering.provenance.settings.get("seconds"), **report.as_dict()}

    def tried(self, way: Way, intent: str, concept: str) -> dict[str, Any]:
        """The same on other prompts and noise than any row's, to choose by."""
        made = self.plan(intent, concept, TRYING_SEED)
        taken = {
            text
            for seed in range(TRYING_SEED)
            for texts in self.plan(intent, concept, seed).sets.for_reporting or ()
            for text in texts
        }
        apart = without(made, taken, TRIED)
        draw = self.drawn(self.fitted(way, made, TRYING_SEED), way.strength, TRYING_NOISE)
        return scenes_report(draw, apart, concept, swapped_for(intent, concept)).as_dict()

    def fitted(self, way: Way, made: Plan, seed: int) -> Steering:
        """From an earlier run where it is there: strengths share a fit."""
        name = f"{self.weights}-{made.sets.file_name}-{seed}-{way.name}-{way.sites}.safetensors"
        path = self.folder / name.replace(" ", "-").replace("*", "")
        if path.is_file():
            return Steering.load(path)
        sets = made.sets
        preserve = sets.preserve if way.name != PUBLISHED and METHODS[way.name].preserves else None
        steering = fit(
            self.pipe, sets.source, sets.target, preserve, sites=way.sites, method=way.method,
            seed=seed, **way.options(made.intent),
        )  # fmt: skip
        steering.save(path)
        return steering

    def picture(self, steering: Steering, made: Plan) -> None:
        """A sheet of held-out prompts over strengths."""
        if made.sets.for_reporting is None:
            return
        shown = made.sets.for_reporting[0][:5]
        draw = self.drawn(steering, 1.0, NOISE)
        sheet = strength_sheet([draw(shown, s) for s in STRENGTHS], STRENGTHS, shown)
        sheet.save(self.folder / f"{made.sets.file_name}.png")


def without(made: Plan, taken: set[str], count: int) -> Plan:
    """A plan whose prompts to report on are the first `count` of its own that are not `taken`."""
    source, target, others, twins = made.sets.held_out
    rows = [
        row
        for row in zip(source[CALIBRATING:], others[CALIBRATING:], twins[CALIBRATING:], strict=True)
        if taken.isdisjoint(row)
    ][:count]
    first, second, third = (tuple(each) for each in zip(*rows, strict=True))
    held = (source[:CALIBRATING] + first, target, others[:CALIBRATING] + second, twins[:CALIBRATING] + third)
    return replace(made, sets=replace(made.sets, held_out=held))
