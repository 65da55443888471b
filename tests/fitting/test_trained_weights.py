"""Maps trained through their modules' weights: the gradients of hooks, and nothing left behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from toys.models import CASES, OnePlusRMSNorm, ScaledRMSNorm, SquaredRMSNorm, assert_untouched, snapshot
from toys.problem import WIDTH, ToyProblem, gradients_of, moved

from lineas.fitting.trained_weights import at_work, holders
from lineas.maps.affine import AffineMap
from lineas.maps.shift import ShiftMap
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer
from lineas.steering.site import Site

SIZES = (5, 7, 4)
NORM = Site("blocks.0.norm")


def trainer(problem: ToyProblem, **options: Any) -> Trainer:
    return moved(Trainer(problem, TrainConfig.preset("fast", **{"steps": 4, **options})))


def gradient(made: Trainer, hooked: bool = False) -> list[Tensor]:
    if hooked:
        made.gradient._holders = {}
    with made._ready():
        assert made.gradient() is None
    return gradients_of(made.parameters)


def with_norms(make: Callable[[], nn.Module], **options: Any) -> ToyProblem:
    """The toy with other norms in its first block, irregular ones."""
    problem = ToyProblem(SIZES, **options)
    for name in ("norm", "norm2"):
        norm = make().to(torch.float64)
        with torch.no_grad():
            for number, parameter in enumerate(norm.parameters()):
                parameter.copy_(torch.linspace(0.4, 1.3, WIDTH) + 0.1 * number)
        setattr(problem.model.blocks[0], name, norm)
    return problem


NORMS: dict[str, tuple[Callable[[], nn.Module], bool]] = {
    "with a bias": (lambda: nn.LayerNorm(WIDTH), True),
    "no bias yet": (lambda: nn.LayerNorm(WIDTH, bias=False), True),
    "scale alone": (CASES["rms_norm"].make, True),
    "one plus": (lambda: OnePlusRMSNorm(WIDTH), True),
    "scale by another name": (lambda: ScaledRMSNorm(WIDTH), True),
    "of transformers": (CASES["llama"].make, True),
    "no weight": (lambda: nn.LayerNorm(WIDTH, elementwise_affine=False), False),
    "another form": (lambda: SquaredRMSNorm(WIDTH), False),
}


@pytest.mark.parametrize(
    "options", [{}, {"micro_batch": 2}, {"checkpointing": True}, {"map": "shift"}], ids=str
)
@pytest.mark.parametrize("norm", NORMS)
def test_the_gradient_is_that_behind_hooks(norm: str, options: dict[str, Any]) -> None:
    make, folds = NORMS[norm]
    made = trainer(with_norms(make), **options)
    before = snapshot(made.problem.model)
    got = gradient(made)
    assert (NORM in made.gradient._holders) == folds
    assert_untouched(made.problem.model, before)
    assert got and all(bool(each.any()) for each in got)
    torch.testing.assert_close(
        got, gradient(trainer(with_norms(make), **options), hooked=True), rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_parameters_stay_in_float32_in_a_half_precision_model(dtype: torch.dtype) -> None:
    made, hooked = (trainer(ToyProblem(SIZES, dtype=dtype)) for _ in range(2))
    got, expected = torch.cat(gradient(made)), torch.cat(gradient(hooked, hooked=True))
    assert got.dtype == torch.float32 and made.gradient._holders
    assert torch.nn.functional.cosine_similarity(got, expected, dim=0) > 0.99


def test_memory_that_runs_short_gives_the_same_maps() -> None:
    short, whole = trainer(ToyProblem(SIZES, limit=2)), trainer(ToyProblem(SIZES))
    torch.testing.assert_close(gradient(short), gradient(whole), rtol=1e-9, atol=1e-12)
    assert short.batches.size < 7


@pytest.mark.parametrize("error", [RuntimeError("broken"), KeyboardInterrupt()])
def test_weights_are_the_same_tensors_after_a_failure(error: BaseException) -> None:
    made = trainer(ToyProblem(SIZES))
    before = snapshot(made.problem.model)

    def fail(*_: Any) -> None:
        raise error

    handle = made.problem.model.blocks[1].mix.register_forward_hook(fail)
    with pytest.raises(type(error)), made._ready():
        made.gradient()
    handle.remove()
    assert_untouched(made.problem.model, before)


def test_a_failure_on_the_way_in_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = nn.Sequential(nn.LayerNorm(4), nn.LayerNorm(4))
    maps = {Site(name): AffineMap(torch.ones(4), torch.ones(4)) for name in "01"}
    held, before = holders({"": model}, maps), snapshot(model)
    broken = {Site("0"): maps[Site("0")], Site("1"): AffineMap(torch.ones(3), torch.ones(3))}
    with pytest.raises(RuntimeError), at_work(broken, held):
        raise AssertionError("not reached")
    assert_untouched(model, before)


def test_hooks_of_others_see_what_the_module_itself_gives() -> None:
    problem, seen = ToyProblem(SIZES), []
    made = trainer(problem)
    expected = gradient(trainer(ToyProblem(SIZES)))
    norm = problem.model.blocks[0].norm
    handle = norm.register_forward_hook(lambda module, args, out: seen.append((args[0], out)))
    torch.testing.assert_close(gradient(made), expected, rtol=1e-6, atol=1e-7)
    handle.remove()
    torch.testing.assert_close(seen[0][1], norm(seen[0][0]))


def test_kernels_without_gradients_two_maps_on_a_module_and_other_axes_are_hooked() -> None:
    class Inference(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.ones(4))

        def forward(self, x: Tensor) -> Tensor:
            return x * self.weight.detach()

    class InferenceRMSNorm(Inference):
        pass

    map = ShiftMap(torch.ones(4))
    model = nn.ModuleDict({"a": InferenceRMSNorm(), "b": nn.LayerNorm(4), "c": nn.Linear(4, 4)})
    assert not holders({"": model}, {Site("a"): map, Site("c"): map, Site("b", 0, 1): map})
    assert not holders({"": model}, {Site("b"): map, Site("b", 0, 1): map})
    assert set(holders({"": model}, {Site("b"): map})) == {Site("b")}
