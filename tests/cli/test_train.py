from __future__ import annotations

import argparse
import os
import signal
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch

from lineas.cli import fitting
from lineas.cli.prompt_sets import add_prompt_options, prompt_sets
from lineas.methods.lineas.trainer import Trainer
from lineas.prompts.banks import PromptSets
from lineas.steering.steering import Steering

SITES = 33
"""Norms of the tiny UNet."""
TRAIN = ("train", "--model", "toy", "--source", "night.txt", "--target", "day.txt", "--learning-rate", "0.01")


def press_ctrl_c_at(monkeypatch: pytest.MonkeyPatch, step: int, times: int = 1) -> None:
    """Ctrl-C arrives while this step runs."""
    plain = Trainer._step

    def stepping(self: Trainer) -> Any:
        if self.step_number == step - 1:
            for _ in range(times):
                os.kill(os.getpid(), signal.SIGINT)
        return plain(self)

    monkeypatch.setattr(Trainer, "_step", stepping)


def test_training_writes_one_file_and_says_what_happened(lineas: Any, toy: Path) -> None:
    code, out, err = lineas(*TRAIN, "--preserve", "day.txt", "--steps", 3, "--output", "sub/off.safetensors")
    assert (code, err) == (0, "")
    assert "3 steps" in out
    assert "steering: sub/off.safetensors" in out
    steering = Steering.load("sub/off.safetensors")
    assert len(steering.maps) == SITES
    assert steering.provenance.settings["steps"] == 3
    names = sorted(path.name for path in toy.rglob("*") if not path.is_symlink())
    assert names == ["day.txt", "night.txt", "off.run.toml", "off.safetensors", "sub"]


def test_options_reach_the_training(lineas: Any, toy: Path) -> None:
    words = (
        "--preset",
        "paper",
        "--steps",
        2,
        "--learning-rate",
        1e-3,
        "--preserve-weight",
        0.5,
        "--no-standardise",
    )
    assert lineas(*TRAIN, *words, "--sites", "unet.conv_norm_out", "--seed", 7)[0] == 0
    steering = Steering.load("steering.safetensors")
    made = steering.provenance.settings
    assert [str(site) for site in steering.maps] == ["unet.conv_norm_out"]
    assert (made["optimizer"], made["learning_rate"], made["preserve_weight"], made["seed"]) == (
        "sgd",
        1e-3,
        0.5,
        7,
    )


def test_what_is_added_goes_into_every_prompt(tmp_path: Path) -> None:
    def asked(*words: str) -> PromptSets:
        parser = argparse.ArgumentParser()
        parser.add_argument("--model", default="a-model")
        parser.add_argument("--preset")
        add_prompt_options(parser)
        return prompt_sets(parser.parse_args(["--concept", "fog", "--count", "4", *words]), seed=0)

    removed, added = asked("--remove"), asked("--add")
    assert all("fog" in text for text in (*removed.source, *added.target))
    assert not any("fog" in text for text in (*removed.target, *added.source))
    assert removed.preserve and not added.preserve
    (tmp_path / "kept.txt").write_text("a cat\na dog\n")
    kept = ("--preserve", str(tmp_path / "kept.txt"))
    assert asked("--add", *kept).preserve == ("a cat", "a dog")
    assert not asked("--remove", "--preset", "paper").preserve  # the paper has none
    assert asked("--remove", "--preset", "paper", *kept).preserve == ("a cat", "a dog")


@pytest.mark.parametrize("way", ["--remove", "--add"])
def test_a_concept_becomes_prompts_and_a_file_name(lineas: Any, toy: Path, way: str) -> None:
    words = ("--concept", "at night", "--kind", "attribute", way, "--count", 4, "--steps", 1)
    code, out, _ = lineas("train", "--model", "toy", *words)
    assert code == 0
    path = f"{way.strip('-')}-at-night.safetensors"
    assert path in out
    assert Steering.load(path).provenance.notes == f"{way.strip('-')} at night"
    code, out, _ = lineas("info", path)
    assert "at night" in out


