"""Parameters: free of scale, zero at the identity, and the statistics that they start from."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys.problem import ToyProblem

from lineas.maps.gated import GatedMap
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.parameters import PARAMETERS, AffineParameters, Statistics
from lineas.methods.lineas.trainer import Trainer
from lineas.steering.site import Site


def statistics(d: int = 4, **gate: Any) -> Statistics:
    generator = torch.Generator().manual_seed(0)
    spread, center = torch.rand(2, d, generator=generator, dtype=torch.float64) + 0.5
    return Statistics(spread, center, **gate)


GATE = {
    "direction": torch.ones(4, dtype=torch.float64),
    "offset": torch.tensor(0.5, dtype=torch.float64),
    "gate_center": torch.zeros(4, dtype=torch.float64),
    "gate_spread": torch.full((4,), 2.0, dtype=torch.float64),
}


@pytest.mark.parametrize("kind", PARAMETERS)
def test_zeros_are_the_identity_and_one_zero_unit_is_untouched(kind: str) -> None:
    parameters = PARAMETERS[kind](statistics(**GATE))
    assert parameters.kind == kind == parameters.map().kind and parameters.map().is_identity
    z = torch.randn(3, 4, dtype=torch.float64)
    assert torch.equal(parameters.map()(z), z)
    with torch.no_grad():
        parameters.deviation += 0.1
        parameters.shift += 0.2
        parameters.deviation[2] = parameters.shift[2] = 0
    assert parameters.map().support.tolist() == [True, True, False, True]


def test_the_map_is_the_formula_in_the_units_spread_around_its_center() -> None:
    given = statistics()
    parameters = AffineParameters(given)
    with torch.no_grad():
        parameters.deviation += torch.linspace(-1, 1, 4)
        parameters.shift += torch.linspace(2, 3, 4)
    z = torch.randn(3, 4, dtype=torch.float64)
    expected = z + parameters.deviation * (z - given.center) + given.spread * parameters.shift
    torch.testing.assert_close(parameters.map()(z), expected)
    assert torch.equal(parameters.map()(given.center), given.center + given.spread * parameters.shift)


@pytest.mark.parametrize("kind", PARAMETERS)
def test_gradients_reach_every_parameter(kind: str) -> None:
    parameters = PARAMETERS[kind](statistics(**GATE))
    with torch.no_grad():
        parameters.shift += 0.1
    parameters.map()(torch.randn(3, 4, dtype=torch.float64)).square().sum().backward()
    assert len(parameters.gradients()) == len(parameters.all())
    assert all(gradient.abs().sum() > 0 for gradient in parameters.gradients())
    parameters.forget_gradients()
    assert parameters.gradients() == []


def test_a_gate_starts_from_its_statistics_without_sharing_them() -> None:
    parameters = PARAMETERS["gated"](statistics(**GATE))
    map = parameters.map()
    assert isinstance(map, GatedMap)
    assert torch.equal(map.spread, GATE["gate_spread"]) and torch.equal(map.direction, GATE["direction"])
    with torch.no_grad():
        parameters.free()[0].add_(1)
    assert torch.equal(GATE["direction"], torch.ones(4, dtype=torch.float64))


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
    for plain, scaled in zip(one._all(), big._all(), strict=True):
        torch.testing.assert_close(plain, scaled, rtol=1e-6, atol=1e-9)
    site = Site("blocks.0.norm2")
    maps = [trainer.steering().maps[site].tensors() for trainer in (one, big)]
    torch.testing.assert_close(maps[0]["shift"] * 1000, maps[1]["shift"], rtol=1e-4, atol=1e-3)


def test_raw_parameters_are_those_of_the_paper() -> None:
    trainer = Trainer(ToyProblem(), TrainConfig.preset("paper"))
    for parameters in trainer.parameters.values():
        assert torch.equal(parameters.statistics.spread, torch.ones(6, dtype=torch.float64))
        assert torch.equal(parameters.statistics.center, torch.zeros(6, dtype=torch.float64))


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


def test_a_gate_on_nothing_is_finite_and_can_learn() -> None:
    problem = ToyProblem()
    problem.prompts["target"], problem.real["target"] = problem.prompts["source"], problem.real["source"]
    Trainer(problem, TrainConfig(map="gated", steps=2)).run().check()
