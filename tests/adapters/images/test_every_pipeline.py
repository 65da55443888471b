"""Every text-to-image pipeline of diffusers that can be built tiny, with text encoders of its own classes."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from toys.every_pipeline import COVERED, NOT_COVERED, pipeline, text_to_image_classes
from toys.pipelines import SOURCE, TARGET
from toys.rows import assert_rows_move_with_their_prompt

from lineas import fit, fuse, steer
from lineas.adapters.images.calling import call_arguments
from lineas.adapters.images.problem import DiffusionProblem
from lineas.adapters.images.recipes import Recipe
from lineas.adapters.images.sites import denoisers
from lineas.modules.names import module_tree
from lineas.steering.steering import Steering

PERTURBED = [name for name in COVERED if "PAG" in name]


def recipe_of(name: str, guidance: float | None = None, **options: Any) -> Recipe:
    guidance = COVERED[name].guidance if guidance is None else guidance
    arguments = {**COVERED[name].arguments, **options.pop("arguments", {})}
    return Recipe("two", steps=2, guidance=guidance, arguments=arguments, **options)


def drawn(name: str, prompts: list[str] | None = None) -> torch.Tensor:
    prompts = prompts or SOURCE[:2]
    noise = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    options = call_arguments(pipeline(name), recipe_of(name), len(prompts))
    made = pipeline(name)(prompt=list(prompts), generator=noise, output_type=COVERED[name].output, **options)
    return next(iter(made.values()))


@pytest.mark.parametrize("name", COVERED)
def test_it_is_fitted_steered_fused_and_left_as_it_was(name: str, tmp_path: Any) -> None:
    pipe = pipeline(name)
    base = drawn(name)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*(in the table of architectures|blocks of)")
        steering = fit(
            pipe, SOURCE, TARGET, recipe=recipe_of(name), steps=6, learning_rate=0.01, standardise=False
        )
    made = steering.provenance.settings
    assert 0 < made["cost"] < made["cost_at_start"]
    assert torch.equal(drawn(name), base)
    steering.save(tmp_path / "one.safetensors")
    steering = Steering.load(tmp_path / "one.safetensors")
    with steer(pipe, steering) as handle:
        hooked = drawn(name)
        handle.set_strength(0)
        assert torch.equal(drawn(name), base)
    assert not torch.equal(hooked, base)
    with fuse(pipe, steering):
        scale = float(hooked.abs().max())
        assert torch.allclose(drawn(name), hooked, rtol=1e-3, atol=2e-3 * scale)
    assert torch.equal(drawn(name), base)


@pytest.mark.parametrize(
    ("name", "guided"),
    [(name, False) for name in COVERED] + [(name, True) for name, entry in COVERED.items() if entry.guided],
)
def test_the_rows_of_a_prompt_move_with_that_prompt_alone(name: str, guided: bool) -> None:
    recipe = recipe_of(name, **((COVERED[name].guided or {}) if guided else {}), capture=(0,))
    assert_rows_move_with_their_prompt(pipeline(name), recipe)


@pytest.mark.parametrize("guidance", [0.0, 3.0])
@pytest.mark.parametrize("name", PERTURBED)
def test_rows_are_those_of_attention_that_is_not_perturbed(name: str, guidance: float) -> None:
    before = {key: id(each) for key, each in _processors(name)}
    guidance = max(guidance, COVERED[name].guidance)
    recipes = [
        recipe_of(name, guidance, capture=(0,), arguments={"pag_scale": scale}) for scale in (3.0, 0.0)
    ]
    problems = [DiffusionProblem(pipeline(name), SOURCE, TARGET, recipe=recipe) for recipe in recipes]
    with torch.no_grad():
        perturbed, plain = (each.rows("source", [0, 1]) for each in problems)
    for site, (rows,) in perturbed.items():
        (expected,) = plain[site]
        assert torch.allclose(rows, expected, rtol=1e-3, atol=1e-4 * float(expected.abs().max())), site
    problems[0].order_sites()
    problems[0].rows("source", [0, 1])  # ends with its last site
    assert {key: id(each) for key, each in _processors(name)} == before


def _processors(name: str) -> list[tuple[str, Any]]:
    parts = denoisers(module_tree(pipeline(name))).values()
    return [
        (key, module.processor)
        for part in parts
        for key, module in part.named_modules()
        if hasattr(module, "processor")
    ]


def test_both_transformers_of_wan_are_steered() -> None:
    from toys.transformers import wan

    pipe = wan(two=True)
    recipe = Recipe("four", steps=4, guidance=3.0, arguments=COVERED["WanPipeline"].arguments)
    problem = DiffusionProblem(pipe, SOURCE, TARGET, recipe=recipe)
    held = {str(site).partition(".")[0] for site in problem.sites}
    assert held == {"transformer", "transformer_2"} == set(denoisers(module_tree(pipe)))
    rows = problem.rows("source", [0, 1])
    assert {len(firings) for firings in rows.values()} <= {1, 2, 3}  # each step in one of the two, once
    assert sum(len(rows[site]) for site in problem.sites if str(site).endswith("blocks.0.ffn.net.2")) == 4


@pytest.mark.parametrize("copies", [2, 3])
def test_images_of_one_prompt_are_rows_of_that_prompt(copies: int) -> None:
    recipe = recipe_of("ZImagePipeline", 2.0, arguments={"num_images_per_prompt": copies})
    rows = DiffusionProblem(pipeline("ZImagePipeline"), SOURCE, TARGET, recipe=recipe).rows("source", [0, 1])
    assert {len(each) for firings in rows.values() for each in firings} == {2 * copies}


@pytest.mark.parametrize("name", [name for name in text_to_image_classes() if name not in COVERED])
def test_a_class_that_is_not_covered(name: str) -> None:
    reason = NOT_COVERED.get(name, "new in this diffusers; add it to tests/toys/every_pipeline.py")
    pytest.skip(f"{name} is not covered: {reason}")
