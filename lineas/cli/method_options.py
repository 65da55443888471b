"""The options of the methods on the command line, made from their fields so that each is described once."""

from __future__ import annotations

import argparse
from dataclasses import Field, fields
from typing import Any, get_type_hints

from lineas.errors import ConfigError
from lineas.fitting.options import Options, choices_of
from lineas.methods.lineas.config import PRESETS, TrainConfig
from lineas.methods.registry import METHODS, method_named

PREFIX = "config_"
# A function, in Python; here it is named.
REWARD = " Here a text classifier of transformers and its wanted label, NAME:LABEL."


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Add `--preset` and one option per field of `TrainConfig`; those not given stay None."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        help="Where the options below start: fast (default) or the paper's.",
    )
    group.add_argument(
        "--log",
        action="append",
        choices=("tensorboard", "trackio", "wandb"),
        default=[],
        help="Also write the figures of every step there, where it is installed; give it again for more.",
    )
    types = get_type_hints(TrainConfig)
    for entry in fields(TrainConfig):
        _add(group, entry, types[entry.name], entry.metadata["help"], _defaults(entry.name))


def add_method_options(parser: argparse.ArgumentParser) -> None:
    """Add `--method`, and one option per field that other methods than LinEAS have besides."""
    group = parser.add_argument_group("methods")
    group.add_argument(
        "--method",
        metavar="NAME",
        help=f"{'; '.join(f'{each.name}: {each.summary}' for each in METHODS.values())} (default: lineas). "
        "What is not theirs of the options above is refused.",
    )
    known = {entry.name for entry in fields(TrainConfig)}
    for method in METHODS.values():
        types = get_type_hints(method.config)
        for entry in fields(method.config):
            if entry.name not in known:
                known.add(entry.name)
                sentence = entry.metadata["help"] + (REWARD if entry.name == "reward" else "")
                _add(
                    group,
                    entry,
                    types[entry.name],
                    sentence,
                    f"{_owners(entry.name)}: {_shown(entry.default)}",
                )


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """The fields of options that were given, by field name."""
    values = {name.removeprefix(PREFIX): v for name, v in vars(args).items() if name.startswith(PREFIX)}
    return {name: value for name, value in values.items() if value is not None}


def train_config(args: argparse.Namespace) -> TrainConfig:
    """The options of LinEAS as given, on top of their preset. Raises `ConfigError`."""
    config = method_config(args)
    assert isinstance(config, TrainConfig)
    return config


def method_config(args: argparse.Namespace) -> Options:
    """The options of the chosen method. Raises `ConfigError` for those that it does not have."""
    method = method_named(getattr(args, "method", None) or "lineas")
    given, known = given_options(args), {entry.name for entry in fields(method.config)}
    foreign = [f"--{_flag(name)}" for name in given if name not in known]
    if foreign:
        raise ConfigError(
            f"The method {method.name} has no {', '.join(foreign)}. Its options are "
            f"{', '.join(f'--{_flag(name)}' for name in sorted(known))}."
        )
    if "reward" in given:
        given["reward"] = _reward(given["reward"])
    return method.config.preset(args.preset or "fast", **given)


def _reward(text: str) -> Any:
    from lineas.adapters.language.rewards import ClassifierReward

    name, colon, label = text.rpartition(":")
    if not (name and colon and label):
        raise ConfigError(
            f"--reward is {text!r}, expected a text classifier and its wanted label, NAME:LABEL."
        )
    return ClassifierReward.load(name, label)


def _add(group: Any, entry: Field[Any], annotation: Any, sentence: str, default: str) -> None:
    group.add_argument(
        f"--{_flag(entry.name)}",
        dest=PREFIX + entry.name,
        default=None,
        help=f"{sentence} ({default})".replace("%", "%%"),
        **_kind(entry, annotation),
    )


def _flag(name: str) -> str:
    return name.replace("_", "-")


def _owners(name: str) -> str:
    """The methods that have an option."""
    return ", ".join(m.name for m in METHODS.values() if name in {entry.name for entry in fields(m.config)})


def _kind(entry: Field[Any], annotation: Any) -> dict[str, Any]:
    if annotation is bool:
        return {"action": argparse.BooleanOptionalAction}
    if choices := choices_of(entry, annotation):
        return {"choices": choices}
    if annotation in (int, float, str):
        return {"type": annotation, "metavar": {int: "N", float: "X"}.get(annotation, "TEXT")}
    return {"type": str, "metavar": "NAME:LABEL"}


def _defaults(name: str) -> str:
    values = {preset: getattr(config, name) for preset, config in PRESETS.items()}
    alike = len(set(values.values())) == 1
    text = (
        f"default: {_shown(values['fast'])}"
        if alike
        else ", ".join(f"{preset}: {_shown(value)}" for preset, value in values.items())
    )
    others = {m.name: getattr(m.config(), name) for m in METHODS.values() if hasattr(m.config(), name)}
    different = {method: value for method, value in others.items() if value != values["fast"]}
    return "; ".join([text, *(f"{method}: {_shown(value)}" for method, value in different.items())])


def _shown(value: Any) -> str:
    if value is None:
        return "none"
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value}"
