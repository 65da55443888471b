"""Fits of models whose weights lie elsewhere: the result is that of the model as a whole, to the bit."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from toys.pipelines import ARGUMENTS, SOURCE, TARGET, draw, flux, sd1

from lineas import Steering, fit
from lineas.adapters.images.recipes import Recipe
from lineas.adapters.images.sites import denoisers
from lineas.modules.names import module_tree

accelerate = pytest.importorskip("accelerate")
hooks = pytest.importorskip("diffusers.hooks")
CPU = torch.device("cpu")
PIPES: dict[str, tuple[Callable[[], Any], dict[str, Any]]] = {
    "sd1": (sd1, {}),
    "flux": (flux, ARGUMENTS["FLUX"]),
}


def denoiser(pipe: Any) -> Any:
    return next(iter(denoisers(module_tree(pipe)).values()))


def one_model(pipe: Any, folder: Path) -> None:
    """One model after the other is on the device; stood in for by the CPU, on which they are all."""
    pipe.enable_model_cpu_offload(device="cpu")


def sequential(pipe: Any, folder: Path) -> None:
    """Weights are on "meta" but while their module runs."""
    accelerate.cpu_offload(denoiser(pipe), CPU)


def groups(kind: str) -> Callable[[Any, Path], None]:
    def prepared(pipe: Any, folder: Path) -> None:
        """Weights are in a file but while their group runs, and not a number in the memory that they had."""
        options: dict[str, Any] = {"num_blocks_per_group": 1} if kind == "block_level" else {}
        hooks.apply_group_offloading(
            denoiser(pipe), onload_device=CPU, offload_device=CPU, offload_type=kind,
            offload_to_disk_path=str(folder), **options,
        )  # fmt: skip

    return prepared


OFFLOADED = {
    "one model": one_model,
    "sequential": sequential,
    "groups of leaves": groups("leaf_level"),
    "groups of blocks": groups("block_level"),
}


@cache
def whole(name: str, checkpointing: bool) -> Steering:
    return fitted(PIPES[name][0](), name, checkpointing=checkpointing)


def fitted(pipe: Any, name: str, **options: Any) -> Steering:
    recipe = Recipe("one", arguments=PIPES[name][1])
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="There are")
        return fit(pipe, SOURCE, TARGET, recipe=recipe, steps=3, learning_rate=0.01, micro_batch=2, **options)


@pytest.fixture
def not_a_number_where_empty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory that nothing was written to holds no number, so that using weights that are away shows."""
    empty_like = torch.empty_like
    monkeypatch.setattr(
        torch, "empty_like",
        lambda tensor, **options: empty_like(tensor, **options).fill_(float("nan"))
        if tensor.is_floating_point() else empty_like(tensor, **options),
    )  # fmt: skip


@pytest.mark.usefixtures("not_a_number_where_empty")
@pytest.mark.parametrize(
    ("name", "way", "checkpointing"),
    [
        ("sd1", "one model", False),
        ("sd1", "sequential", False),
        ("sd1", "sequential", True),
        ("sd1", "groups of leaves", True),
        ("sd1", "groups of blocks", False),
        ("sd1", "groups of blocks", True),
        ("flux", "groups of leaves", False),
        ("flux", "groups of blocks", True),
    ],
)
def test_an_offloaded_model_gives_the_steering_of_the_whole_one(
    name: str, way: str, checkpointing: bool, tmp_path: Path
) -> None:
    pipe = PIPES[name][0]()
    base = draw(pipe, **PIPES[name][1])
    wanted = [weight.requires_grad for weight in denoiser(pipe).parameters()]
    OFFLOADED[way](pipe, tmp_path)
    steering = fitted(pipe, name, checkpointing=checkpointing)
    assert steering.allclose(whole(name, checkpointing), atol=1e-6)
    assert torch.equal(draw(pipe, **PIPES[name][1]), base)
    assert [weight.requires_grad for weight in denoiser(pipe).parameters()] == wanted
    if way == "sequential":
        assert all(weight.is_meta for weight in denoiser(pipe).parameters())
    if way == "groups of leaves":
        assert sum(bool(weight.isnan().all()) for weight in denoiser(pipe).parameters()) > 10


@pytest.mark.parametrize(("name", "checkpointing"), [("sd1", False), ("flux", True)])
def test_weights_that_are_cast_between_forwards_are_trained_through(name: str, checkpointing: bool) -> None:
    pipe = PIPES[name][0]()
    denoiser(pipe).enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=torch.float32)
    stored = {name: weight.dtype for name, weight in denoiser(pipe).named_parameters()}
    assert torch.float8_e4m3fn in stored.values()
    base = draw(pipe, **PIPES[name][1])
    made = fitted(pipe, name, checkpointing=checkpointing).provenance.settings
    assert made["cost"] < made["cost_at_start"]
    assert {name: weight.dtype for name, weight in denoiser(pipe).named_parameters()} == stored
    assert torch.equal(draw(pipe, **PIPES[name][1]), base)
