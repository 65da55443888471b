from __future__ import annotations

import subprocess
import sys
import warnings
from argparse import ArgumentTypeError
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import lineas as package
from lineas.cli import COMMANDS, main, parser
from lineas.cli.arguments import seeds, strengths, weighted_file
from lineas.cli.commands import info
from lineas.errors import LineasError
from lineas.methods.lineas.config import TrainConfig

ROOT = Path(__file__).parents[2]


def test_help_waits_for_nothing() -> None:
    code = (
        "import sys, contextlib, lineas.cli\n"
        "with contextlib.suppress(SystemExit): lineas.cli.main(['--help'])\n"
        "print(sorted({'torch', 'numpy', 'PIL', 'diffusers'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert all(name in done.stdout for name in COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_of_its_own(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([name, "--help"])
    assert stop.value.code == 0
    assert "--debug" in capsys.readouterr().out


def test_every_train_option_is_there_with_its_sentence() -> None:
    for command in ("train", "demo"):
        actions = parser(command)._subparsers._group_actions[0].choices[command]._actions  # type: ignore[union-attr]
        helps = {option: action.help for action in actions for option in action.option_strings}
        for entry in fields(TrainConfig):
            flag = f"--{entry.name.replace('_', '-')}"
            assert helps[flag].startswith(entry.metadata["help"])


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--version"])
    assert package.__version__ in capsys.readouterr().out


@pytest.mark.parametrize(("error", "code"), [(LineasError("What."), 2), (RuntimeError("Odd."), 1)])
def test_errors_are_one_line_unless_debugging(
    lineas: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, code: int
) -> None:
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr(info, "run", fail)
    got, _, err = lineas("info", "x")
    assert got == code
    assert str(error) in err
    assert "Traceback" not in err
    with pytest.raises(type(error)):
        main(["info", "x", "--debug"])


def test_warnings_are_one_line_each(lineas: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(info, "run", lambda _: warnings.warn("Mind this.", stacklevel=1))
    assert lineas("info", "x") == (0, "", "lineas: note: Mind this.\n")


def test_files_with_a_strength(tmp_path: Path) -> None:
    assert weighted_file("a.safetensors") == (Path("a.safetensors"), 1.0)
    assert weighted_file("a.safetensors:-0.5") == (Path("a.safetensors"), -0.5)
    assert weighted_file(r"C:\a.safetensors") == (Path(r"C:\a.safetensors"), 1.0)
    odd = tmp_path / "a:2"
    odd.touch()
    assert weighted_file(str(odd)) == (odd, 1.0)
    with pytest.raises(ArgumentTypeError, match="no strength"):
        weighted_file("a.safetensors:much")


def test_ranges_of_strengths() -> None:
    assert strengths("0:1:5") == (0, 0.25, 0.5, 0.75, 1)
    assert strengths("1,0,-0.5") == (1, 0, -0.5)
    assert seeds("3,1") == (3, 1)
    for text in ("0:1", "0:1:1", "0:1:1000000", "0:1:2.5", "1", "1,1", "a:b:3", "0:nan:3", "0:inf:3", ""):
        with pytest.raises(ArgumentTypeError):
            strengths(text)
    for text in ("", "-1", "1.5", "x"):
        with pytest.raises(ArgumentTypeError):
            seeds(text)
