"""Every exception of the library. Each is a `LineasError` and the builtin exception it specialises."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any


class LineasError(Exception):
    """Parent of every exception that the library raises on purpose."""


class PromptError(LineasError, ValueError):
    """A prompt set cannot be used: empty, without real tokens, or of the wrong size."""


class SiteError(LineasError, LookupError):
    """A site name or pattern matches nothing."""


class MismatchError(LineasError, ValueError):
    """Two things do not fit: a steering and a model, or two sets of rows."""


class MapError(LineasError, ValueError):
    """A map holds impossible tensors, or was asked for what its family cannot do."""


class ConfigError(LineasError, ValueError):
    """An option is outside its range or unknown."""


class SteeringFileError(LineasError, ValueError):
    """A steering file is damaged, hostile, of another kind, or could not be written."""


class NewerFormatError(SteeringFileError):
    """A steering file was written by a newer, incompatible version of the library."""


class NonFiniteError(LineasError, ArithmeticError):
    """NaN or infinity appeared while fitting.

    `step` counts from 1, 0 is the untouched model; `site` is the first site in execution order that was not
    finite, None when it is not known; `steering` is the best one so far, None when none was better than the
    untouched model.
    """

    def __init__(self, message: str, *, step: int = 0, site: str | None = None, steering: Any = None) -> None:
        super().__init__(message)
        self.step = step
        self.site = site
        self.steering = steering


class MissingExtraError(LineasError, ImportError):
    """An optional dependency is not installed or cannot be imported."""


class HubError(LineasError, OSError):
    """A model hub could not be reached or refused."""


class ExportError(LineasError, ValueError):
    """A steering holds something that the export format cannot."""


def plain(text: object, most: int = 300) -> str:
    """A stranger's text as it may stand in an error or on a terminal: one line of printable signs.

    Line ends become spaces, other signs that do not print are shown as escapes (an ESC as \\x1b), and what
    is longer than `most` signs is cut and ends in "…".
    """
    whole = str(text)
    line = " ".join(whole[: most + 1].split())
    shown = "".join(sign if sign.isprintable() else ascii(sign)[1:-1] for sign in line)
    return shown if len(whole) <= most and len(shown) <= most else f"{shown[: most - 1]}…"


def require(module: str, extra: str) -> ModuleType:
    """Import an optional dependency when it is first needed.

    `module` is a dotted module name, `extra` the extra of this package that installs it.
    Raises `MissingExtraError` with the command to run; the cause is kept as `__cause__`.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MissingExtraError(
            f"{module} is needed here and could not be imported ({error}). "
            f'Install it with: pip install "lineas[{extra}]"',
            name=module,
        ) from error
