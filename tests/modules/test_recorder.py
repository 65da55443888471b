"""Capture: outputs in every container, rows in order, transforms, checkpoints, modes, and clean removal."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from toys.models import Pair, TwoOutputs, assert_untouched, noise, snapshot, toy_unet

from lineas.errors import MismatchError, SiteError
from lineas.maths.pooling import mean_rows
from lineas.modules.names import find_sites
from lineas.modules.recorder import AllRecorded, Recorder, get_output, replace_output
from lineas.steering.site import Site

CONTAINERS = {
    "tuple": lambda a, b: (a, b),
    "list": lambda a, b: [a, b],
    "named tuple": Pair,
    "dict": lambda a, b: {"first": a, "second": b},
    "ordered dict": lambda a, b: OrderedDict(first=a, second=b),
}


def pool(site: Site, z: Tensor) -> Tensor:
    return mean_rows(z, site.axis)


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("index", [0, 1])
def test_an_output_is_replaced_in_a_container_of_the_same_kind(kind: str, index: int) -> None:
    a, b, new = noise(2), noise(2, seed=2), noise(2, seed=3)
    output: Any = CONTAINERS[kind](a, b)
    replaced = replace_output(output, index, new)
    assert type(replaced) is type(output)
    assert get_output(replaced, index) is new
    assert get_output(replaced, 1 - index) is (b, a)[index]
    assert get_output(output, index) is (a, b)[index]


def test_model_outputs_are_replaced_by_key_and_by_attribute() -> None:
    outputs = pytest.importorskip("transformers.modeling_outputs")
    output = outputs.BaseModelOutput(last_hidden_state=noise(2))
    new = noise(2, seed=3)
    replaced = replace_output(output, 0, new)
    assert type(replaced) is type(output)
    assert replaced.last_hidden_state is new
    assert replaced[0] is new
    assert output.last_hidden_state is not new


@pytest.mark.parametrize(
    ("output", "index"), [(None, 0), ((1, 2), 0), (torch.ones(1), 1), ("text", 0), ({}, 0)]
)
def test_what_is_not_a_tensor_is_refused(output: Any, index: int) -> None:
    with pytest.raises(MismatchError, match="not a tensor"):
        get_output(output, index)


def test_rows_are_pooled_per_firing_in_execution_order_and_nothing_changes() -> None:
    unet, x = toy_unet(), noise(3, 4, 4, 4)
    sites = list(reversed(find_sites({"": unet}, "*norm*")))
    before, expected = snapshot(unet), unet(x)
    with Recorder(unet, sites, pool=pool) as recorder:
        assert torch.equal(unet(x), expected)
        unet(x[:1])
    assert recorder.order == list(reversed(sites))
    assert [tuple(rows.shape) for rows in recorder.rows[sites[0]]] == [(3, 4), (1, 4)]
    torch.testing.assert_close(recorder.rows[sites[0]][0], expected.mean((2, 3)))
    assert not recorder.silent
    assert_untouched(unet, before)


def test_without_a_pool_the_activation_is_kept_and_clear_forgets_it() -> None:
    unet, x = toy_unet(), noise(1, 4, 4, 4)
    site = Site("conv_norm_out", axis=1)
    with Recorder(unet, [site]) as recorder:
        y = unet(x)
        assert recorder.rows[site][0] is y
        recorder.clear()
        assert recorder.rows == {site: []}
        recorder.recording = False
        unet(x)
    assert recorder.rows == {site: []}
    assert recorder.order == [site]


def test_a_transform_is_fed_on_and_recorded_after_itself() -> None:
    unet, x = toy_unet(), noise(2, 4, 4, 4)
    first, last = Site("blocks.0.norm1", axis=1), Site("conv_norm_out", axis=1)
    plain = unet(x)
    with Recorder(unet, [first, last], transform=lambda site, z: 3 * z + 1) as recorder:
        steered = unet(x)
    torch.testing.assert_close(recorder.rows[first][0], 3 * unet.blocks[0].norm1(x) + 1)
    assert torch.equal(recorder.rows[last][0], steered)
    assert not torch.allclose(
        recorder.rows[last][0], 3 * plain + 1
    )  # the first transform reached the last site


@pytest.mark.parametrize("kind", CONTAINERS)
def test_one_output_of_several_is_transformed_alone(kind: str) -> None:
    model, x = TwoOutputs(CONTAINERS[kind]), noise(2, 4)
    site = Site("two", output=1)
    with Recorder(nn.ModuleDict({"two": model}), [site], transform=lambda _, z: z + 1) as recorder:
        output = model(x)
    assert torch.equal(get_output(output, 1), 2 * x + 1)
    assert torch.equal(get_output(output, 0), model.inner(x))
    assert recorder.order == [site]


def test_gradients_reach_the_transform_through_the_rows() -> None:
    unet, x = toy_unet().requires_grad_(False), noise(2, 4, 4, 4)
    sites = find_sites({"": unet}, "*norm*")
    shifts = {site: torch.zeros(4, requires_grad=True) for site in sites}

    def add(site: Site, z: Tensor) -> Tensor:
        return z + (shifts[site].view(1, 4, 1, 1) if site.axis == 1 else shifts[site])

    with Recorder(unet, sites, add, pool) as recorder:
        unet(x)
    sum(rows.square().sum() for site in sites for rows in recorder.rows[site]).backward()
    assert all(shift.grad is not None and bool(shift.grad.abs().sum() > 0) for shift in shifts.values())
    assert all(parameter.grad is None for parameter in unet.parameters())


def test_a_run_ends_with_the_last_firing_that_is_wanted() -> None:
    unet, x = toy_unet(), noise(2, 4, 4, 4)
    sites = find_sites({"": unet}, "*norm*")
    with Recorder(unet, sites, firings=1) as recorder, pytest.raises(AllRecorded):
        unet(x)
    assert [len(rows) for rows in recorder.rows.values()].count(1) == 1 and len(recorder.order) == 1
    assert not any(module._forward_hooks for module in unet.modules())


def test_a_checkpointed_block_is_recorded_once_and_has_the_same_gradient() -> None:
    unet, x = toy_unet().requires_grad_(False), noise(2, 4, 4, 4)
    sites = find_sites({"": unet}, "*norm*")

    def gradient(run: Any) -> tuple[Tensor, int, int]:
        scale = torch.full((4,), 1.2, requires_grad=True)
        calls = 0

        def transform(site: Site, z: Tensor) -> Tensor:
            nonlocal calls
            calls += 1
            return z * (scale.view(1, 4, 1, 1) if site.axis == 1 else scale)

        with Recorder(unet, sites, transform, pool) as recorder:
            h = run(unet.blocks[1], run(unet.blocks[0], x))
            unet.conv_norm_out(h)
            sum(rows.square().sum() for site in sites for rows in recorder.rows[site]).backward()
        assert scale.grad is not None
        return scale.grad, sum(len(rows) for rows in recorder.rows.values()), calls

    plain, recorded, calls = gradient(lambda block, h: block(h))
    replayed, recorded_too, more_calls = gradient(lambda block, h: checkpoint(block, h, use_reentrant=False))
    torch.testing.assert_close(replayed, plain)
    assert recorded == recorded_too == calls == len(sites)
    assert more_calls > calls  # the blocks did run again


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_rows_can_be_taken_without_gradients(mode: Any) -> None:
    unet, x = toy_unet(), noise(2, 4, 4, 4)
    site = Site("conv_norm_out", axis=1)
    with mode(), Recorder(unet, [site], lambda _, z: 2 * z, pool) as recorder:
        unet(x)
    assert not recorder.rows[site][0].requires_grad
    torch.testing.assert_close(recorder.rows[site][0], 2 * unet(x).mean((2, 3)).detach())


def test_hooks_go_also_when_the_model_fails() -> None:
    unet = toy_unet()
    before = snapshot(unet)
    with pytest.raises(RuntimeError), Recorder(unet, find_sites({"": unet}, "*norm*")):
        unet(noise(1, 3, 4, 4))
    assert_untouched(unet, before)


def test_missing_and_silent_sites_are_told() -> None:
    unet = toy_unet()
    with pytest.raises(SiteError, match=r"blocks\.0\.norm1"):
        Recorder(unet, [Site("blocks.0.norm")])
    unused = nn.ModuleDict({"unet": unet, "spare": nn.LayerNorm(4)})
    with Recorder(unused, [Site("spare")]) as recorder:
        unet(noise(1, 4, 4, 4))
    assert recorder.silent == [Site("spare")]
