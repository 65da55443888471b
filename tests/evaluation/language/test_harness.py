"""The model that lm-eval knows as `lineas` gives what the steered model gives."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from toys.language import model, tokenizer
from toys.saved import save_language_model

from lineas.adapters.language.sites import language_sites
from lineas.apply.hooks import steer
from lineas.errors import MismatchError
from lineas.evaluation.language.multiple_choice import multiple_choice
from lineas.maps.shift import ShiftMap
from lineas.steering.site import Site
from lineas.steering.steering import Steering

pytest.importorskip("lm_eval")
EVERYDAY = Path(__file__).parents[3] / "benchmarks" / "language" / "data" / "everyday"


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A model and two steerings of it that change its answers."""
    monkeypatch.chdir(tmp_path)
    save_language_model(tmp_path / "llama")
    sites = language_sites({"": model("Llama")}, "mlp")
    for name, seed in (("one", 1), ("two", 2)):
        shift = 4 * torch.randn(16, generator=torch.Generator().manual_seed(seed))
        Steering({site: ShiftMap(shift) for site in sites}).save(f"{name}.safetensors")
    return tmp_path


def answered(args: str) -> tuple[bool, ...]:
    from lm_eval import simple_evaluate

    import lineas.evaluation.language.harness  # noqa: F401 - registers the model
    from lineas.evaluation.language.multiple_choice import _judgements, _local_task

    tasks = [_local_task(EVERYDAY / "everyday.yaml")]
    told = simple_evaluate("lineas", args, tasks=tasks, limit=12, bootstrap_iters=0, device="cpu")
    return tuple(_judgements(told["samples"]))


def test_it_answers_as_the_steered_model_does(desk: Path) -> None:
    made, words = model("Llama"), tokenizer()
    steerings = [Steering.load(f"{name}.safetensors") for name in ("one", "two")]

    def expected(strengths: list[float]) -> tuple[bool, ...]:
        with steer(made, steerings, strengths):
            return multiple_choice(made, words, EVERYDAY / "everyday.yaml", limit=12).right

    plain, both = expected([0.0, 0.0]), expected([0.5, -1.0])
    assert plain != both
    assert answered("pretrained=llama,dtype=float32") == plain
    assert answered("pretrained=llama,dtype=float32,steering=one.safetensors:0.5;two.safetensors:-1") == both


def test_its_command_line_is_that_of_lm_eval(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    args = f"pretrained={desk / 'llama'},steering={desk / 'one.safetensors'}:0.8"
    words = ["run", "--model", "lineas", "--model_args", args, "--tasks", "everyday", "--limit", "4"]
    words += ["--include_path", str(EVERYDAY), "--device", "cpu"]
    monkeypatch.chdir(EVERYDAY)  # where the task's file looks for its questions
    monkeypatch.setattr(sys, "argv", ["lm-eval", *words])
    import_module("lineas.evaluation.language.harness").main()
    assert "everyday" in capsys.readouterr().out


def test_a_steering_of_another_model_is_refused(desk: Path) -> None:
    Steering({Site("model.layers.0.mlp"): ShiftMap(torch.ones(3))}).save("three.safetensors")
    with pytest.raises(MismatchError):
        answered("pretrained=llama,steering=three.safetensors")
