"""Virtual tokens lie behind each prompt's own tokens, in slots of their own, however they are applied."""

from __future__ import annotations

import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toys import pipelines, transformers

from lineas.adapters.problems import problem_for
from lineas.apply.fusing import fuse
from lineas.apply.hooks import steer
from lineas.apply.prompt_tokens import TokenWatch
from lineas.architectures.recipe import Recipe
from lineas.errors import MismatchError
from lineas.fitting.micro_batches import MicroBatches
from lineas.maps.base import map_from_tensors
from lineas.maps.virtual_tokens import VirtualTokenMap
from lineas.methods.lineas.starting import padding_is_seen, reaching
from lineas.modules.names import module_tree, named_modules
from lineas.steering.site import Site
from lineas.steering.steering import Steering

SITE = Site("text_encoder.text_model.final_layer_norm")
PROMPTS = ["cat", "a cat"]


@pytest.fixture(scope="module")
def pipe() -> Any:
    return pipelines.sd1()


def encoded(pipe: Any, prompts: list[str] = PROMPTS) -> Tensor:
    """[b, s, d] what the image model is told."""
    return pipe.encode_prompt(prompts, "cpu", 1, False)[0]


def virtual(pipe: Any, count: int = 2, seed: int = 0, offset: float = 0.0) -> Steering:
    width = pipe.text_encoder.config.hidden_size
    vectors = torch.randn(count, width, generator=torch.Generator().manual_seed(seed))
    return Steering(
        {SITE: VirtualTokenMap(vectors, torch.zeros(width), torch.zeros(width), torch.tensor(offset))}
    )


def ends(pipe: Any, prompts: list[str] = PROMPTS) -> list[int]:
    """Where the end token of each prompt stands."""
    return [len(pipe.tokenizer(prompt).input_ids) - 1 for prompt in prompts]


@pytest.mark.parametrize("apply", [steer, fuse])
def test_the_vectors_are_added_from_the_end_token_on_and_nothing_else_moves(pipe: Any, apply: Any) -> None:
    plain, steering = encoded(pipe), virtual(pipe)
    with apply(pipe, steering, 0.5):
        moved = encoded(pipe) - plain
    for row, end in zip(moved, ends(pipe), strict=True):
        torch.testing.assert_close(row[end : end + 2], 0.5 * steering.maps[SITE].tensors()["vectors"])
        assert not row[:end].any() and not row[end + 2 :].any()
    assert torch.equal(encoded(pipe), plain)


def test_a_scale_and_a_shift_move_the_prompts_own_words(pipe: Any) -> None:
    plain, width = encoded(pipe), pipe.text_encoder.config.hidden_size
    map = VirtualTokenMap(
        torch.zeros(1, width), torch.full((width,), 0.5), torch.ones(width), torch.zeros(())
    )
    with steer(pipe, Steering({SITE: map})):
        steered = encoded(pipe)
    for before, after, end in zip(plain, steered, ends(pipe), strict=True):
        torch.testing.assert_close(after[:end], 1.5 * before[:end] + 1)
        assert torch.equal(after[end:], before[end:])


@pytest.mark.parametrize("site", [SITE, Site("text_encoder.text_model.encoder.layers.1.mlp.fc2")])
@pytest.mark.parametrize("how", ["one after the other", "composed", "composed as a sum", "two handles"])
def test_two_steerings_take_slots_of_their_own(pipe: Any, how: str, site: Site) -> None:
    """Of the text encoder as a whole, so that they may act at different sites of it."""
    first, second = virtual(pipe, 2), virtual(pipe, 3, seed=1)
    second = Steering({site: second.maps[SITE]})
    plain = encoded(pipe)
    if how == "one after the other":
        with steer(pipe, [first, second]):
            moved = encoded(pipe) - plain
    elif how == "two handles":
        with steer(pipe, first), steer(pipe, second):
            moved = encoded(pipe) - plain
    else:
        mode: Any = "sum" if how.endswith("sum") else "sequence"
        with steer(pipe, first.compose(second, mode)):
            moved = encoded(pipe) - plain
    one, two = (next(iter(each.maps.values())).tensors()["vectors"] for each in (first, second))
    for row, end in zip(moved, ends(pipe), strict=True):
        torch.testing.assert_close(row[end : end + 2], one, atol=1e-5, rtol=1e-5)
        assert row[end + 2 : end + 5].any(1).all() and not row[end + 5 :].any()
        if site == SITE:
            torch.testing.assert_close(row[end + 2 : end + 5], two, atol=1e-5, rtol=1e-5)


def test_where_padding_is_not_seen_they_lie_over_the_end_and_before_each_other(pipe: Any) -> None:
    first, second = virtual(pipe, 2, offset=-1.0), virtual(pipe, 1, seed=1, offset=0.0)
    second = Steering({SITE: replace(second.maps[SITE], offset=torch.tensor(-1.0))})
    plain = encoded(pipe, ["a cat cat"])
    with steer(pipe, [first, second]):
        moved = (encoded(pipe, ["a cat cat"]) - plain)[0]
    end = ends(pipe, ["a cat cat"])[0]
    torch.testing.assert_close(moved[end - 1 : end + 1], first.maps[SITE].tensors()["vectors"])
    torch.testing.assert_close(moved[end - 3], second.maps[SITE].tensors()["vectors"][0])
    assert not moved[end + 1 :].any()


