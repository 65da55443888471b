"""Options: what they take, what they refuse, and the sentence that every face shows."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

import pytest

from lineas.errors import ConfigError
from lineas.fitting.options import Options, choices_of, option
from lineas.methods.lineas.config import PRESETS, TrainConfig
from lineas.steering.provenance import Provenance


def test_the_presets_are_those_of_the_paper_and_the_default() -> None:
    paper = TrainConfig.preset("paper")
    assert (paper.steps, paper.learning_rate, paper.optimizer, paper.standardise) == (1000, 0.1, "sgd", False)
    fast = TrainConfig.preset("fast")
    assert fast == TrainConfig() and fast.standardise and fast.steps <= 100
    assert TrainConfig.preset("fast", steps=7).steps == 7 and PRESETS["fast"].steps == 100


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"steps": 0}, "steps is 0, expected a finite number of at least 1"),
        ({"steps": 2.5}, "steps is 2.5, expected a whole number"),
        ({"steps": True}, "steps is True, expected a whole number"),
        ({"steps": "many"}, "expected a whole number"),
        ({"learning_rate": -1.0}, "at least 1e-08"),
        ({"learning_rate": 0}, "learning_rate is 0, expected a finite number of at least 1e-08"),
        ({"learning_rate": math.nan}, "finite"),
        ({"sparsity": math.inf}, "finite"),
        ({"preserve_weight": "much"}, "expected a number"),
        ({"standardise": 1}, "expected True or False"),
        ({"optimizer": "lion"}, "one of adam, sgd"),
        ({"map": "cubic"}, "one of affine, first_token, gated"),
        ({"rows": "pixels"}, "Unknown pooling"),
        ({"rows": "tokens:0"}, "at least 1 position"),
        ({"rows": 8}, "expected text"),
        ({"micro_batch": -1}, "at least 0"),
        ({"seed": 0.5}, "whole number"),
    ],
)
def test_impossible_options_are_refused(options: dict[str, Any], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        TrainConfig(**options)
    with pytest.raises(ConfigError, match=match):
        TrainConfig.preset("paper", **options)


def test_whole_numbers_serve_where_numbers_do() -> None:
    assert TrainConfig(learning_rate=1, sparsity=0, rows="tokens:8").learning_rate == 1


def test_unknown_names_say_what_is_near_and_what_there_is() -> None:
    with pytest.raises(ConfigError, match=r"Unknown option learning_rat\. Near names: learning_rate.* steps"):
        TrainConfig.preset("fast", learning_rat=1)
    with pytest.raises(ConfigError, match="'slow', expected one of fast, paper"):
        TrainConfig.preset("slow")


def test_every_option_explains_itself_and_can_be_recorded() -> None:
    for entry in fields(TrainConfig):
        assert entry.metadata["help"].endswith("."), entry.name
    settings = TrainConfig().settings()
    assert list(settings) == [entry.name for entry in fields(TrainConfig)]
    Provenance(settings=settings)


KNOWN = ["plain"]


@dataclass(frozen=True)
class Registered(Options):
    shape: str = option("plain", "Which shape.", choices=lambda: KNOWN)


def test_choices_may_be_registered_later() -> None:
    with pytest.raises(ConfigError, match="shape is 'odd', expected one of plain"):
        Registered(shape="odd")
    KNOWN.append("odd")
    assert Registered(shape="odd").shape == "odd"
    assert choices_of(fields(Registered)[0], str) == ("plain", "odd")
    optimizer = next(entry for entry in fields(TrainConfig) if entry.name == "optimizer")
    assert choices_of(optimizer, get_type_hints(TrainConfig)["optimizer"]) == ("adam", "sgd")
