from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from toys.pipelines import ARGUMENTS, PIPELINES, PRESERVE, SOURCE, TARGET, draw

from lineas import fit, fuse, steer
from lineas.adapters.images.problem import DiffusionProblem
from lineas.adapters.images.recipes import Recipe, recipe_for
from lineas.errors import SiteError
from lineas.steering.steering import Steering

TRANSFORMERS = ("FLUX", "SD3", "PixArt")


@pytest.fixture(scope="module")
def pipes() -> dict[str, Any]:
    return {name: PIPELINES[name]() for name in TRANSFORMERS}


def recipe(name: str, steps: int) -> Recipe:
    return Recipe(f"{steps} steps", steps=steps, arguments=ARGUMENTS.get(name, {}))


def fitted(pipe: Any, name: str, steps: int, **options: Any) -> Steering:
    options = {"steps": 6, "learning_rate": 0.02, **options}
    return fit(pipe, SOURCE, TARGET, PRESERVE, recipe=recipe(name, steps), **options)


@pytest.mark.parametrize("steps", [1, 2, 4])
@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_fit_lowers_the_cost_and_steers(name: str, steps: int, pipes: dict[str, Any]) -> None:
    pipe = pipes[name]
    called = {"num_inference_steps": steps, **ARGUMENTS.get(name, {})}
    base = draw(pipe, **called)
    steering = fitted(pipe, name, steps)
    assert steering.provenance.settings["cost"] < steering.provenance.settings["cost_at_start"]
    assert torch.equal(draw(pipe, **called), base)
    with steer(pipe, steering) as handle:
        hooked = draw(pipe, **called)
        handle.set_strength(0)
        assert torch.equal(draw(pipe, **called), base)
    assert not torch.equal(hooked, base)
    with fuse(pipe, steering) as fused:
        assert not fused.hooked  # projections have weights to fold into
        assert torch.allclose(draw(pipe, **called), hooked, rtol=1e-3, atol=1e-3 * float(hooked.abs().max()))
    assert torch.equal(draw(pipe, **called), base)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("FLUX", {"transformer.transformer_blocks.0.attn.to_out.0",
                  "transformer.transformer_blocks.0.ff.net.2",
                  "transformer.single_transformer_blocks.0.proj_out"}),
        ("SD3", {f"transformer.transformer_blocks.{i}.{end}" for i in (0, 1)
                 for end in ("attn.to_out.0", "ff.net.2")}),
        ("PixArt", {f"transformer.transformer_blocks.{i}.{end}" for i in (0, 1)
                    for end in ("attn1.to_out.0", "attn2.to_out.0", "ff.net.2")}),
    ],
)  # fmt: skip
def test_the_usual_sites_are_outputs_of_attention_and_feed_forward(
    name: str, expected: set[str], pipes: dict[str, Any]
) -> None:
    problem = DiffusionProblem(pipes[name], SOURCE, TARGET, recipe=recipe(name, 1))
    assert {str(site) for site in problem.sites} == expected
    attention = DiffusionProblem(pipes[name], SOURCE, TARGET, sites="attention", recipe=recipe(name, 1))
    assert {str(site) for site in attention.sites} == {each for each in expected if "attn" in each}
    with pytest.raises(SiteError, match=r"'resnets' finds no sites in .*transformer"):
        DiffusionProblem(pipes[name], SOURCE, TARGET, sites="resnets", recipe=recipe(name, 1))


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_captured_steps_count_also_where_a_pipeline_cannot_stop(name: str, pipes: dict[str, Any]) -> None:
    every = DiffusionProblem(pipes[name], SOURCE, TARGET, recipe=recipe(name, 3)).rows("source", [0, 1])
    some = replace(recipe(name, 3), capture=(1,))
    rows = DiffusionProblem(pipes[name], SOURCE, TARGET, recipe=some).rows("source", [0, 1])
    for site, firings in rows.items():
        assert len(firings) == 1
        assert torch.equal(firings[0], every[site][1])


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_text_encoders_are_trained_with_their_own_tokens(name: str, pipes: dict[str, Any]) -> None:
    pipe = pipes[name]
    steering = fitted(pipe, name, 1, sites="text")
    assert steering.provenance.settings["cost"] < steering.provenance.settings["cost_at_start"]
    problem = DiffusionProblem(pipe, SOURCE, TARGET, sites="text", recipe=recipe(name, 1))
    problem.run("source", [0, 2])
    for site in problem.sites:
        mask = problem.mask(site, "source", [0, 2])
        assert mask is not None
        words = torch.tensor([len(SOURCE[i].split()) for i in (0, 2)])
        start = name == "SD3" or (name == "FLUX" and site.name.startswith("text_encoder."))
        assert torch.equal(mask.sum(1), words + 1 + start), site


def test_the_recipe_of_a_transformer_is_found(pipes: dict[str, Any]) -> None:
    with pytest.warns(UserWarning, match=r"not known to draw in few steps"):
        assert recipe_for(pipes["SD3"]).steps == 4
    assert recipe_for(pipes["FLUX"]).name == "flux-schnell"  # its configuration asks for no guidance
