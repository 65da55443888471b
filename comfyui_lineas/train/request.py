"""What the Train Steering node asks for, checked and turned into the library's terms."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, Protocol, get_type_hints

from lineas.errors import ConfigError, PromptError
from lineas.fitting.options import choices_of, option
from lineas.fitting.problem import Group
from lineas.intents.settings import REMOVING
from lineas.maps.base import trainable
from lineas.methods.lineas.config import PRESETS as ALL_PRESETS
from lineas.methods.lineas.config import TrainConfig
from lineas.steering.steering import Steering

from ..algebra import patterns_of
from ..concept import prompt_lines
from ..models.one_step import AUTOMATIC, SETTINGS

PRESETS = tuple(TrainConfig.presets)
OWN, END_TO_END = "own pattern", "text encoder, end to end"
SITES: dict[str, tuple[str, ...]] = {
    "all norms": ("unet.*norm*",),
    "attention norms": ("unet.*attentions.*norm*",),
    "resnet norms": ("unet.*resnets.*norm*",),
    "text encoder norms": ("text_encoder*norm*",),
    "all and text encoder norms": ("unet.*norm*", "text_encoder*norm*"),
    END_TO_END: ("unet.*norm*", "text_encoder*norm*"),
    OWN: (),
}
STEERED = {END_TO_END: REMOVING["steer"]}
"""Where only a part of the sites is steered, and the cost is measured at all."""
BUNDLED = {"sites": END_TO_END, "map": REMOVING["map"]}
"""What is best for the bundled model, in this node's words."""
_IS_BEST = "erases most and changes least else."


def _trained(name: str, more: str = "", **shown: Any) -> Any:
    """An option of training as the node shows it, with another sentence, default or limits."""
    entry = next(entry for entry in fields(TrainConfig) if entry.name == name)
    told = {**entry.metadata, "help": f"{entry.metadata['help']} {more}".strip()}
    told["choices"] = choices_of(entry, get_type_hints(TrainConfig)[name]) or None
    return option(**{"default": entry.default, **told, **shown})


class Request(Protocol):
    """What a training is told, by the node of prompt lists or by that of a concept."""

    one_step: str
    timestep: int
    width: int
    height: int
    seed: int
    resume: bool
    preview_every: int
    file_name: str

    def prompts(self) -> dict[Group, list[str]]:
        """Source, target and preserve prompts."""

    def held_out(self) -> dict[Group, list[str]] | None:
        """Pairs of other prompts, to put strength 1 where they are served; None leaves it."""

    def config(self) -> TrainConfig:
        """The options of the fit."""

    def patterns(self) -> list[str]:
        """Patterns of the sites."""

    def noted(self, steering: Steering) -> Steering:
        """The steering with what its file is to say."""


@dataclass(frozen=True)
class TrainRequest:
    """The node's inputs by their names and in their order; 0 leaves a number to the preset or the model."""

    source: str = option(
        "", "Prompts to steer away from, one per line, at least 2; 32 work well.", multiline=True
    )
    target: str = option("", "Prompts to steer towards, one per line, at least 2.", multiline=True)
    preserve: str = option(
        "", "Prompts whose images are to stay, one per line. Empty: none.", multiline=True, optional=True
    )
    preset: str = option(
        PRESETS[0],
        "fast: a minute or two. paper: the optimisation of the paper, ten times as long.",
        choices=PRESETS,
    )
    steps: int = _trained(
        "steps",
        "0 takes the preset's: "
        + ", ".join(f"{each.steps} for {name}" for name, each in ALL_PRESETS.items())
        + ".",
        default=0,
        minimum=0,
        maximum=10000,
    )
    sites: str = option(
        "all norms",
        "Where the steering acts. Fewer, better-placed sites can beat more; resnet norms hold texture and "
        "light, attention norms what is drawn. On the bundled model "
        f"{END_TO_END} with map {BUNDLED['map']} {_IS_BEST}",
        choices=tuple(SITES),
    )
    pattern: str = option(
        "unet.*norm*",
        f"Module names for {OWN}, with * for anything; several joined by commas.",
        advanced=True,
    )
    one_step: str = option(
        AUTOMATIC,
        "Where the single denoising step is taken. automatic: as a One Step node before it says, else from "
        "full noise.",
        choices=(AUTOMATIC, *SETTINGS),
        advanced=True,
    )
    timestep: int = option(
        999, "The timestep for own timestep; 999 is full noise.", minimum=0, maximum=999, advanced=True
    )
    width: int = option(
        0,
        "Width in pixels of the images that are learned from. 0: the model's own.",
        minimum=0,
        maximum=4096,
        step=8,
        advanced=True,
    )
    height: int = option(
        0,
        "Height in pixels of the images that are learned from. 0: the model's own.",
        minimum=0,
        maximum=4096,
        step=8,
        advanced=True,
    )
    sparsity: float = _trained("sparsity", maximum=100.0, step=0.001, round=0.00001, advanced=True)
    preserve_weight: float = _trained("preserve_weight", maximum=100.0, step=0.05)
    learning_rate: float = _trained(
        "learning_rate",
        "0 takes the preset's.",
        default=0.0,
        minimum=0.0,
        maximum=10.0,
        step=0.001,
        round=0.00001,
        advanced=True,
    )
    map: str = _trained(
        "map",
        f"On the bundled model {BUNDLED['map']}, with {END_TO_END}, {_IS_BEST}",
        choices=trainable(texts=False),
    )
    seed: int = _trained("seed", maximum=2**31 - 1, advanced=True)
    micro_batch: int = _trained("micro_batch", maximum=1024, advanced=True)
    low_memory: bool = option(
        False, "Half the memory for a third more time: activations are computed again.", advanced=True
    )
    resume: bool = option(
        True,
        "Go on where a cancelled training of the same file name stopped, if everything else is as it was.",
        advanced=True,
    )
    preview_every: int = option(
        5,
        "Steps between two previews in the node: two source prompts as steered so far, or the cost where no "
        "VAE is connected. 0: none.",
        minimum=0,
        maximum=1000,
        advanced=True,
    )
    file_name: str = option(
        "my-steering", "Name below output/steering. Nothing is overwritten: a number is added."
    )

    def held_out(self) -> None:
        """No prompts to calibrate on: strength 1 is what was trained."""

    def noted(self, steering: Steering) -> Steering:
        """The steering as it is."""
        return steering

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
