"""Where training starts: free of scale, and a gate that is open on the concept."""

from __future__ import annotations

import pytest
import torch
from toys.problem import ToyProblem

from lineas.maps.affine import AffineParameters
from lineas.maps.gated import GatedMap
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer
from lineas.steering.site import Site


def test_the_result_does_not_depend_on_the_scale_of_the_activations() -> None:
    """Every unit of a norm in units of its own: the standardised fit is the same in those units."""

    class Scaled(ToyProblem):
        def __init__(self, scale: float) -> None:
            super().__init__(sites=["blocks.0.norm2"])
            with torch.no_grad():
                self.model.blocks[0].norm2.weight.mul_(scale)
                self.model.blocks[0].norm2.bias.mul_(scale)

    one, big = (Trainer(Scaled(scale), TrainConfig(steps=6)) for scale in (1.0, 1000.0))
    one.run(), big.run()
    assert big.history == pytest.approx(one.history, rel=1e-6)
    for plain, scaled in zip(one.parameters.all(), big.parameters.all(), strict=True):
        torch.testing.assert_close(plain, scaled, rtol=1e-6, atol=1e-9)
    site = Site("blocks.0.norm2")
    maps = [trainer.steering().maps[site].tensors() for trainer in (one, big)]
    torch.testing.assert_close(maps[0]["shift"] * 1000, maps[1]["shift"], rtol=1e-4, atol=1e-3)


def test_raw_parameters_are_those_of_the_paper() -> None:
    trainer = Trainer(ToyProblem(), TrainConfig.preset("paper"))
    for parameters in trainer.parameters.values():
        assert isinstance(parameters, AffineParameters)
        assert torch.equal(parameters.spread, torch.ones(6, dtype=torch.float64))
        assert torch.equal(parameters.center, torch.zeros(6, dtype=torch.float64))


def test_a_gate_starts_open_on_the_concept_and_shut_elsewhere() -> None:
    """One token of every source prompt carries what no target token has."""
    problem = ToyProblem((8, 8, 0), sites=["blocks.0.norm"])
    concept = torch.zeros(6, dtype=torch.float64)
    concept[0] = 8.0
    problem.prompts["target"] = problem.prompts["source"].flip(0).clone()
    problem.prompts["source"][:, 1] += concept
    trainer = Trainer(problem, TrainConfig(map="gated"))
    map = trainer.parameters[Site("blocks.0.norm")].map()
    assert isinstance(map, GatedMap)
    with torch.no_grad():
        gates = map.gate(problem.model.blocks[0].norm(problem.prompts["source"]))[..., 0]
    real = problem.real["source"]
    assert gates[:, 1].min() > 0.8
    assert gates[:, 2:][real[:, 2:]].mean() < 0.3
