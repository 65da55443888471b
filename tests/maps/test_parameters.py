"""Parameters: zero at the identity, whatever the family, and gradients reach them all."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from lineas.maps.affine import AffineParameters
from lineas.maps.base import FAMILIES, Map, trainable
from lineas.maps.gated import GatedMap, gate_start
from lineas.maps.parameters import Parameters, Start
from lineas.maps.virtual_tokens import COUNT, LAST, VirtualTokenMap, VirtualTokenParameters, concept_words


def start(d: int = 4) -> Start:
    generator = torch.Generator().manual_seed(0)
    spread, center = torch.rand(2, d, generator=generator, dtype=torch.float64) + 0.5
    source, target = torch.randn(2, 5, 3, d, generator=generator, dtype=torch.float64)
    return Start(spread, center, source + 2, target, source[:, :3])


def parameters_of(kind: str) -> Parameters:
    built = FAMILIES[kind].parameters
    assert built is not None
    return built(start())


def at_tokens(parameters: Parameters) -> Map:
    """The map for two prompts of two tokens."""
    real = torch.zeros(2, 6, dtype=torch.bool)
    real[:, :2] = True
    return parameters.map().placed(real)


@pytest.mark.parametrize("kind", trainable())
def test_zeros_are_the_identity_and_one_zero_unit_is_untouched(kind: str) -> None:
    parameters = parameters_of(kind)
    with torch.no_grad():
        for each in parameters.penalised():
            each *= 0  # virtual tokens start as words
    assert parameters.map().kind == kind and parameters.map().is_identity
    z = torch.randn(2, 6, 4, dtype=torch.float64)
    assert torch.equal(at_tokens(parameters)(z), z)
    with torch.no_grad():
        for each in parameters.penalised():
            each += 0.1
            each[..., 2] = 0
    assert parameters.map().support.tolist() == [True, True, False, True]


@pytest.mark.parametrize("kind", trainable())
def test_gradients_reach_every_parameter(kind: str) -> None:
    parameters = parameters_of(kind)
    with torch.no_grad():
        for each in parameters.penalised():
            each += 0.1
    at_tokens(parameters)(torch.randn(2, 6, 4, dtype=torch.float64)).square().sum().backward()
    assert len(parameters.gradients()) == len(parameters.all())
    assert all(gradient.abs().sum() > 0 for gradient in parameters.gradients())
    parameters.forget_gradients()
    assert parameters.gradients() == []


def test_the_affine_map_is_the_formula_in_the_units_spread_around_its_center() -> None:
    given = start()
    parameters = AffineParameters(given)
    with torch.no_grad():
        parameters.deviation += torch.linspace(-1, 1, 4)
        parameters.shift += torch.linspace(2, 3, 4)
    z = torch.randn(3, 4, dtype=torch.float64)
    expected = z + parameters.deviation * (z - given.center) + given.spread * parameters.shift
    torch.testing.assert_close(parameters.map()(z), expected)
    assert torch.equal(parameters.map()(given.center), given.center + given.spread * parameters.shift)


def test_a_gate_starts_where_it_was_found_without_sharing_it() -> None:
    given, parameters = start(), parameters_of("gated")
    assert given.source is not None and given.target is not None
    center, spread, direction, offset = gate_start(given.source, given.target)
    map = parameters.map()
    assert isinstance(map, GatedMap)
    for found, expected in zip(
        (map.center, map.spread, map.direction, map.offset), (center, spread, direction, offset), strict=True
    ):
        assert torch.equal(found, expected)
    with torch.no_grad():
        parameters.free()[0].add_(1)
    assert torch.equal(gate_start(given.source, given.target)[2], direction)


def test_a_gate_between_sets_that_differ_by_rounding_alone_is_half_open_everywhere() -> None:
    """Nothing is made of noise."""
    given = start()
    assert given.target is not None
    _, _, direction, offset = gate_start(given.target * (1 + 1e-7), given.target)
    assert not direction.any() and not offset.any()


@pytest.mark.parametrize(("seen", "count", "offset"), [(True, COUNT, 0), (False, LAST, 1 - LAST)])
def test_virtual_tokens_start_as_words_behind_the_prompt_or_at_the_last_places_that_are_seen(
    seen: bool, count: int, offset: int
) -> None:
    generator = torch.Generator().manual_seed(1)
    source, target = torch.randn(2, 6, 8, 4, generator=generator, dtype=torch.float64)
    given = replace(start(), source=source, target=target, behind=source[:, :LAST], seen=seen)
    made = VirtualTokenParameters(given).map()
    words = concept_words(source / given.spread, target / given.spread, count)
    assert (made.slots, int(made.offset)) == (count, offset) and words is not None
    torch.testing.assert_close(source[:, :count].mean(0) + made.vectors, words * given.spread)
    real = torch.arange(12)[None] < 9
    first = made.placed(real).first
    assert first is not None and int(first) == 8 + offset


def test_a_prompt_that_is_too_short_for_virtual_tokens_is_told_to_be_lengthened() -> None:
    map = VirtualTokenMap(torch.ones(LAST, 4), torch.zeros(4), torch.zeros(4), torch.tensor(1.0 - LAST))
    with pytest.warns(UserWarning, match="A prompt of 3 tokens leaves no room for 5 .* Lengthen the prompt"):
        map.placed(torch.arange(12)[None] < torch.tensor([[3], [8]]))
    with pytest.warns(UserWarning, match="A prompt of 12 tokens leaves no room for 5 .* Shorten the prompt"):
        replace(map, offset=torch.tensor(0.0)).placed(torch.ones(1, 12, dtype=torch.bool))
