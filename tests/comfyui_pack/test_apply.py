"""Apply Steering: exact, stackable, and never on the shared model."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from lineas.errors import ConfigError, MismatchError
from lineas.maps.affine import AffineMap
from lineas.maps.base import FAMILIES, map_from_tensors
from lineas.maps.gated import GatedMap
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site
from lineas.steering.steering import Steering

pytestmark = pytest.mark.usefixtures("comfyui", "unchanged")
ONE_GREY = 1 / 255


def applied(*args: Any, **placement: Any) -> tuple[Any, Any]:
    from comfyui_lineas.apply.placement import Placement
    from comfyui_lineas.apply.steering import apply_steering

    return apply_steering(*args, Placement(**placement))


def apart(one: torch.Tensor, two: torch.Tensor) -> float:
    return float((one - two).abs().max())


def test_the_model_draws_bit_identically_before_and_after(scenes: Any, draw: Any, steering_for: Any) -> None:
    before = draw()
    for method in ("weights", "hooks"):
        model, _ = applied(scenes.model, None, steering_for(), 1.0, method=method)
        assert apart(draw(model), before) > ONE_GREY
        assert torch.equal(draw(), before)


def test_weights_hooks_and_the_library_agree(scenes: Any, draw: Any, steering_for: Any) -> None:
    from comfyui_lineas.models.tree import Tree
    from lineas.apply.hooks import steer

    steering = steering_for()
    images = [draw(applied(scenes.model, None, steering, 0.7, method=m)[0]) for m in ("weights", "hooks")]
    draw()  # the patches of the clone leave the shared model
    with steer(Tree(scenes.model).components, steering, 0.7):
        reference = draw()
    assert max(apart(image, reference) for image in images) < 0.1 * ONE_GREY


def test_strength_0_is_off_and_bit_identical(scenes: Any, draw: Any, steering_for: Any) -> None:
    for method in ("weights", "hooks"):
        model, _ = applied(scenes.model, None, steering_for(), 0.0, method=method)
        assert torch.equal(draw(model), draw())


def test_two_branches_do_not_see_each_other(scenes: Any, draw: Any, steering_for: Any) -> None:
    one, _ = applied(scenes.model, None, steering_for(), 1.0)
    two, _ = applied(scenes.model, None, steering_for(), -0.5)
    first, second = draw(one), draw(two)
    assert apart(first, second) > ONE_GREY
    assert torch.equal(draw(one), first) and torch.equal(draw(two), second)


def test_steerings_stack_in_sequence(scenes: Any, draw: Any, steering_for: Any) -> None:
    first, second = steering_for(seed=1), steering_for(seed=2)
    both = draw(applied(scenes.model, None, first.compose(second, weights=(1.0, -0.5)), 1.0)[0])
    for methods in (("weights", "weights"), ("hooks", "hooks"), ("weights", "hooks"), ("hooks", "automatic")):
        model, _ = applied(scenes.model, None, first, 1.0, method=methods[0])
        model, _ = applied(model, None, second, -0.5, method=methods[1])
        assert apart(draw(model), both) < 0.1 * ONE_GREY


def test_it_stacks_with_loras(scenes: Any, draw: Any, steering_for: Any) -> None:
    import comfy.sd

    name = "diffusion_model.input_blocks.1.0.in_layers.2"
    weight = scenes.model.model.state_dict()[f"{name}.weight"]
    lora = {f"{name}.diff": 0.3 * weight.abs().mean() * torch.ones_like(weight)}

    def with_lora(model: Any) -> Any:
        return comfy.sd.load_lora_for_models(model, None, lora, 1.0, 0.0)[0]

    steering = steering_for()
    one, two = (
        with_lora(applied(scenes.model, None, steering, 1.0)[0]),
        applied(with_lora(scenes.model), None, steering, 1.0)[0],
    )
    assert apart(draw(one), draw(two)) < 0.1 * ONE_GREY
    assert apart(draw(one), draw(with_lora(scenes.model))) > ONE_GREY
    assert apart(draw(one), draw(applied(scenes.model, None, steering, 1.0)[0])) > ONE_GREY


def test_a_mask_keeps_the_rest_of_the_image(scenes: Any, draw: Any, steering_for: Any) -> None:
    steering, base = steering_for("unet.conv_norm_out", scale=0.5), draw(batch=2)
    mask = torch.zeros(1, 60, 60)
    mask[:, :, :30] = 1
    change = (draw(applied(scenes.model, None, steering, 1.0, mask=mask)[0], batch=2) - base).abs()
    left, right = change[:, :, :40].mean(), change[:, :, 88:].mean()  # the decoder sees some way across
    assert left > 10 * right
    full = draw(applied(scenes.model, None, steering, 1.0, mask=torch.ones(1, 8, 8))[0], batch=2)
    assert apart(full, draw(applied(scenes.model, None, steering, 1.0)[0], batch=2)) < 0.1 * ONE_GREY


def test_a_mask_reaches_every_norm(scenes: Any, draw: Any, steering_for: Any) -> None:
    full = applied(scenes.model, None, steering_for(), 1.0, mask=torch.ones(1, 128, 128))[0]
    none = applied(scenes.model, None, steering_for(), 1.0, mask=torch.zeros(1, 128, 128))[0]
    assert apart(draw(full), draw(applied(scenes.model, None, steering_for(), 1.0)[0])) < 0.1 * ONE_GREY
    assert apart(draw(none), draw()) < 0.1 * ONE_GREY


def test_percentages_choose_the_steps(scenes: Any, draw: Any, steering_for: Any) -> None:
    steering = steering_for()
    early, _ = applied(scenes.model, None, steering, 1.0, end_percent=0.5)
    late, _ = applied(scenes.model, None, steering, 1.0, start_percent=0.5)
    always = draw(applied(scenes.model, None, steering, 1.0)[0])
    assert apart(draw(early), always) < 0.1 * ONE_GREY
    assert torch.equal(draw(late), draw())
    assert apart(draw(late, steps=4), draw(steps=4)) > ONE_GREY
    both = applied(early, None, steering, 1.0, start_percent=0.5)[0]
    everywhere = draw(applied(scenes.model, None, steering, 1.0)[0], steps=4)
    assert apart(draw(both, steps=4), everywhere) < 0.1 * ONE_GREY


def test_it_acts_on_the_chosen_condition(scenes: Any, draw: Any, steering_for: Any) -> None:
    steering, base = steering_for(), draw(cfg=3.0, batch=2)
    both, cond, uncond = (
        draw(applied(scenes.model, None, steering, 1.0, apply_to=branch)[0], cfg=3.0, batch=2)
        for branch in ("both", "cond", "uncond")
    )
    for one, two in ((both, cond), (both, uncond), (cond, uncond), (cond, base), (uncond, base)):
        assert apart(one, two) > ONE_GREY
    positive, negative = (
        applied(scenes.model, None, steering, 1.0, apply_to=b)[0] for b in ("cond", "uncond")
    )
    everywhere = draw(applied(scenes.model, None, steering, 1.0)[0])
    assert apart(draw(positive), everywhere) < 0.1 * ONE_GREY
    assert torch.equal(draw(negative), draw())  # at cfg 1 there is no negative pass
    joined = applied(positive, None, steering, 1.0, apply_to="uncond")[0]
    assert apart(draw(joined, cfg=3.0, batch=2), both) < 0.1 * ONE_GREY


def test_the_text_encoder_is_steered_on_the_clip(scenes: Any, draw: Any, steering_for: Any) -> None:
    from comfyui_lineas.models.tree import Tree
    from lineas.apply.hooks import steer

    steering, base = steering_for("text_encoder*norm*"), draw()
    model, clip = applied(scenes.model, scenes.clip, steering, 1.0)
    steered = draw(model, clip)
    assert apart(steered, base) > ONE_GREY
    assert torch.equal(draw(), base)
    with steer(Tree(scenes.model, scenes.clip).components, steering, 1.0):
        assert apart(draw(), steered) < 0.1 * ONE_GREY


def test_gates_take_the_hook_route(scenes: Any, draw: Any) -> None:
    width = scenes.model.model.diffusion_model.out[0].num_channels
    numbers = torch.full((width,), 0.3)
    gate = replace(GatedMap.identity(width), deviation=numbers, shift=numbers)
    steering = Steering({Site("unet.conv_norm_out", 0, 1): gate})
    model, _ = applied(scenes.model, None, steering, 1.0)
    assert apart(draw(model), draw()) > ONE_GREY
    with pytest.raises(ConfigError, match="depends on the activation"):
        applied(scenes.model, None, steering, 1.0, method="weights")


@pytest.fixture
def gates(scenes: Any) -> Any:
    """A gated steering with random maps at the norms of the text encoder."""
    from comfyui_lineas.models.tree import Tree
    from lineas.modules.kinds import width
    from lineas.modules.names import find_sites, named_modules

    components = Tree(scenes.model, scenes.clip).components
    table = named_modules(components)

    def made(seed: int = 0, pattern: str = "text_encoder*norm*") -> Steering:
        random = torch.Generator().manual_seed(seed)
        maps: dict[Site, Any] = {}
        for site in find_sites(components, pattern):
            size = width(table[site.name])
            numbers = [0.3 * torch.randn(size, generator=random) for _ in range(3)]
            named = dict(zip(("deviation", "shift", "direction"), numbers, strict=True))
            maps[site] = replace(GatedMap.identity(size), **named)
        return Steering(maps)

    return made


@torch.inference_mode()
def encoded(clip: Any, text: str = "a red clock on a table at night") -> torch.Tensor:
    """[1, s, d] what the UNet reads of a prompt."""
    return clip.encode_from_tokens_scheduled(clip.tokenize(text))[0][0]


@torch.inference_mode()
def by_library(scenes: Any, steerings: list[Steering], strengths: list[float]) -> torch.Tensor:
    """The same by the library's own hooks on the shared text encoder."""
    from comfyui_lineas.models.tree import Tree
    from lineas.apply.hooks import steer

    encoded(scenes.clip)  # loads the clone without patches
    with steer(Tree(scenes.model, scenes.clip).components, steerings, strengths):
        return encoded(scenes.clip)


