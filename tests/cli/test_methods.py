"""`lineas train --method`: files, options, Ctrl-C, time and what is refused."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from lineas.fitting.progress import Steps
from lineas.methods.registry import METHODS
from lineas.steering.steering import Steering

TRAIN = (
    "train",
    "--model",
    "toy",
    "--source",
    "night.txt",
    "--target",
    "day.txt",
    "--output",
    "s.safetensors",
)
IMAGE = [name for name, method in METHODS.items() if not method.needs_texts]


@pytest.mark.parametrize("name", IMAGE)
def test_every_image_method_writes_a_file(lineas: Any, toy: Path, name: str) -> None:
    steps = ("--steps", 2, "--learning-rate", 0.01) if name == "lineas" else ()
    code, out, err = lineas(*TRAIN, "--method", name, *steps)
    assert (code, err) == (0, "")
    assert "steering: s.safetensors" in out
    steering = Steering.load("s.safetensors")
    assert (steering.provenance.method, len(steering.maps)) == (name, 33)
    code, out, _ = lineas("info", "s.safetensors")
    assert name in out


def test_options_of_a_method_reach_it(lineas: Any, toy: Path) -> None:
    words = (
        "--method",
        "lin_act",
        "--order",
        "at_once",
        "--support",
        "observed",
        "--seed",
        7,
        "--rows",
        "max",
    )
    assert lineas(*TRAIN, *words)[0] == 0
    made = Steering.load("s.safetensors").provenance.settings
    assert [made[name] for name in ("order", "support", "seed", "rows")] == ["at_once", "observed", 7, "max"]


REFUSED = {
    "unknown method": (("--method", "lin-akt"), "Did you mean 'lin-act'"),
    "foreign option": (("--method", "caa", "--steps", 3), "has no --steps"),
    "foreign option of lineas": (("--rank", 3), "method lineas has no --rank"),
    "a method for texts": (("--method", "reft"), "language models alone"),
    "resumed": (("--method", "caa", "--resume", "x.checkpoint"), "--resume"),
    "half a reward": (("--method", "lofit", "--reward", "neutral"), "NAME:LABEL"),
    "no classifier": (("--method", "lofit", "--reward", "./nowhere:neutral"), "nowhere"),
}


@pytest.mark.parametrize(("words", "says"), REFUSED.values(), ids=list(REFUSED))
def test_what_does_not_fit_is_refused(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[Any, ...], says: str
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    code, _, err = lineas(*TRAIN, *words)
    assert code == 2
    assert err.startswith("lineas: error: ")
    assert says in err
    assert not list(toy.glob("*.safetensors"))


def test_ctrl_c_keeps_the_sites_so_far(lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = Steps.done

    def done(self: Steps, *arguments: Any) -> bool:
        if self.count == 1:
            os.kill(os.getpid(), signal.SIGINT)
        return plain(self, *arguments)

    monkeypatch.setattr(Steps, "done", done)
    code, out, _ = lineas(*TRAIN, "--method", "lin-act")
    assert code == 0
    assert "stopped by Ctrl-C" in out
    assert len(Steering.load("s.safetensors").maps) == 2


def test_time_that_is_over_keeps_the_sites_so_far(lineas: Any, toy: Path) -> None:
    code, out, _ = lineas(*TRAIN, "--method", "mean-act", "--seconds", 1e-9)
    assert code == 0
    assert "stopped by time" in out
    assert len(Steering.load("s.safetensors").maps) == 1


def test_preserve_prompts_that_do_nothing_are_pointed_out(lineas: Any, toy: Path) -> None:
    code, _, err = lineas(*TRAIN, "--method", "caa", "--preserve", "day.txt")
    assert code == 0
    assert "does not use the preserve prompts" in err
