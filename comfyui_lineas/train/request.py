"""What the Train Steering node asks for, checked and turned into the library's terms."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lineas.errors import ConfigError, PromptError
from lineas.fitting.problem import Group
from lineas.methods.lineas.config import TrainConfig

from ..algebra import patterns_of
from ..concept import prompt_lines

PRESETS = ("fast", "paper")
OWN = "own pattern"
SITES: dict[str, tuple[str, ...]] = {
    "all norms": ("unet.*norm*",),
    "attention norms": ("unet.*attentions.*norm*",),
    "resnet norms": ("unet.*resnets.*norm*",),
    "text encoder norms": ("text_encoder*norm*",),
    "all and text encoder norms": ("unet.*norm*", "text_encoder*norm*"),
    "text encoder, end to end": ("unet.*norm*", "text_encoder*norm*"),
    OWN: (),
}
STEERED = {"text encoder, end to end": "text_encoder*"}
"""Where only a part of the sites is steered, and the cost is measured at all."""


@dataclass(frozen=True)
class TrainRequest:
    """The node's inputs by their names; 0 leaves a number to the preset or to the model."""

    source: str
    target: str
    preserve: str = ""
    preset: str = "fast"
    steps: int = 0
    sites: str = "all norms"
    pattern: str = ""
    one_step: str = "automatic"
    timestep: int = 999
    width: int = 0
    height: int = 0
    sparsity: float = 0.0
    preserve_weight: float = 1.0
    learning_rate: float = 0.0
    map: str = "affine"
    seed: int = 0
    micro_batch: int = 0
    low_memory: bool = False
    resume: bool = True
    preview_every: int = 5
    file_name: str = "my-steering"

    def prompts(self) -> dict[Group, list[str]]:
        """The three groups; `PromptError` for lists that are too short, or the same."""
        source, target = prompt_lines("source", self.source), prompt_lines("target", self.target)
        if set(source) == set(target):
            raise PromptError(
                f"The source and the target list hold the same {len(set(source))} prompts, so there is "
                "nothing to learn. Write the concept into one of them; LinEAS Concept Prompts does."
            )
        return {
            "source": source,
            "target": target,
            "preserve": prompt_lines("preserve", self.preserve, needed=0),
        }

    def config(self) -> TrainConfig:
        """The options of the fit; `ConfigError` for impossible ones."""
        given: dict[str, Any] = {"steps": self.steps, "learning_rate": self.learning_rate}
        return TrainConfig.preset(
            self.preset,
            **{name: value for name, value in given.items() if value},
            sparsity=self.sparsity,
            preserve_weight=self.preserve_weight,
            map=self.map,
            steer=STEERED.get(self.sites, "*"),
            seed=self.seed,
            micro_batch=self.micro_batch,
            checkpointing=self.low_memory,
        )

    def patterns(self) -> list[str]:
        """Patterns of the sites; `ConfigError` for an own pattern that is empty."""
        patterns = list(SITES[self.sites]) or patterns_of(self.pattern)
        if not patterns:
            raise ConfigError(f"sites is {OWN} and the pattern is empty. Give one, such as unet.*attn2*.")
        return patterns
