"""Options of a fit; the sentences below are the command line's help and the nodes' tooltips."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, dataclass, field, fields
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any, ClassVar, Literal, get_args, get_origin, get_type_hints

from lineas.errors import ConfigError

if TYPE_CHECKING:
    from typing_extensions import Self


def option(
    default: Any,
    help: str,
    *,
    choices: Sequence[str] | Callable[[], Sequence[str]] | None = None,
    **shown: Any,
) -> Any:
    """A field with what every face makes its input from: default, sentence of help, choices and limits.

    choices: the texts that it takes, or a function that gives them, where others may be registered later.
    shown: of a number `minimum`, which is checked, and `maximum`, `step` and `round`, which sliders keep to;
    of a text `multiline`; `optional` where a face may leave it out, `advanced` where it may fold it away.
    """
    return field(default=default, metadata={"help": help, "choices": choices, **shown})


def choices_of(entry: Field[Any], annotation: Any) -> tuple[str, ...]:
    """The texts that an option takes, from its own choices or its `Literal` type; none for any other."""
    choices = entry.metadata.get("choices")
    if choices is None:
        return get_args(annotation) if get_origin(annotation) is Literal else ()
    return tuple(choices() if callable(choices) else choices)


@dataclass(frozen=True)
class Options:
    """Options of a method, checked when built; `ConfigError` says which one is wrong and what it takes."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {"fast": {}, "paper": {}}
    """What each preset sets to another value than the defaults."""

    def __post_init__(self) -> None:
        types = get_type_hints(type(self))
        for entry in fields(self):
            value, choices = getattr(self, entry.name), choices_of(entry, types[entry.name])
            if not choices:
                _check(entry.name, value, entry.default, entry.metadata.get("minimum"))
            elif value not in choices:
                raise ConfigError(f"{entry.name} is {value!r}, expected one of {', '.join(choices)}.")

    @classmethod
    def preset(cls, name: str, **changes: Any) -> Self:
        """The options of a preset, "fast" or "paper", with some of them changed."""
        if name not in cls.presets:
            raise ConfigError(f"Unknown preset {name!r}, expected one of {', '.join(cls.presets)}.")
        known = [entry.name for entry in fields(cls)]
        unknown = sorted(set(changes) - set(known))
        if unknown:
            near = [name for each in unknown for name in get_close_matches(each, known)]
            hint = f" Near names: {', '.join(near)}." if near else ""
            raise ConfigError(
                f"Unknown option {', '.join(unknown)}.{hint} The options are {', '.join(known)}."
            )
        return cls(**{**cls.presets[name], **changes})

    def settings(self) -> dict[str, str | int | float | bool]:
        """The options as plain values, for a steering's provenance."""
        values = {entry.name: getattr(self, entry.name) for entry in fields(self)}
        return {name: v if isinstance(v, (str, int, float)) else _name(v) for name, v in values.items()}


def _check(name: str, value: Any, default: Any, low: float | None) -> None:
    """`ConfigError` unless `value` is of the kind of `default` and, as a number, finite, at least `low`.

    A default of None stands for a function.
    """
    if default is None:
        if value is not None and not callable(value):
            raise ConfigError(f"{name} is {value!r}, expected a function.")
        return
    kind: Any = (int, float) if type(default) is float else type(default)
    # bool is a kind of int in Python, and never a number that someone meant.
    if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
        expected = {bool: "True or False", int: "a whole number", str: "text"}.get(kind, "a number")
        raise ConfigError(f"{name} is {value!r}, expected {expected}.")
    if low is not None and not low <= value < float("inf"):
        raise ConfigError(f"{name} is {value!r}, expected a finite number of at least {low}.")


def _name(value: Any) -> str:
    """What to call a function that was given as an option; nothing for none."""
    return "" if value is None else str(getattr(value, "__name__", type(value).__name__))
