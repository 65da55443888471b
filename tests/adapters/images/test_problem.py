from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toys.pipelines import ARGUMENTS, PIPELINES, PRESERVE, SOURCE, TARGET, draw, sd1, sdxl

from lineas import fit, steer
from lineas.adapters.images.problem import DiffusionProblem
from lineas.adapters.images.recipes import Recipe
from lineas.adapters.problems import problem_for
from lineas.errors import ConfigError, MismatchError, PromptError, SiteError
from lineas.maths.pooling import MeanPooling, TokenPooling
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer
from lineas.modules.names import module_tree
from lineas.modules.recorder import Recorder
from lineas.steering.site import Site
from lineas.steering.steering import Steering

ONE, TWO, FOUR = Recipe("one"), Recipe("two", steps=2), Recipe("four", steps=4)
UNETS = ("SD1", "SD2", "SDXL")


@pytest.fixture(scope="module")
def pipes() -> dict[str, Any]:
    return {name: PIPELINES[name]() for name in UNETS}


@pytest.fixture(scope="module")
def steerings(pipes: dict[str, Any]) -> dict[str, Steering]:
    return {name: fitted(pipes[name]) for name in UNETS}


def fitted(pipe: Any, recipe: Recipe = ONE, **options: Any) -> Steering:
    return fit(pipe, SOURCE, TARGET, recipe=recipe, **{"steps": 6, "learning_rate": 0.01, **options})


def gradients(problem: DiffusionProblem, **options: Any) -> list[Tensor]:
    trainer = Trainer(problem, TrainConfig(**options))
    with problem.frozen(), problem.checkpointing() if trainer.config.checkpointing else problem.frozen():
        assert trainer.gradient() is None
    return [gradient.clone() for each in trainer.parameters.values() for gradient in each.gradients()]


def state(pipe: Any) -> tuple[Any, ...]:
    """What a fit must leave alone, besides the output."""
    modules = [m for root in module_tree(pipe).values() for m in root.modules()]
    return (
        [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules],
        [m.training for m in modules],
        [(id(w), w.requires_grad) for m in modules for w in m.parameters()],
        pipe.scheduler,
        dict(pipe.scheduler.config),
        dict(pipe.config),
        "encode_prompt" in vars(pipe),
        pipe._progress_bar_config,
    )


@pytest.mark.parametrize("name", UNETS)
def test_a_fit_lowers_the_cost_steers_and_leaves_the_pipeline_as_it_was(name: str) -> None:
    pipe = PIPELINES[name]()
    base = draw(pipe)  # first: some text encoders take hooks of their own when they first run
    before = state(pipe)
    steering = fitted(pipe)
    assert state(pipe) == before
    assert torch.equal(draw(pipe), base)
    made = steering.provenance
    assert made.settings["cost"] < 0.8 * made.settings["cost_at_start"]
    assert (made.settings["recipe"], made.settings["denoising_steps"]) == ("one", 1)
    assert made.base_model == type(pipe).__name__
    assert len(made.prompts_hash) == 64
    assert all(site.name.startswith("unet.") for site in steering.sites)
    with steer(pipe, steering):
        assert (draw(pipe) - base).abs().max() > 1e-3
    with steer(pipe, steering, 0.0):
        assert torch.equal(draw(pipe), base)
    assert torch.equal(draw(pipe), base)


@pytest.mark.parametrize(("name", "recipe"), [("SD1", TWO), ("SD1", FOUR), ("SD2", TWO), ("SDXL", FOUR)])
def test_several_steps_are_trained_and_steered(name: str, recipe: Recipe, pipes: dict[str, Any]) -> None:
    pipe = pipes[name]
    problem = DiffusionProblem(pipe, SOURCE, TARGET, recipe=recipe)
    problem.order_sites()
    rows = problem.rows("source", [0, 1])
    assert {len(firings) for firings in rows.values()} == {recipe.steps}
    steering = fitted(pipe, recipe, learning_rate=0.005, steps=4)
    assert steering.provenance.settings["cost"] < steering.provenance.settings["cost_at_start"]
    base = draw(pipe, num_inference_steps=recipe.steps)
    with steer(pipe, steering):
        assert not torch.equal(draw(pipe, num_inference_steps=recipe.steps), base)
    assert torch.equal(draw(pipe, num_inference_steps=recipe.steps), base)


