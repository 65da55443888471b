"""Language models of every architecture with presets: rows, fitting, steering and generation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch.backends.cuda import flash_sdp_enabled
from toys.language import ARCHITECTURES, PRESERVE, SOURCE, TARGET, model, tokenizer

from lineas.adapters.language.problem import SHORT, LanguageProblem
from lineas.adapters.language.sites import PRESETS
from lineas.apply.hooks import steer
from lineas.errors import MismatchError, PromptError, SiteError
from lineas.fitting import micro_batches
from lineas.fitting.progress import Progress
from lineas.maps.affine import AffineMap
from lineas.maths.pooling import MeanPooling, TokenPooling
from lineas.methods.lineas.config import TrainConfig
from lineas.methods.lineas.trainer import Trainer, fit
from lineas.modules.kinds import width
from lineas.steering.steering import Steering

ALL = pytest.mark.parametrize("name", ARCHITECTURES)


def problem(name: str = "Llama", **options: Any) -> LanguageProblem:
    return LanguageProblem(model(name), tokenizer(), SOURCE, TARGET, PRESERVE, **options)


def strong(made: LanguageProblem) -> Steering:
    generator = torch.Generator().manual_seed(5)
    modules = dict(made.model.named_modules())
    widths = [width(modules[site.name]) or 0 for site in made.sites]
    maps = [AffineMap(*(0.3 * torch.randn(2, d, generator=generator))) for d in widths]
    return Steering(dict(zip(made.sites, maps, strict=True)))


@pytest.mark.parametrize("preset", PRESETS)
@ALL
def test_presets_find_one_site_per_block_and_kind(name: str, preset: str) -> None:
    made = problem(name, sites=preset)
    gemma = name in ("Gemma2", "Gemma3")
    assert len(made.sites) == ((4 if gemma else 3) if preset == "norms" else 2)
    made.order_sites()
    assert all(rows[0].shape == (4, 16) for rows in made.rows("source", range(4)).values())


@ALL
def test_rows_ignore_padding_and_special_tokens(name: str) -> None:
    """Batched and padded, alone and unpadded, and by hand on the right positions of a left-padded batch."""
    made = problem(name, sites="norms")
    with torch.no_grad(), made.frozen():
        batched = made.rows("source", range(4))
        alone = [made.rows("source", [index]) for index in range(4)]
        for site, rows in batched.items():
            torch.testing.assert_close(rows[0], torch.cat([each[site][0] for each in alone]))
        seen: dict[str, torch.Tensor] = {}
        modules, hooks = dict(made.model.named_modules()), []
        for site in made.sites:
            keep = lambda m, a, z, n=site.name: seen.update({n: z})  # noqa: E731
            hooks.append(modules[site.name].register_forward_hook(keep))
        tokens = tokenizer()
        tokens.padding_side = "left"
        inputs = tokens(SOURCE, padding=True, return_tensors="pt", return_token_type_ids=False)
        positions = (inputs["attention_mask"].cumsum(1) - 1).clamp_min(0)
        made.model(**inputs, position_ids=positions)
        for hook in hooks:
            hook.remove()
    assert (inputs["input_ids"][:, -1] != 0).all() and (inputs["input_ids"][:2, 0] == 0).all()
    for site, rows in batched.items():
        z = seen[site.name].reshape(*inputs["input_ids"].shape, -1)  # OPT lays all tokens end to end
        own = [each[row > 1].mean(0) for each, row in zip(z, inputs["input_ids"], strict=True)]
        torch.testing.assert_close(rows[0], torch.stack(own))


@ALL
def test_the_default_fit_lowers_the_cost(name: str) -> None:
    reports: list[Progress] = []
    made = problem(name)
    steering = fit(made, TrainConfig.preset("fast", steps=25), reports.append)
    assert reports[-1].objective < 0.75 * reports[0].objective
    assert reports[-1].cost < 0.8 * reports[0].cost
    assert steering.sites == tuple(made.sites)
    assert steering.provenance.prompts_hash and steering.provenance.base_model
    steering.check()


def test_preserve_texts_are_held_token_by_token_unless_asked_otherwise() -> None:
    problem = LanguageProblem(model("Llama"), tokenizer(), SOURCE, TARGET, PRESERVE)
    for rows, kept in (("auto", TokenPooling(16, 0)), ("mean", MeanPooling())):
        pooling = Trainer(problem, TrainConfig(preserve_rows=rows)).gradient.pooling
        assert pooling == {"source": MeanPooling(), "preserve": kept}


@ALL
def test_strength_0_is_bit_identical_and_1_is_not(name: str) -> None:
    made = problem(name)
    inputs = tokenizer()("the cold rain falls", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        plain = made.model(inputs).logits
        with steer(made.model, strong(made), 0.0):
            assert torch.equal(made.model(inputs).logits, plain)
        with steer(made.model, strong(made)):
            assert not torch.allclose(made.model(inputs).logits, plain)
        assert torch.equal(made.model(inputs).logits, plain)


@ALL
def test_steered_generation_is_the_same_with_and_without_cache(name: str) -> None:
    made = problem(name, sites="norms")
    tokens = tokenizer()
    tokens.padding_side = "left"
    inputs = tokens(SOURCE, padding=True, return_tensors="pt", return_token_type_ids=False)
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    plain = made.model.generate(**inputs, **options)
    with steer(made.model, strong(made)):
        cached = made.model.generate(**inputs, **options, use_cache=True)
        assert torch.equal(made.model.generate(**inputs, **options, use_cache=False), cached)
    assert not torch.equal(plain, cached)


def test_preserve_texts_of_other_lengths_run_apart_with_the_same_maps(monkeypatch: Any) -> None:
    def fitted() -> tuple[list[int], Steering]:
        made, ran = problem(), []
        run = made.run
        made.run = lambda group, indices: (ran.append(len(indices)), run(group, indices))  # type: ignore
        trainer = Trainer(made, TrainConfig(steps=3))
        ran.clear()
        return ran, trainer.run()

    ran, apart = fitted()
    monkeypatch.setattr(micro_batches, "ALIKE", 0.0)
    all_at_once, together = fitted()
    assert ran[:3] == [len(SOURCE), 2, 1] and all_at_once[:2] == [len(SOURCE), 3]
    for site, map in apart.maps.items():
        torch.testing.assert_close(map.tensors(), together.maps[site].tensors(), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["Llama", "GPT2", "OPT", "Gemma3"])
def test_recomputing_gives_the_same_result_without_dropout(name: str) -> None:
    steerings = []
    for options in ({}, {"checkpointing": True}, {"checkpointing": True, "micro_batch": 2}):
        steerings.append(fit(problem(name), TrainConfig.preset("fast", steps=3, **options)))
    assert all(steerings[0].allclose(other, rtol=1e-3, atol=1e-4) for other in steerings[1:])


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_models_train(dtype: torch.dtype) -> None:
    made = LanguageProblem(model("Llama", dtype), tokenizer(), SOURCE, TARGET)
    trainer = Trainer(made, TrainConfig.preset("fast", steps=6))
    trainer.run().check()
    assert trainer.history[-1] < 0.9 * trainer.history[0]


def test_short_texts_take_plain_attention_in_half_precision_on_a_cpu() -> None:
    """Until the backward pass is over, recomputed or not: the fused one's gradient is slow there."""

    def fused(dtype: torch.dtype, words: int) -> bool:
        made = LanguageProblem(model("Llama", dtype), tokenizer(), SOURCE, [*TARGET, "the " * words])
        with made.frozen():
            return flash_sdp_enabled()

    half, single = torch.bfloat16, torch.float32
    assert [fused(half, 5), fused(half, SHORT + 1), fused(single, 5)] == [False, True, True]
    assert flash_sdp_enabled()
    options = {"steps": 3, "map": "gated"}
    plain, recomputed = (
        fit(
            LanguageProblem(model("Llama", half), tokenizer(), SOURCE, TARGET),
            TrainConfig.preset("fast", checkpointing=again, **options),
        )
        for again in (False, True)
    )
    assert plain.allclose(recomputed, rtol=1e-2, atol=1e-2)


