from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import safetensors.torch
import torch
from toys.pipelines import SOURCE, TARGET, diffusers, draw, sd1, sdxl

from lineas import fit, load_pipeline, steer
from lineas.adapters.images import loading, recipes
from lineas.adapters.images.problem import DiffusionProblem
from lineas.adapters.images.recipes import RECIPES, Recipe, named_recipe, recipe_for
from lineas.architectures.recipe_table import ALIASES, REPOSITORIES
from lineas.errors import ConfigError, HubError

ONE_STEP = ("sd-turbo", "sdxl-turbo", "dmd2", "sdxl-lightning", "hyper-sdxl")


@pytest.fixture(scope="module")
def pipe() -> Any:
    return sdxl()


@pytest.fixture(scope="module")
def folder(pipe: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("sdxl")
    pipe.save_pretrained(place)
    return place


@pytest.mark.parametrize(
    ("name", "timestep"),
    [("sd-turbo", 999), ("sdxl-turbo", 999), ("dmd2", 399), ("sdxl-lightning", 999), ("hyper-sdxl", 800)],
)
def test_a_recipe_runs_the_model_once_at_its_timestep(name: str, timestep: int, pipe: Any) -> None:
    recipe, seen = RECIPES[name], []
    problem = DiffusionProblem(pipe, SOURCE, TARGET, recipe=name)

    def watch(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        seen.append((int(args[1]), args[0]))

    hook = pipe.unet.register_forward_pre_hook(watch, with_kwargs=True)
    try:
        problem.run("source", [0, 1])
        copied = recipes.recipe_for(pipe, recipe).scheduler_for(pipe)
        drawer = diffusers.StableDiffusionXLPipeline(
            **{**pipe.components, "scheduler": copied}, add_watermarker=False
        )
        drawer.set_progress_bar_config(disable=True)
        draw(drawer, **recipe.call_arguments())
    finally:
        hook.remove()
    assert [when for when, _ in seen] == [timestep, timestep]
    assert torch.equal(seen[0][1], seen[1][1])
    assert type(pipe.scheduler).__name__ == "EulerDiscreteScheduler"
    assert pipe.scheduler.config.prediction_type == "epsilon"


@pytest.mark.parametrize("name", ["dmd2", "sdxl-lightning"])
def test_a_fit_lowers_the_cost_of_a_recipe(name: str, pipe: Any) -> None:
    steering = fit(pipe, SOURCE, TARGET, recipe=name, steps=3, learning_rate=0.01)
    made = steering.provenance.settings
    assert made["cost"] < made["cost_at_start"]
    assert made["recipe"] == name
    assert made.get("timesteps") == ("399" if name == "dmd2" else None)


def test_dmd2_draws_with_its_scheduler() -> None:
    assert RECIPES["dmd2"].scheduler == "LCMScheduler"
    assert RECIPES["dmd2"].call_arguments() == {
        "num_inference_steps": 1,
        "guidance_scale": 0.0,
        "timesteps": [399],
    }
    lightning = RECIPES["sdxl-lightning"].scheduler_for(sd1())
    assert (lightning.config.prediction_type, lightning.config.timestep_spacing) == ("sample", "trailing")
    with pytest.raises(ConfigError, match=r"no scheduler 'NoScheduler'"):
        replace(RECIPES["dmd2"], scheduler="NoScheduler").scheduler_for(sd1())


def test_recipes_by_name() -> None:
    assert named_recipe("dmd2") is RECIPES["dmd2"]
    eight, guided = named_recipe("multistep:8"), named_recipe("multistep:30:7.5")
    assert (eight.steps, eight.guidance, eight.timesteps) == (8, 1.0, None)
    assert (guided.steps, guided.guidance) == (30, 7.5)
    with pytest.raises(ConfigError, match=r"Did you mean 'sdxl-turbo'"):
        named_recipe("sdxl-turob")
    for wrong in ("multistep", "multistep:x", "multistep:1:2:3", "multistep:0", "euler:4"):
        with pytest.raises(ConfigError):
            named_recipe(wrong)


@pytest.mark.parametrize(
    "options",
    [{"steps": 2, "timesteps": (399,)}, {"steps": 0}, {"steps": 2, "capture": (2,)}, {"capture": ()}],
    ids=str,
)
def test_impossible_recipes_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"odd"):
        Recipe("odd", **options)


@pytest.mark.parametrize(
    ("loaded_from", "expected"),
    [
        ("stabilityai/sdxl-turbo", "sdxl-turbo"),
        ("stabilityai/sd-turbo", "sd-turbo"),
        ("Tongyi-MAI/Z-Image-Turbo", "z-image-turbo"),
        ("black-forest-labs/FLUX.2-klein-9B", "flux2-klein"),
        ("lineas/scenes", "scenes"),
    ],
)
def test_a_recipe_is_that_of_its_authors_repository(loaded_from: str, expected: str) -> None:
    pipe = SimpleNamespace(config={"_name_or_path": loaded_from}, scheduler=None)
    assert recipe_for(pipe) is RECIPES[expected]
    assert recipe_for(pipe, "multistep:2").steps == 2
    assert recipe_for(pipe, RECIPES["dmd2"]) is RECIPES["dmd2"]


@pytest.mark.parametrize(
    ("loaded_from", "hint"),
    [
        ("someone/my_Lightning", "lightning:4"),
        ("hypernetworks/sd15", "hyper:4"),
        ("mirror/sdxl-turbo", "multistep:1"),
        ("someone/else", "multistep:30:7.5"),
    ],
)
def test_a_name_that_sounds_like_a_recipe_is_told_and_not_acted_upon(loaded_from: str, hint: str) -> None:
    pipe = SimpleNamespace(config={"_name_or_path": loaded_from}, scheduler=None)
    with pytest.warns(UserWarning, match=f'recipe="{hint}"'):
        found = recipe_for(pipe)
    assert (found.steps, found.timesteps, found.scheduler, dict(found.scheduler_options)) == (
        4,
        None,
        None,
        {},
    )


def test_every_recipe_by_name_is_one_of_the_table() -> None:
    for name in (*ALIASES, *RECIPES):
        assert named_recipe(name) in RECIPES.values()
    assert set(REPOSITORIES.values()) <= set(RECIPES)
    assert named_recipe("lightning:1") is RECIPES["sdxl-lightning"]
    lcm = named_recipe("lcm:4")
    assert (lcm.steps, lcm.scheduler, lcm.guidance) == (4, "LCMScheduler", 1.0)
    with pytest.raises(ConfigError, match=r"expected one of"):
        named_recipe("lightning:3")


def test_a_scheduler_that_predicts_the_image_takes_one_step() -> None:
    scheduler = SimpleNamespace(config=SimpleNamespace(prediction_type="sample"))
    assert recipe_for(SimpleNamespace(scheduler=scheduler)) is RECIPES["scenes"]


def test_an_unknown_pipeline_takes_four_steps_with_a_warning() -> None:
    with pytest.warns(UserWarning, match=r"StableDiffusionPipeline|not known"):
        found = recipe_for(sd1())
    assert (found.steps, found.guidance) == (4, 1.0)


def test_a_pipeline_loads_from_a_folder_with_the_scheduler_of_its_recipe(folder: Path, pipe: Any) -> None:
    loaded = load_pipeline(folder, "hyper-sdxl", device="cpu")
    assert type(loaded.scheduler).__name__ == "LCMScheduler"
    assert loaded.dtype == torch.float32
    assert load_pipeline(str(folder), dtype=torch.bfloat16, device="cpu").unet.dtype == torch.bfloat16
    steering = fit(pipe, SOURCE, TARGET, recipe="hyper-sdxl", steps=1)
    loaded.set_progress_bar_config(disable=True)
    with steer(loaded, steering):  # the same weights: no warning, and it fits
        draw(loaded, **RECIPES["hyper-sdxl"].call_arguments())
    remade = fit(loaded, SOURCE, TARGET, recipe="hyper-sdxl", steps=1)
    assert remade.provenance.base_model == folder.name
    assert remade.provenance.fingerprint == steering.provenance.fingerprint


@pytest.mark.parametrize("ending", ["safetensors", "bin"])
def test_a_recipe_brings_its_unet(
    ending: str, folder: Path, pipe: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = {name: tensor + 1 for name, tensor in pipe.unet.state_dict().items()}
    file = tmp_path / f"unet.{ending}"
    if ending == "bin":
        torch.save(weights, file)
    else:
        safetensors.torch.save_file(weights, file)
    asked = []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *names: asked.append(names) or str(file))
    recipe = replace(RECIPES["dmd2"], model=str(folder))
    loaded = load_pipeline(folder, recipe, device="cpu")
    assert asked == [RECIPES["dmd2"].unet]
    assert all(torch.equal(loaded.unet.state_dict()[name], tensor) for name, tensor in weights.items())
    own = load_pipeline(folder, "dmd2", device="cpu")  # a folder that is not the recipe's model has its own
    assert len(asked) == 1
    assert torch.equal(own.unet.conv_in.weight, pipe.unet.conv_in.weight)


def test_loading_says_what_to_do_when_there_is_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    for name in ("nobody/nothing", str(tmp_path), str(tmp_path / "missing"), "sdxl-turbo"):
        with pytest.raises(HubError, match=r"Check the name and the connection"):
            load_pipeline(name, device="cpu")
    with pytest.raises(ConfigError, match=r"Unknown recipe"):
        load_pipeline("nobody/nothing", "no-recipe")


def test_half_precision_is_the_default_only_on_a_cuda_device() -> None:
    assert loading.default_dtype({"unet": 1}, torch.device("cpu")) == torch.float32
    assert loading.default_dtype({"unet": 1}, torch.device("cuda")) == torch.float16
    assert loading.default_dtype({"transformer": 1}, torch.device("cuda")) == torch.bfloat16


def test_a_pipeline_is_named_by_its_repository_and_its_unet(pipe: Any) -> None:
    pipe.register_to_config(_name_or_path="stabilityai/stable-diffusion-xl-base-1.0")
    named = DiffusionProblem(pipe, SOURCE, TARGET, recipe="dmd2").base_model
    assert named == "stabilityai/stable-diffusion-xl-base-1.0 with tianweiy/DMD2"
