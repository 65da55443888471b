"""Steerings made from steerings; needs no ComfyUI."""

from __future__ import annotations

import pytest
import torch

from comfyui_lineas.algebra import GROUPS, composed, inverted, restricted
from lineas.errors import ConfigError, SiteError
from lineas.maps.affine import AffineMap
from lineas.steering.site import Site
from lineas.steering.steering import Steering

NAMES = (
    "text_encoder.text_model.encoder.layers.0.layer_norm1",
    "unet.down_blocks.0.resnets.0.norm1",
    "unet.down_blocks.1.attentions.0.norm",
    "unet.mid_block.attentions.0.norm",
    "unet.up_blocks.1.attentions.0.transformer_blocks.0.norm1",
    "unet.conv_norm_out",
)


def steering(seed: int = 0) -> Steering:
    random = torch.Generator().manual_seed(seed)
    return Steering({Site(n): AffineMap(*(0.1 * torch.randn(2, 3, generator=random))) for n in NAMES})


def names(made: Steering) -> list[str]:
    return [site.name for site in made.sites]


def test_the_inverse_undoes_and_the_log_tells_what_it_cannot(caplog: pytest.LogCaptureFixture) -> None:
    both = composed([steering(), inverted(steering())], [1.0, 1.0], "sequence")
    assert all(float(map.deviation.abs().max()) < 1e-6 for map in both.maps.values())
    off = Steering({Site("a"): AffineMap(torch.full((3,), -1.0), torch.zeros(3))})
    inverted(off)
    assert "3 units limited" in caplog.text


def test_three_are_composed_in_order_at_their_weights() -> None:
    one, two, three = (steering(seed) for seed in range(3))
    expected = one.at(0.5).compose(two).compose(three.at(-1.0))
    assert composed([one, two, three], [0.5, 1.0, -1.0], "sequence").allclose(expected)
    added = composed([one, two, three], [1.0, 1.0, 1.0], "sum")
    assert added.allclose(composed([three, two, one], [1.0, 1.0, 1.0], "sum"), atol=1e-6)


def test_one_is_too_few_to_compose() -> None:
    with pytest.raises(ConfigError, match="expected at least 2"):
        composed([steering()], [1.0], "sum")


def test_all_groups_keep_everything() -> None:
    assert restricted(steering(), list(GROUPS)).sites == steering().sites


@pytest.mark.parametrize(
    ("off", "left"),
    [
        ("text_encoder", NAMES[1:]),
        ("down", (NAMES[0], *NAMES[3:])),
        ("resnets", (NAMES[0], *NAMES[2:])),
        ("attention", (NAMES[0], NAMES[1], NAMES[5])),
        ("others", NAMES[:5]),
    ],
)
def test_a_group_is_switched_off(off: str, left: tuple[str, ...]) -> None:
    assert names(restricted(steering(), [group for group in GROUPS if group != off])) == list(left)


def test_a_pattern_narrows_further() -> None:
    assert names(restricted(steering(), list(GROUPS), "*mid_block*, *up_blocks*")) == list(NAMES[3:5])


def test_nothing_left_is_told() -> None:
    with pytest.raises(SiteError, match="switch one place"):
        restricted(steering(), ["up"])
    with pytest.raises(SiteError, match="No site matches"):
        restricted(steering(), list(GROUPS), "nothing*")
