"""A plan: what an intent does to a model, with which prompts and settings, and why."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

from lineas.errors import ConfigError, PromptError
from lineas.intents.settings import settings_for
from lineas.methods.lineas.config import TrainConfig
from lineas.prompts.banks import ADD, EVERYDAY, INTENTS, SCENES, PromptSets, label, prompt_sets
from lineas.prompts.concepts import COUNT, check_template
from lineas.prompts.files import neutral_captions, plain_statements
from lineas.prompts.kinds import guessed_kind
from lineas.prompts.words import fill

HELD_OUT = 48
"""Pairs of prompts to measure on: a third to calibrate the strength, the rest for a report. Of lists that
people bring it is what they hold beyond `COUNT`, at their end."""
PRESERVED = 48
"""Bundled statements that a language model is held to where no texts are given."""
BEFORE = 3
"""Texts that each text is read after, where a language model is to take a concept up."""
SHOWN = 3


@dataclass(frozen=True)
class Plan:
    """An intent, worked out: every part of it can be replaced before it is carried out.

    intent: "remove", "add" or "swap". sets: the prompts, with those to calibrate on. sites: where activations
    are compared, as `fit` takes them; None is the model's usual sites. settings: options of LinEAS.
    why: a sentence for each choice.
    """

    intent: str
    sets: PromptSets
    sites: str | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    why: tuple[str, ...] = ()

    @property
    def config(self) -> TrainConfig:
        """The options of LinEAS; `ConfigError` where a setting is wrong."""
        return TrainConfig.preset("fast", **self.settings)

    def with_settings(self, **changes: Any) -> Plan:
        """The plan with other settings, which are checked; "sites" and what is None are passed over."""
        given = {name: value for name, value in changes.items() if value is not None}
        sites = given.pop("sites", self.sites)
        plan = replace(self, sites=sites, settings={**self.settings, **given})
        _ = plan.config  # wrong ones are refused here
        return plan

    def without_text(self, why: str) -> Plan:
        """The plan for the image model alone, where no text encoder can be steered; own settings stay."""
        usual = [settings_for(self.intent, is_text=False, in_pairs=each)[1] for each in (False, True)]
        own = {n: v for n, v in self.settings.items() if not any(each.get(n) == v for each in usual)}
        kept = {name: self.settings[name] for name in ("seed", "steps") if name in self.settings}
        return replace(self, sites=None, settings=kept | own, why=(*self.why, why))

    def text(self) -> str:
        """Lines for people."""
        sets, shown = self.sets, self.settings
        lines = [f"{sets.label} ({sets.kind or 'by your own prompts'})"]
        contexts = dict(zip(("source", "target", "preserve"), sets.contexts, strict=False))
        for name, prompts in (("source", sets.source), ("target", sets.target), ("preserve", sets.preserve)):
            lines.append(f"  {name:9}{len(prompts):3}  {_first(prompts)}" if prompts else f"  {name:9}  0")
            if prompts and (before := [text for text in contexts.get(name, ()) if text]):
                lines.append(f"    after       {_first(before, 1)}")
        lines.append(f"  sites      {self.sites or 'the usual ones of the model'}")
        lines += [f"  {name:20} {value}" for name, value in shown.items()]
        for sentence in self.why:
            lines += textwrap.wrap(sentence, 100, initial_indent="  - ", subsequent_indent="    ")
        return "\n".join(lines)


def _first(prompts: Sequence[str], shown: int = SHOWN) -> str:
    return "; ".join(prompts[:shown]) + ("; …" if len(prompts) > shown else "")


def plan_for(
    intent: str,
    concept: str,
    to: str | None = None,
    kind: str | None = None,
    *,
    bank: str = EVERYDAY,
    count: int | None = None,
    seed: int = 0,
    template: str | None = None,
    examples: Sequence[str] | None = None,
    others: Sequence[str] | None = None,
    preserve: Sequence[str] | None = None,
    is_text: bool = False,
) -> Plan:
    """The plan to remove a concept from an image or a language model, to add it, or to swap it for another.

    concept: what it is about, such as "at night" or "a cat"; of texts it is only a name, unless a template
    tells it. to: what a swap puts there. kind: object, style, attribute, place or perspective; None guesses.
    bank, count, seed, template: see `prompt_sets`; where a concept is added to texts, the template is a
    sentence that tells of it, such as "A story about {}.", and stands before its examples. examples, others:
    texts that show the concept, and texts that do not (or, for a swap, that show the other one); language
    models need both, image models take their place for the bank. Of what each
    holds beyond 32, 16 calibrate and up to 32 more are for a report; shorter lists are learned from as a
    whole. preserve: prompts that are to stay as they are, instead of the bank's. is_text: the model writes
    texts.
    Raises `PromptError` and `ConfigError` for what cannot be planned.
    """
    if examples is not None or others is not None or is_text:
        reads = is_text and intent == ADD
        _refuse_unread(kind=kind, count=count, template=None if reads else template)
        sets = _own_sets(intent, concept, to, examples, others, preserve, is_text)
        told = _told(template, concept)
        sets = _held_out(sets, told, seed, is_text)
        if reads:
            sets = _in_context(sets, told, seed)
        sites, settings, why = settings_for(intent, is_text, in_pairs=False, seed=seed)
        return Plan(intent, sets, sites, settings, (*why, _why_held_out(sets)))
    sets = prompt_sets(
        concept,
        kind,
        intent=intent,
        to=to,
        bank=bank,
        count=COUNT if count is None else count,
        seed=seed,
        template=template,
        held_out=HELD_OUT,
    )
    sets = sets if preserve is None else replace(sets, preserve=tuple(preserve))
    sites, settings, why = settings_for(intent, is_text, in_pairs=True, seed=seed)
    return Plan(intent, sets, sites, settings, (_why_kind(concept, kind, sets.kind, bank), *why))


def _why_kind(concept: str, given: str | None, kind: str, bank: str) -> str:
    if given:
        return f"{concept!r} is taken for: {kind}, as you said."
    why = "a word that the bundled model knows" if bank == SCENES else guessed_kind(concept).why
    return f"{concept!r} is taken for: {kind} ({why}). Say kind=… where that is wrong."


def _why_held_out(sets: PromptSets) -> str:
    if sets.for_calibrating is None:
        return f"Nothing is held out to calibrate the strength on: that takes more than {COUNT + 1} of each."
    held = len(sets.held_out[0]), len(sets.held_out[1])
    return f"The last {held[0]} of source and {held[1]} of target are held out to measure on."


def _own_sets(
    intent: str,
    concept: str,
    to: str | None,
    examples: Sequence[str] | None,
    others: Sequence[str] | None,
    preserve: Sequence[str] | None,
    is_text: bool,
) -> PromptSets:
    if intent not in INTENTS:
        raise ConfigError(f"Unknown intent {intent!r}, expected one of {', '.join(INTENTS)}.")
    if not examples or not others:
        raise PromptError(
            f"To {intent} {concept!r} by examples both lists are needed: examples=… that show it and "
            "others=… that do not (32 each work well). A language model learns from sentences alone."
        )
    with_it, without, kept = tuple(examples), tuple(others), tuple(preserve or ())
    if is_text and preserve is None:
        kept = plain_statements()[:PRESERVED]
    first, second = (without, with_it) if intent == ADD else (with_it, without)
    return PromptSets(first, second, kept, label(intent, concept, to))


def _held_out(sets: PromptSets, told: tuple[str, ...], seed: int, is_text: bool) -> PromptSets:
    """With what either list holds beyond `COUNT` held out, up to `HELD_OUT`; of texts the twins are what
    prompting reads before them, some target texts after what is told."""
    ends = [max(COUNT, len(each) - HELD_OUT) for each in (sets.source, sets.target)]
    first, second = sets.source[ends[0] :], sets.target[ends[1] :]
    if min(len(first), len(second)) < 2:
        return sets
    sets = replace(sets, source=sets.source[: ends[0]], target=sets.target[: ends[1]])
    if not is_text:
        return replace(sets, held_out=(first, second, (), ()))
    draw = Random(seed)
    twins = tuple(" ".join([*told, *draw.sample(sets.target, BEFORE)]) for _ in first)
    kinds = (bank()[PRESERVED:] for bank in (plain_statements, neutral_captions))
    others = tuple(text for pair in zip(*kinds, strict=False) for text in pair)[:HELD_OUT]
    return replace(sets, held_out=(first, second, others, twins))


def _refuse_unread(**options: Any) -> None:
    for name, value in options.items():
        if value is not None:
            raise ConfigError(
                f"{name}={value!r} is for prompts that an intent writes, and here the lists are your own. "
                "Leave it out."
            )


def _told(template: str | None, concept: str) -> tuple[str, ...]:
    if template is None:
        return ()
    check_template(template)
    if "{caption}" in template.lower():
        raise PromptError(
            f"Texts have no caption, so that {template!r} cannot be filled in. Leave {{caption}} out."
        )
    return (fill(template, concept, caption=""),)


def _in_context(sets: PromptSets, told: tuple[str, ...], seed: int) -> PromptSets:
    """Sets whose pairs are the same text, after some other source texts and after some target texts.

    told: what is read before the target texts. Every other preserve text stands after one of its kind, the
    others alone.
    """
    texts, examples = sets.source, sets.target
    if len(texts) < 2:
        raise PromptError("others=… holds one text, and each is read after others of them. Give more (32).")
    draw = Random(seed)
    ahead, shown = range(1, len(texts)), min(BEFORE, len(examples))
    places = [draw.sample(ahead, min(BEFORE, len(ahead))) for _ in texts]
    plain = tuple(" ".join(texts[(i + j) % len(texts)] for j in each) for i, each in enumerate(places))
    about = tuple(" ".join([*told, *draw.sample(examples, shown)]) for _ in texts)
    kept = tuple(
        text if number % 2 else "" for number, text in enumerate(sets.preserve[-1:] + sets.preserve[:-1])
    )
    return replace(sets, target=texts, contexts=(plain, about, kept))
