"""Every command takes its options from a file, and a run writes the file that repeats it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from lineas.cli import COMMANDS
from lineas.cli.config_file import toml_text
from lineas.scenes.bundled import CLIP, FOLDERS
from lineas.steering.steering import Steering

MODEL = ("--model", "toy")
STEERING = ("--steering", "night.safetensors:0.5", "--steering", "night.safetensors:-0.25")
TRAIN = ("--source", "night.txt", "--target", "day.txt", *MODEL, "--steps", "1", "--learning-rate", "1e-2")
LEAVES = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(allow_nan=False),
    st.text(st.characters(exclude_categories=["Cs"])),
)
VALUES = st.one_of(LEAVES, st.lists(LEAVES, max_size=3))
WRITING: dict[str, tuple[tuple[str, ...], str, str]] = {
    "demo": (("--steps", "1", "--held-out", "4", "--output", "d"), "d/run.toml", "d/steering.safetensors"),
    "train": ((*TRAIN, "--output", "a.safetensors", "--no-backtrack"), "a.run.toml", "a.safetensors"),
    **{
        intent: (
            (*words, *MODEL, "--steps", steps, "--count", "4", "--output", "i.safetensors"),
            "i.run.toml",
            "i.safetensors",
        )
        # From a start that is no identity one step may end above it.
        for intent, words, steps in (
            ("remove", ("fog",), "1"),
            ("add", ("fog",), "25"),
            ("swap", ("a cat", "a dog"), "1"),
        )
    },
    "generate": (("a cat", "a dog", *STEERING, *MODEL, "--output", "g"), "g/run.toml", "g/001-a-dog-0.png"),
    "evaluate": (
        (
            *STEERING,
            *MODEL,
            "--prompts",
            "day.txt",
            "--sweep=-1,1",
            "--clip",
            str(CLIP),
            "--output",
            "e.json",
        ),
        "e.run.toml",
        "e.json",
    ),
    "compare": (
        ("night.safetensors", "night.safetensors:0", "--prompts", "day.txt", "--seeds", "0,7", *MODEL),
        "compare.run.toml",
        "compare.html",
    ),
    "batch": (("m.toml", "--retries", "0"), "m/run.toml", "m/toy/remove-fog.safetensors"),
    "invert": (
        ("night.safetensors", "--min-scale", "0.1"),
        "night-inverse.run.toml",
        "night-inverse.safetensors",
    ),
    "compose": (
        ("night.safetensors:0.5", "night.safetensors", "--mode", "sum", "--output", "c.safetensors"),
        "c.run.toml",
        "c.safetensors",
    ),
    "export": (
        ("night.safetensors", *MODEL, "--title", 'a "b"'),
        "night-lora.run.toml",
        "night-lora.safetensors",
    ),
}
UNASKED = ("demo", "batch")
"""They replace what they wrote without --force."""
SLOW = ("demo", "add", "swap")
TELLING = {"info": 'file = ["night.safetensors"]\nsites = true\n', "models": "sites = true\n"}


def test_every_command_is_tried() -> None:
    assert {*WRITING, *TELLING} == set(COMMANDS)


@pytest.mark.parametrize(
    "command", [pytest.param(c, marks=[pytest.mark.slow] * (c in SLOW)) for c in WRITING]
)
def test_a_run_writes_the_file_that_repeats_it(
    command: str, lineas: Any, steering_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(FOLDERS, "scenes", steering_file.parent / "toy")
    Path("m.toml").write_text('models = ["toy"]\n[[concepts]]\nremove = "fog"\nsteps = 1\ncount = 4\n')
    words, config, made = WRITING[command]
    code, _, err = lineas(command, *words)
    assert code == 0, err
    first, text = content(Path(made)), Path(config).read_text()
    Path(made).unlink()
    code, _, err = lineas(command, "--config", config, *(() if command in UNASKED else ("--force",)))
    assert code == 0, err
    assert Path(config).read_text() == text
    assert content(Path(made)) == first


def content(path: Path) -> Any:
    """Bytes, or the tensors of a file whose other entries are in no order and hold the time."""
    if path.suffix != ".safetensors":
        return path.read_bytes()
    return {name: tensor.tolist() for name, tensor in load_file(path).items()}


@pytest.mark.parametrize("command", TELLING)
def test_commands_that_write_nothing_take_a_file_too(command: str, lineas: Any, steering_file: Path) -> None:
    Path("own.toml").write_text(TELLING[command])
    words = ("night.safetensors", "--sites") if command == "info" else ("--sites",)
    assert lineas(command, "--config", "own.toml") == lineas(command, *words)
    assert not list(Path().glob("*.run.toml"))


def test_what_is_given_goes_before_the_file(lineas: Any, toy: Path) -> None:
    Path("own.toml").write_text(
        'command = "train"\nconcept = "fog"\nremove = true\nmodel = "toy"\nsteps = 1\ncount = 4\n'
        'output = "a.safetensors"\nlearning_rate = 0.5\n'
    )
    code, _, err = lineas("train", "--config", "own.toml", "--add", "--learning-rate", "0.01")
    assert code == 0, err
    made = Steering.load("a.safetensors").provenance
    assert made.notes == "add fog" and made.settings["learning_rate"] == 0.01
    text = Path("a.run.toml").read_text()
    assert "add = true\n" in text and "remove" not in text and "learning-rate = 0.01\n" in text
    assert Path("own.toml").read_text().startswith("command")


def test_steerings_that_are_given_take_the_place_of_those_in_the_file(
    lineas: Any, steering_file: Path
) -> None:
    words = ("generate", "a cat", *MODEL, *STEERING, "--output")
    assert lineas(*words, "g")[0] == 0
    more = ("--steering", "night.safetensors", "a dog", "--output", "h")
    assert lineas("generate", "--config", "g/run.toml", *more)[0] == 0
    text = Path("h/run.toml").read_text()
    assert 'steering = ["night.safetensors"]\n' in text and 'prompt = ["a dog"]\n' in text
    assert not Path("h/000-a-cat-0.png").exists()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "steps = 1\nstep = 2\n",
            "has the entry step, which lineas train has no option for. Near names: steps",
        ),
        ('command = "demo"\n', "is for lineas demo, not for lineas train"),
        ("steps = ", "Cannot read own.toml"),
        ("steps = true\n", "expected a text or a number"),
        ('steps = "many"\n', "steps in own.toml is many"),
        ("backtrack = 1\n", "expected true or false"),
        ('map = "round"\n', "expected one of"),
        ("[training]\nsteps = 1\n", "has the entry training"),
        ('config = "other.toml"\n', "has the entry config"),
    ],
)
def test_entries_that_mean_nothing_are_refused(text: str, told: str, lineas: Any, toy: Path) -> None:
    Path("own.toml").write_text(text)
    code, _, err = lineas("train", "--config", "own.toml")
    assert code == 2 and told in err and err.count("\n") == 1
    assert lineas("train", "--config", "nowhere.toml")[0] == 2


def test_a_resumed_run_leaves_the_file_of_its_first_part(lineas: Any, toy: Path) -> None:
    assert lineas("train", *TRAIN, "--steps", "3", "--seconds", "1e-9", "--output", "a.safetensors")[0] == 0
    text = Path("a.run.toml").read_text()
    code, _, err = lineas("train", "--resume", "a.checkpoint")
    assert code == 0, err
    assert Path("a.run.toml").read_text() == text and "resume" not in text


def test_a_second_run_into_a_folder_keeps_both_files(lineas: Any, toy: Path) -> None:
    for prompt in ("a cat", "a dog"):
        assert lineas("generate", prompt, *MODEL, "--output", "g")[0] == 0
    assert 'prompt = ["a cat"]' in Path("g/run.toml").read_text()
    assert 'prompt = ["a dog"]' in Path("g/run-2.toml").read_text()


@settings(max_examples=30)
@given(st.dictionaries(st.from_regex("[a-z][a-z-]{0,8}", fullmatch=True), VALUES))
def test_the_text_reads_back(values: dict[str, Any]) -> None:
    tomllib = pytest.importorskip("tomllib")
    values.pop("command", None)
    assert tomllib.loads(toml_text("train", values)) == {"command": "train", **values}