def test_the_first_ctrl_c_keeps_what_was_learned_and_it_can_go_on(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (*TRAIN, "--steps", 6, "--output", "a.safetensors")
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:
        press_ctrl_c_at(patch, 2)
        code, out, err = lineas(*words)
    assert (code, signal.getsignal(signal.SIGINT)) == (0, before)
    assert "keeping what was learned" in err
    assert "lineas train --resume a.checkpoint" in out
    assert Steering.load("a.safetensors").provenance.settings["steps_done"] == 2
    code, out, _ = lineas("train", "--resume", "a.checkpoint")
    assert code == 0
    assert not (toy / "a.checkpoint").exists()
    assert lineas(*words[:-1], "whole.safetensors")[0] == 0
    assert Steering.load("a.safetensors").allclose(Steering.load("whole.safetensors"))


def test_the_second_ctrl_c_aborts(lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    press_ctrl_c_at(monkeypatch, 2, times=2)
    code, _, err = lineas(*TRAIN, "--steps", 6)
    assert code == 130
    assert err.endswith("lineas: stopped.\n")
    assert not (toy / "steering.safetensors").exists()


def test_a_checkpoint_is_kept_while_it_runs(lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", -1.0)
    with monkeypatch.context() as patch:
        press_ctrl_c_at(patch, 3, times=2)
        assert lineas(*TRAIN, "--steps", 6)[0] == 130
    assert lineas("train", "--resume", "steering.checkpoint", "--steps", 4)[0] == 0
    assert Steering.load("steering.safetensors").provenance.settings["steps_done"] == 4
    assert not (toy / "steering.checkpoint").exists()


def test_a_time_budget_shortens_the_schedule(lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ticking = partial(next, count(0.0, 0.25))  # each look at the clock is a quarter of a second later
    monkeypatch.setattr("lineas.fitting.progress.clock", ticking)
    code, out, _ = lineas(*TRAIN, "--steps", 1000, "--seconds", 4)
    assert code == 0
    settings = Steering.load("steering.safetensors").provenance.settings
    # Two looks a step: after the third the time is 1.25, and five more of half a second fit into the rest.
    assert settings["steps"] == settings["steps_done"] == 8
    assert "8 steps" in out and "stopped" not in out


REFUSED = {
    "no prompts": ((), "no prompts"),
    "one file": (("--source", "night.txt"), "--source without --target"),
    "file and concept": (("--source", "night.txt", "--concept", "x"), "--concept and --source"),
    "kind without concept": ((*TRAIN[3:], "--kind", "style"), "--kind belongs"),
    "missing file": (("--source", "nowhere.txt", "--target", "day.txt"), "nowhere.txt"),
    "empty file": (("--source", "empty.txt", "--target", "day.txt"), "no prompt"),
    "one prompt": (("--source", "one.txt", "--target", "day.txt"), "only one prompt"),
    "bytes": (("--source", "bytes.txt", "--target", "day.txt"), "UTF-8"),
    "empty concept": (("--concept", " "), "concept is empty"),
    "unknown kind": (("--concept", "x", "--kind", "smell"), "smell"),
    "one per set": (("--concept", "x", "--count", "1"), "at least 2"),
    "option out of range": ((*TRAIN[3:], "--steps", "0"), "steps is 0"),
    "rows": ((*TRAIN[3:], "--rows", "median"), "median"),
    "no time": ((*TRAIN[3:], "--seconds", "0"), "--seconds is 0"),
    "no such site": ((*TRAIN[3:], "--sites", "unet.*nrom*"), "unet.*nrom*"),
    "output is a folder": ((*TRAIN[3:], "--output", "."), "is a folder"),
    "no such checkpoint": (("--resume", "nowhere.checkpoint"), "nowhere.checkpoint"),
    "checkpoint of another kind": (("--resume", "day.txt"), "day.txt"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "says"), REFUSED.values(), ids=list(REFUSED))
def test_bad_input_is_refused_in_one_line(lineas: Any, toy: Path, words: tuple[str, ...], says: str) -> None:
    (toy / "empty.txt").write_text("# nothing\n")
    (toy / "one.txt").write_text("a cat")
    (toy / "bytes.txt").write_bytes(b"\xff\xfe\xfa\n\xff")
    model = () if "--resume" in words else ("--model", "toy")
    code, _, err = lineas("train", *model, *words)
    assert code == 2
    assert err.startswith("lineas: error: ")
    assert says in err
    assert err.count("\n") == 1
    assert not list(toy.rglob("*.safetensors"))


def test_a_steering_that_steers_nothing_is_written_and_told_by_the_exit_code(lineas: Any, toy: Path) -> None:
    words = (*TRAIN, "--steps", 3, "--sparsity", 1e6, "--output", "none.safetensors")
    code, _, err = lineas(*words)
    assert code == 2 and "none.safetensors changes nothing" in err and "Lower --sparsity" in err
    assert Steering.load("none.safetensors").sparsity == 1


def test_resume_takes_no_other_prompts(lineas: Any, toy: Path) -> None:
    code, _, err = lineas("train", "--resume", "x.checkpoint", "--concept", "y")
    assert code == 2
    assert "--concept" in err


def test_a_file_is_replaced_only_when_asked(lineas: Any, steering_file: Path) -> None:
    before = steering_file.read_bytes()
    words = (*TRAIN, "--steps", 1, "--output", steering_file)
    code, _, err = lineas(*words)
    assert code == 2
    assert "--force" in err
    assert steering_file.read_bytes() == before
    assert lineas(*words, "--force")[0] == 0
    assert steering_file.read_bytes() != before


def test_no_network_for_a_hub_model(lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    code, _, err = lineas("train", "--model", "owner/model", *TRAIN[3:])
    assert code == 2
    assert "hub" in err


def test_nan_weights_are_named_before_the_first_step(lineas: Any, toy: Path) -> None:
    from toys.saved import one_step_pipeline

    pipe = one_step_pipeline()
    with torch.no_grad():
        pipe.unet.down_blocks[1].resnets[0].conv1.weight[0, 0, 0, 0] = torch.nan
    pipe.save_pretrained("broken")
    code, _, err = lineas("train", "--model", "broken", *TRAIN[3:])
    assert code == 2
    assert "not finite" in err
    assert "unet.down_blocks.1.resnets.0.norm2" in err
    assert not list(toy.glob("*.safetensors"))


def test_a_fit_that_breaks_leaves_its_last_good_steering(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert lineas(*TRAIN, "--steps", 1, "--output", "first.safetensors")[0] == 0
    plain = Trainer._step

    def breaking(self: Trainer) -> Any:
        if self.step_number == 2:  # as when memory of the device goes bad
            with torch.no_grad():
                self.problem.components["unet"].conv_in.weight.fill_(torch.nan)
        return plain(self)

    monkeypatch.setattr(Trainer, "_step", breaking)
    code, out, err = lineas(*TRAIN, "--steps", 5)
    assert code == 2
    assert "not finite at step 3" in err
    assert "the last good steering is in steering-last-good.safetensors" in out
    kept = Steering.load("steering-last-good.safetensors")
    assert kept.provenance.settings["steps_done"] == 1  # of the second step only the start was evaluated
    assert kept.allclose(Steering.load("first.safetensors"))
    assert not (toy / "steering.safetensors").exists()


def test_a_full_disk_after_training_does_not_lose_it(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = os.fsync
    calls: list[int] = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == 1:
            raise OSError(28, "No space left on device")
        plain(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    monkeypatch.setenv("TMPDIR", str(toy / "spare"))
    (toy / "spare").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    code, _, err = lineas(*TRAIN, "--steps", 1)
    assert code == 2
    assert "No space left" in err
    rescued = list((toy / "spare").rglob("*.safetensors"))
    assert len(rescued) == 1
    assert str(rescued[0]) in err
    Steering.load(rescued[0]).check()
    assert not (toy / "steering.safetensors").exists()


def test_a_read_only_folder_is_refused_before_training(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(**_: Any) -> None:
        raise OSError(30, "Read-only file system")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    monkeypatch.setattr("lineas.adapters.images.loading.load_pipeline", None)  # is not reached
    code, _, err = lineas(*TRAIN)
    assert code == 2
    assert "Read-only file system" in err
