from __future__ import annotations

import copy
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from toys import language as toy_language
from toys.models import assert_untouched, noise, snapshot, steering_for, toy_unet
from toys.pipelines import SOURCE, TARGET, draw, sd1, sdxl, transformers

import lineas
from lineas import SteeredModel, fit, steer
from lineas.adapters import steered_model
from lineas.adapters.images.recipes import Recipe
from lineas.apply.handle import Handle
from lineas.apply.steering_hook import SteeringHook
from lineas.errors import ConfigError, MismatchError, SteeringFileError
from lineas.maps.affine import AffineMap
from lineas.maps.gated import GatedMap
from lineas.modules.kinds import width
from lineas.modules.names import find_sites, module_tree, named_modules
from lineas.steering.steering import Steering

ONE = Recipe("one")


def random_steering(obj: Any, seed: int, patterns: Any = "unet.*norm*") -> Steering:
    """A steering with an effect at every site."""
    generator = torch.Generator().manual_seed(seed)
    components = module_tree(obj)
    table, maps = named_modules(components), {}
    for site in find_sites(components, patterns):
        d = width(table[site.name])
        assert d is not None
        maps[site] = AffineMap(*(0.1 * torch.randn(d, generator=generator) for _ in range(2)))
    return Steering(maps)


@pytest.fixture(scope="module")
def pipe() -> Any:
    return sd1()


@pytest.fixture(scope="module")
def first(pipe: Any) -> Steering:
    return random_steering(pipe, 0)


@pytest.fixture(scope="module")
def second(pipe: Any) -> Steering:
    return random_steering(pipe, 1, ["unet.*norm1", "text_encoder.*layer_norm1"])


@pytest.fixture
def steered(pipe: Any, first: Steering, second: Steering) -> Any:
    with SteeredModel(pipe) as wrapper:
        wrapper.load_steering(first, "first")
        wrapper.load_steering(second, "second", strength=0.5)
        yield wrapper


def weights(pipe: Any) -> list[torch.Tensor]:
    return [w.detach().clone() for m in module_tree(pipe).values() for w in m.parameters()]


def hooks(pipe: Any) -> int:
    return sum(len(m._forward_hooks) for root in module_tree(pipe).values() for m in root.modules())


def steered_by_hooks(pipe: Any) -> int:
    modules = [m for root in module_tree(pipe).values() for m in root.modules()]
    return sum(isinstance(hook, SteeringHook) for m in modules for hook in m._forward_hooks.values())


def test_what_is_loaded_acts_in_order_at_its_strength(
    steered: SteeredModel, pipe: Any, first: Steering, second: Steering
) -> None:
    assert steered.get_list_steerings() == ["first", "second"]
    assert steered.get_active_steerings() == {"first": 1.0, "second": 0.5}
    both = draw(steered)
    steered.disable_steering()
    base = draw(steered)
    with steer(pipe, [first, second], [1.0, 0.5]):
        assert torch.equal(draw(pipe), both)
    steered.enable_steering()
    assert torch.equal(draw(steered), both)
    assert not torch.equal(both, base)


def test_strengths_are_set_and_changed(
    steered: SteeredModel, pipe: Any, first: Steering, second: Steering
) -> None:
    steered.disable_steering()
    base = draw(steered)
    steered.set_steerings(["second", "first"], [0.7, 0.3])
    assert torch.equal(draw(steered), base)  # still disabled
    assert steered.get_active_steerings() == {}
    steered.enable_steering()
    changed = draw(steered)
    for names, strengths in ((["second", "first"], [0.0, 0.0]), ("first", 0), ([], None)):
        steered.set_steerings(names, strengths)
        assert torch.equal(draw(steered), base)
    steered.set_steerings("first")
    one = draw(steered)
    steered.unload_steerings()
    assert torch.equal(draw(steered), base)
    with steer(pipe, first):
        assert torch.equal(draw(pipe), one)
    with steer(pipe, [second, first], [0.7, 0.3]):
        assert torch.equal(draw(pipe), changed)


