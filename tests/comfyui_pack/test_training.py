"""Training in ComfyUI: the fit of diffusers, on the shared model's own memory, harmless when cancelled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from lineas.errors import ConfigError, MismatchError, NonFiniteError, PromptError, SiteError
from lineas.steering.steering import Steering

pytestmark = pytest.mark.usefixtures("comfyui", "unchanged")

SOURCE = "a red clock on a table at night\na blue cube at night\na dog on the beach at night"
TARGET = "a red clock on a table at noon\na blue cube\na dog on the beach"


@pytest.fixture
def train(scenes: Any) -> Callable[..., Any]:
    """A training as the executor runs it, in inference mode."""
    from comfyui_lineas.train.request import TrainRequest
    from comfyui_lineas.train.training import train as run

    def trained(vae: Any = None, clip: Any = scenes.clip, model: Any = None, **changes: Any) -> Any:
        options = {"source": SOURCE, "target": TARGET, "steps": 2, "preview_every": 0, **changes}
        with torch.inference_mode():
            return run(model or scenes.model, clip, vae, TrainRequest(**options))

    return trained


@pytest.fixture
def progress() -> Iterator[list[tuple[Any, ...]]]:
    """What the progress bar was told: value, total, preview."""
    import comfy.utils

    told: list[tuple[Any, ...]] = []

    def hook(value: int, total: int, preview: Any, node_id: Any = None) -> None:
        told.append((value, total, preview))

    before = comfy.utils.PROGRESS_BAR_HOOK
    comfy.utils.set_progress_bar_global_hook(hook)
    yield told
    comfy.utils.set_progress_bar_global_hook(before)


def test_it_agrees_with_diffusers_and_so_do_the_images(scenes: Any, train: Any, draw: Any) -> None:
    from comfyui_lineas.apply.steering import apply_steering
    from lineas.adapters.problems import fit
    from lineas.apply.hooks import steer
    from lineas.scenes.bundled import load_pipeline

    pipe = load_pipeline()
    here = train(preserve=TARGET, steps=3, file_name="parity").steering
    there = fit(pipe, SOURCE.split("\n"), TARGET.split("\n"), TARGET.split("\n"), steps=3)
    costs = [made.provenance.settings["cost"] for made in (here, there)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-4)
    assert here.sites == there.sites
    for name in ("base_model", "fingerprint", "prompts_hash"):
        assert getattr(here.provenance, name) == getattr(there.provenance, name)
    for steering in (here, there):
        ours = draw(apply_steering(scenes.model, None, steering, 1.0)[0], seed=5)
        with torch.no_grad(), steer(pipe, steering):
            noise = torch.Generator().manual_seed(5)
            options = {"num_inference_steps": 1, "guidance_scale": 0, "generator": noise, "output_type": "np"}
            theirs = torch.from_numpy(pipe("a red clock on a table at night", **options).images)
        assert (ours - theirs).abs().max() < 0.5 / 255


def test_the_executors_weights_are_used_where_they_lie() -> None:
    from comfyui_lineas.scenes.loading import load_scenes
    from comfyui_lineas.train.trainable_weights import is_ordinary, ordinary_weights

    with torch.inference_mode():
        model = load_scenes()[0].model
    before = {name: (p, p.data_ptr()) for name, p in model.named_parameters()}
    assert all(p.is_inference() for p, _ in before.values())
    with torch.inference_mode(), ordinary_weights([model]):
        for name, p in model.named_parameters():
            assert is_ordinary(p) and p.data_ptr() == before[name][1]  # no second copy
        assert all(is_ordinary(b) for b in model.buffers())
    assert all(p is before[name][0] for name, p in model.named_parameters())


def test_it_lowers_the_cost_saves_and_reports(comfyui: Any, train: Any, scenes: Any, progress: Any) -> None:
    result = train(vae=scenes.vae, steps=4, preview_every=2, file_name="night")
    settings = result.steering.provenance.settings
    assert settings["cost"] < settings["cost_at_start"]
    assert Path(result.path).parent == comfyui.output / "steering"
    assert Steering.load(result.path).allclose(result.steering)
    assert result.report.shape[0] == 1 and result.report.shape[-1] == 3
    assert "4 steps" in result.summary and result.path in result.summary
    steps = [(value, total) for value, total, _ in progress]
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    pictures = {value: preview[1].size for value, _, preview in progress if preview}
    assert pictures == {1: (256, 128), 2: (256, 128), 4: (512, 512)}


def test_without_a_vae_the_preview_is_the_cost(train: Any, progress: Any) -> None:
    train(preview_every=1)
    assert {preview[1].size for _, _, preview in progress} == {(512, 256)}


def test_nothing_is_overwritten(train: Any) -> None:
    assert train(file_name="again").path != train(file_name="again").path


def test_micro_batches_and_recomputation_change_nothing(train: Any) -> None:
    # Of noise in which no unit's samples nearly tie: rounding would couple those in another order.
    whole, parts = train(seed=1).steering, train(seed=1, micro_batch=2, low_memory=True).steering
    assert whole.allclose(parts, rtol=1e-3, atol=1e-5)


def test_the_text_encoder_can_be_trained_as_in_diffusers(train: Any) -> None:
    from lineas.adapters.problems import fit
    from lineas.scenes.bundled import load_pipeline

    here = train(sites="all and text encoder norms").steering
    there = fit(load_pipeline(), SOURCE.split("\n"), TARGET.split("\n"), sites="norms+text", steps=2)
    assert any(site.name.startswith("text_encoder.text_model.") for site in here.sites)
    assert set(here.sites) == set(there.sites)
    costs = [made.provenance.settings["cost"] for made in (here, there)]
    assert costs[0] == pytest.approx(costs[1], rel=1e-3)


def test_gates_in_the_text_encoder_draw_the_same_in_diffusers(
    scenes: Any, train: Any, draw: Any, progress: Any
) -> None:
    from comfyui_lineas.apply.steering import apply_steering
    from lineas.apply.hooks import steer
    from lineas.scenes.bundled import load_pipeline

    options = {"sites": "text encoder norms", "map": "gated", "steps": 4, "file_name": "gates"}
    steering = train(vae=scenes.vae, preview_every=2, **options).steering
    assert {type(map).__name__ for map in steering.maps.values()} == {"GatedMap"}
    settings = steering.provenance.settings
    assert settings["cost"] < settings["cost_at_start"]
    pictures = [preview[1].convert("RGB").tobytes() for _, _, preview in progress if preview]
    assert len(set(pictures)) == 3  # each preview shows what was learned since the last
    with torch.inference_mode():
        ours = draw(*apply_steering(scenes.model, scenes.clip, steering, 1.0), seed=5)
    assert (ours - draw(seed=5)).abs().max() > 2 / 255
    with torch.no_grad(), steer(pipe := load_pipeline(), steering):
        noise = torch.Generator().manual_seed(5)
        given = {"num_inference_steps": 1, "guidance_scale": 0, "generator": noise, "output_type": "np"}
        theirs = torch.from_numpy(pipe("a red clock on a table at night", **given).images)
    assert (ours - theirs).abs().max() < 0.5 / 255


def test_sites_are_chosen(train: Any) -> None:
    names = [
        site.name
        for site in train(sites="own pattern", pattern="unet.*attn2.to_out*, unet.conv_norm*").steering.sites
    ]
    assert names[-1] == "unet.conv_norm_out" and all("attn2.to_out.0" in name for name in names[:-1])
    assert all(".resnets." in site.name for site in train(sites="resnet norms").steering.sites)
    assert all(".attentions." in site.name for site in train(sites="attention norms").steering.sites)
    whole = train(sites="text encoder, end to end").steering
    assert all(site.name.startswith("text_encoder.") for site in whole.sites)
    assert (
        whole.provenance.settings["cost_at_start"]
        > train(sites="all norms").steering.provenance.settings["cost_at_start"]
    )


def test_one_trains_on_a_steered_model(train: Any, scenes: Any, steering_for: Any) -> None:
    from comfyui_lineas.apply.placement import Placement
    from comfyui_lineas.apply.steering import apply_steering

    with torch.inference_mode():
        steering = steering_for(scale=0.05)
    models = [
        apply_steering(scenes.model, None, steering, 1.0, Placement(method=method))[0]
        for method in ("weights", "hooks")
    ]
    costs = [train(model=model).steering.provenance.settings["cost_at_start"] for model in models]
    assert costs[0] == pytest.approx(costs[1], rel=1e-3)
    assert costs[0] != pytest.approx(train().steering.provenance.settings["cost_at_start"], rel=1e-3)


@pytest.mark.parametrize("while_running", [False, True])
def test_cancelling_keeps_what_was_learned(
    comfyui: Any, train: Any, monkeypatch: pytest.MonkeyPatch, while_running: bool
) -> None:
    import comfy.model_management as memory
    import comfy.utils

    options = {"steps": 5, "learning_rate": 0.01, "file_name": f"cancelled{while_running}"}
    name = options["file_name"]

    def cancel(value: int, *_: Any, **__: Any) -> None:
        if value == 2:
            memory.interrupt_current_processing()
            if while_running:  # as ComfyUI's own hook and layers do
                memory.throw_exception_if_processing_interrupted()

    before = comfy.utils.PROGRESS_BAR_HOOK
    comfy.utils.set_progress_bar_global_hook(cancel)
    try:
        with pytest.raises(memory.InterruptProcessingException):
            train(**options)
    finally:
        comfy.utils.set_progress_bar_global_hook(before)
    assert not memory.processing_interrupted()
    folder = comfyui.output / "steering"
    kept = Steering.load(folder / f"{name}-cancelled_00001_.safetensors")
    done = kept.provenance.settings["steps_done"]
    assert 2 <= done <= 3
    assert (folder / f"{name}.lineas-run").is_file()

    resumed = train(**options).steering
    assert resumed.allclose(train(**options, resume=False).steering, rtol=1e-3, atol=1e-5)
    assert not (folder / f"{name}.lineas-run").exists()


def test_a_checkpoint_of_another_training_is_left_aside(
    comfyui: Any, train: Any, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = comfyui.output / "steering" / "other.lineas-run"
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    checkpoint.write_bytes(b"nothing")
    assert train(file_name="other", learning_rate=0.01).steering.provenance.settings["steps_done"] == 2
    assert "starts afresh" in caplog.text


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"source": "\n# only a comment\n"}, PromptError, "source list holds 0 prompts"),
        ({"target": "one"}, PromptError, "target list holds 1 prompts"),
        ({"clip": None}, MismatchError, "no CLIP"),
        ({"file_name": "../../outside"}, ConfigError, "leads out of output/steering"),
        ({"file_name": " "}, ConfigError, "empty"),
        ({"sites": "own pattern", "pattern": " "}, ConfigError, "pattern is empty"),
        ({"sites": "own pattern", "pattern": "unet.*norn*"}, SiteError, "No site matches"),
    ],
)
def test_requests_that_cannot_be_met(train: Any, changes: Any, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        train(**changes)


def test_a_run_that_breaks_is_told_and_undone(train: Any) -> None:
    with pytest.raises(NonFiniteError, match="learning rate"):
        train(preset="paper", steps=6, learning_rate=1e30)


def test_every_setting_of_the_single_step_trains(train: Any) -> None:
    from comfyui_lineas.models.one_step import SETTINGS

    costs = {
        name: train(one_step=name, steps=1, timestep=200).steering.provenance.settings["cost_at_start"]
        for name in SETTINGS
    }
    assert all(cost > 0 for cost in costs.values())
    assert costs["dmd2"] != costs["turbo"] != costs["hyper-sdxl"]


def test_the_same_prompts_on_both_sides_are_refused(train: Any) -> None:
    for target in (SOURCE, "\n".join(reversed(SOURCE.split("\n")))):
        with pytest.raises(PromptError, match="same 3 prompts"):
            train(target=target)


def test_names_of_any_length_are_saved(comfyui: Any, train: Any) -> None:
    result = train(file_name="n" * 300)
    name = Path(result.path).name
    assert name.startswith("n" * 150) and len(name.encode()) <= 255
    assert Steering.load(result.path).allclose(result.steering)
    folded = train(file_name=f"folder/{'ü' * 200}")
    assert Path(folded.path).parent.name == "folder" and Path(folded.path).is_file()


@pytest.fixture
def paged(scenes: Any) -> Any:
    """A CLIP as dynamic VRAM leaves it after prompts were encoded: layers keep weights of inference mode."""
    import comfy.model_patcher

    from comfyui_lineas.scenes.loading import load_scenes

    plain = comfy.model_patcher.ModelPatcher
    if not hasattr(plain, "is_dynamic"):
        pytest.skip("this ComfyUI knows no dynamic VRAM")

    class Paged(plain):  # type: ignore[misc, valid-type]
        def is_dynamic(self) -> bool:
            return True

    with torch.inference_mode():
        clip = load_scenes()[1]
        for module in clip.cond_stage_model.modules():
            if isinstance(module, torch.nn.Linear):
                kept = module.weight.clone()
                module.forward = partial(_with_kept_weight, module, kept)  # type: ignore[method-assign]
    clip.patcher.__class__ = Paged
    clip.patcher.cached_patcher_init = (lambda disable_dynamic: load_scenes()[1].patcher, ())
    return clip


def _with_kept_weight(module: Any, weight: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.linear(x, weight, module.bias)


def test_a_paged_text_encoder_trains_like_one_that_is_whole(train: Any, paged: Any, scenes: Any) -> None:
    options = {"sites": "text encoder norms", "steps": 2}
    steering = train(clip=paged, **options).steering
    assert steering.allclose(train(clip=scenes.clip, **options).steering, rtol=1e-3, atol=1e-5)


def test_a_paged_model_that_cannot_be_loaded_again_is_refused(train: Any, paged: Any) -> None:
    paged.patcher.cached_patcher_init = None  # as loaders of other packs leave it
    with pytest.raises(ConfigError, match="disable-dynamic-vram"):
        train(clip=paged, sites="text encoder norms")
