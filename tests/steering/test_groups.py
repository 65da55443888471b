"""Strengths of groups of blocks."""

from __future__ import annotations

import pytest
import torch

from lineas.errors import SiteError
from lineas.maps.affine import AffineMap
from lineas.maps.gated import GatedMap
from lineas.steering.groups import at_groups, groups_of
from lineas.steering.site import Site
from lineas.steering.steering import Steering

DOWN, UP = Site("unet.down_blocks.1.attentions.0.norm"), Site("unet.up_blocks.0.resnets.1.norm1")
TEXT = Site("text_encoder.text_model.encoder.layers.0.layer_norm1")


def steering() -> Steering:
    maps = {site: AffineMap(torch.full((3,), 0.5), torch.full((3,), 2.0)) for site in (DOWN, UP)}
    return Steering({TEXT: GatedMap.from_tensors(gate()), **maps})


def gate() -> dict[str, torch.Tensor]:
    drawn = torch.Generator().manual_seed(0)
    shapes = {name: () if name == "offset" else (3,) for name in GatedMap.names()}
    return {name: torch.rand(shape, generator=drawn) for name, shape in shapes.items()}


def test_a_site_lies_in_one_place_and_may_be_of_a_kind() -> None:
    assert groups_of(DOWN) == {"down", "attention"}
    assert groups_of(TEXT) == {"text_encoder"}
    assert groups_of(Site("comfy.double_blocks.0.img_attn.norm")) == {"others"}


def test_strengths_of_groups_multiply_and_others_stay() -> None:
    z = torch.randn(2, 3, generator=torch.Generator().manual_seed(1))
    whole = steering()
    made = at_groups(whole, {"down": 0.5, "*attentions*": 0.5, "text_encoder": 0})
    assert torch.allclose(made.maps[DOWN](z), whole.maps[DOWN](z, 0.25))
    assert torch.equal(made.maps[UP](z), whole.maps[UP](z))
    assert torch.equal(made.maps[TEXT](z), z)
    assert "down 0.5" in made.provenance.notes
    assert at_groups(whole, {}) is whole


def test_a_group_without_sites_is_refused() -> None:
    with pytest.raises(
        SiteError, match=r"no site in 'mid'\. Its groups are down, up, attention, resnets, text"
    ):
        at_groups(steering(), {"mid": 0.5})