def test_fused_is_hooked_up_to_rounding_and_unfused_is_exact(steered: SteeredModel, pipe: Any) -> None:
    steered.disable_steering()
    base, before, untouched = draw(steered), weights(pipe), hooks(pipe)
    steered.enable_steering()
    hooked = draw(steered)
    steered.fuse_steering()
    assert not steered_by_hooks(pipe)
    fused = draw(steered)
    assert torch.allclose(fused, hooked, rtol=1e-3, atol=1e-3 * float(hooked.abs().max()))
    steered.set_steerings("first", 0.4)
    less = draw(steered)
    steered.disable_steering()
    assert torch.equal(draw(steered), base) and hooks(pipe) == untouched
    steered.enable_steering()
    assert torch.equal(draw(steered), less)
    steered.fuse_steering(0.5)
    steered.unfuse_steering()
    steered.unfuse_steering()
    assert all(torch.equal(a, b) for a, b in zip(weights(pipe), before, strict=True))
    assert torch.allclose(draw(steered), less, rtol=1e-3, atol=1e-3 * float(less.abs().max()))
    steered.unload_steerings()
    assert torch.equal(draw(steered), base)
    assert all(torch.equal(a, b) for a, b in zip(weights(pipe), before, strict=True))


def test_fusing_scales_all_strengths(steered: SteeredModel, pipe: Any, first: Steering) -> None:
    steered.set_steerings("first", 0.8)
    steered.fuse_steering(0.5)
    fused = draw(steered)
    steered.unload_steerings()
    with steer(pipe, first, 0.4):
        hooked = draw(pipe)
    assert torch.allclose(fused, hooked, rtol=1e-3, atol=1e-3 * float(hooked.abs().max()))


def test_what_cannot_be_folded_stays_hooked(pipe: Any) -> None:
    (site,) = find_sites(module_tree(pipe), "unet.conv_norm_out")
    d = pipe.unet.conv_norm_out.num_channels
    gate = GatedMap(*(0.3 * torch.ones(d) for _ in range(3)), torch.zeros(()), torch.zeros(d), torch.ones(d))
    untouched = hooks(pipe)
    with SteeredModel(pipe) as steered:
        steered.load_steering(Steering({site: gate}), "gate")
        hooked = draw(steered)
        steered.fuse_steering()
        assert steered_by_hooks(pipe) == 1
        assert torch.equal(draw(steered), hooked)
    assert hooks(pipe) == untouched


def test_deleting_one_leaves_the_other(steered: SteeredModel, pipe: Any, second: Steering) -> None:
    steered.delete_steerings("first")
    assert steered.get_list_steerings() == ["second"]
    left = draw(steered)
    steered.unload_steerings()
    with steer(pipe, second, 0.5):
        assert torch.equal(draw(pipe), left)


def test_the_model_is_as_before_after_the_block_and_after_an_exception(pipe: Any, first: Steering) -> None:
    base, before, untouched = draw(pipe), weights(pipe), hooks(pipe)
    with SteeredModel(pipe) as steered:
        steered.load_steering(first)
        assert not torch.equal(draw(steered), base)

    def fail() -> None:
        with SteeredModel(pipe) as steered:
            steered.load_steering(first)
            steered.fuse_steering()
            steered.set_steerings("unknown")

    with pytest.raises(ConfigError, match="Loaded"):
        fail()
    assert torch.equal(draw(pipe), base)
    assert hooks(pipe) == untouched
    assert all(torch.equal(a, b) for a, b in zip(weights(pipe), before, strict=True))


def test_files_are_named_after_themselves(pipe: Any, first: Steering, tmp_path: Path) -> None:
    first.save(tmp_path / "no-night.safetensors")
    with SteeredModel(pipe) as steered:
        assert steered.load_steering(tmp_path / "no-night.safetensors") == "no-night"
        assert steered.load_steering(str(tmp_path / "no-night.safetensors"), "again") == "again"
        assert steered.load_steering(first) == "steering-0"
        assert steered.load_steering(first) == "steering-1"
        with pytest.raises(SteeringFileError):
            steered.load_steering(tmp_path / "missing.safetensors")