def test_the_gradient_is_that_of_all_steps() -> None:
    pipe = PIPELINES["SD2"]().to(torch.float64)
    problem = DiffusionProblem(pipe, SOURCE, TARGET, recipe=TWO, sites="unet.conv_in")
    (site,) = problem.sites
    direction = torch.linspace(-1, 1, pipe.unet.conv_in.out_channels, dtype=torch.float64).view(1, -1, 1, 1)

    def last_step(shift: Tensor) -> Tensor:
        rows = problem.rows("source", [0, 1], lambda _, z: z + shift * direction)
        return rows[site][1].square().sum()

    shift = torch.zeros((), dtype=torch.float64, requires_grad=True)
    with problem.frozen():
        (gradient,) = torch.autograd.grad(last_step(shift), shift)
        with torch.no_grad():
            step = torch.tensor(1e-4, dtype=torch.float64)
            expected = (last_step(step) - last_step(-step)) / (2 * step)
            # What reaches the second step's activation by its own map alone, without the first step.
            alone = 2 * (problem.rows("source", [0, 1])[site][1] * direction.flatten()).sum()
    assert torch.isclose(gradient, expected, rtol=1e-4)
    assert not torch.isclose(gradient, alone, rtol=1e-2)


@pytest.mark.parametrize("name", PIPELINES)
@pytest.mark.parametrize("guidance", [0.0, 3.0])
def test_what_is_trained_is_what_is_drawn(name: str, guidance: float) -> None:
    pipe, arguments = PIPELINES[name](), ARGUMENTS.get(name, {})
    recipe = Recipe("two", steps=2, guidance=guidance, arguments=arguments)
    problem = DiffusionProblem(pipe, SOURCE, TARGET, recipe=recipe, seed=7)
    rows = problem.rows("source", [0, 1])
    called = {"num_inference_steps": 2, "guidance_scale": guidance, **arguments}
    with Recorder(problem.components, problem.sites, pool=lambda s, z: MeanPooling()(z, s.axis)) as recorder:
        draw(pipe, seed=7, **called)
    for site in problem.sites:
        drawn = [each[-2:] for each in recorder.rows[site]]  # under guidance, the half with the prompt
        assert len(drawn) == 2
        assert all(torch.equal(a, b) for a, b in zip(rows[site], drawn, strict=True)), site


@pytest.mark.parametrize("pooling", [MeanPooling(), TokenPooling(3)], ids=str)
def test_rows_do_not_depend_on_the_micro_batch(pooling: Any, pipes: dict[str, Any]) -> None:
    problem = DiffusionProblem(pipes["SDXL"], SOURCE, TARGET, recipe=Recipe("guided", guidance=4.0))
    whole = problem.rows("source", range(4), None, pooling)
    parts = [problem.rows("source", part, None, pooling) for part in ([0, 1, 2], [3])]
    for site, (rows,) in whole.items():
        assert len(rows) == 4 * getattr(pooling, "count", 1)
        joined = torch.cat([part[site][0] for part in parts])
        assert torch.allclose(rows, joined, rtol=1e-4, atol=1e-5), site


def test_prompt_i_starts_from_the_same_noise_in_every_group(pipes: dict[str, Any]) -> None:
    problem = DiffusionProblem(pipes["SD1"], SOURCE, SOURCE, SOURCE, recipe=ONE, seed=3)
    source, target, preserve = (problem.rows(g, [1, 2]) for g in ("source", "target", "preserve"))
    assert all(torch.equal(source[s][0], target[s][0]) for s in problem.sites)
    assert all(torch.equal(source[s][0], preserve[s][0]) for s in problem.sites)
    other = DiffusionProblem(pipes["SD1"], SOURCE, SOURCE, recipe=ONE, seed=4).rows("source", [1, 2])
    assert not any(torch.equal(source[s][0], other[s][0]) for s in problem.sites)


@pytest.mark.parametrize(
    "options", [{"micro_batch": 1}, {"micro_batch": 3}, {"checkpointing": True}], ids=str
)
def test_the_gradient_in_parts_is_the_gradient_in_one_pass(
    options: dict[str, Any], pipes: dict[str, Any]
) -> None:
    problem = DiffusionProblem(pipes["SDXL"], SOURCE, TARGET, PRESERVE, sites="norms+text", recipe=TWO)
    whole, parts = gradients(problem), gradients(problem, **options)
    scale = max(float(gradient.abs().max()) for gradient in whole)
    assert scale > 0
    assert all(torch.allclose(a, b, rtol=1e-3, atol=1e-5 * scale) for a, b in zip(whole, parts, strict=True))