FC2, DOWN = "text_model.encoder.layers.0.mlp.fc2", "model.layers.0.mlp.down_proj"


@pytest.mark.parametrize(
    ("model", "seen", "outputs"),
    [
        (pipelines.sd1, True, []),  # sees what the last norm gives
        (pipelines.sdxl, True, [f"text_encoder.{FC2}", f"text_encoder_2.{FC2}"]),  # the last block but one
        (pipelines.flux, True, []),  # sees one pooled vector of CLIP, and T5 behind its last norm
        (transformers.z_image, False, [f"text_encoder.{DOWN}"]),
    ],
)
def test_what_is_seen_of_a_text_encoder_is_found_by_changing_it(
    model: Any, seen: bool, outputs: list[str]
) -> None:
    """Whether padding is, and the block that nothing stands behind: there any vector reaches the image."""
    recipe = Recipe("one", arguments={"height": 16, "width": 16})
    prompts = (pipelines.SOURCE[:2], pipelines.TARGET[:2])
    problem = problem_for(model(), *prompts, sites="norms+text+text_feed_forward", recipe=recipe)
    problem.order_sites()
    steered = [site for site in problem.sites if site.name.startswith("text_encoder")]
    batches = MicroBatches(problem)
    assert padding_is_seen(batches, steered) is seen
    chosen = reaching(batches, steered, seen)
    norms = [site for site in steered if "norm" in site.name]
    assert [site.name for site in chosen if site not in norms] == outputs
    assert [site for site in chosen if site in norms] == norms
    fed = [site for site in steered if site not in norms]
    assert reaching(batches, fed, seen) == fed  # named one by one
    assert padding_is_seen(batches, norms) is seen  # whatever else of the encoders is measured


def test_a_prompt_without_room_is_told(pipe: Any) -> None:
    long = " ".join(["cat"] * 200)
    with steer(pipe, virtual(pipe, 3)), pytest.warns(UserWarning, match="leaves no room for 3 virtual"):
        encoded(pipe, [long])
    with steer(pipe, virtual(pipe, 3)), warnings.catch_warnings():
        warnings.simplefilter("error")
        encoded(pipe, ["cat"])


def test_without_tokens_it_is_refused(pipe: Any) -> None:
    z = torch.randn(1, 4, pipe.text_encoder.config.hidden_size)
    with pytest.raises(MismatchError, match="the tokens of the prompts are not known"):
        TokenWatch().now(SITE, z)
    with steer(pipe, virtual(pipe)), pytest.raises(MismatchError, match="not known"):
        named_modules(module_tree(pipe))[SITE.name](z)


def test_an_empty_prompt_is_left_alone_and_a_full_one_beside_it_is_not(pipe: Any) -> None:
    plain = encoded(pipe, ["", "cat"])
    with steer(pipe, virtual(pipe)):
        steered = encoded(pipe, ["", "cat"])
    assert torch.equal(steered[0], plain[0]) and not torch.equal(steered[1], plain[1])


@pytest.mark.parametrize("negative", ["", "dog"])
def test_guidance_is_trained_as_it_is_drawn(pipe: Any, negative: str) -> None:
    recipe = Recipe("guided", guidance=3.0, arguments={"negative_prompt": negative})
    problem = problem_for(pipe, PROMPTS, ["a dog", "dog"], sites="norms+text", recipe=recipe)
    map = virtual(pipe).maps[SITE]

    def transform(site: Site, z: Tensor) -> Tensor:
        return problem.steered(map, site, z, "source", [0, 1]) if site == SITE else z

    with torch.no_grad():
        trained = problem.rows("source", [0, 1], transform)
        with steer(pipe, Steering({SITE: map})):
            drawn = problem.rows("source", [0, 1])
    assert all(torch.equal(a, b) for site in trained for a, b in zip(trained[site], drawn[site], strict=True))


def test_it_is_saved_and_loaded(pipe: Any, tmp_path: Path) -> None:
    steering = virtual(pipe)
    both = steering.compose(virtual(pipe, 3, seed=1))
    for each in (steering, both):
        each.save(tmp_path / f"{len(each.maps[SITE].tensors())}.safetensors")
        loaded = Steering.load(tmp_path / f"{len(each.maps[SITE].tensors())}.safetensors")
        assert loaded.allclose(each)
        assert map_from_tensors(loaded.maps[SITE].kind, loaded.maps[SITE].tensors()).needs_tokens


def test_old_configurations_of_clip_name_another_end_token() -> None:
    class Encoder(torch.nn.Module):
        config = type("Config", (), {"eos_token_id": 2})

    watch = TokenWatch()
    watch(Encoder(), (torch.tensor([[0, 5, 9, 9], [0, 9, 9, 9]]),), {})
    assert watch.real is not None
    assert watch.real.tolist() == [[True, True, True, False], [True, True, False, False]]