def test_it_works_inside_inference_mode() -> None:
    made = problem()
    with torch.inference_mode():
        steering = fit(made, TrainConfig.preset("fast", steps=3))
    assert steering.allclose(fit(problem(), TrainConfig.preset("fast", steps=3)))


def test_no_logits_are_computed() -> None:
    made = problem()
    made.model.lm_head.register_forward_hook(lambda *_: pytest.fail("the head ran"))
    made.order_sites()


def test_a_tokenizer_needs_no_padding_token() -> None:
    plain = LanguageProblem(model("Llama"), tokenizer(pad=False), SOURCE, TARGET)
    with torch.no_grad():
        rows = [each.rows("target", range(5)) for each in (plain, problem())]
    for site in plain.sites:
        torch.testing.assert_close(rows[0][site][0], rows[1][site][0])


def test_a_bare_model_and_own_patterns_work() -> None:
    bare = LanguageProblem(model("Llama").model, tokenizer(), SOURCE, TARGET)
    assert [str(site) for site in bare.sites] == [f"layers.{i}.post_attention_layernorm" for i in (0, 1)]
    own = problem(sites=["model.layers.1.mlp.down_proj", "model.norm"])
    assert [str(site) for site in own.sites] == ["model.layers.1.mlp.down_proj", "model.norm"]


def test_an_unknown_architecture_says_which_patterns_it_has() -> None:
    strange = model("Llama")
    for block in strange.model.layers:
        block.after_attention = block.post_attention_layernorm
        del block.post_attention_layernorm
    with pytest.raises(SiteError, match=r'"model\.layers\.\*\.after_attention"'):
        LanguageProblem(strange, tokenizer(), SOURCE, TARGET)
    with pytest.raises(SiteError, match="Near names"):
        problem(sites="model.layers.*.post_atention_layernorm")


def test_long_texts_are_cut_with_a_warning() -> None:
    with pytest.warns(UserWarning, match="1 of 4 source texts have more than 6 tokens"):
        made = LanguageProblem(model("Llama"), tokenizer(), SOURCE, TARGET[:2], max_length=6)
    assert made.mask(made.sites[0], "source", range(4)).shape == (4, 6)


@pytest.mark.parametrize(
    ("texts", "match"),
    [
        ("the cold rain", "expected a list of strings"),
        (["cold", 3], "expected a list of strings"),
        (["cold", ""], "text 1 .* has no tokens"),
        (["cold"], "at least 2"),
        ([], "at least 2"),
    ],
)
def test_texts_that_cannot_be_used_are_refused(texts: Any, match: str) -> None:
    with pytest.raises(PromptError, match=match):
        LanguageProblem(model("Llama"), tokenizer(), texts, TARGET)


def test_other_models_are_refused() -> None:
    with pytest.raises(MismatchError, match="AutoModelForCausalLM"):
        LanguageProblem(torch.nn.Linear(2, 2), tokenizer(), SOURCE, TARGET)


def test_a_model_from_a_folder_is_named_without_the_way_to_it(tmp_path: Path) -> None:
    local = model("Llama")
    local.config._name_or_path = str(tmp_path / "models" / "tiny")
    assert LanguageProblem(local, tokenizer(), SOURCE, TARGET).base_model == "tiny"
    local.config._name_or_path = "hub/tiny"
    assert LanguageProblem(local, tokenizer(), SOURCE, TARGET).base_model == "hub/tiny"