@pytest.mark.parametrize("name", ["SD1", "SDXL"])
def test_text_encoders_are_trained_and_steer(name: str, pipes: dict[str, Any]) -> None:
    pipe = pipes[name]
    base = draw(pipe)
    steering = fitted(pipe, sites="text")
    components = {site.name.split(".")[0] for site in steering.sites}
    assert components == ({"text_encoder"} if name == "SD1" else {"text_encoder", "text_encoder_2"})
    assert "text_encoder.text_model.encoder.layers.0.layer_norm1" in map(str, steering.sites)
    assert steering.provenance.settings["cost"] < 0.9 * steering.provenance.settings["cost_at_start"]
    assert all(bool(units.any()) for units in steering.support.values())
    with steer(pipe, steering):
        assert not torch.equal(draw(pipe), base)
    assert torch.equal(draw(pipe), base)


def test_the_cost_in_the_unet_reaches_the_text_encoder(pipes: dict[str, Any]) -> None:
    problem = DiffusionProblem(pipes["SD1"], SOURCE, TARGET, sites="norms+text", recipe=ONE)
    shift = torch.zeros((), requires_grad=True)

    def transform(site: Site, z: Tensor) -> Tensor:
        return z * (1 + shift) if site.name.startswith("text_encoder") else z

    with problem.frozen():
        rows = problem.rows("source", [0, 1], transform)
        inside = [rows[site][0].square().sum() for site in problem.sites if site.name.startswith("unet")]
        (gradient,) = torch.autograd.grad(torch.stack(inside).sum(), shift)
    assert gradient != 0


@pytest.mark.parametrize("guidance", [0.0, 5.0])
def test_rows_of_a_text_encoder_are_means_over_the_prompts_own_tokens(
    guidance: float, pipes: dict[str, Any]
) -> None:
    problem = DiffusionProblem(
        pipes["SDXL"], SOURCE, TARGET, sites="text", recipe=Recipe("one", guidance=guidance)
    )
    rows = problem.rows("source", [0, 2])
    site = next(site for site in problem.sites if site.name.startswith("text_encoder_2."))
    mask = problem.mask(site, "source", [0, 2])
    assert mask is not None
    assert mask.sum(1).tolist() == [len(SOURCE[i].split()) + 2 for i in (0, 2)]
    with Recorder(problem.components, [site]) as recorder:
        draw(pipes["SDXL"], [SOURCE[0], SOURCE[2]], guidance_scale=guidance)
    own = torch.stack([z[m].mean(0) for z, m in zip(recorder.rows[site][0], mask, strict=True)])
    assert len(rows[site]) == 1
    assert torch.allclose(rows[site][0], own, atol=1e-6)


@pytest.mark.parametrize(("capture", "runs"), [((0,), 1), ((0, 2), 3), ((3,), 4), (None, 4)])
def test_captured_steps_count_and_later_ones_are_not_run(
    capture: tuple[int, ...] | None, runs: int, pipes: dict[str, Any]
) -> None:
    pipe, calls = pipes["SD1"], []
    every = DiffusionProblem(pipe, SOURCE, TARGET, recipe=FOUR).rows("source", [0, 1])
    problem = DiffusionProblem(pipe, SOURCE, TARGET, recipe=Recipe("some", steps=4, capture=capture))
    assert problem.layouts  # found by runs of their own
    hook = pipe.unet.register_forward_hook(lambda *_: calls.append(1))
    rows = problem.rows("source", [0, 1])
    hook.remove()
    assert len(calls) == runs
    for site in problem.sites:
        expected = [every[site][step] for step in capture or range(4)]
        assert all(torch.equal(a, b) for a, b in zip(rows[site], expected, strict=True))


def test_prompts_are_encoded_once_unless_the_encoder_is_steered(pipes: dict[str, Any]) -> None:
    pipe, calls = pipes["SD1"], []
    hook = pipe.text_encoder.register_forward_hook(lambda *_: calls.append(1))
    try:
        for sites, expected in (("norms", 1), ("norms+text", 3)):
            problem = DiffusionProblem(pipe, SOURCE, TARGET, sites=sites, recipe=ONE)
            calls.clear()
            for _ in range(3):
                problem.run("source", [0, 1])
            assert len(calls) == expected
    finally:
        hook.remove()


