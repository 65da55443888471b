"""Several processes give the maps of one, and end together however one of them ends."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from toys.problem import ToyProblem
from toys.processes import run

from lineas.fitting.progress import Progress
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer, fit
from lineas.steering.steering import Steering

SIZES = (5, 7, 6)
OPTIONS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "small micro-batches": {"micro_batch": 2},
    "gated": {"map": "gated"},
    "steer the middle": {"steer": "blocks.1.norm"},
    "tokens": {"rows": "tokens:3"},
    "sparse": {"sparsity": 0.05},
    "recomputed": {"checkpointing": True},
    "no preserve": {"preserve_weight": 0.0},
}


def config(**options: Any) -> TrainConfig:
    return TrainConfig.preset("fast", **{"steps": 3, **options})


def file(steering: Steering, folder: Path, rank: int) -> str:
    path = folder / f"{rank}.safetensors"
    steering.save(path)
    return str(path)


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_two_processes_give_the_maps_of_one(options: dict[str, Any], tmp_path: Path) -> None:
    alone = fit(ToyProblem(SIZES), config(**options))

    def action(rank: int) -> Any:
        problem = ToyProblem(SIZES)
        made = fit(problem, config(**options))
        return file(made, tmp_path, rank), problem.runs, made.provenance.settings["cost"]

    for path, _, cost in (told := run(2, action, tmp_path)):
        assert Steering.load(path).allclose(alone, rtol=1e-5, atol=1e-7)
        assert cost == pytest.approx(alone.provenance.settings["cost"], rel=1e-9)
    problem = ToyProblem(SIZES)
    fit(problem, config(**options))
    if "micro_batch" in options:  # the work is shared, not done twice
        assert max(runs for _, runs, _ in told) < 0.7 * problem.runs


def test_more_processes_than_prompts(tmp_path: Path) -> None:
    sizes = (2, 3, 0)
    alone = fit(ToyProblem(sizes), config())
    for path in run(4, lambda rank: file(fit(ToyProblem(sizes), config()), tmp_path, rank), tmp_path):
        assert Steering.load(path).allclose(alone, rtol=1e-5, atol=1e-7)


def test_short_memory_in_one_halves_in_all(tmp_path: Path) -> None:
    def action(rank: int) -> str:
        return file(fit(ToyProblem(SIZES, limit=1 if rank else 100), config()), tmp_path, rank)

    alone = fit(ToyProblem(SIZES), config())
    for path in run(2, action, tmp_path):
        assert Steering.load(path).allclose(alone, rtol=1e-5, atol=1e-7)


def test_no_memory_in_one_ends_all(tmp_path: Path) -> None:
    for told in run(2, lambda rank: fit(ToyProblem(SIZES, limit=0 if rank else 100), config()), tmp_path):
        assert "LineasError: One prompt at a time does not fit into memory" in told


def test_a_failure_in_one_ends_all_with_its_reason(tmp_path: Path) -> None:
    def action(rank: int) -> Any:
        return fit(ToyProblem(SIZES, limit=0 if rank else 100, error=ZeroDivisionError("odd")), config())

    first, second = run(2, action, tmp_path)
    assert "Process 1 of this fit failed: ZeroDivisionError: odd" in first
    assert second.rstrip().endswith("ZeroDivisionError: odd")


def test_one_that_vanishes_ends_all(tmp_path: Path) -> None:
    """As one that is killed; the other is left with the steps that were made."""
    made: list[int] = []

    def stop(told: Progress) -> None:
        made.append(told.step)
        torch.distributed.barrier()
        if told.step == 2:
            torch.distributed.destroy_process_group()
            raise KeyError("gone")

    def keep(told: Progress) -> None:
        made.append(told.step)
        torch.distributed.barrier()

    def action(rank: int) -> Any:
        try:
            return fit(ToyProblem(SIZES), config(steps=9), stop if rank else keep)
        except Exception as error:
            return made, str(error)

    (left, why), (gone, _) = run(2, action, tmp_path)
    assert left == gone == [1, 2] and "Another process of this fit has ended" in why


@pytest.mark.parametrize("asked", [0, 1])
def test_asked_in_one_all_stop_after_the_same_step(asked: int, tmp_path: Path) -> None:
    def action(rank: int) -> Any:
        return fit(
            ToyProblem(SIZES), config(steps=9), lambda told: rank == asked and told.step == 4
        ).provenance.settings["steps_done"]

    assert run(2, action, tmp_path) == [4, 4]


def test_a_time_cuts_the_steps_of_all_alike(tmp_path: Path) -> None:
    def action(rank: int) -> Any:
        return fit(ToyProblem(SIZES), config(steps=100_000), seconds=1.0 + rank).provenance.settings[
            "steps_done"
        ]

    one, two = run(2, action, tmp_path)
    assert one == two < 100_000


def test_what_one_process_left_goes_on_in_two(tmp_path: Path) -> None:
    trainer = Trainer(ToyProblem(SIZES), config(steps=4))
    trainer.step()
    trainer.step()
    state, whole = trainer.state(), fit(ToyProblem(SIZES), config(steps=4))

    def action(rank: int) -> str:
        return file(fit(ToyProblem(SIZES), config(steps=4), state=state), tmp_path, rank)

    for path in run(2, action, tmp_path):
        assert Steering.load(path).allclose(whole, rtol=1e-5, atol=1e-7)


def test_unlike_fits_are_refused(tmp_path: Path) -> None:
    for told in run(2, lambda rank: fit(ToyProblem(SIZES, seed=rank), config()), tmp_path):
        assert "MismatchError: The processes of this fit have unlike prompts" in told
