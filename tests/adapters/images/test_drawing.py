from __future__ import annotations

from typing import Any

import pytest
from toys.models import affine, snapshot
from toys.saved import one_step_pipeline

from lineas.adapters.images.drawing import Drawer
from lineas.errors import MismatchError
from lineas.steering.site import Site
from lineas.steering.steering import Steering

STEERING = Steering({Site("unet.conv_norm_out", 0, 1): affine(16)})
PROMPTS = ["a", "b", "a at night"]


@pytest.fixture(scope="module")
def pipe() -> Any:
    return one_step_pipeline()


def pixels(images: list) -> list[bytes]:
    return [image.tobytes() for image in images]


def test_a_prompt_has_the_same_noise_at_every_strength_and_batch_size(pipe: Any) -> None:
    plain = pixels(Drawer(pipe, seed=3)(PROMPTS))
    drawer = Drawer(pipe, [STEERING], seed=3, batch=2)
    assert pixels(drawer(PROMPTS, 0.0)) == plain
    assert pixels(drawer(PROMPTS, 1.0)) != plain
    assert pixels(drawer(PROMPTS, 0.0)) == plain
    assert pixels(drawer(PROMPTS[1:2], 0.0, [4])) == plain[1:2]
    assert len(set(plain)) == 3


def test_weights_scale_the_strength(pipe: Any) -> None:
    half = pixels(Drawer(pipe, [STEERING], [0.5])(PROMPTS))
    assert half == pixels(Drawer(pipe, [STEERING])(PROMPTS, 0.5))
    assert half == pixels(Drawer(pipe, [STEERING, STEERING], [0.5, 0.0])(PROMPTS))


def test_the_model_is_left_as_it_was(pipe: Any) -> None:
    done: list[int] = []
    before = snapshot(pipe.components["unet"])
    Drawer(pipe, [STEERING], batch=2, on_images=done.append)(PROMPTS)
    assert done == [2, 1]
    after = snapshot(pipe.components["unet"])
    assert all(a[1] == b[1] and a[2].equal(b[2]) for a, b in zip(before, after, strict=True))
    assert not any(module._forward_hooks for module in pipe.components["unet"].modules())


def test_unlike_numbers_are_refused(pipe: Any) -> None:
    with pytest.raises(MismatchError, match="weights"):
        Drawer(pipe, [STEERING], [1, 2])
    with pytest.raises(MismatchError, match="seeds"):
        Drawer(pipe)(PROMPTS, seeds=[1])
