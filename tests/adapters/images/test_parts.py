"""Pipelines beside the matrix that run each prompt in several parts of a batch, or in several passes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from toys.every_pipeline import COVERED, of_kind, pipeline
from toys.pipelines import SOURCE, TARGET, clip, diffusers, irregular, tokenizer, unet, vae
from toys.rows import assert_rows_move_with_their_prompt
from toys.transformers import TRANSFORMERS

from lineas import fit
from lineas.adapters.images.problem import DiffusionProblem
from lineas.adapters.images.recipes import Recipe, named_recipe


def test_a_picture_to_edit_makes_three_parts_of_which_the_first_has_the_prompt() -> None:
    torch.manual_seed(0)
    pipe = irregular(
        diffusers.StableDiffusionInstructPix2PixPipeline(
            vae=vae(), text_encoder=clip(), tokenizer=tokenizer(), unet=unet(in_channels=8),
            scheduler=COVERED["StableDiffusionPipeline"].make().scheduler, safety_checker=None,
            feature_extractor=None, requires_safety_checker=False,
        )
    )  # fmt: skip
    arguments = {"image": torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))}
    for guidance in (1.0, 3.0):
        recipe = Recipe("two", steps=2, guidance=guidance, capture=(0,), arguments=arguments)
        assert_rows_move_with_their_prompt(pipe, recipe)


@pytest.mark.parametrize("guidance", [0.0, 4.0])
def test_a_prior_with_its_prompts_in_front(guidance: float) -> None:
    torch.manual_seed(0)
    prior = diffusers.models.unets.StableCascadeUNet(
        in_channels=4, out_channels=4, conditioning_dim=16, block_out_channels=(16, 16),
        num_attention_heads=(2, 2),
        down_num_layers_per_block=(1, 1), up_num_layers_per_block=(1, 1), clip_text_in_channels=16,
        clip_text_pooled_in_channels=16, clip_image_in_channels=16, clip_seq=2,
        switch_level=(False,), timestep_ratio_embedding_dim=8, patch_size=1,
        down_blocks_repeat_mappers=(1, 1), up_blocks_repeat_mappers=(1, 1),
        block_types_per_layer=(("SDCascadeResBlock", "SDCascadeTimestepBlock", "SDCascadeAttnBlock"),) * 2,
    )  # fmt: skip
    pipe = irregular(
        diffusers.StableCascadePriorPipeline(
            tokenizer=tokenizer(), text_encoder=clip(projects=True), prior=prior,
            scheduler=diffusers.DDPMWuerstchenScheduler(), resolution_multiple=4.0,
        )
    )  # fmt: skip
    arguments = {"height": 16, "width": 16}
    recipe = Recipe("two", steps=2, guidance=guidance, capture=(0,), arguments=arguments)
    assert_rows_move_with_their_prompt(pipe, recipe, ["prior.*attention*to_out.0"])


def test_an_undistilled_klein_runs_the_empty_prompt_in_a_pass_of_its_own() -> None:
    make, arguments = TRANSFORMERS["Flux2KleinPipeline"]
    pipe = of_kind("Flux2KleinPipeline", make, is_distilled=False)()
    recipe = Recipe("two", steps=2, guidance=4.0, capture=(0,), arguments=arguments)
    problem = DiffusionProblem(pipe, SOURCE, TARGET, recipe=recipe)
    assert all(len(firings) == 1 for firings in problem.rows("source", [0, 1]).values())
    assert_rows_move_with_their_prompt(pipe, recipe)


@pytest.mark.parametrize("steps", [1, 2])
def test_sana_sprint_is_fitted_by_its_own_recipe(steps: int) -> None:
    make, arguments = TRANSFORMERS["SanaSprintPipeline"]
    recipe = named_recipe(f"sana-sprint:{steps}")
    recipe = replace(recipe, arguments={**recipe.arguments, **arguments})
    made = fit(make(), SOURCE, TARGET, recipe=recipe, steps=3, learning_rate=0.01, standardise=False)
    assert made.provenance.settings["cost"] < made.provenance.settings["cost_at_start"]


def test_flux2_turbo_runs_at_the_noise_levels_that_its_authors_call_the_pipeline_with() -> None:
    pipe, entry = pipeline("Flux2Pipeline"), COVERED["Flux2Pipeline"]
    recipe = named_recipe("flux2-turbo")
    recipe = replace(recipe, arguments={**recipe.arguments, **entry.arguments})
    times: list[float] = []

    def watch(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        times.append(float(kwargs["timestep"][0]))

    hook = pipe.transformer.register_forward_pre_hook(watch, with_kwargs=True)
    try:
        DiffusionProblem(pipe, SOURCE, TARGET, recipe=recipe).run("source", [0])
        fitted, times[:] = list(times), []
        sigmas = [1.0, 0.6509, 0.4374, 0.2932, 0.1893, 0.1108, 0.0495, 0.00031]
        pipe(
            prompt=SOURCE[:1],
            **{"sigmas": sigmas, "num_inference_steps": 8, "guidance_scale": 2.5, **entry.arguments},
            output_type="latent",
        )
    finally:
        hook.remove()
    assert fitted == times and len(times) == 8 and times[0] == 1.0
