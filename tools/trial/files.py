"""Mutated steering files and checkpoints, and files made to fill the memory."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import safetensors.torch
import torch

from lineas.cli.runs import load_run
from lineas.steering.steering import Steering
from tools.trial import tiny
from tools.trial.counts import Counts, in_a_child
from tools.trial.mutations import mutated


def steering_mutants(counts: Counts, number: int, seed: int, folder: Path) -> None:
    """Each is loaded, checked and described; whatever is accepted must be whole."""
    wholes, random = tiny.steerings(folder), Random(seed)
    path = folder / "mutant.safetensors"
    for i in range(number):
        path.write_bytes(mutated(random.choice(wholes), random))

        def use() -> None:
            steering = Steering.load(path)
            steering.check()
            text = steering.summary()
            assert all(sign.isprintable() or sign == "\n" for sign in text)
            steering.at(0.5).save(folder / "again.safetensors")

        counts.attempt(use, f"seed {seed}, steering {i}")


def checkpoint_mutants(counts: Counts, number: int, seed: int, folder: Path) -> None:
    """Each is loaded as `--resume` does, given to a trainer, and what is accepted makes a step."""
    whole, random, trainer = tiny.checkpoint(folder), Random(seed), tiny.trainer()
    path = folder / "mutant.checkpoint"
    for i in range(number):
        path.write_bytes(mutated(whole, random))

        def use() -> None:
            _, state = load_run(path)
            trainer.load_state(state)
            trainer.steps.count = min(trainer.steps.count, 3)
            trainer.step()

        counts.attempt(use, f"seed {seed}, checkpoint {i}")


def bombs(counts: Counts, folder: Path) -> None:
    """Files of some megabytes that ask for gigabytes."""
    path = folder / "bomb.safetensors"
    site = {"name": "n", "output": 0, "axis": -1, "kind": "affine", "width": 2**20}
    nothing = {"index": torch.zeros(0, dtype=torch.int32), "value": torch.zeros(0)}
    places = [f"{i}.{name}" for i in range(60) for name in ("deviation", "shift")]
    sparse = {f"{place}.{part}": t for place in places for part, t in nothing.items()}
    many = [{**site, "name": f"n{i}", "width": 1} for i in range(500_000)]
    wide = [{**site, "name": f"n{i}"} for i in range(60)]
    rank = {f"0.{name}": torch.zeros(2**13, 2**13) for name in ("rotation", "weight")}
    square = [{**site, "kind": "low_rank", "width": 2**13}]
    settings = dict.fromkeys(map(str, range(300_000)), 1)
    dense = "[" + "[]," * 1_390_000 + "[]]"
    cases: dict[str, tuple[dict[str, torch.Tensor], dict[str, str]]] = {
        "87 MB of sites": ({}, {"sites": json.dumps(many)}),
        "sparse maps of 2^20 units": (sparse, {"sites": json.dumps(wide)}),
        "low rank of 512 MB": ({**rank, "0.bias": torch.zeros(2**13)}, {"sites": json.dumps(square)}),
        "a table of empty lists": ({}, {"sites": dense}),
        "settings": (
            {},
            {"sites": "[]", "provenance": json.dumps({"settings": settings})},
        ),
        "notes": ({}, {"sites": "[]", "provenance": json.dumps({"notes": "n" * 90_000_000})}),
        "a long kind": ({}, {"sites": json.dumps([{**site, "kind": "k" * 3_000_000}])}),
        "metadata entries": ({}, {str(i): "" for i in range(500_000)}),
    }
    for name, (tensors, metadata) in cases.items():
        told = {"format": "lineas.steering", "format_version": "1.0", **metadata}
        safetensors.torch.save_file(tensors, path, told)
        del tensors
        in_a_child(counts, lambda: Steering.load(path), name)
    told = {"format": "lineas.checkpoint", "format_version": "1", "state": dense}
    safetensors.torch.save_file({}, path, told)
    in_a_child(counts, lambda: load_run(path), "a checkpoint of empty lists")
    path.unlink()
