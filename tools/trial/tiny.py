"""A small model, its problem and files of it, for a trial that needs thousands of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from torch import nn

from lineas.cli.runs import Run, save_run
from lineas.fitting.problem import Group, Problem
from lineas.maps.affine import AffineMap
from lineas.maps.base import FAMILIES, Map
from lineas.maps.gated import GatedMap
from lineas.maps.low_rank import LowRankMap
from lineas.maps.stacked import join
from lineas.maps.virtual_tokens import VirtualTokenMap
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site
from lineas.steering.steering import Steering

WIDTH = 6


def model(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH), nn.Linear(WIDTH, WIDTH), nn.LayerNorm(WIDTH)
    )


class TinyProblem(Problem):
    """Six source and six target prompts on `model`, each a few random tokens."""

    def __init__(self) -> None:
        self.model = model()
        generator = torch.Generator().manual_seed(1)
        self.prompts = {
            g: torch.randn(6, 3, WIDTH, generator=generator) + s for g, s in (("source", 0), ("target", 1))
        }
        sizes: dict[Group, int] = {"source": 6, "target": 6}
        super().__init__({"": self.model}, [Site("1"), Site("3")], sizes, "tiny", "tiny")

    def run(self, group: Group, indices: Sequence[int]) -> None:
        self.model(self.prompts[group][list(indices)])


def trainer() -> Trainer:
    return Trainer(TinyProblem(), TrainConfig.preset("fast", steps=4))


def steerings(folder: Path) -> list[bytes]:
    """Files of every family of maps."""
    random = torch.Generator().manual_seed(2)
    some = lambda *shape: torch.randn(*shape, generator=random)  # noqa: E731
    affine = AffineMap(some(WIDTH), some(WIDTH))
    sparse = AffineMap(torch.zeros(64), torch.eye(64)[3])
    gated = GatedMap(some(WIDTH), some(WIDTH), some(WIDTH), some(1)[0], some(WIDTH), some(WIDTH).abs() + 1)
    low_rank = LowRankMap(some(2, WIDTH), some(2, WIDTH), some(2))
    virtual = VirtualTokenMap(some(3, WIDTH), some(WIDTH), some(WIDTH), torch.tensor(-1.0))
    others = [each.identity(WIDTH) for each in FAMILIES.values() if hasattr(each, "identity")]
    sets: list[dict[Site, Map]] = [
        {Site(f"family.{place}"): map for place, map in enumerate(others)},
        {Site("1"): virtual, Site("3"): join(virtual, affine, "sequence")},
        {Site("1"): affine, Site("3", 1, 1): affine},
        {Site("1"): sparse},
        {Site("1"): gated, Site("3"): low_rank},
        {Site("1"): join(gated, affine, "sequence"), Site("3"): join(low_rank, gated, "sum")},
    ]
    made = Provenance("lineas", "tiny", "2:=aabbccdd", "cd", {"lr": 0.5, "seed": 1}, "0.2.0", "2026", "a\nb")
    files = []
    for maps in sets:
        Steering(maps, made).save(folder / "whole.safetensors")
        files.append((folder / "whole.safetensors").read_bytes())
    return files


def checkpoint(folder: Path) -> bytes:
    """A checkpoint of a command-line run after two steps."""
    one = trainer()
    one.run(lambda told: told.step == 2)
    prompts = tuple(f"prompt {i}" for i in range(6))
    asked = Run("tiny", "x.safetensors", prompts, prompts, asdict(one.config), label="x", sites=("*",))
    save_run(asked, one.state(), folder / "whole.checkpoint")
    return (folder / "whole.checkpoint").read_bytes()
