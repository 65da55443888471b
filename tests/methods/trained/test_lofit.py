"""LoFiT: which units get offsets, what the offsets do, and the reward."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from toys.language import PRESERVE, SOURCE, TARGET, WORDS, model, tokenizer

from lineas.adapters.language.problem import LanguageProblem
from lineas.apply.hooks import steer
from lineas.errors import ConfigError
from lineas.fitting.progress import Progress
from lineas.methods.trained.lofit import LoFiTConfig, _LoFiT, fit


def problem() -> LanguageProblem:
    return LanguageProblem(model("Llama"), tokenizer(), SOURCE, TARGET, PRESERVE)


def test_the_units_with_the_largest_scales_are_kept() -> None:
    run = _LoFiT(problem(), LoFiTConfig(kept=0.25, selection_steps=3), None)
    with torch.enable_grad(), run.problem.frozen():
        run.choose_units()
    sizes = torch.cat([scale.detach().abs() for scale in run.scales.values()])
    chosen = torch.cat(list(run.chosen.values()))
    assert chosen.sum() == len(sizes) // 4
    assert sizes[chosen].min() >= sizes[~chosen].max()


def test_a_scale_penalty_that_outweighs_the_loss_keeps_scales_small() -> None:
    sizes = []
    for penalty in (0.0, 1.0):
        run = _LoFiT(problem(), LoFiTConfig(scale_penalty=penalty, selection_steps=10), None)
        with torch.enable_grad(), run.problem.frozen():
            run.choose_units()
        sizes.append(sum(scale.detach().abs().sum().item() for scale in run.scales.values()))
    assert sizes[1] < 0.5 * sizes[0]


def test_offsets_alone_remain_and_lower_the_loss() -> None:
    told: list[Progress] = []
    texts = problem()
    steering = fit(texts, LoFiTConfig(steps=20, selection_steps=3, learning_rate=0.1, kept=0.5), told.append)
    assert not any(map.tensors()["deviation"].any() for map in steering.maps.values())
    assert 1 - steering.sparsity == pytest.approx(0.5)
    # The offsets start from the untouched model again.
    assert told[3].objective == pytest.approx(told[0].objective, rel=1e-4)
    with torch.no_grad(), steer(texts.model, steering):
        after = texts.text_loss("target", range(len(TARGET))).mean().item()
    assert after < told[3].objective - 0.05


def test_a_reward_makes_what_is_rewarded_more_frequent() -> None:
    word = WORDS[3]

    def reward(texts: Sequence[str]) -> list[float]:
        return [float(text.split().count(word)) for text in texts]

    texts = problem()
    config = LoFiTConfig(
        reward=reward, steps=12, selection_steps=2, learning_rate=0.3, kept=1.0, new_tokens=3, openings=4,
        samples=8, divergence=0.0,
    )  # fmt: skip
    steering = fit(texts, config)
    openings = texts.openings("source", [0, 1, 2, 3], 2) * 32
    before = sum(reward(texts.continued(openings, 3, 5).texts))
    with steer(texts.model, steering):
        after = sum(reward(texts.continued(openings, 3, 5).texts))
    assert after > 2 * before
    assert steering.provenance.settings["reward"] == "reward"


def test_stopped_while_units_are_chosen_it_changes_nothing() -> None:
    steering = fit(problem(), LoFiTConfig(selection_steps=5), lambda told: told.step == 2)
    assert steering.sparsity == 1
    assert steering.provenance.settings["steps_done"] == 2


@pytest.mark.parametrize("options", [{"kept": 1.5}, {"samples": 1}, {"reward": "rude"}])
def test_options_out_of_range(options: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match=next(iter(options))):
        LoFiTConfig(**options)  # type: ignore[arg-type]
