"""Local task files: what they say is read, and none of it runs."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from lineas.errors import ConfigError, LineasError, PromptError
from lineas.evaluation.language.task_files import Question, read_task
from tools.trial.task_files import HOSTILE

EVERYDAY = Path(__file__).parents[3] / "benchmarks" / "language" / "data" / "everyday" / "everyday.yaml"
ROW = {"question": "What do bees make?", "choices": ["honey", "milk"], "answer": 0}


def write(folder: Path, task: str, *rows: object) -> Path:
    (folder / "q.jsonl").write_text("\n".join(json.dumps(row) for row in rows or (ROW,)))
    (folder / "t.yaml").write_text(f"dataset_kwargs: {{data_files: {{test: q.jsonl}}}}\n{task}")
    return folder / "t.yaml"


def test_a_task_file_of_0_1_0_reads_as_before() -> None:
    first = read_task(EVERYDAY)[0]
    assert first == Question("Question: What do bees make?\nAnswer:", ("honey", "milk", "wool", "silk"), 0)
    assert len(read_task(EVERYDAY)) == 145


def test_questions_alone_and_answers_by_text(tmp_path: Path) -> None:
    write(tmp_path, "", ROW, ROW | {"answer": "milk"}, ROW | {"answer": "1"})
    assert [each.answer for each in read_task(tmp_path / "q.jsonl")] == [0, 1, 1]
    told = write(tmp_path, "description: 'Say: '\ndoc_to_text: question\ndoc_to_choice: ['a', 'b']")
    assert read_task(told) == [Question("Say: What do bees make?", ("a", "b"), 0)]


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_task_files_run_nothing(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[object] = []
    for function in ("system", "popen"):
        monkeypatch.setattr(os, function, lambda *words: ran.append(words))
    monkeypatch.chdir(tmp_path)
    path = write(tmp_path, HOSTILE[name])
    with pytest.raises(LineasError) as caught:
        read_task(path)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 1000
    assert not ran and not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "row",
    [3, [], {}, ROW | {"choices": "ab"}, ROW | {"choices": ["a"]}, ROW | {"choices": [1, 2]},
     ROW | {"answer": 2}, ROW | {"answer": True}, ROW | {"answer": "wool"}, ROW | {"answer": -1}],
    ids=str,
)  # fmt: skip
def test_questions_of_another_form_are_refused(tmp_path: Path, row: object) -> None:
    with pytest.raises(ConfigError):
        read_task(write(tmp_path, "", row))


def test_data_lies_beside_the_task(tmp_path: Path) -> None:
    inside = tmp_path / "in"
    inside.mkdir()
    (tmp_path / "q.jsonl").write_text(json.dumps(ROW))
    for name in ("../q.jsonl", "/etc/passwd", "https://example.com/q.jsonl", str(tmp_path / "q.jsonl")):
        (inside / "t.yaml").write_text(f"dataset_kwargs: {{data_files: {{test: {json.dumps(name)}}}}}")
        with pytest.raises(LineasError):
            read_task(inside / "t.yaml")
    with pytest.raises(PromptError):
        read_task("nowhere.yaml")
