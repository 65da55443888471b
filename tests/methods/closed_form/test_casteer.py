"""CASteer: its direction and amounts worked by hand, and where nothing is turned."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from toys.problem import ToyProblem

from lineas.errors import ConfigError
from lineas.maps.turned import TurnedMap
from lineas.maths.pooling import MeanPooling
from lineas.methods.closed_form.casteer import CASteerConfig, fit, turned

SOURCE = torch.tensor([[3.0, 4.0], [5.0, 6.0]])  # mean (4, 5)
TARGET = torch.tensor([[1.0, 0.0], [1.0, 1.0], [1.0, 2.0]])  # mean (1, 1), so 5 apart


def values(map: TurnedMap) -> list[Tensor]:
    return [map.direction, map.away, map.toward, map.weight]


def assert_values(map: TurnedMap, direction: list[float], *others: float) -> None:
    torch.testing.assert_close(values(map), [torch.tensor(each) for each in (direction, *others)])


def test_away_is_along_the_source_and_mirrors_by_default() -> None:
    assert_values(turned(SOURCE, TARGET), [0.6, 0.8], 2.0, 0.0, 1.0)
    assert_values(turned(SOURCE, TARGET, amount=0.25), [0.6, 0.8], 0.5, 0.0, 1.0)
    steered = turned(SOURCE, TARGET)(torch.tensor([[5.0, 0.0], [-5.0, 0.0]]))
    torch.testing.assert_close(steered, torch.tensor([[1.4, -4.8], [-5.0, 0.0]]))


def test_toward_is_along_the_target_by_the_distance_of_the_means() -> None:
    assert_values(turned(SOURCE, TARGET, "toward"), [-0.6, -0.8], 0.0, 5.0, 1.0)
    assert_values(turned(SOURCE, TARGET, "toward", 2.0), [-0.6, -0.8], 0.0, 10.0, 1.0)
    # u = (5, 0) - (3, 4) = (2, -4), √20 long.
    steered = turned(SOURCE, TARGET, "toward")(torch.tensor([5.0, 0.0]))
    torch.testing.assert_close(steered, torch.tensor([2.0, -4.0]) * 5 / 20**0.5)


def test_rounding_between_equal_rows_is_no_direction() -> None:
    nearly = SOURCE.flip(0) * (1 + 1e-7)
    for target in (SOURCE, nearly):
        assert turned(SOURCE, target).is_identity and turned(SOURCE, target, "toward").is_identity
    assert turned(SOURCE, SOURCE.mean(0, keepdim=True)).is_identity


@pytest.mark.parametrize("config", [CASteerConfig(), CASteerConfig(turn="toward", amount=0.5)])
def test_every_site_is_estimated_on_the_untouched_model(config: CASteerConfig) -> None:
    problem = ToyProblem()
    with torch.no_grad(), problem.frozen():
        source, target = (problem.rows(g, range(6), None, MeanPooling()) for g in ("source", "target"))
    steering = fit(problem, config)
    assert steering.provenance.settings["turn"] == config.turn
    for site, map in steering.maps.items():
        assert isinstance(map, TurnedMap)
        rows = (torch.cat(each[site]) for each in (source, target))
        torch.testing.assert_close(
            values(map), [v.float() for v in values(turned(*rows, config.turn, config.amount))]
        )


def test_an_amount_below_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="amount"):
        CASteerConfig(amount=-1.0)
