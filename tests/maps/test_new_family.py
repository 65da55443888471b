"""A family that is defined here alone is trained, saved, loaded, applied and refused where it cannot fold."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest
import torch
from torch import Tensor
from toys.problem import ToyProblem

from lineas.apply.fold_rules import obstacle
from lineas.apply.hooks import steer
from lineas.maps.base import FAMILIES, Map, along, check_tensors, trainable
from lineas.maps.parameters import Parameters, Start
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import fit
from lineas.steering.steering import Steering


class BendParameters(Parameters):
    def __init__(self, start: Start) -> None:
        self.spread = start.spread
        self.bend = torch.zeros_like(start.spread).requires_grad_()

    def penalised(self) -> list[Tensor]:
        return [self.bend]

    def map(self) -> Map:
        return BendMap(self.bend * self.spread)


@dataclass(frozen=True, eq=False)
class BendMap(Map):
    """z + λ bend ⊙ tanh(z), a map that no weight can hold."""

    bend: Tensor

    kind: ClassVar[str] = "bend"
    parameters = BendParameters

    @property
    def width(self) -> int:
        return self.bend.numel()

    @property
    def support(self) -> Tensor:
        return self.bend != 0

    def change(self, z: Tensor, axis: int) -> Tensor:
        return along(self.bend, axis, z) * z.tanh()

    def at(self, strength: float) -> BendMap:
        return BendMap(strength * self.bend)

    def check(self) -> None:
        check_tensors(self, {"bend": (self.width,)})


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    FAMILIES["bend"] = BendMap
    yield
    del FAMILIES["bend"]


def test_it_is_trained_saved_loaded_and_applied(tmp_path: Path) -> None:
    assert "bend" in trainable()
    problem = ToyProblem()
    costs: list[float] = []
    steering = fit(problem, TrainConfig(map="bend", steps=15), lambda told: costs.append(told.cost))
    assert costs[-1] < 0.9 * costs[0]
    steering.save(tmp_path / "bend.safetensors")
    loaded = Steering.load(tmp_path / "bend.safetensors")
    assert loaded.allclose(steering) and {map.kind for map in loaded.maps.values()} == {"bend"}
    site, map = next(iter(loaded.maps.items()))
    module = problem.model.get_submodule(site.name)
    z = torch.randn(2, 3, map.width, dtype=torch.float64)
    plain = module(z)
    with steer(problem.model, loaded.restrict(site.name), 0.5):
        torch.testing.assert_close(module(z), map(plain, 0.5, site.axis))
    assert torch.equal(module(z), plain)
    assert obstacle(module, map) == "a bend map depends on the activation"


# The class joined when it was defined; other tests count the families that the library has.
del FAMILIES["bend"]
