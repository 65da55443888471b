"""Text encoders leave the device while a denoiser is fitted; a class that says where it is stands for one."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from toys.pipelines import PRESERVE, SOURCE, TARGET, draw, sd1

from lineas import fit
from lineas.adapters.images.problem import DiffusionProblem
from lineas.adapters.images.recipes import Recipe

ONE, GPU, CPU = Recipe("one"), torch.device("cuda", 0), torch.device("cpu")


def placed(module: Any, journey: list[str], name: str) -> Any:
    """The module with a device of its own, which it notes when it changes."""
    kind = type(module)

    def to(self: Any, device: Any) -> Any:
        self.place = torch.device(device)
        journey.append(f"{name} to {self.place.type}")
        return self

    own = {"place": GPU, "device": property(lambda self: self.place), "to": to}
    module.__class__ = type(kind.__name__, (kind,), own)
    return module


@pytest.fixture
def journey() -> list[str]:
    return []


@pytest.fixture
def pipe(journey: list[str]) -> Any:
    """A pipeline that works on the CPU, whose text encoder and autoencoder say that they lie elsewhere."""
    pipe = sd1()
    placed(pipe.text_encoder, journey, "encoder").register_forward_pre_hook(
        lambda module, args: journey.append(f"encodes on {module.place.type}")
    )
    placed(pipe.vae, journey, "vae")
    pipe.unet.register_forward_pre_hook(
        lambda module, args: journey.append(f"draws with {pipe.text_encoder.place.type}")
    )
    works = {"_execution_device": CPU, "device": CPU}
    pipe.__class__ = type(type(pipe).__name__, (type(pipe),), works)
    return pipe


def test_prompts_are_encoded_first_and_the_encoder_is_away_while_the_denoiser_runs(
    pipe: Any, journey: list[str]
) -> None:
    kind = type(pipe)
    options = {"recipe": ONE, "steps": 2, "learning_rate": 0.01, "micro_batch": 2}
    steering = fit(pipe, SOURCE, TARGET, PRESERVE, **options)
    assert {each for each in journey if each.startswith("draws")} == {"draws with cpu"}
    assert {each for each in journey if each.startswith("encodes")} == {"encodes on cuda"}
    assert pipe.text_encoder.place == GPU and type(pipe) is kind
    assert not [each for each in journey if each.startswith("vae")]
    # To the first prompt, to three for what moves, to all others at once; and away and back with each.
    assert journey.count("encoder to cuda") <= 8
    assert steering.allclose(fit(sd1(), SOURCE, TARGET, PRESERVE, **options))


@pytest.mark.parametrize("sites", ["norms+text", "text"])
def test_an_encoder_that_is_steered_stays(pipe: Any, journey: list[str], sites: str) -> None:
    with DiffusionProblem(pipe, SOURCE, TARGET, recipe=ONE, sites=sites).frozen():
        assert pipe.text_encoder.place == GPU
    assert not [each for each in journey if " to " in each]


def test_parts_come_back_after_a_failure(pipe: Any) -> None:
    problem = DiffusionProblem(pipe, SOURCE, TARGET, recipe=ONE)

    def fail() -> None:
        with problem.frozen(), problem.frozen():
            assert pipe.text_encoder.place == CPU
            raise RuntimeError("midway")

    with pytest.raises(RuntimeError, match="midway"):
        fail()
    assert pipe.text_encoder.place == GPU


def test_what_a_library_moves_itself_is_left_alone(pipe: Any, journey: list[str]) -> None:
    accelerate = pytest.importorskip("accelerate")
    accelerate.hooks.add_hook_to_module(pipe.text_encoder, accelerate.hooks.ModelHook())
    with DiffusionProblem(pipe, SOURCE, TARGET, recipe=ONE).frozen():
        pass
    assert not [each for each in journey if " to " in each]


def test_a_plain_pipeline_draws_and_fits_as_before() -> None:
    pipe = sd1()
    base = draw(pipe)
    fit(pipe, SOURCE, TARGET, recipe=ONE, steps=1)
    assert torch.equal(draw(pipe), base)
