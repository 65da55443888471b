"""Every text-to-image pipeline of diffusers that can be built tiny, with text encoders of its own classes."""

from __future__ import annotations

import warnings
from functools import cache
from typing import Any

import pytest
import torch
from toys.pipelines import ARGUMENTS, PIPELINES, SOURCE, TARGET
from toys.transformers import TRANSFORMERS

from lineas import fit, fuse, steer
from lineas.adapters.images.problem import DiffusionProblem
from lineas.adapters.images.recipes import Recipe
from lineas.adapters.images.sites import denoisers
from lineas.modules.names import module_tree
from lineas.steering.steering import Steering

COVERED = {
    **{type_name: (make, args) for type_name, (make, args) in TRANSFORMERS.items()},
    "StableDiffusionPipeline": (PIPELINES["SD1"], {}),
    "StableDiffusionXLPipeline": (PIPELINES["SDXL"], {}),
    "FluxPipeline": (PIPELINES["FLUX"], ARGUMENTS["FLUX"]),
    "StableDiffusion3Pipeline": (PIPELINES["SD3"], {}),
    "PixArtSigmaPipeline": (PIPELINES["PixArt"], ARGUMENTS["PixArt"]),
}
GUIDED: dict[str, dict[str, Any]] = {
    "ZImagePipeline": {"guidance": 2.0},
    "Krea2Pipeline": {"guidance": 2.0},
    "QwenImagePipeline": {"arguments": {"true_cfg_scale": 3.0, "negative_prompt": "road"}},
    "SanaPipeline": {"guidance": 3.0},
    "Lumina2Pipeline": {"guidance": 3.0},
    "WanPipeline": {"guidance": 3.0},
    "ChromaPipeline": {"guidance": 3.0},
    "StableDiffusionPipeline": {"guidance": 3.0},
    "StableDiffusion3Pipeline": {"guidance": 3.0},
    "PixArtSigmaPipeline": {"guidance": 3.0},
}


@cache
def pipeline(name: str) -> Any:
    return COVERED[name][0]()


def recipe_of(name: str, guidance: float = 0.0, **options: Any) -> Recipe:
    guidance = 4.5 if name == "SanaSprintPipeline" else guidance
    arguments = {**COVERED[name][1], **options.pop("arguments", {})}
    return Recipe("two", steps=2, guidance=guidance, arguments=arguments, **options)


def drawn(name: str, prompts: list[str] | None = None) -> torch.Tensor:
    prompts = prompts or SOURCE[:2]
    noise = [torch.Generator().manual_seed(i) for i in range(len(prompts))]
    made = pipeline(name)(
        prompt=list(prompts), generator=noise, output_type="latent", **recipe_of(name).call_arguments()
    )
    return made.images if hasattr(made, "images") else made.frames


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


@pytest.mark.parametrize("name", COVERED)
@pytest.mark.parametrize("guided", [False, True])
def test_the_rows_of_a_prompt_move_with_that_prompt_alone(name: str, guided: bool) -> None:
    if guided and name not in GUIDED:
        pytest.skip(f"{name} has no guidance by a second half or pass")
    recipe = recipe_of(name, **(GUIDED[name] if guided else {}), capture=(0,))
    prompts = ["a red house at night", "a boat at night"]
    problem = DiffusionProblem(pipeline(name), prompts, prompts, recipe=recipe)
    other = DiffusionProblem(pipeline(name), [prompts[0], "a cat at night"], prompts, recipe=recipe)
    with torch.no_grad():
        rows, changed = (each.rows("source", [0, 1]) for each in (problem, other))
    moves = []
    for site, (first,) in rows.items():
        (second,) = changed[site]
        assert len(first) == 2, site
        assert torch.allclose(first[0], second[0], rtol=1e-3, atol=1e-4 * float(first.abs().max())), site
        moves.append(not torch.allclose(first[1], second[1], rtol=1e-4, atol=1e-6))
    assert sum(moves) > len(moves) / 2


def test_both_transformers_of_wan_are_steered() -> None:
    from toys.transformers import wan

    pipe = wan(two=True)
    recipe = Recipe("four", steps=4, guidance=3.0, arguments=COVERED["WanPipeline"][1])
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


def _classes() -> list[str]:
    from diffusers.pipelines.auto_pipeline import AUTO_TEXT2IMAGE_PIPELINES_MAPPING as mapping

    return sorted({kind.__name__ for kind in mapping.values()} - set(COVERED))


@pytest.mark.parametrize("name", _classes())
def test_a_class_that_is_not_covered(name: str) -> None:
    pytest.skip(f"{name} is not covered: no tiny model of it is built here")
