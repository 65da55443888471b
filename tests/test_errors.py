"""Exceptions: one parent, a builtin beside it, and messages that say what to do."""

from __future__ import annotations

import inspect
import json

import pytest

from lineas import errors

BUILTIN = {
    "PromptError": ValueError,
    "SiteError": LookupError,
    "MismatchError": ValueError,
    "MapError": ValueError,
    "ConfigError": ValueError,
    "SteeringFileError": ValueError,
    "NewerFormatError": errors.SteeringFileError,
    "NonFiniteError": ArithmeticError,
    "MissingExtraError": ImportError,
    "HubError": OSError,
    "ExportError": ValueError,
}


def test_the_table_names_every_exception() -> None:
    classes = {
        name
        for name, kind in inspect.getmembers(errors, inspect.isclass)
        if kind.__module__ == errors.__name__
    }
    assert classes == {*BUILTIN, "LineasError"}


@pytest.mark.parametrize(("name", "builtin"), BUILTIN.items())
def test_every_exception_is_ours_and_a_builtin_one(name: str, builtin: type[Exception]) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, errors.LineasError) and issubclass(kind, builtin)
    assert str(kind("what happened")) == "what happened"


def test_a_non_finite_fit_keeps_what_it_has() -> None:
    error = errors.NonFiniteError("NaN", step=3, site="unet.norm", steering="last")
    assert (error.step, error.site, error.steering, str(error)) == (3, "unet.norm", "last", "NaN")


def test_require_returns_the_module() -> None:
    assert errors.require("json", "any") is json


def test_require_names_the_extra() -> None:
    with pytest.raises(errors.MissingExtraError, match=r'pip install "lineas\[evaluation\]"') as caught:
        errors.require("a_module_that_nobody_has", "evaluation")
    assert caught.value.name == "a_module_that_nobody_has"
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
