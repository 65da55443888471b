"""Is a saved state what a trainer can go on from? Asked of all of it before any of it is used."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lineas.errors import SteeringFileError, plain

MOST_STEPS = 10**7
_NUMBERS = ("cost", "objective", "preserve")


def check_fit_known(state: Any) -> None:
    """Raise `SteeringFileError` unless the state says of which fit it is."""
    _mapping("it", state)
    _mapping("fit", state.get("fit"))


def check_state(state: Any, like: Mapping[str, Any], remembered: Sequence[Tensor]) -> None:
    """Raise `SteeringFileError`, naming the place, unless `state` has the form of a state of this trainer.

    like: the trainer's own `state()`, whose keys, counts and shapes it must have. remembered: the parameters
    in the order of its optimiser. Numbers are finite, counts
    within what they count; an optimiser's memory fits its parameters.
    """
    _mapping("it", state, like.keys())
    steps = _whole("step", state["step"], 0, MOST_STEPS)
    _number("seconds", state["seconds"])
    _list("history", state["history"])
    for value in state["history"]:
        _number("history", value, least=-math.inf)
    _whole("micro_batch", state["micro_batch"], 1, MOST_STEPS)
    _number("scale", state["scale"], above=0)
    _number("rate_scale", state["rate_scale"], above=0)
    for name in ("parameters", "best_parameters"):
        _tensors(name, state[name], like[name])
    _optimiser(state["optimizer"], like["optimizer"], remembered)
    _report("report", state["report"], like["report"])
    _best(state["best"], like["best"], steps)


def _best(best: Any, like: Mapping[str, Any], steps: int) -> None:
    _mapping("best", best, like.keys())
    _whole("best.steps", best["steps"], 0, steps)
    _report("best.report", best["report"], like["report"])
    _list("best.maps", best["maps"], len(like["maps"]))
    for tensors, expected in zip(best["maps"], like["maps"], strict=True):
        _mapping("best.maps", tensors, expected.keys())
        _tensors("best.maps", [tensors[name] for name in expected], list(expected.values()))


def _report(name: str, report: Any, like: Mapping[str, Any]) -> None:
    _mapping(name, report, like.keys())
    for figure in _NUMBERS:
        _number(f"{name}.{figure}", report[figure], least=-math.inf)
    _list(f"{name}.site_costs", report["site_costs"], len(like["site_costs"]))
    for value in report["site_costs"]:
        _number(f"{name}.site_costs", value, least=-math.inf)


def _optimiser(state: Any, like: Mapping[str, Any], parameters: Sequence[Tensor]) -> None:
    """The memory of each parameter alone: the settings are the trainer's own."""
    _mapping("optimizer", state, like.keys())
    _mapping("optimizer.state", state["state"])
    adam = "betas" in like["param_groups"][0]
    for index, memory in state["state"].items():
        _whole("optimizer.state", index, 0, len(parameters) - 1)
        names = ("step", "exp_avg", "exp_avg_sq") if adam else memory
        _mapping("optimizer.state", memory, names)
        _memory(memory, parameters[index], adam)


def _memory(memory: Mapping[str, Any], parameter: Tensor, adam: bool) -> None:
    if not adam:
        if any(key != "momentum_buffer" or value is not None for key, value in memory.items()):
            raise _wrong("optimizer.state", list(memory)[:3], "nothing: this optimiser has no memory")
        return
    _tensors("optimizer.state", [memory["exp_avg"], memory["exp_avg_sq"]], [parameter, parameter])
    step = memory["step"]
    if not isinstance(step, Tensor) or step.ndim or not 1 <= float(step) <= MOST_STEPS:
        raise _wrong("optimizer.step", step, "a count of steps")
    if bool((memory["exp_avg_sq"] < 0).any()):
        raise _wrong("optimizer.exp_avg_sq", "negative numbers", "mean squares")


def _tensors(name: str, values: Any, like: Sequence[Tensor]) -> None:
    _list(name, values, len(like))
    for value, expected in zip(values, like, strict=True):
        if not isinstance(value, Tensor) or value.shape != expected.shape:
            got = f"of shape {list(value.shape)}" if isinstance(value, Tensor) else value
            raise _wrong(name, got, f"a tensor of shape {list(expected.shape)}")
        if not bool(torch.isfinite(value).all()):
            raise _wrong(name, "NaN or infinity", "finite numbers")


def _mapping(name: str, value: Any, keys: Any = None) -> None:
    if not isinstance(value, Mapping) or (keys is not None and set(value) != set(keys)):
        expected = "a table" if keys is None else f"the entries {sorted(map(str, keys))}"
        raise _wrong(name, sorted(map(str, value)) if isinstance(value, Mapping) else value, expected)


def _list(name: str, value: Any, length: int | None = None) -> None:
    if not isinstance(value, list) or (length is not None and len(value) != length):
        raise _wrong(name, f"{len(value)} entries" if isinstance(value, list) else value, f"{length} entries")


def _whole(name: str, value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise _wrong(name, value, f"a whole number of {low} to {high}")
    return value


def _number(name: str, value: Any, least: float = 0.0, above: float | None = None) -> None:
    fits = type(value) in (int, float) and math.isfinite(value) and value >= least
    if not fits or (above is not None and value <= above):
        raise _wrong(name, value, "a finite number in its range")


def _wrong(name: str, got: Any, expected: Any) -> SteeringFileError:
    return SteeringFileError(
        f"The checkpoint cannot be gone on from: {name} is {plain(got, 80)}, expected {plain(expected)}. "
        "It is damaged or of another version; start the fit afresh."
    )