def test_errors_name_what_is_known_and_change_nothing(steered: SteeredModel) -> None:
    other = random_steering(sdxl(), 0)
    before = draw(steered)
    with pytest.raises(MismatchError, match=r"does not fit"):
        steered.load_steering(other, "other")
    with pytest.raises(ConfigError, match=r"already"):
        steered.load_steering(other, "first")
    with pytest.raises(ConfigError, match=r"Loaded: first, second.*Near names: first"):
        steered.set_steerings(["firts"])
    with pytest.raises(ConfigError, match=r"Unknown steering 'third'"):
        steered.delete_steerings(["first", "third"])
    with pytest.raises(ConfigError, match=r"one strength for each"):
        steered.set_steerings(["first", "second"], [1.0])
    with pytest.raises(ConfigError, match=r"one strength for each"):
        steered.set_steerings(["first", "first"], [1.0, 0.5])
    assert steered.get_list_steerings() == ["first", "second"]
    assert torch.equal(draw(steered), before)
    with pytest.raises(MismatchError):
        SteeredModel("a name")


def test_everything_else_is_that_of_the_pipeline(pipe: Any) -> None:
    steered, scheduler = SteeredModel(pipe), pipe.scheduler
    assert steered.unet is pipe.unet
    assert steered.components == pipe.components
    assert steered.to("cpu") is steered
    steered.scheduler = other = type(scheduler).from_config(scheduler.config)
    assert pipe.scheduler is other
    pipe.scheduler = scheduler
    with pytest.raises(AttributeError):
        steered.no_such_thing


def test_fit_leaves_out_what_is_active_and_loads_the_result(steered: SteeredModel, pipe: Any) -> None:
    options = {"recipe": ONE, "steps": 2, "learning_rate": 0.01, "sites": "resnets"}
    made = steered.fit(SOURCE, TARGET, name="night", strength=0.5, **options)
    assert steered.get_active_steerings() == {"first": 1.0, "second": 0.5, "night": 0.5}
    with pytest.raises(ConfigError, match=r"already"):
        steered.fit(SOURCE, TARGET, name="night", **options)
    steered.unload_steerings()
    assert made.allclose(fit(pipe, SOURCE, TARGET, **options))
    assert made.allclose(fit(steered, SOURCE, TARGET, **options))


@pytest.mark.parametrize("kind", ["model", "text-generation"])
def test_language_models_are_steered_by_the_same_calls(kind: str) -> None:
    model, tokenizer = toy_language.model("Llama"), toy_language.tokenizer()
    wrapped = model
    if kind == "text-generation":
        wrapped = transformers.pipeline("text-generation", model=model, tokenizer=tokenizer, device="cpu")
    inputs = tokenizer("the cold night", return_tensors="pt").input_ids
    with torch.no_grad():
        base = model(inputs).logits
        with SteeredModel(wrapped) as steered:
            given = {"tokenizer": tokenizer} if kind == "model" else {}
            steering = steered.fit(toy_language.SOURCE, toy_language.TARGET, name="warm", steps=2, **given)
            hooked = model(inputs).logits
            assert not torch.equal(hooked, base)
            steered.fuse_steering()
            assert torch.allclose(model(inputs).logits, hooked, atol=1e-4)
            if kind == "text-generation":
                assert steered("the cold", max_new_tokens=2, do_sample=False)[0]["generated_text"]
            else:
                assert (
                    steered.generate(inputs, max_new_tokens=2, do_sample=False).shape[1]
                    == inputs.shape[1] + 2
                )
        assert torch.equal(model(inputs).logits, base)
    assert all(site.name.startswith("model.layers.") for site in steering.sites)
    with steer(wrapped, steering, 0.0):
        assert torch.equal(model(inputs).logits, base)


def test_the_package_exports_what_it_lists() -> None:
    for name in lineas.__all__:
        assert getattr(lineas, name) is not None
    assert set(lineas.__all__) <= set(dir(lineas))
    assert callable(lineas.fuse)  # the function, although a submodule has its name
    with pytest.raises(AttributeError, match=r"no attribute 'fitt'"):
        lineas.fitt