@pytest.mark.parametrize("mode", ["sequence", "sum"])
def test_composed_gates_act_as_one_steering(scenes: Any, gates: Any, mode: Any) -> None:
    first, second = gates(1), gates(2)
    both = first.compose(second, mode, (1.0, -0.5))
    steered = encoded(applied(scenes.model, scenes.clip, both, 0.7)[1])
    assert torch.equal(steered, by_library(scenes, [both], [0.7]))
    whole = encoded(applied(scenes.model, scenes.clip, both, 1.0)[1])
    if mode == "sequence":
        torch.testing.assert_close(whole, by_library(scenes, [first, second], [1.0, -0.5]))
    assert not torch.allclose(whole, encoded(scenes.clip))


def test_gates_act_in_the_text_encoder(scenes: Any, draw: Any, gates: Any) -> None:
    steering, base = gates(), draw()
    model, clip = applied(scenes.model, scenes.clip, steering, 0.7)
    steered = draw(model, clip)
    assert apart(steered, base) > ONE_GREY
    assert torch.equal(draw(), base)
    assert torch.equal(draw(model, clip), steered)
    assert torch.equal(encoded(clip), by_library(scenes, [steering], [0.7]))
    with pytest.raises(ConfigError, match="depends on the activation"):
        applied(scenes.model, scenes.clip, steering, 1.0, method="weights")


