"""Checkpoints: everything that a damaged, hostile or foreign one can try ends in one typed error."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from toys.problem import ToyProblem

from lineas.errors import LineasError, NewerFormatError, SteeringFileError
from lineas.fitting import resume_files
from lineas.fitting.resume_files import Checkpoints, load_checkpoint, save_checkpoint
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer


def trainer(**options: Any) -> Trainer:
    return Trainer(ToyProblem(), TrainConfig.preset("fast", **{"steps": 8, **options}))


@cache
def saved() -> dict[str, Any]:
    whole = trainer()
    whole.run(lambda report: report.step == 2)
    return whole.state()


def _set(*keys: Any, to: Any) -> Callable[[Any], None]:
    def change(state: Any) -> None:
        for key in keys[:-1]:
            state = state[key]
        state[keys[-1]] = to

    return change


def _drop(*keys: Any) -> Callable[[Any], None]:
    def change(state: Any) -> None:
        for key in keys[:-1]:
            state = state[key]
        del state[keys[-1]]

    return change


NAN = torch.full((6,), torch.nan, dtype=torch.float64)
CHANGES: dict[str, Callable[[Any], None]] = {
    **{f"no {key}": _drop(key) for key in saved()},
    **{f"{key} is {to!r}"[:40]: _set(key, to=to) for key in saved() for to in (None, "x", -1, [[]])},
    "an entry more": _set("more", to=1),
    "step is huge": _set("step", to=10**12),
    "step is a number": _set("step", to=2.0),
    "history holds text": _set("history", 0, to="x"),
    "one parameter less": _drop("parameters", 0),
    "a parameter of another shape": _set("parameters", 0, to=torch.zeros(5)),
    "a parameter is a number": _set("parameters", 0, to=0.5),
    "a best parameter of no shape": _set("best_parameters", 0, to=torch.zeros(())),
    "no moments": _drop("optimizer", "state", 0, "exp_avg"),
    "moments of another shape": _set("optimizer", "state", 0, "exp_avg", to=torch.zeros(7)),
    "negative squares": _set("optimizer", "state", 0, "exp_avg_sq", to=-torch.ones(6)),
    "moments of a parameter that is not there": _set("optimizer", "state", 99, to={}),
    "moments by name": _set("optimizer", "state", "x", to={}),
    "step of the optimiser is 0": _set("optimizer", "state", 0, "step", to=torch.zeros(())),
    "one site cost less": _drop("report", "site_costs", 0),
    "a cost is text": _set("report", "cost", to="x"),
    "best later than now": _set("best", "steps", to=3),
    "a best map without shift": _drop("best", "maps", 0, "shift"),
    "a best map more": lambda state: state["best"]["maps"].append({}),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_state_of_another_form_is_refused_and_nothing_is_taken(change: Any, tmp_path: Path) -> None:
    state = copy.deepcopy(saved())
    change(state)
    one = trainer()
    before = str(one.state() | {"seconds": 0})
    with pytest.raises(LineasError):
        one.load_state(state)
    assert str(one.state() | {"seconds": 0}) == before
    save_checkpoint(state, tmp_path / "x")
    with pytest.raises(LineasError):
        one.load_state(load_checkpoint(tmp_path / "x"))


def write(path: Path, state: str, version: str = "1", **tensors: torch.Tensor) -> Path:
    metadata = {"format": "lineas.checkpoint", "format_version": version, "state": state}
    path.write_bytes(safetensors.torch.save(tensors, metadata))
    return path


@pytest.mark.parametrize(
    "state",
    [
        "[" * 100_000,
        "3",
        "[]",
        '{"pairs": [["a"]]}',
        '{"pairs": [[[], 1]]}',
        '{"pairs": 3}',
        '{"tensor": "x"}',
        '{"pairs": [["a", {"tensor": "0"}], ["b", {"tensor": "0"}]]}',
        '{"pairs": []}',
        "[" + "[]," * 2_000_000 + "[]]",
        '{"pairs": [["step", ' + "9" * 400 + "]]}",
    ],
    ids=lambda state: state[:30],
)
def test_hostile_states_are_refused(tmp_path: Path, state: str) -> None:
    with pytest.raises(SteeringFileError, match="Cannot read a checkpoint"):
        load_checkpoint(write(tmp_path / "x", state, **{"0": torch.zeros(2)}))


@pytest.mark.parametrize("tensor", [NAN, torch.zeros(2, dtype=torch.int64), torch.tensor([torch.inf])])
def test_hostile_tensors_are_refused(tmp_path: Path, tensor: torch.Tensor) -> None:
    packed = json.dumps({"pairs": [["a", {"tensor": "0"}]]})
    with pytest.raises(SteeringFileError, match="finite floating"):
        load_checkpoint(write(tmp_path / "x", packed, **{"0": tensor}))


def test_versions(tmp_path: Path) -> None:
    with pytest.raises(NewerFormatError, match="pip install --upgrade"):
        load_checkpoint(write(tmp_path / "x", "[]", "2"))
    for version in ("", "x", "-1", "1.0", "9" * 5000):
        with pytest.raises(SteeringFileError, match="format version"):
            load_checkpoint(write(tmp_path / "x", "[]", version))


def test_prompts_are_for_the_owner_alone(tmp_path: Path) -> None:
    save_checkpoint(saved(), tmp_path / "x")
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o600


def test_a_checkpoint_that_could_not_be_read_is_not_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resume_files, "MAX_TEXT", 100)
    with pytest.raises(SteeringFileError, match="larger than one may be"):
        save_checkpoint(saved(), tmp_path / "x")


def test_a_checkpoint_that_cannot_be_written_does_not_end_the_training(tmp_path: Path) -> None:
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        steering = trainer().run(Checkpoints(tmp_path / "gone" / "x", every=2))
    assert steering.provenance.settings["steps_done"] == 8
    assert len([w for w in caught if "goes on without a checkpoint" in str(w.message)]) == 1


def test_a_checkpoint_of_0_1_0_goes_on_and_other_weights_do_not() -> None:
    state = copy.deepcopy(saved())
    problem = ToyProblem()
    state["fit"]["weights"] = problem_print(problem, "1")
    one = trainer()
    one.load_state(state)
    assert one.step_number == 2
    state["fit"]["weights"] = problem_print(ToyProblem(seed=1), "1")
    with pytest.raises(LineasError, match="weights differ"):
        trainer().load_state(state)


def problem_print(problem: ToyProblem, version: str) -> str:
    from lineas.apply.fingerprint import fingerprint

    return fingerprint(problem.components, problem.sites, version)
