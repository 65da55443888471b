"""Folds: all or nothing, and changes by others are seen, never overwritten."""

from __future__ import annotations

import sys
from types import FrameType
from typing import Any

import pytest
import torch
from torch import nn
from toys.models import affine, assert_untouched, noise, snapshot, steering_for, toy_unet

from lineas.apply import folded_weights
from lineas.apply.fusing import fuse
from lineas.errors import MismatchError
from lineas.modules.names import find_sites
from lineas.steering.site import Site
from lineas.steering.steering import Steering


def linear() -> tuple[nn.ModuleDict, Steering]:
    return nn.ModuleDict({"site": nn.Linear(3, 4)}), Steering({Site("site"): affine(4)})


def test_weights_that_were_changed_meanwhile_are_not_overwritten() -> None:
    """As by a LoRA that is merged over a fuse, and taken out again."""
    model, steering = linear()
    before, site = snapshot(model), model["site"]
    handle, lora = fuse(model, steering), 0.1 * noise(4, 3)
    site.weight.data += lora
    changed = site.weight.detach().clone()
    for action in (handle.remove, lambda: handle.set_strength(0.5), lambda: fuse(model, steering)):
        with pytest.raises(MismatchError, match="changed by something else"):
            action()
        assert torch.equal(site.weight, changed)
    site.weight.data -= lora
    handle.remove()
    assert_untouched(model, before)


def test_a_module_that_was_replaced_under_a_fuse_is_told() -> None:
    """As where a model is quantised: what is folded goes over into the new weights, and stays there."""
    model, steering = linear()
    handle, old = fuse(model, steering), model["site"]
    model["site"] = nn.Linear(3, 4)
    model["site"].load_state_dict(old.state_dict())
    for action in (handle.remove, lambda: handle.set_strength(0.5)):
        with pytest.raises(MismatchError, match="1 modules that a steering is fused into were replaced"):
            action()
    taken_over = model["site"].weight.detach().clone()
    handle.remove(keep=True)
    assert torch.equal(model["site"].weight, taken_over) and not torch.equal(old.weight, taken_over)


def test_weights_that_were_loaded_over_a_fuse_are_kept_whole() -> None:
    model, steering = linear()
    loaded = {
        name: tensor.clone() for name, tensor in nn.ModuleDict({"site": nn.Linear(3, 4)}).state_dict().items()
    }
    handle = fuse(model, steering)
    model.load_state_dict(loaded)
    with pytest.raises(MismatchError, match="keep=True"):
        handle.remove()
    handle.remove(keep=True)
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())
    with fuse(model, steering):
        pass
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("failing", range(1, 10))
def test_a_failure_at_any_allocation_leaves_the_model_as_it_was(
    failing: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    unet = toy_unet()
    before, calls = snapshot(unet), 0
    whole = folded_weights.folded

    def short_of_memory(*args: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == failing:
            raise MemoryError
        return whole(*args)

    monkeypatch.setattr(folded_weights, "folded", short_of_memory)
    with pytest.raises(MemoryError):
        fuse(unet, steering_for(unet, find_sites({"": unet}, "*")))
    assert_untouched(unet, before)
    monkeypatch.undo()
    with fuse(unet, steering_for(unet, find_sites({"": unet}, "*"))):
        pass
    assert_untouched(unet, before)


def interrupted_at(line: int, action: Any) -> bool:
    """Run an action with a Ctrl-C before its n-th line in the modules of `apply`; False when it has fewer."""
    left = line

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal left
        if "/lineas/apply/" not in frame.f_code.co_filename.replace("\\", "/"):
            return None
        if event == "line":
            left -= 1
            if left == 0:
                raise KeyboardInterrupt
        return trace

    sys.settrace(trace)
    try:
        action()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


def test_ctrl_c_at_any_line_of_a_fuse_leaves_nothing_behind() -> None:
    model, x = nn.ModuleDict({"a": nn.LayerNorm(4), "b": nn.Linear(4, 4, bias=False)}), noise(2, 4)
    steering = Steering({Site("a"): affine(4), Site("b"): affine(4)})
    before, plain, line, handles = snapshot(model), model["b"](model["a"](x)), 0, []
    while True:
        line += 1
        if not interrupted_at(line, lambda: handles.append(fuse(model, steering))):
            break
        assert not handles
        assert_untouched(model, before)
    assert line > 100
    # And of its end: what an interrupted removal leaves is one that can be repeated.
    line = 0
    while True:
        line += 1
        handle = handles.pop() if handles else fuse(model, steering)
        done = not interrupted_at(line, handle.remove)
        handle.remove()
        assert torch.equal(model["b"](model["a"](x)), plain)
        assert_untouched(model, before)
        if done:
            break
    assert line > 50
