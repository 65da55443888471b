"""Options from a TOML file (`--config`), and the file that repeats a run."""

from __future__ import annotations

import argparse
import importlib
import json
import re
import sys
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from lineas.cli import files
from lineas.cli.console import complain
from lineas.errors import ConfigError, LineasError, plain
from lineas.version import __version__

COMMAND = "command"
"""The entry that says which command a file is for."""
NOT_KEPT = ("help", "config", "debug", "force", "resume")
Values = dict[str, Any]


def with_config(
    command: argparse.ArgumentParser, bare: argparse.ArgumentParser, words: Sequence[str]
) -> Values:
    """Put what `--config` names under the defaults of a command, and tell what repeats the run.

    bare: another parser of the same command, which is used up. words: those behind the command.
    Raises `ConfigError` for entries that the command does not have, and for values that they do not take.
    """
    given = _given(bare, words)
    name = command.prog.rpartition(" ")[2]
    path = given.get("config")
    values = read_config(path, name) if path else {}
    values = _applied(
        command, values, {action.dest for key, action in _entries(command).items() if key in given}, path
    )
    known = {**values, **given}
    return {key: known[key] for key in _entries(command) if key in known and key not in NOT_KEPT}


def read_config(path: str | Path, command: str) -> Values:
    """The entries of a file, by the names of the options without their dashes. Raises `ConfigError`."""
    told = read_toml(path)
    meant = told.pop(COMMAND, command)
    if meant != command:
        raise ConfigError(f"{plain(path)} is for lineas {plain(meant)}, not for lineas {command}.")
    return {str(key).replace("_", "-"): value for key, value in told.items()}


def read_toml(path: str | Path) -> Values:
    """A TOML file as it is. Raises `ConfigError`, and `PromptError` where there is none."""
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        told: Values = toml.loads(files.read_text(path))
    except ValueError as error:
        if isinstance(error, LineasError):
            raise
        raise ConfigError(f"Cannot read {plain(path)}: {plain(error)}.") from error
    return told


def keep_config(args: argparse.Namespace, command: str, output: Path) -> None:
    """Write the file that repeats a run beside what it wrote: "a.run.toml" for "a.safetensors".

    What cannot be written is told, and is no failure of the run.
    """
    from lineas.steering.files import write_atomically

    path = output / "run.toml" if output.is_dir() else output.with_name(f"{output.stem}.run.toml")
    text = toml_text(command, args.repeats)
    try:
        if path.is_file() and path.read_text(encoding="utf-8") == text:
            return
        write_atomically(path if getattr(args, "force", False) else files.free_name(path), text.encode())
    except (LineasError, OSError, ValueError) as error:
        complain(f"note: there is no file that repeats this run. {error}")


def toml_text(command: str, values: Mapping[str, Any]) -> str:
    """The entries as TOML."""
    head = f"# lineas {__version__}; paths are from where it ran. Again: lineas {command} --config FILE"
    lines = [f"{name} = {_toml(value)}" for name, value in {COMMAND: command, **values}.items()]
    return "\n".join([head, *lines]) + "\n"


def _toml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    # Strings of JSON are those of TOML, but for DEL and what stands outside of Unicode.
    return json.dumps(str(value).encode(errors="replace").decode(), ensure_ascii=False).replace(
        "\x7f", "\\u007f"
    )


def _entries(command: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    """Options by their long names without dashes; others by what stands for them in the usage, as "file"."""
    return {_key(action): action for action in command._actions}


def _key(action: argparse.Action) -> str:
    long = [flag[2:] for flag in action.option_strings if flag.startswith("--")]
    word = re.match(r"\w+", str(action.metavar or action.dest))
    return long[0] if long else (word[0].lower() if word else action.dest)


def _given(bare: argparse.ArgumentParser, words: Sequence[str]) -> Values:
    """What the command line says, as written there; numbers as numbers."""
    kinds = {action.dest: action.type for action in bare._actions}
    bare._defaults.clear()
    for action in bare._actions:
        action.default, action.type, action.choices, action.required = argparse.SUPPRESS, None, None, False
        _relax(action)
    found = vars(bare.parse_known_args(list(words))[0])
    keys = {action.dest: _key(action) for action in bare._actions}
    return {keys[dest]: _as_number(value, kinds[dest]) for dest, value in found.items()}


def _as_number(value: Any, kind: Any) -> Any:
    if kind not in (int, float) or not isinstance(value, str):
        return value
    try:
        return kind(value)
    except ValueError:  # refused in a moment, by the parser itself
        return value


def _relax(action: argparse.Action) -> None:
    """Words that must be there may be missing, where a file has them."""
    if not action.option_strings:
        action.nargs = {None: "?", "?": "?"}.get(action.nargs, "*")  # type: ignore[arg-type]
        action.required = False


def _applied(command: argparse.ArgumentParser, values: Values, given: set[str], path: Any) -> Values:
    """Make the values defaults of the command; returns those that nothing given takes the place of."""
    known, applied = _entries(command), {}
    for key, value in values.items():
        if key not in known or key in NOT_KEPT[:2]:
            near = get_close_matches(key, known)
            hint = f" Near names: {', '.join(near)}." if near else ""
            raise ConfigError(
                f"{plain(path)} has the entry {plain(key)}, which {command.prog} has no option for.{hint}"
            )
        action = known[key]
        if not ({action.dest, *_rivals(command, action)} & given):
            action.default = _converted(action, value, f"{key} in {plain(path)}")
            action.required = False
            _relax(action)
            applied[key] = value
    return applied


def _rivals(command: argparse.ArgumentParser, action: argparse.Action) -> list[str]:
    """Options that exclude this one."""
    groups = [group._group_actions for group in command._mutually_exclusive_groups]
    return [other.dest for group in groups if action in group for other in group]


def _converted(action: argparse.Action, value: Any, where: str) -> Any:
    """The value as the parser would have it. Raises `ConfigError`."""
    several = isinstance(action, argparse._AppendAction) or action.nargs in ("*", "+")
    several = several or (isinstance(action.nargs, int) and action.nargs > 0)
    if action.nargs == 0 or isinstance(action, argparse.BooleanOptionalAction):
        if not isinstance(value, bool):
            raise ConfigError(f"{where} is {plain(value)}, expected true or false.")
        return value
    if several:
        parts = [_one(action, each, where) for each in (value if isinstance(value, list) else [value])]
        if isinstance(action.nargs, int) and len(parts) != action.nargs:
            raise ConfigError(f"{where} has {len(parts)} entries, expected {action.nargs}.")
        return parts
    return _one(action, ",".join(map(str, value)) if isinstance(value, list) else value, where)


def _one(action: argparse.Action, value: Any, where: str) -> Any:
    if isinstance(value, bool | dict | list):
        raise ConfigError(f"{where} is {plain(value)}, expected a text or a number.")
    try:
        made = action.type(str(value)) if callable(action.type) else str(value)
    except (ValueError, TypeError, argparse.ArgumentTypeError) as error:
        raise ConfigError(f"{where} is {plain(value)}: {plain(error)}") from error
    if action.choices is not None and made not in action.choices:
        raise ConfigError(
            f"{where} is {plain(value)}, expected one of {', '.join(map(str, action.choices))}."
        )
    return made
