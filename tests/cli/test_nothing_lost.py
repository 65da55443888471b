"""Results are never lost: names that collide, disks that refuse, signals, a second process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lineas.cli import files, fitting, main
from lineas.errors import SteeringFileError
from lineas.methods.lineas.trainer import Trainer
from lineas.steering.steering import Steering

TRAIN = ("train", "--model", "toy", "--source", "night.txt", "--target", "day.txt", "--steps", 4)
TRAIN += ("--learning-rate", 0.01)


def at_step(monkeypatch: pytest.MonkeyPatch, step: int, act: Any) -> None:
    plain = Trainer._step

    def stepping(self: Trainer) -> Any:
        if self.step_number == step - 1:
            act()
        return plain(self)

    monkeypatch.setattr(Trainer, "_step", stepping)


def test_the_name_of_a_checkpoint_is_refused(lineas: Any, toy: Path) -> None:
    code, _, err = lineas(*TRAIN, "--output", "x.checkpoint")
    assert code == 2 and "name of a checkpoint" in err


def test_a_run_leaves_the_checkpoint_of_another_alone(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", -1.0)
    with monkeypatch.context() as patch:
        at_step(patch, 2, lambda: os.kill(os.getpid(), signal.SIGINT))
        assert lineas(*TRAIN, "--output", "a.safetensors")[0] == 0
    before = (toy / "a.checkpoint").read_bytes()
    assert lineas(*TRAIN, "--output", "a.st")[0] == 0
    assert (toy / "a.checkpoint").read_bytes() == before
    assert not (toy / "a.st.checkpoint").exists(), "its own is gone"
    (toy / "a.safetensors").unlink()
    code, _, err = lineas(*TRAIN, "--output", "a.safetensors")
    assert code == 2 and "lineas train --resume a.checkpoint" in err
    assert (toy / "a.checkpoint").read_bytes() == before
    assert lineas(*TRAIN, "--output", "a.safetensors", "--force")[0] == 0


def test_a_checkpoint_that_cannot_be_written_does_not_end_a_training(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise SteeringFileError("Cannot write x: No space left on device.")

    monkeypatch.setattr(fitting, "CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr("lineas.fitting.resume_files.save_checkpoint", full)
    at_step(monkeypatch, 3, lambda: os.kill(os.getpid(), signal.SIGINT))
    code, out, err = lineas(*TRAIN, "--output", "a.safetensors")
    assert code == 0 and "No space left" in err and "--resume" not in out
    assert Steering.load("a.safetensors").provenance.settings["steps_done"] == 3


def test_sigterm_saves_as_ctrl_c_does(lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.getsignal(signal.SIGTERM)
    at_step(monkeypatch, 2, lambda: os.kill(os.getpid(), signal.SIGTERM))
    code, out, _ = lineas(*TRAIN, "--output", "a b.safetensors")
    assert code == 0 and "stopped by SIGTERM" in out
    assert "lineas train --resume 'a b.checkpoint'" in out
    assert Steering.load("a b.safetensors").provenance.settings["steps_done"] == 2
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_failure_in_the_middle_leaves_a_checkpoint(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    with monkeypatch.context() as patch:
        at_step(patch, 3, fail)
        assert lineas(*TRAIN, "--output", "a.safetensors")[0] == 1
    assert lineas("train", "--resume", "a.checkpoint")[0] == 0
    assert Steering.load("a.safetensors").provenance.settings["steps_done"] == 4


@pytest.mark.parametrize("length", [240, 248, 255])
def test_long_names_keep_what_was_learned(lineas: Any, toy: Path, length: int) -> None:
    name = "n" * (length - 3) + ".st"
    assert lineas(*TRAIN, "--output", name)[0] == 0
    assert Steering.load(name).maps
    code, _, err = lineas(*TRAIN, "--output", "n" * 253 + ".st")
    assert code == 2 and "name too long" in err.lower()


def test_a_name_that_is_not_utf8_is_refused_before_the_training(lineas: Any, toy: Path) -> None:
    code, _, err = lineas(*TRAIN, "--output", os.fsdecode(b"caf\xe9.safetensors"))
    assert code == 2 and "Cannot write" in err


def test_a_second_process_with_the_same_output_is_refused(lineas: Any, toy: Path) -> None:
    with files.claimed(toy / "a.safetensors"):
        code, _, err = lineas(*TRAIN, "--output", "a.safetensors")
        assert code == 2 and "Another process" in err
        assert lineas(*TRAIN, "--output", "b.safetensors")[0] == 0
    assert lineas(*TRAIN, "--output", "a.safetensors")[0] == 0
    assert not list(toy.glob(".lineas*"))


def test_a_lock_that_its_holder_removed_meanwhile_is_none(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fcntl = pytest.importorskip("fcntl")
    lock, locks = fcntl.flock, []

    def as_the_former_ends(file: int, how: int) -> None:
        for old in () if locks else toy.glob(".lineas*.lock"):
            locks.append(how)
            old.unlink()
        lock(file, how)

    monkeypatch.setattr(fcntl, "flock", as_the_former_ends)
    with (
        files.claimed(toy / "a.safetensors"),
        pytest.raises(SteeringFileError, match="Another process"),
        files.claimed(toy / "a.safetensors"),
    ):
        pass
    assert locks and not list(toy.glob(".lineas*"))


def test_the_last_good_steering_replaces_no_other(toy: Path) -> None:
    first = toy / "x-last-good.safetensors"
    assert files.free_name(first) == first
    first.touch()
    assert files.free_name(first) == toy / "x-last-good-2.safetensors"


def test_generate_replaces_only_when_asked(lineas: Any, steering_file: Path) -> None:
    for words in ((), ("--sweep", "0,1")):
        command = (
            "generate",
            "a cat",
            "--model",
            "toy",
            "--steering",
            steering_file,
            "--output",
            "o",
            *words,
        )
        assert lineas(*command)[0] == 0
        code, _, err = lineas(*command)
        assert code == 2 and "--force" in err
        assert lineas(*command, "--force")[0] == 0


def test_pipes_and_devices_are_no_prompts(lineas: Any, toy: Path) -> None:
    os.mkfifo("pipe")
    for name in ("pipe", "/dev/zero"):
        for words in (("train", "--source", name, "--target", "day.txt"), ("generate", "--prompts", name)):
            code, _, err = lineas(*words, "--model", "toy")
            assert code == 2 and "a pipe or a device" in err
        code, _, err = lineas("train", "--resume", name)
        assert code == 2 and "a pipe or a device" in err


def test_the_page_of_a_comparison_takes_no_name_twice(lineas: Any, steering_file: Path) -> None:
    for names in (("neither", "x"), ("x", "x")):
        words = ("compare", steering_file, steering_file, "--prompts", "day.txt", "--model", "toy")
        code, _, err = lineas(*words, "--names", *names)
        assert code == 2 and "'neither'" in err


def test_a_closed_pipe_is_no_error(steering_file: Path) -> None:
    words = [sys.executable, "-m", "lineas.cli", "info", *[str(steering_file)] * 60, "--sites"]
    environment = os.environ | {"PYTHONPATH": str(Path(files.__file__).parents[2])}
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment) as process:
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_ctrl_c_while_starting_shows_no_traceback(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    def interrupted(chosen: str | None) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("lineas.cli._parsers", interrupted)
    assert main(["info", "x"]) == 130
    assert capsys.readouterr().err == "lineas: stopped.\n"
