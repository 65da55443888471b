"""The usable range of a steering is found from its way to the target, wherever it lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from toys.problem import ToyProblem

from lineas.intents.calibration import (
    AIM,
    BEGUN,
    HALVINGS,
    LONGEST,
    UsableRange,
    Way,
    calibrated,
    usable_range,
    way_of,
)
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import fit


def straight(reach: float, apart: float):
    """A steering that goes `reach` of the way at strength 1, and aside as the square of the strength."""
    return lambda s: Way(reach * s, (1 - reach * s) ** 2 + (apart * s * s) ** 2)


@given(st.floats(0.5, 4), st.floats(0.01, 0.2))
def test_the_aim_is_met_at_the_best_strength_and_just_so(reach: float, apart: float) -> None:
    way = straight(reach, apart)
    found = usable_range(way)
    assert found is not None and found.met
    precision = 2 / 2**HALVINGS
    exact = AIM / reach if way(1.0).along < AIM or way(1.0).off >= 1 else 1.0
    assert exact - 1e-9 <= found.best <= exact + precision
    assert BEGUN / reach - 1e-9 <= found.low <= BEGUN / reach + precision
    assert found.best <= found.high <= LONGEST and way(found.high).off < 1


def test_an_aim_that_is_not_met_is_told_and_strength_stays_as_it_was_fitted() -> None:
    found = usable_range(lambda s: Way(min(0.2 * s, 0.5), 0.9 if s < 2.2 else 1.5))
    assert found is not None and (found.best, found.met) == (1, False)
    assert found.high == pytest.approx(2.2, abs=0.05)


def test_a_stretch_that_does_not_reach_the_aim_is_taken_back() -> None:
    # The measured way of a robot that was added to the bundled transformer: at 1.25 it kept 71 % of the rest
    # of the image instead of 83 %.
    strengths, along, off = (0, 1, 1.25, 1.4, 1.6), (0, 0.535, 0.63, 0.649, 0.65), (1, 0.6, 0.64, 0.76, 0.9)
    found = usable_range(lambda s: Way(*(float(np.interp(s, strengths, each)) for each in (along, off))))
    assert found is not None and (found.best, found.met) == (1, False)


def test_the_last_step_to_the_aim_is_gone() -> None:
    # The measured way of sepia that was swapped for pixel art in the bundled UNet: at 1.15 fifteen of sixteen
    # images showed it and kept all the rest, at 1 twelve.
    strengths, along = (0, 1, 1.15, 1.25, 1.56), (0, 0.916, 0.956, 0.993, 1.019)
    off = (1, 0.1, 0.11, 0.13, 0.25)
    found = usable_range(lambda s: Way(*(float(np.interp(s, strengths, each)) for each in (along, off))))
    assert found is not None and found.met and 1.1 <= found.best <= 1.2


def test_a_steering_that_saturates_is_not_stretched() -> None:
    # The measured way of a style that was added to the bundled transformer: at 2.44 all the rest was lost.
    strengths, along = (0, 1, 1.25, 1.56, 1.95, 2.44), (0, 0.79, 0.82, 0.85, 0.88, 0.89)
    off = (1, 0.25, 0.3, 0.37, 0.5, 0.97)
    found = usable_range(lambda s: Way(*(float(np.interp(s, strengths, each)) for each in (along, off))))
    assert found is not None and (found.best, found.met) == (1, False)


def test_use_ends_before_the_rest_of_an_image_is_lost() -> None:
    # The measured way of rain that was added to the bundled UNet: of the images that kept all the rest at 1,
    # seven of eight did so at 1.5, two thirds at 1.75 and one of sixteen at 2.5.
    strengths, along = (0, 1, 1.25, 1.5, 1.75, 2, 2.5), (0, 0.996, 1.041, 1.078, 1.108, 1.135, 1.184)
    off = (1, 0.041, 0.063, 0.125, 0.207, 0.319, 0.668)
    found = usable_range(lambda s: Way(*(float(np.interp(s, strengths, each)) for each in (along, off))))
    assert found is not None and 1.5 <= found.high <= 1.75


def test_use_goes_on_where_an_image_hardly_changes_further() -> None:
    # The measured way of a night that was removed from it: at 3 as many images kept all the rest as at 1.
    strengths, along = (0, 1, 1.5, 2, 2.5, 3), (0, 0.921, 0.95, 0.976, 0.979, 0.984)
    off = (1, 0.074, 0.076, 0.091, 0.127, 0.167)
    found = usable_range(
        lambda s: Way(*(float(np.interp(s, strengths, each)) for each in (along, off))), False
    )
    assert found is not None and found.high == 3


def test_use_ends_early_where_little_was_gained() -> None:
    # The measured way of a robot that was added to the bundled transformer: at 2 no image kept all the rest.
    strengths, along, off = (0, 1, 1.25, 1.5625), (0, 0.558, 0.597, 0.606), (1, 0.65, 0.674, 0.792)
    found = usable_range(lambda s: Way(*(float(np.interp(s, strengths, each)) for each in (along, off))))
    assert found is not None and (found.best, found.met) == (1, False) and found.high < 1.5


def test_images_that_are_prompting_s_own_but_for_rounding_have_a_range() -> None:
    found = usable_range(lambda s: Way(min(s, 1.0), -1e-9 if s >= 1 else (1 - s) ** 2))
    assert found is not None and found.high == LONGEST


def test_a_steering_that_goes_nowhere_has_no_range() -> None:
    assert usable_range(lambda s: Way(0.001 * s, 1.0)) is None


def test_strength_one_is_put_at_the_best_and_the_file_keeps_the_range() -> None:
    steering = fit(ToyProblem(), TrainConfig(steps=2))
    moved = calibrated(steering, UsableRange(0.6, 1.5, 2.25))
    settings = moved.provenance.settings
    assert (settings["strength_unit"], settings["usable_from"], settings["usable_to"]) == (1.5, 0.4, 1.5)
    assert settings["calibrated_by"] == "cost"
    assert moved.allclose(steering.at(1.5))
    assert calibrated(steering, UsableRange(0.6, 1.02, 2.0)).allclose(steering)


def test_the_way_of_a_fit_is_measured_on_the_model() -> None:
    problem, config = ToyProblem(), TrainConfig(steps=60, coupling="pair")
    steering = fit(problem, config)
    way = way_of(ToyProblem(), config, steering)
    assert way(0.0) == Way(0.0, 1.0)
    assert way(1.0).along > 0.3 and way(1.0).off < 0.9
    held, free = ToyProblem((6, 6, 4)), ToyProblem((6, 6, 4))
    free.sizes["preserve"] = 0
    with_them, without = (way_of(each, config, steering)(1.0) for each in (held, free))
    assert with_them.along == without.along and with_them.off > without.off
    halves = way_of(ToyProblem(), TrainConfig(steps=60, coupling="pair", micro_batch=1), steering)
    torch.testing.assert_close(
        torch.tensor([halves(0.5).along, halves(0.5).off]), torch.tensor([way(0.5).along, way(0.5).off])
    )
