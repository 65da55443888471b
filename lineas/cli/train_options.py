"""The options of `TrainConfig` on the command line, made from its fields so that each is described once."""

from __future__ import annotations

import argparse
from dataclasses import fields
from typing import Any, Literal, get_args, get_origin, get_type_hints

from lineas.config import PRESETS, TrainConfig

# --preserve names the file of preserve prompts, as --source and --target name theirs.
RENAMED = {"preserve": "preserve-weight"}
PREFIX = "config_"


def add_train_options(parser: argparse.ArgumentParser) -> None:
    """Add `--preset` and one option per field of `TrainConfig`; those not given stay None."""
    group = parser.add_argument_group("training")
    group.add_argument(
        "--preset",
        choices=sorted(PRESETS),
        help="Where the options below start: fast (default) or the paper's.",
    )
    types = get_type_hints(TrainConfig)
    for entry in fields(TrainConfig):
        group.add_argument(
            f"--{RENAMED.get(entry.name, entry.name.replace('_', '-'))}",
            dest=PREFIX + entry.name,
            default=None,
            help=f"{entry.metadata['help']} ({_defaults(entry.name)})".replace("%", "%%"),
            **_kind(types[entry.name]),
        )


def given_options(args: argparse.Namespace) -> dict[str, Any]:
    """The `TrainConfig` fields that were given, by field name."""
    values = {name.removeprefix(PREFIX): v for name, v in vars(args).items() if name.startswith(PREFIX)}
    return {name: value for name, value in values.items() if value is not None}


def train_config(args: argparse.Namespace) -> TrainConfig:
    """The options as given, on top of their preset. Raises `ConfigError`."""
    return TrainConfig.preset(args.preset or "fast", **given_options(args))


def _kind(annotation: Any) -> dict[str, Any]:
    if annotation is bool:
        return {"action": argparse.BooleanOptionalAction}
    if get_origin(annotation) is Literal:
        return {"choices": get_args(annotation)}
    return {"type": annotation, "metavar": {int: "N", float: "X"}.get(annotation, "TEXT")}


def _defaults(name: str) -> str:
    values = {preset: getattr(config, name) for preset, config in PRESETS.items()}
    if len(set(values.values())) == 1:
        return f"default: {_shown(values['fast'])}"
    return ", ".join(f"{preset}: {_shown(value)}" for preset, value in values.items())


def _shown(value: Any) -> str:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else f"{value}"
