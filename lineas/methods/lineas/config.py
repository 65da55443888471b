"""Options of LinEAS, and its presets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from lineas.fitting.options import Options, option
from lineas.maps.base import trainable
from lineas.maths.pooling import parse_pooling


@dataclass(frozen=True)
class TrainConfig(Options):
    """Options of LinEAS.

    `TrainConfig.preset("fast")` is the default of every face. `TrainConfig.preset("paper")` is the
    optimisation as the paper writes it: proximal SGD on the unscaled cost.
    """

    steps: int = option(100, "Largest number of steps; more follow the targets more closely.", minimum=1)
    learning_rate: float = option(
        0.05,
        "Size of the first step; it falls to 0 along a cosine. Halve it when the cost jumps.",
        minimum=1e-8,
    )
    optimizer: Literal["adam", "sgd"] = option(
        "adam", "adam: each number finds its own step size; sgd: the paper's plain gradient descent."
    )
    standardise: bool = option(
        True, "Measure every unit in its own spread, so that nothing depends on a model's scale."
    )
    backtrack: bool = option(
        True, "When the objective jumps, go back to the best maps so far and go on with half the step size."
    )
    sparsity: float = option(
        0.0, "Weight of the sparse group lasso; raising it leaves more units untouched.", minimum=0
    )
    l1: float = option(1.0, "Share of the penalty that acts on single units.", minimum=0)
    group: float = option(1.0, "Share of the penalty that acts on whole sites.", minimum=0)
    preserve_weight: float = option(
        1.0,
        "Weight of the preserve prompts; raising it keeps other images closer to what they were.",
        minimum=0,
    )
    map: str = option(
        "affine",
        "affine: scale and shift everywhere; gated: only where the concept is (cannot be fused); shift: a "
        "shift alone, which servers that add a vector can take.",
        choices=trainable,
    )
    steer: str = option(
        "*",
        "Patterns of the sites that are steered, joined by commas; at the other sites the cost is measured "
        "and nothing is changed.",
    )
    coupling: Literal["rank", "pair"] = option(
        "rank",
        "What the cost compares: rank, the sorted values of all prompts; pair, source prompt i with target "
        "prompt i on the same noise, for prompts that differ in one thing.",
    )
    rows: str = option("mean", "What a prompt contributes: its mean, or single positions as in tokens:8.")
    preserve_rows: str = option(
        "auto",
        "The same for preserve prompts; auto: tokens:16 in language models, where every token counts.",
    )
    tolerance: float = option(
        0.0,
        "Stop when 20 steps lower the objective by less than this share of it; 0 never stops early.",
        minimum=0,
    )
    micro_batch: int = option(
        0, "Prompts that run at once; 0 tries all and halves while memory is short.", minimum=0
    )
    checkpointing: bool = option(
        False,
        "Recompute activations from the start, which trades time for memory; else where memory is short.",
    )
    seed: int = option(0, "Seed of the initial noise and of sampled positions.", minimum=0)

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "fast": {},
        "paper": {
            "steps": 1000,
            "learning_rate": 0.1,
            "optimizer": "sgd",
            "standardise": False,
            "backtrack": False,
        },
    }

    def __post_init__(self) -> None:
        super().__post_init__()
        parse_pooling(self.rows)
        if self.preserve_rows != "auto":
            parse_pooling(self.preserve_rows)

    def preserve_pooling(self, is_text: bool) -> str:
        """What "auto" stands for: each token of a text decides what follows; a mean hides most of them."""
        automatic = "tokens:16" if is_text else self.rows
        return automatic if self.preserve_rows == "auto" else self.preserve_rows


PRESETS = {name: TrainConfig.preset(name) for name in TrainConfig.presets}
