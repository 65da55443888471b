"""Options of a fit; the sentences below are the command line's help and the nodes' tooltips."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, fields, replace
from difflib import get_close_matches
from typing import Any, Literal

from lineas.errors import ConfigError
from lineas.pooling import parse_pooling


def option(default: Any, help: str, **limits: float) -> Any:
    """A field with its sentence of help and, for numbers, `minimum` and `maximum`."""
    return field(default=default, metadata={"help": help, **limits})


@dataclass(frozen=True)
class TrainConfig:
    """Options of LinEAS, checked when built; `ConfigError` says which one is wrong and what it takes.

    `TrainConfig.preset("fast")` is the default of every face. `TrainConfig.preset("paper")` is the
    optimisation as the paper writes it: proximal SGD on the unscaled cost.
    """

    steps: int = option(100, "Largest number of steps; more follow the targets more closely.", minimum=1)
    learning_rate: float = option(
        0.05, "Size of the first step; it falls to 0 along a cosine. Halve it when the cost jumps.", minimum=0
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
    preserve: float = option(
        1.0,
        "Weight of the preserve prompts; raising it keeps other images closer to what they were.",
        minimum=0,
    )
    map: Literal["affine", "gated"] = option(
        "affine", "affine: scale and shift everywhere; gated: only where the concept is (cannot be fused)."
    )
    rows: str = option("mean", "What a prompt contributes: its mean, or single positions as in tokens:8.")
    tolerance: float = option(
        0.0,
        "Stop when 20 steps lower the objective by less than this share of it; 0 never stops early.",
        minimum=0,
    )
    micro_batch: int = option(
        0, "Prompts that run at once; 0 tries all and halves while memory is short.", minimum=0
    )
    checkpointing: bool = option(
        False, "Trade time for memory by recomputing activations, where the model offers it."
    )
    seed: int = option(0, "Seed of the initial noise and of sampled positions.", minimum=0)

    def __post_init__(self) -> None:
        for entry in fields(self):
            _check(entry.name, getattr(self, entry.name), entry.default, entry.metadata.get("minimum"))
        for name, known in (("optimizer", ("adam", "sgd")), ("map", ("affine", "gated"))):
            if getattr(self, name) not in known:
                raise ConfigError(f"{name} is {getattr(self, name)!r}, expected one of {', '.join(known)}.")
        parse_pooling(self.rows)

    @classmethod
    def preset(cls, name: str, **changes: Any) -> TrainConfig:
        """The options of a preset, "fast" or "paper", with some of them changed."""
        if name not in PRESETS:
            raise ConfigError(f"Unknown preset {name!r}, expected one of {', '.join(PRESETS)}.")
        unknown = sorted(set(changes) - {entry.name for entry in fields(cls)})
        if unknown:
            known = [entry.name for entry in fields(cls)]
            near = [name for each in unknown for name in get_close_matches(each, known)]
            hint = f" Near names: {', '.join(near)}." if near else ""
            raise ConfigError(
                f"Unknown option {', '.join(unknown)}.{hint} The options are {', '.join(known)}."
            )
        return replace(PRESETS[name], **changes)

    def settings(self) -> dict[str, str | int | float | bool]:
        """The options as plain values, for a steering's provenance."""
        return asdict(self)


def _check(name: str, value: Any, default: Any, low: float | None) -> None:
    """`ConfigError` unless `value` is of the kind of `default` and, as a number, finite, at least `low`."""
    kind: Any = (int, float) if type(default) is float else type(default)
    # bool is a kind of int in Python, and never a number that someone meant.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        expected = {bool: "True or False", int: "a whole number", str: "text"}.get(kind, "a number")
        raise ConfigError(f"{name} is {value!r}, expected {expected}.")
    if low is not None and not low <= value < float("inf"):
        raise ConfigError(f"{name} is {value!r}, expected a finite number of at least {low}.")


PRESETS = {
    "fast": TrainConfig(),
    "paper": TrainConfig(steps=1000, learning_rate=0.1, optimizer="sgd", standardise=False, backtrack=False),
}
