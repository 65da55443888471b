"""How far a steering of texts has come, from how likely the model finds held-out ones."""

from __future__ import annotations

import math

import pytest
import torch

from lineas.intents.calibration import LONGEST, calibrate, usable_range
from lineas.intents.text_way import MAY_RISE, Found, TextWay
from lineas.maps.affine import AffineMap
from lineas.methods.lineas.config import TrainConfig
from lineas.steering.site import Site
from lineas.steering.steering import Steering

COUNT = 5
"""Tokens of each text."""
STEERING = Steering({Site("a"): AffineMap(torch.ones(3), torch.ones(3))})


def model(strength: float, target: float = 0.5, source: float = -1.0, others: float = 0.0) -> Found:
    """What a model finds of four texts each that become likelier by so many nats for each unit."""
    each = [
        tuple((10.0 + number - nats * strength, COUNT) for number in range(4))
        for nats in (source, target, others)
    ]
    return each[0], each[1], each[2]


def test_strength_1_is_the_end_of_the_way_and_stays() -> None:
    way = TextWay(model)
    assert way.told_apart and way.whole == pytest.approx(1.5)
    assert [way(s).along for s in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([0, 0.5, 1, 2])
    assert [way(s).off for s in (0.0, 0.5, 1.0, 2.0)] == pytest.approx([1, 0.25, 0, 0])
    found = usable_range(way, way.leads)
    assert found is not None and (found.best, found.high) == (1.0, LONGEST)


@pytest.mark.parametrize("kind", ["target", "others"])
def test_a_tenth_more_perplexing_on_both_kinds_is_as_bad_as_the_whole_way_is_good(kind: str) -> None:
    lost = -COUNT * math.log1p(2 * MAY_RISE)  # of the one kind, at strength 1
    way = TextWay(lambda strength: model(strength, source=-9.0, **{kind: lost}))
    assert way(1.0).off == pytest.approx(1.0)
    found = usable_range(way, way.leads)
    assert found is not None and found.high == 1.0


def test_a_likelier_text_does_not_make_up_for_others() -> None:
    both = TextWay(lambda strength: model(strength, target=3.0, others=-COUNT * math.log1p(MAY_RISE)))
    assert both(1.0).off == pytest.approx(0.25)


def test_without_other_texts_those_that_are_aimed_at_tell_of_harm() -> None:
    lost = -COUNT * math.log1p(MAY_RISE)
    way = TextWay(lambda strength: (*model(strength, target=lost, source=-9.0)[:2], ()))
    assert way(1.0).off == pytest.approx(1.0)


def test_where_held_out_texts_do_not_move_the_strength_stays_and_it_is_said() -> None:
    way = TextWay(lambda strength: model(strength, target=0.1, source=0.1))
    assert not way.told_apart
    with pytest.warns(UserWarning, match="hardly does what it is for"):
        assert calibrate(None, TrainConfig(), STEERING, way) is STEERING


def test_the_file_says_what_it_went_by() -> None:
    way = TextWay(lambda strength: model(strength, others=-0.3))
    settings = calibrate(None, TrainConfig(), STEERING, way).provenance.settings
    assert (settings["calibrated_by"], settings["strength_unit"]) == ("likelihood", 1.0)
    assert 0.5 < settings["usable_from"] < 1 < settings["usable_to"] < LONGEST