def test_branches_of_a_clip_do_not_see_each_other(scenes: Any, gates: Any) -> None:
    steering, base = gates(), encoded(scenes.clip)
    clips = {s: applied(scenes.model, scenes.clip, steering, s)[1] for s in (1.0, -0.5, 0.0)}
    expected = {s: by_library(scenes, [steering], [s]) for s in clips}
    for strength in (1.0, -0.5, 1.0, 0.0, -0.5, -0.5, 1.0):
        assert torch.equal(encoded(clips[strength]), expected[strength])
        if strength == 1.0:
            assert torch.equal(encoded(scenes.clip), base)
    assert torch.equal(expected[0.0], base)
    del clips
    assert torch.equal(encoded(scenes.clip), base)


def test_a_hooked_clip_survives_other_nodes(scenes: Any, gates: Any) -> None:
    import nodes

    last = nodes.CLIPSetLastLayer().set_last_layer
    before = last(scenes.clip, -2)[0]
    one = applied(scenes.model, before, gates(), 1.0)[1]
    two = last(applied(scenes.model, scenes.clip, gates(), 1.0)[1], -2)[0]
    assert torch.equal(encoded(one), encoded(two))
    assert apart(encoded(one), encoded(before)) > 0.01


def test_gates_stack_in_the_text_encoder(scenes: Any, gates: Any, steering_for: Any) -> None:
    first, second, plain = gates(1), gates(2), steering_for("text_encoder*norm*")
    for steerings in ([first, second], [plain, first], [first, plain]):
        clip = scenes.clip
        for steering, strength in zip(steerings, (1.0, -0.5), strict=True):
            encoded(clip)  # one clone is loaded while the next is made
            clip = applied(scenes.model, clip, steering, strength)[1]
        assert apart(encoded(clip), by_library(scenes, steerings, [1.0, -0.5])) < 1e-4
    encoded(scenes.clip)


