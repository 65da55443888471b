"""The renderer and the noise that decides what a prompt leaves open."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats

from lineas.scenes.grammar import OBJECTS, PLACES, STYLES, TIMES, WEATHERS, Scene
from lineas.scenes.nuisance import COUNT, basis, nuisance
from lineas.scenes.render import positions, render
from tools.scenes_model.data import noise_for

MIDDLE = np.full(COUNT, 0.5)
SCENES = [
    *(Scene(objects=((name, None),)) for name in OBJECTS),
    *(Scene(place=name) for name in PLACES),
    *(Scene(place="meadow", time=name) for name in TIMES),
    *(Scene(place="meadow", weather=name) for name in WEATHERS),
    *(Scene(place="meadow", style=name) for name in STYLES),
]


def test_the_patterns_are_orthonormal():
    flat = basis().flatten(1)
    torch.testing.assert_close(flat @ flat.T, torch.eye(COUNT, dtype=torch.float64))


def test_standard_noise_gives_independent_uniform_numbers():
    u = nuisance(torch.randn(4000, 4, 16, 16, generator=torch.Generator().manual_seed(0)))
    assert all(stats.kstest(u[:, k], "uniform").pvalue > 1e-3 for k in range(COUNT))
    correlation = np.corrcoef(u.T) - np.eye(COUNT)
    assert np.abs(correlation).max() < 0.08


def test_noise_can_be_made_for_given_numbers():
    u = torch.rand(8, COUNT, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    noise = noise_for(u, torch.Generator().manual_seed(2))
    np.testing.assert_allclose(nuisance(noise), u.numpy(), atol=1e-4)
    assert abs(noise.std() - 1) < 0.05


@pytest.mark.parametrize("scene", SCENES, ids=str)
def test_every_part_changes_the_image(scene):
    without = (
        Scene()
        if scene.objects or (scene.place and not (scene.time or scene.weather or scene.style))
        else Scene(place="meadow")
    )
    image, other = render(scene, MIDDLE), render(without, MIDDLE)
    assert image.shape == (128, 128, 3) and image.dtype == np.uint8
    assert np.abs(image.astype(float) - other).mean() > 1


def test_the_same_scene_and_numbers_give_the_same_image():
    scene = Scene(objects=(("cat", "red"), ("clock", None)), place="beach", weather="rain")
    np.testing.assert_array_equal(render(scene, MIDDLE), render(scene, MIDDLE))


def test_objects_stand_on_the_latent_grid_inside_the_image():
    rng = np.random.default_rng(0)
    for count in (1, 2):
        for _ in range(50):
            for left, size in positions(count, rng.random(COUNT)):
                assert left % 8 == size % 8 == 0 and 0 <= left <= 128 - size