def test_a_copy_is_steered_for_itself_and_leaves_the_original_alone(pipe: Any, first: Steering) -> None:
    plain = draw(pipe)
    for fused in (False, True):
        with SteeredModel(pipe) as original:
            original.load_steering(first, "first")
            if fused:
                original.fuse_steering()
            expected = draw(original)
            copied = copy.deepcopy(original)
            assert torch.equal(draw(copied), expected) and torch.equal(draw(original), expected)
            copied.unload_steerings()
            assert torch.equal(draw(copied), plain) and torch.equal(draw(original), expected)
        assert torch.equal(draw(pipe), plain)


def test_a_part_that_was_replaced_is_steered_before_the_next_run(first: Steering) -> None:
    pipe, other = sd1(), sd1()
    with torch.no_grad():
        other.unet.conv_out.weight.mul_(2)
    with steer(other, first):
        expected = draw(other)
    with SteeredModel(pipe) as wrapper:
        wrapper.load_steering(first, "first")
        wrapper.unet, wrapper.text_encoder, wrapper.vae = other.unet, other.text_encoder, other.vae
        assert torch.equal(draw(wrapper), expected)
    assert not hooks(other)


@pytest.mark.parametrize("fused", [False, True])
def test_a_text_encoder_that_is_passed_over_is_told_after_the_call(pipe: Any, fused: bool) -> None:
    embeds = torch.zeros(1, 12, 16)
    with SteeredModel(pipe) as wrapper:
        wrapper.load_steering(random_steering(pipe, 0, "text_encoder.*layer_norm1"))
        if fused:
            wrapper.fuse_steering()
        with pytest.warns(UserWarning, match="2 of 2 sites never ran .* text_encoder"):
            wrapper(prompt_embeds=embeds, num_inference_steps=1, guidance_scale=0.0, output_type="latent")
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            draw(wrapper)  # and it runs now
            wrapper.unload_steerings()


@pytest.mark.parametrize("fused", [False, True])
def test_a_run_that_fails_tells_nothing_of_what_had_no_turn(
    pipe: Any, fused: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The text encoder ran, and the UNet would have been next."""
    steering = random_steering(pipe, 0, ["text_encoder.*layer_norm1", "unet.*norm1"])
    monkeypatch.setattr(pipe.scheduler, "set_timesteps", None)
    wrapper = SteeredModel(pipe)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        wrapper.load_steering(steering)
        if fused:
            wrapper.fuse_steering()
        with pytest.raises(TypeError):
            draw(wrapper)
        wrapper.unload_steerings()
        wrapper.load_steering(steering)
        with pytest.raises(TypeError), wrapper:
            draw(wrapper.pipe)


CALLS = {
    "load": lambda wrapper, steering: wrapper.load_steering(steering, "second"),
    "set": lambda wrapper, steering: wrapper.set_steerings("spare"),
    "fuse": lambda wrapper, steering: wrapper.fuse_steering(),
    "delete": lambda wrapper, steering: wrapper.delete_steerings("spare"),
    "disable": lambda wrapper, steering: wrapper.disable_steering(),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("fails", [1, 99])
def test_what_is_listed_as_active_acts_also_after_a_call_that_failed(
    call: str, fails: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, x = toy_unet(), noise(1, 4, 4, 4)
    one, other = (steering_for(model, find_sites({"": model}, "*"), seed) for seed in (1, 2))
    before, base = snapshot(model), model(x)
    left = fails

    def failing(real: Any) -> Any:
        def run(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            left -= 1
            if left >= 0:
                raise MemoryError
            return real(*args, **kwargs)

        return run

    wrapper = SteeredModel(model)
    wrapper.load_steering(other, "spare", 0.5)
    wrapper.load_steering(one, "first")
    expected, active = model(x), wrapper.get_active_steerings()
    with monkeypatch.context() as patch:
        for name in ("steer", "fuse"):
            patch.setattr(steered_model, name, failing(getattr(steered_model, name)))
        if call == "disable":
            patch.setattr(Handle, "remove", failing(Handle.remove))
        with pytest.raises(MemoryError):
            CALLS[call](wrapper, one)
    assert wrapper.get_list_steerings() == ["spare", "first"]
    stays = fails == 1 or call == "disable"
    assert wrapper.get_active_steerings() == (active if stays else {})
    assert torch.equal(model(x), expected if stays else base)
    wrapper.unload_steerings()
    assert_untouched(model, before)