def test_gates_and_loras_on_the_same_norms(scenes: Any, gates: Any) -> None:
    steering, weights = gates(), scenes.clip.cond_stage_model.state_dict()
    norms = [name for name in weights if "norm" in name]
    changes = {name: ("diff", (0.2 * torch.ones_like(weights[name]),)) for name in norms}

    def with_lora(clip: Any) -> Any:
        patched = clip.clone()
        assert len(patched.add_patches(changes, 1.0)) == len(norms)
        return patched

    lora = with_lora(scenes.clip)
    encoded(lora)  # its patches are on the shared weights while the steering is put on another clone
    one, two = (
        applied(scenes.model, lora, steering, 1.0)[1],
        with_lora(applied(scenes.model, scenes.clip, steering, 1.0)[1]),
    )
    alone = applied(scenes.model, scenes.clip, steering, 1.0)[1]
    both = encoded(one)
    assert torch.equal(encoded(two), both)
    assert torch.equal(encoded(alone), by_library(scenes, [steering], [1.0]))
    assert apart(both, encoded(alone)) > 0.01 and apart(both, encoded(lora)) > 0.01


def test_all_by_hooks_holds_for_the_text_encoder_too(scenes: Any, steering_for: Any) -> None:
    steering = steering_for("text_encoder*norm*")
    clips = [applied(scenes.model, scenes.clip, steering, 0.7, method=m)[1] for m in ("weights", "hooks")]
    assert not clips[1].patcher.patches and clips[0].patcher.patches
    assert apart(*[encoded(clip) for clip in clips]) < 1e-4


def test_float8_models_take_the_hook_route(scenes: Any, draw: Any, steering_for: Any) -> None:
    from comfyui_lineas.scenes.loading import scenes_model

    coarse = scenes_model()
    for module in coarse.model.diffusion_model.modules():
        if hasattr(module, "comfy_cast_weights"):
            module.comfy_cast_weights = True
            for parameter in module.parameters(recurse=False):
                parameter.data = parameter.data.to(torch.float8_e4m3fn)
    steering = steering_for(scale=0.02)
    model, _ = applied(coarse, None, steering, 1.0)
    assert not model.patches and model.wrappers
    with pytest.raises(ConfigError, match="float8"):
        applied(coarse, None, steering, 1.0, method="weights")
    hooked = draw(model)
    from comfyui_lineas.models.tree import Tree
    from lineas.apply.hooks import steer

    with steer(Tree(coarse).components, steering, 1.0):
        assert apart(draw(coarse), hooked) < 0.1 * ONE_GREY


def sdxl_steering() -> Steering:
    name = "unet.down_blocks.2.attentions.0.transformer_blocks.9.norm1"
    maps = {Site(name): AffineMap(torch.zeros(1280), torch.ones(1280))}
    return Steering(maps, Provenance(base_model="SDXL"))


def test_another_model_is_refused_by_name(scenes: Any, steering_for: Any) -> None:
    with pytest.raises(MismatchError, match=r"made for SDXL, the connected model is lineas/scenes"):
        applied(scenes.model, None, sdxl_steering(), 1.0)
    unnamed = Steering(sdxl_steering().maps)
    with pytest.raises(MismatchError, match=r"made for SDXL, the connected model is lineas/scenes"):
        applied(scenes.model, None, unnamed, 1.0)


def test_a_family_of_stable_diffusion_is_named(scenes: Any) -> None:
    from types import SimpleNamespace

    import comfy.supported_models

    from comfyui_lineas.models.base_models import base_model_of

    config = object.__new__(comfy.supported_models.SD15)
    model = SimpleNamespace(model=SimpleNamespace(model_config=config))
    assert base_model_of(model) == "Stable Diffusion 1.5"


def test_other_widths_are_refused(scenes: Any) -> None:
    maps = {Site("unet.conv_norm_out", 0, 1): AffineMap(torch.ones(7), torch.ones(7))}
    with pytest.raises(MismatchError, match="units in the model and 7 in the steering"):
        applied(scenes.model, None, Steering(maps), 1.0)


def test_a_missing_clip_is_asked_for(scenes: Any, steering_for: Any) -> None:
    with pytest.raises(MismatchError, match="Connect the CLIP"):
        applied(scenes.model, None, steering_for("text_encoder*norm*"), 1.0)


