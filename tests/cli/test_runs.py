"""A run on disk is the run that was asked for; files of other shapes are refused."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest

from lineas.cli.runs import Run, load_run, save_run
from lineas.errors import SteeringFileError
from lineas.methods.lineas.config import TrainConfig

RUN = Run(
    "model", "a.safetensors", ("plain", "text"), ("plain", "text"), asdict(TrainConfig(steps=3)),
    preserve=("a fact", "another"), contexts=(("text", "plain"), ("the sea", "a boat"), ("", "a fact")),
)  # fmt: skip


def test_a_run_comes_back_as_it_was(tmp_path: Path) -> None:
    for run in (RUN, replace(RUN, contexts=())):
        save_run(run, {"step": 2}, tmp_path / "a.checkpoint")
        assert load_run(tmp_path / "a.checkpoint") == (run, {"step": 2})


@pytest.mark.parametrize("contexts", ["text", [1], [["text", 2]]])
def test_contexts_that_are_no_lists_of_texts_are_refused(tmp_path: Path, contexts: Any) -> None:
    save_run(replace(RUN, contexts=contexts), {}, tmp_path / "a.checkpoint")
    with pytest.raises(SteeringFileError, match="does not say what was trained"):
        load_run(tmp_path / "a.checkpoint")