def test_a_fit_works_in_inference_mode_and_in_half_precision() -> None:
    pipe = sd1().to(torch.bfloat16)
    with torch.inference_mode():
        steering = fitted(pipe, steps=2, sites="resnets")
    assert all(bool(map.deviation.isfinite().all()) for map in steering.maps.values())
    assert steering.provenance.settings["cost"] < steering.provenance.settings["cost_at_start"]


@pytest.mark.parametrize("name", ["SD1", "SDXL"])
def test_one_file_serves_the_pipeline_and_the_unet_alone(
    name: str, pipes: dict[str, Any], steerings: dict[str, Steering], tmp_path: Any
) -> None:
    pipe = pipes[name]
    steerings[name].save(tmp_path / "one.safetensors")
    steering = Steering.load(tmp_path / "one.safetensors")
    with steer(pipe, steering):
        whole = draw(pipe)
    with steer({"unet": pipe.unet}, steering):
        assert torch.equal(draw(pipe), whole)


@pytest.mark.parametrize(("made_on", "used_on"), [("SDXL", "SD1"), ("SD1", "SDXL")])
def test_a_steering_of_another_model_is_refused_before_anything_is_touched(
    made_on: str, used_on: str, pipes: dict[str, Any], steerings: dict[str, Steering]
) -> None:
    pipe = pipes[used_on]
    base = draw(pipe)
    before = state(pipe)
    with pytest.raises(MismatchError, match=r"does not fit") as caught:
        steer(pipe, steerings[made_on])
    message = str(caught.value)
    assert "units in the model and" in message
    assert f"It was made for {type(pipes[made_on]).__name__}" in message
    assert state(pipe) == before
    assert torch.equal(draw(pipe), base)


def test_presets_name_the_norms_of_their_part(pipes: dict[str, Any]) -> None:
    def names(sites: Any) -> set[str]:
        return {
            str(s) for s in DiffusionProblem(pipes["SDXL"], SOURCE, TARGET, sites=sites, recipe=ONE).sites
        }

    every = names("norms")
    assert names("attention") | names("resnets") | {"unet.conv_norm_out"} == every
    assert not names("attention") & names("resnets")
    assert names("attention+resnets+text") == names("attention") | names("resnets") | names("text")
    assert names("unet.conv_in") == {"unet.conv_in"}
    assert names(["unet.*norm1", "unet.conv_in"]) > {"unet.conv_in"}
    with pytest.raises(SiteError, match=r"Did you mean 'resnets'"):
        names("norms+resnet")
    with pytest.raises(SiteError, match=r"Near names"):
        names("unet.conv_on")


@pytest.mark.parametrize(
    ("source", "error"),
    [
        ("a red house", PromptError),
        (["one"], PromptError),
        ([1, 2], PromptError),
        (Path("prompts.txt"), PromptError),
        ({"a": 1, "b": 2}, PromptError),
        (None, PromptError),
    ],
)
def test_prompts_that_cannot_be_used_are_refused(source: Any, error: type, pipes: dict[str, Any]) -> None:
    with pytest.raises(error):
        fit(pipes["SD1"], source, TARGET, recipe=ONE)


def test_prompts_may_come_from_a_generator(pipes: dict[str, Any]) -> None:
    problem = DiffusionProblem(pipes["SD1"], (text for text in SOURCE), TARGET, recipe=ONE)
    assert problem.prompts["source"] == SOURCE


def test_options_are_checked_before_anything_runs(pipes: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match=r"learning_rate"):
        fit(pipes["SD1"], SOURCE, TARGET, recipe=ONE, learning_rat=0.1)
    with pytest.raises(ConfigError, match=r"Did you mean 'lineas'"):
        fit(pipes["SD1"], SOURCE, TARGET, recipe=ONE, method="linea")
    with pytest.raises(ConfigError, match=r"Unknown recipe"):
        fit(pipes["SD1"], SOURCE, TARGET, recipe="sdxl-turbro")
    with pytest.raises(MismatchError, match=r"is not called with timesteps"):
        fit(PIPELINES["FLUX"](), SOURCE, TARGET, recipe="dmd2")


def test_other_objects_are_refused_with_what_is_expected(pipes: dict[str, Any]) -> None:
    with pytest.raises(MismatchError, match=r"expected a diffusers pipeline"):
        problem_for("a name", SOURCE, TARGET)
    with pytest.raises(MismatchError, match=r"without a tokenizer"):
        problem_for(sdxl().unet, SOURCE, TARGET)
    with pytest.raises(MismatchError, match=r"expected a diffusers pipeline"):
        problem_for({"unet": pipes["SD1"].unet}, SOURCE, TARGET)