def test_a_window_that_is_empty_is_refused(scenes: Any, steering_for: Any) -> None:
    with pytest.raises(ConfigError, match="never act"):
        applied(scenes.model, None, steering_for(), 1.0, start_percent=0.6, end_percent=0.4)


def test_an_error_while_sampling_leaves_no_hook(scenes: Any, draw: Any, steering_for: Any) -> None:
    model, _ = applied(scenes.model, None, steering_for(), 1.0, method="hooks")

    def fail(executor: Any, *args: Any, **kwargs: Any) -> Any:
        raise KeyboardInterrupt

    model.add_wrapper("diffusion_model", fail)
    with pytest.raises(KeyboardInterrupt):
        draw(model)


def test_other_weights_of_the_same_shape_are_told(
    scenes: Any, steering_for: Any, caplog: pytest.LogCaptureFixture
) -> None:
    steering = steering_for()
    other = Steering(steering.maps, replace(steering.provenance, fingerprint="1:unet=0123456789abcdef"))
    applied(scenes.model, None, other, 1.0)
    assert "fitted on other weights" in caplog.text


def test_load_and_apply_is_both_nodes_in_one(comfyui: Any, scenes: Any, draw: Any, steering_for: Any) -> None:
    from comfyui_lineas.files import save_named
    from comfyui_lineas.nodes.apply import LoadAndApplySteering

    steering = steering_for()
    name = Path(save_named(steering, "both-in-one")).name
    model, clip = LoadAndApplySteering.execute(scenes.model, name, 0.7, start_percent=0.0).args
    assert clip is None
    assert torch.equal(draw(model), draw(applied(scenes.model, None, steering, 0.7)[0]))
    before = LoadAndApplySteering.fingerprint_inputs(steering_name=name, strength=1.0)
    os.utime(comfyui.output / "steering" / name, (1, 1))
    assert LoadAndApplySteering.fingerprint_inputs(steering_name=name, strength=1.0) != before


def test_the_usable_strengths_stand_on_the_node(
    scenes: Any, steering_for: Any, told: list[tuple[str, str]], running: Any
) -> None:
    from comfyui_lineas.nodes.apply import ApplySteering

    made = steering_for()
    settings = {"usable_from": 0.5, "usable_to": 1.25}
    known = replace(made, provenance=replace(made.provenance, settings=settings))
    with running("7"):
        ApplySteering.execute(scenes.model, known, 2.0)
    assert told[-1] == ("strength: usable from 0.5 to 1.25, best at 1; 2 lies outside", "7")
    with running("8"):
        ApplySteering.execute(scenes.model, known, 2.0, block_strengths="up 0.5")  # another steering
    assert told[-1][1] == "7"


# Not here: the first token of a language model, places behind a prompt, and sums of the others.
@pytest.mark.parametrize("kind", sorted(set(FAMILIES) - {"first_token", "stacked", "virtual"}))
def test_every_family_draws_what_it_draws_in_diffusers(scenes: Any, draw: Any, kind: str) -> None:
    """At the outputs of cross-attention and the norms of the text encoder."""
    from lineas.apply.hooks import steer
    from lineas.modules.kinds import width
    from lineas.modules.names import find_sites, named_modules
    from lineas.scenes.bundled import load_pipeline

    pipe, random = load_pipeline(), torch.Generator().manual_seed(0)
    components = {"unet": pipe.unet, "text_encoder": pipe.text_encoder}
    table, maps = named_modules(components), {}
    for site in find_sites(components, ["unet.*attn2.to_out.0", "text_encoder.*norm*"]):
        identity = FAMILIES[kind].identity(width(table[site.name])).tensors()  # type: ignore[attr-defined]
        moved = {name: t + 0.3 * torch.randn(t.shape, generator=random).abs() for name, t in identity.items()}
        maps[site] = map_from_tensors(kind, moved)
    steering = Steering(maps, Provenance(base_model="lineas/scenes"))
    with torch.inference_mode():
        ours = draw(*applied(scenes.model, scenes.clip, steering, 0.5), seed=5)
    assert apart(ours, draw(seed=5)) > 2 * ONE_GREY
    noise = torch.Generator().manual_seed(5)
    with torch.no_grad(), steer(pipe, steering, 0.5):
        images = pipe(
            "a red clock on a table at night",
            num_inference_steps=1, guidance_scale=0, generator=noise, output_type="np",
        ).images  # fmt: skip
    assert apart(ours, torch.from_numpy(images)) < 0.5 * ONE_GREY
