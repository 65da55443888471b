"""Every method on a language model and on an image pipeline: what all of them hold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import language as toy_language
from toys import pipelines as tiny_pipelines

from lineas import fit, steer
from lineas.adapters.images.recipes import Recipe
from lineas.adapters.problems import problem_for
from lineas.apply.fusing import fuse
from lineas.errors import ConfigError, LineasError, MismatchError, PromptError
from lineas.fitting.progress import Progress
from lineas.methods.lineas.objective import transport_cost
from lineas.methods.registry import METHODS, method_named
from lineas.modules.names import module_tree
from lineas.steering.steering import Steering

SHORT: dict[str, dict[str, Any]] = {
    "lineas": {"steps": 6},
    "reft": {"steps": 4},
    "lofit": {"steps": 4, "selection_steps": 2},
    "lofit with a reward": {
        "steps": 2,
        "selection_steps": 1,
        "openings": 2,
        "new_tokens": 2,
        "samples": 2,
        "reward": lambda texts: [float(len(text)) for text in texts],
    },
    "lin-act observed": {"support": "observed"},
}
ALL = [*METHODS, "lofit with a reward", "lin-act observed"]


class Face:
    """A model, how to fit to it and what it gives."""

    def __init__(self, obj: Any, prompts: Any, run: Callable[[Any], torch.Tensor], **options: Any) -> None:
        self.obj, self.prompts, self._run, self.options = obj, prompts, run, options

    def output(self) -> torch.Tensor:
        with torch.no_grad():
            return self._run(self.obj)

    def fit(self, case: str, **options: Any) -> Steering:
        method = case.partition(" ")[0]
        given = {**SHORT.get(case, {}), **self.options, **options}
        return fit(self.obj, self.prompts.SOURCE, self.prompts.TARGET, method=method, **given)

    def state(self) -> list[Any]:
        """Weights, flags and hooks, which a fit must leave alone."""
        modules = [m for root in module_tree(self.obj).values() for m in root.modules()]
        hooks = [len(m._forward_hooks) + len(m._forward_pre_hooks) for m in modules]
        weights = [(id(p), p.requires_grad, p.detach().clone()) for m in modules for p in m.parameters(False)]
        return [hooks, [m.training for m in modules], weights]


def language(dtype: torch.dtype = torch.float32) -> Face:
    tokenizer = toy_language.tokenizer()
    inputs = tokenizer(
        toy_language.SOURCE[:2], return_tensors="pt", padding=True, return_token_type_ids=False
    )
    model = toy_language.model("Llama", dtype)
    return Face(model, toy_language, lambda m: m(**inputs).logits, tokenizer=tokenizer)


def image(dtype: torch.dtype = torch.float32) -> Face:
    pipe = tiny_pipelines.sd1().to(dtype)
    return Face(pipe, tiny_pipelines, tiny_pipelines.draw, recipe=Recipe("one"))


FACES = {"language": language, "image": image}
CASES = [
    pytest.param(face, case, id=f"{case} on {face}")
    for face in FACES
    for case in ALL
    if face == "language" or not METHODS[case.partition(" ")[0]].needs_texts
]


@pytest.fixture(scope="module")
def faces() -> dict[str, Face]:
    return {name: make() for name, make in FACES.items()}


def assert_same(one: list[Any], two: list[Any]) -> None:
    assert one[:2] == two[:2]
    for (key, flag, weight), (other_key, other_flag, other) in zip(one[2], two[2], strict=True):
        assert (key, flag) == (other_key, other_flag)
        assert torch.equal(weight, other)


@pytest.mark.parametrize(("face", "case"), CASES)
def test_a_steering_that_acts_can_be_saved_and_leaves_no_trace(
    faces: dict[str, Face], face: str, case: str, tmp_path: Path
) -> None:
    here = faces[face]
    base = here.output()
    before, told = here.state(), []
    steering = here.fit(case, progress=told.append)
    assert_same(here.state(), before)
    assert torch.equal(here.output(), base)
    steering.check()

    assert steering.provenance.method == case.partition(" ")[0]
    assert steering.provenance.fingerprint and steering.provenance.settings["seed"] == 0
    assert [each.step for each in told] == list(range(1, told[-1].steps + 1))
    assert all(isinstance(each, Progress) and isinstance(each.steering(), Steering) for each in told)

    with steer(here.obj, steering):
        steered = here.output()
    assert not torch.allclose(steered, base, atol=1e-4)
    with steer(here.obj, steering, 0.0):
        assert torch.equal(here.output(), base)
    with fuse(here.obj, steering):
        torch.testing.assert_close(here.output(), steered, rtol=1e-3, atol=1e-3)
    assert torch.equal(here.output(), base)

    steering.save(tmp_path / "s.safetensors")
    loaded = Steering.load(tmp_path / "s.safetensors")
    assert loaded.allclose(steering)
    assert dict(loaded.provenance.settings) == dict(steering.provenance.settings)
    with steer(here.obj, loaded):
        torch.testing.assert_close(here.output(), steered)


@pytest.mark.parametrize(("face", "case"), CASES)
def test_a_callback_stops_it_and_keeps_what_there_is(faces: dict[str, Face], face: str, case: str) -> None:
    told: list[Progress] = []

    def stop_after_two(each: Progress) -> bool:
        told.append(each)
        return each.step == 2

    steering = faces[face].fit(case, progress=stop_after_two)
    assert len(told) == 2
    steering.check()
    assert len(steering.maps) > 0


@pytest.mark.parametrize(("face", "case"), CASES)
def test_a_failure_midway_leaves_the_model_as_it_was(faces: dict[str, Face], face: str, case: str) -> None:
    def fail(each: Progress) -> None:
        raise KeyboardInterrupt

    here = faces[face]
    before = here.state()
    with pytest.raises(KeyboardInterrupt):
        here.fit(case, progress=fail)
    assert_same(here.state(), before)


@pytest.mark.parametrize(("face", "case"), CASES)
def test_half_precision(face: str, case: str) -> None:
    here = FACES[face](torch.bfloat16)
    steering = here.fit(case)
    assert all(t.dtype == torch.float32 for map in steering.maps.values() for t in map.tensors().values())
    with steer(here.obj, steering):
        assert here.output().isfinite().all()


@pytest.mark.parametrize(("face", "case"), CASES)
def test_input_that_cannot_be_used(faces: dict[str, Face], face: str, case: str) -> None:
    here, method = faces[face], case.partition(" ")[0]
    with pytest.raises(ConfigError, match="Unknown option"):
        here.fit(case, colour="red")
    with pytest.raises(ConfigError, match="seed"):
        here.fit(case, seed=-1)
    with pytest.raises(PromptError):
        fit(here.obj, ["only one"], here.prompts.TARGET, method=method, **here.options)


@pytest.mark.parametrize("case", [case for case in ALL if case != "lofit with a reward"])
def test_sets_that_are_equal_are_told(faces: dict[str, Face], case: str) -> None:
    here, name = faces["language"], case.partition(" ")[0]
    source, mixed = here.prompts.SOURCE, here.prompts.SOURCE[::-1]
    given = {**SHORT.get(case, {}), **here.options}
    if METHODS[name].needs_texts:
        with pytest.warns(UserWarning, match="source texts are the target texts"):
            fit(here.obj, source, mixed, method=name, **given)
    else:
        with pytest.raises(PromptError, match="make no difference"):
            fit(here.obj, source, mixed, method=name, **given)


@pytest.mark.parametrize("name", [name for name, method in METHODS.items() if method.needs_texts])
def test_methods_for_texts_say_so_on_images(faces: dict[str, Face], name: str) -> None:
    with pytest.raises(MismatchError, match="language models alone"):
        faces["image"].fit(name)


@pytest.mark.parametrize("case", ["lin-act", "mean-act"])
@pytest.mark.parametrize("face", list(FACES))
def test_transport_lowers_the_transport_cost(faces: dict[str, Face], face: str, case: str) -> None:
    here = faces[face]
    problem = problem_for(here.obj, here.prompts.SOURCE, here.prompts.TARGET, **here.options)
    assert transport_cost(problem, here.fit(case)) < 0.7 * transport_cost(problem)


def test_the_transport_cost_is_the_one_that_training_starts_from(faces: dict[str, Face]) -> None:
    here = faces["image"]
    problem = problem_for(here.obj, here.prompts.SOURCE, here.prompts.TARGET, **here.options)
    start = here.fit("lineas").provenance.settings["cost_at_start"]
    assert transport_cost(problem) == pytest.approx(start, rel=1e-5)


@pytest.mark.parametrize("case", ["lin-act", "iti-c", "aura"])
def test_several_denoising_steps_and_guidance(faces: dict[str, Face], case: str) -> None:
    recipe = Recipe("two", steps=2, guidance=3.0)
    steering = faces["image"].fit(case, recipe=recipe, sites="unet.conv_norm_out")
    assert steering.provenance.settings["denoising_steps"] == 2
    assert len(steering.maps) == 1


def test_rows_that_are_not_finite_are_named() -> None:
    here = language()
    with torch.no_grad():
        here.obj.model.layers[1].mlp.down_proj.weight[0, 0] = torch.nan
        here.obj.model.layers[0].mlp.down_proj.weight[0, 0] = torch.nan
    for name in METHODS:
        with pytest.raises(LineasError, match="not finite"):
            here.fit(name)


def test_names_are_forgiving_and_unknown_ones_have_a_hint() -> None:
    assert method_named("Lin_AcT").name == "lin-act"
    with pytest.raises(ConfigError, match="Did you mean 'reft'"):
        method_named("ref")


def test_preserve_prompts_that_do_nothing_are_pointed_out(faces: dict[str, Face]) -> None:
    here = faces["language"]
    with pytest.warns(UserWarning, match="does not use preserve"):
        fit(
            here.obj,
            here.prompts.SOURCE,
            here.prompts.TARGET,
            here.prompts.PRESERVE,
            method="caa",
            **here.options,
        )
