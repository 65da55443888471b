"""What the Steer Concept node asks for, worked out by the library's plan of the intent."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from lineas.fitting.options import option
from lineas.fitting.problem import Group
from lineas.intents.plan import Plan, plan_for
from lineas.intents.settings import SEEN_TOO, TEXT_TOO
from lineas.methods.lineas.config import TrainConfig
from lineas.prompts.banks import INTENTS, SWAP, bank_of
from lineas.prompts.concepts import KINDS
from lineas.steering.steering import Steering

from ..models.one_step import AUTOMATIC
from ..train.chosen_sites import TEXT_ENDS
from ..train.request import SITES

GUESSED = "automatic"
KEY = "concept_key"
"""The setting of a file that says for which inputs it was learned."""
PATTERNS = {
    None: SITES["all norms"],
    TEXT_TOO: SITES["all and text encoder norms"],
    SEEN_TOO: (*SITES["all and text encoder norms"], TEXT_ENDS),
}
"""Sites of a plan, as patterns of the node pack."""


@dataclass(frozen=True)
class ConceptInputs:
    """The node's inputs by their names and in their order, all but models and strength."""

    what: str = option("at night", "What it is about, such as at night, watercolour, a cat or fisheye.")
    intent: str = option(
        INTENTS[0],
        "remove: what prompts name is not drawn. add: it is drawn without being named. swap: another thing "
        "is drawn in its place.",
        choices=INTENTS,
    )
    to: str = option("", f"What is drawn in its place, for {SWAP}.", optional=True)
    kind: str = option(
        GUESSED,
        f"What it is; {GUESSED} guesses by its words, and the summary says what.",
        choices=(GUESSED, *KINDS),
        optional=True,
        advanced=True,
    )
    count: int = option(
        32,
        "Prompts of each kind that it is learned from.",
        minimum=2,
        maximum=100,
        optional=True,
        advanced=True,
    )
    steps: int = option(
        0, "How long to learn. 0: as planned.", minimum=0, maximum=10000, optional=True, advanced=True
    )
    seed: int = option(
        0, "Which prompts, and their noise.", minimum=0, maximum=2**31 - 1, optional=True, advanced=True
    )
    low_memory: bool = option(
        False, "Half the memory for a third more time while learning.", optional=True, advanced=True
    )
    preview_every: int = option(
        5,
        "Steps between two previews in the node; 0: none. Another number does not learn again.",
        minimum=0,
        maximum=1000,
        optional=True,
        advanced=True,
    )
    file_name: str = option(
        "",
        "Name below output/steering; empty: after the concept. Another name does not learn again.",
        optional=True,
        advanced=True,
    )

    def plan(self, base_model: str, reads_text: bool) -> Plan:
        """The plan for a model of this name. reads_text: whether its text encoder can be steered here."""
        made = plan_for(
            self.intent,
            self.what,
            self.to.strip() or None if self.intent == SWAP else None,
            None if self.kind == GUESSED else self.kind,
            bank=bank_of(base_model),
            count=self.count,
            seed=self.seed,
        )
        if not reads_text:
            made = made.without_text(
                "No text encoder of a known kind is connected, so the image model is steered."
            )
        return made.with_settings(
            steps=self.steps or None, checkpointing=self.low_memory or None, seed=self.seed or None
        )


@dataclass(frozen=True)
class ConceptRequest:
    """A training of a plan, with the step that a One Step node sets. key: see `identity.key_of`."""

    plan: Plan
    key: str
    inputs: ConceptInputs

    one_step: ClassVar[str] = AUTOMATIC
    timestep: ClassVar[int] = 999
    width: ClassVar[int] = 0
    height: ClassVar[int] = 0
    resume: ClassVar[bool] = True

    @property
    def seed(self) -> int:
        return self.inputs.seed

    @property
    def preview_every(self) -> int:
        return self.inputs.preview_every

    @property
    def file_name(self) -> str:
        return self.inputs.file_name.strip() or self.plan.sets.file_name

    def prompts(self) -> dict[Group, list[str]]:
        return _grouped(self.plan.sets.source, self.plan.sets.target, self.plan.sets.preserve)

    def held_out(self) -> dict[Group, list[str]] | None:
        others = self.plan.sets.for_calibrating
        return None if others is None else _grouped(*others)

    def config(self) -> TrainConfig:
        return self.plan.config

    def patterns(self) -> list[str]:
        return list(PATTERNS.get(self.plan.sites, (self.plan.sites or "",)))

    def noted(self, steering: Steering) -> Steering:
        settings: Mapping[str, Any] = {**steering.provenance.settings, KEY: self.key}
        made = replace(steering.provenance, settings=settings).noted(self.plan.sets.label)
        return replace(steering, provenance=made)


def _grouped(*prompts: tuple[str, ...]) -> dict[Group, list[str]]:
    source, target, preserve = map(list, prompts)
    return {"source": source, "target": target, "preserve": preserve}
