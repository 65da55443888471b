"""From a concept to the prompts of a fit, from a bank of captions: the one answer for every face."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lineas.errors import ConfigError, PromptError
from lineas.prompts.concepts import COUNT, KINDS, Prompts, concept_prompts, directed
from lineas.prompts.files import neutral_captions
from lineas.prompts.kinds import guessed_kind
from lineas.scenes import BUNDLED

EVERYDAY, SCENES = "everyday captions", "scenes model"
BANKS = (EVERYDAY, SCENES)
"""Captions for any model, and scenes in the few words of the bundled one."""

REMOVE, ADD, SWAP = "remove", "add", "swap"
INTENTS = (REMOVE, ADD, SWAP)
CALIBRATING = 16
"""Held-out pairs that a strength is calibrated on; the others are for reports."""


def bank_of(model: str) -> str:
    """The bank for a model of this name, a bundled one with or without the "lineas/" of its full name."""
    return SCENES if model.removeprefix("lineas/") in BUNDLED else EVERYDAY


@dataclass(frozen=True)
class PromptSets:
    """Prompts to steer from, towards, and to leave as they are (may be none).

    held_out: source and target prompts beside each other, prompts about anything else, and the source
    prompts in words that ask for what the steering does (of texts, the words alone that stand before them);
    to measure on, and in no other set.
    """

    source: Prompts
    target: Prompts
    preserve: Prompts
    label: str = ""
    """What the steering does, such as "remove pink elephant"; empty where prompts were given as they are."""
    kind: str = ""
    """What the concept was taken for."""
    held_out: tuple[Prompts, Prompts, Prompts, Prompts] = ((), (), (), ())
    contexts: tuple[Prompts, ...] = ()
    """What a language model reads before each text, of source, target and preserve; none where they stand
    alone."""

    @property
    def for_calibrating(self) -> tuple[Prompts, Prompts, Prompts] | None:
        """The first held-out prompts, to calibrate on; None where there are none."""
        first, second, others, _ = (each[:CALIBRATING] for each in self.held_out)
        return (first, second, others if self.preserve else ()) if len(first) > 1 else None

    @property
    def for_judging(self) -> tuple[Prompts, Prompts, Prompts] | None:
        """The same source prompts, in words that ask for what the steering does, and the same others: their
        images are what a CLIP model calibrates by. None without such words."""
        held = self.for_calibrating
        twins = self.held_out[3][:CALIBRATING]
        return (held[0], twins, held[2]) if held and twins else None

    @property
    def for_reporting(self) -> tuple[Prompts, Prompts, Prompts] | None:
        """The other held-out source prompts, the same in words, and others; None where there are none to
        measure on, or no such words."""
        first, _, others, twins = (each[CALIBRATING:] for each in self.held_out)
        return (first, twins, others) if first and twins else None

    @property
    def file_name(self) -> str:
        """The label as the name of a file without its ending, such as "remove-pink-elephant"."""
        return re.sub(r"\W+", "-", self.label).strip("-") or "steering"


def prompt_sets(
    concept: str,
    kind: str | None = None,
    *,
    intent: str = REMOVE,
    to: str | None = None,
    bank: str = EVERYDAY,
    count: int = COUNT,
    seed: int = 0,
    template: str | None = None,
    held_out: int = 0,
) -> PromptSets:
    """The prompts of a fit that removes a concept, adds it or swaps it for another; in pairs.

    kind: how the concept is woven into captions; None guesses from its words (see `guessed_kind`), and the
    scenes bank finds it out (see `named_concept`). intent: "remove", "add" or "swap". to: what a swap puts
    in its place. count: prompts in each set that is used, at least 2. seed: which captions, 0 or more.
    template: own words around the concept, for everyday captions. held_out: pairs to measure on, fewer
    where captions run out.
    Raises `PromptError` for concepts, kinds and numbers that a bank cannot serve, `ConfigError` for an
    unknown bank or intent and for a template with the scenes bank.
    """
    for what, name, known in (("bank", bank, BANKS), ("intent", intent, INTENTS)):
        if name not in known:
            raise ConfigError(f"Unknown {what} {name!r}, expected one of {', '.join(known)}.")
    if (intent == SWAP) != bool(to and to.strip()):
        raise PromptError(
            "A swap takes two concepts, what is there and what takes its place; others take one."
        )
    asked = _Asked(concept, kind, intent, to, count, seed, template, held_out)
    kind, sets, held = (_of_scenes if bank == SCENES else _of_captions)(asked)
    return PromptSets(
        *directed(*sets, add=intent == ADD), label(intent, concept, to), kind, _turned(held, intent)
    )


def label(intent: str, concept: str, to: str | None = None) -> str:
    """An intent in words, such as "swap a cat for a dog"."""
    return " ".join(f"{intent} {concept} {f'for {to}' if to else ''}".split())


@dataclass(frozen=True)
class _Asked:
    """What a bank is asked for, as `prompt_sets` takes it."""

    concept: str
    kind: str | None
    intent: str
    to: str | None
    count: int
    seed: int
    template: str | None
    held_out: int


Sets = tuple[Prompts, Prompts, Prompts]
HeldOut = tuple[Prompts, Prompts, Prompts, Prompts]
Made = tuple[str, Sets, HeldOut]


def _turned(sets: HeldOut, intent: str) -> HeldOut:
    with_it, without, others, twins = sets
    return (without, with_it, others, with_it) if intent == ADD else (with_it, without, others, twins)


def _of_captions(asked: _Asked) -> Made:
    kind, count = asked.kind or guessed_kind(asked.concept).name, asked.count
    held_out = max(0, min(asked.held_out, len(neutral_captions()) * 2 // 5 - count))
    sets = concept_prompts(
        asked.concept,
        kind,
        count + held_out,
        asked.seed,
        template=asked.template,
        to=asked.to,
        appended=asked.intent == ADD,
    )
    own = (sets.source[:count], sets.target[:count], sets.preserve[:count])
    with_it, without, others = (each[count:] for each in (sets.source, sets.target, sets.preserve))
    return kind, own, (with_it, without, others, without)


def _of_scenes(asked: _Asked) -> Made:
    from lineas.scenes.concepts import concept_sets
    from lineas.scenes.naming import KNOWN, named_concept

    if asked.template:
        raise ConfigError(f"The {SCENES} knows few words, so it takes no template. Leave it out.")
    if not asked.concept.strip():
        raise PromptError('The concept is empty. Name what to remove or add, such as "at night".')
    if asked.kind not in (None, *KINDS, *KNOWN):
        kinds = ", ".join(dict.fromkeys((*KINDS, *KNOWN)))
        raise PromptError(f"Unknown kind of concept {asked.kind!r}. Expected one of: {kinds}.")
    kind, name = named_concept(asked.concept, asked.kind)
    other = named_concept(asked.to, kind)[1] if asked.to else None
    sets = concept_sets(
        kind, name, asked.count, asked.seed, asked.held_out, to=other, appended=asked.intent == ADD
    )
    own = (sets.source, sets.target, sets.preserve)
    held = (sets.held_out_with, sets.held_out_target, sets.held_out_without, sets.held_out_twins)
    return kind, own, held
