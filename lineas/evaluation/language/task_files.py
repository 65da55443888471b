"""Local multiple-choice tasks: data alone, read here; nothing in them is executed.

A task is a .jsonl file of questions, {"question": "…", "choices": ["…", "…"], "answer": 0} in each line, or a
.yaml file in the form of lm-eval that names such a file beside it. Of lm-eval's templates only names of
fields are filled in, "Question: {{question}}"; expressions, tags and functions are refused: they would run.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineas.errors import ConfigError, plain, require
from lineas.prompts.files import read_lines

ENDINGS = (".yaml", ".yml", ".jsonl")
MOST_QUESTIONS, MOST_CHOICES, MOST_TASK = 100_000, 100, 2**20
READ = {"description", "doc_to_text", "doc_to_choice", "doc_to_target", "dataset_kwargs", "test_split"}
FIXED = {"dataset_path": "json", "output_type": "multiple_choice"}
SPARE = {"task", "tag", "metadata", "metric_list", "num_fewshot", "validation_split"}
"""Entries that change nothing here: names, and what the command's own options say."""
_FIELD = re.compile(r"\{\{\s*(\w+)\s*\}\}")


@dataclass(frozen=True)
class Question:
    """text: all that stands before the answer. choices: two or more. answer: the place of the right one."""

    text: str
    choices: tuple[str, ...]
    answer: int


def read_task(path: str | Path) -> list[Question]:
    """The questions of a task file. Raises `ConfigError`, or `PromptError` where a file cannot be read."""
    path = Path(path)
    task = {} if path.suffix == ".jsonl" else _task(path)
    rows = _rows(path if path.suffix == ".jsonl" else _data_file(path, task))
    questions = [_question(row, task, f"{plain(path)}, question {i + 1}") for i, row in enumerate(rows)]
    if not questions:
        raise ConfigError(f"{plain(path)} holds no questions. Write a JSON object in each line of its data.")
    return questions


def _task(path: Path) -> dict[str, Any]:
    yaml = require("yaml", "language-evaluation")
    text = read_lines(path)
    if len(text) > MOST_TASK:
        raise ConfigError(f"The task {plain(path)} has {len(text)} signs, expected up to {MOST_TASK}.")
    try:
        task = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"Cannot read the task {plain(path)}: {plain(error)}. Give plain YAML, without !function or "
            "other tags: what a task file says is not run."
        ) from error
    if not isinstance(task, dict):
        raise ConfigError(f"The task {plain(path)} is no table of entries, as lm-eval writes them.")
    unread = sorted(str(key) for key in task if key not in READ | FIXED.keys() | SPARE)
    if unread:
        raise ConfigError(
            f"The task {plain(path)} has the entries {plain(', '.join(unread))}, which are not read here. "
            f"Leave them out; these are read: {', '.join(sorted(READ))}."
        )
    for key, value in FIXED.items():
        if task.get(key, value) != value:
            raise ConfigError(f"{key} of {plain(path)} is {plain(task[key], 60)!r}, expected {value!r}.")
    return task


def _data_file(path: Path, task: Mapping[str, Any]) -> Path:
    """The file of the questions, which lies in the task's own folder or below."""
    options = task.get("dataset_kwargs")
    files = options.get("data_files") if isinstance(options, dict) else None
    if isinstance(files, dict):
        files = files.get(task.get("test_split", "test"))
    if not isinstance(files, str) or not files:
        raise ConfigError(
            f"The task {plain(path)} names no file of questions: dataset_kwargs: data_files: test: FILE."
        )
    folder = path.parent.resolve()
    try:
        found = (folder / files).resolve()
        inside = found.is_relative_to(folder)
    except (OSError, ValueError):
        inside = False
    if not inside:
        raise ConfigError(f"The data file {plain(files, 80)!r} does not lie in the folder of {plain(path)}.")
    return found


def _rows(path: Path) -> list[dict[str, Any]]:
    lines = [line for line in read_lines(path).splitlines() if line.strip()]
    if len(lines) > MOST_QUESTIONS:
        raise ConfigError(f"{plain(path)} has {len(lines)} questions, expected up to {MOST_QUESTIONS}.")
    rows = []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"Line {number} of {plain(path)} is no JSON: {plain(error)}.") from error
        if not isinstance(row, dict):
            raise ConfigError(f"Line {number} of {plain(path)} is no JSON object with a question.")
        rows.append(row)
    return rows


def _question(row: Mapping[str, Any], task: Mapping[str, Any], where: str) -> Question:
    text = _filled(task.get("doc_to_text", "question"), row, where)
    choices = _choices(task.get("doc_to_choice", "choices"), row, where)
    asked = _filled(task.get("description") or "", row, where) + text
    return Question(asked, choices, _answer(task.get("doc_to_target", "answer"), row, choices, where))


def _choices(told: Any, row: Mapping[str, Any], where: str) -> tuple[str, ...]:
    choices = told if isinstance(told, list) else _value(told, row, where)
    fits = isinstance(choices, list) and 2 <= len(choices) <= MOST_CHOICES
    if not fits or not all(isinstance(each, str) for each in choices):
        raise ConfigError(
            f"{where}: the choices are {plain(choices, 80)}, expected a list of 2 to 100 texts."
        )
    return tuple(choices)


def _answer(told: Any, row: Mapping[str, Any], choices: tuple[str, ...], where: str) -> int:
    answer = told if type(told) is int else _value(told, row, where)
    if isinstance(answer, str) and answer in choices:
        return choices.index(answer)
    if isinstance(answer, str) and answer.isascii() and answer.isdecimal() and len(answer) < 4:
        answer = int(answer)
    if type(answer) is not int or not 0 <= answer < len(choices):
        raise ConfigError(
            f"{where}: the answer is {plain(answer, 60)!r}, expected the place of a choice, 0 to "
            f"{len(choices) - 1}, or its text."
        )
    return answer


def _value(told: Any, row: Mapping[str, Any], where: str) -> Any:
    """The field that "name" or "{{name}}" stands for."""
    found = _FIELD.fullmatch(told.strip()) if isinstance(told, str) else None
    name = found[1] if found else told
    if not isinstance(name, str) or name not in row:
        raise ConfigError(
            f"{where}: there is no field {plain(told, 80)!r}. Name one of {plain(list(row)[:8], 120)}; "
            "templates are not run here."
        )
    return row[name]


def _filled(told: Any, row: Mapping[str, Any], where: str) -> str:
    """A text with its {{fields}} filled in, or the field that it names."""
    if isinstance(told, str) and told in row:
        told = f"{{{{{told}}}}}"
    if not isinstance(told, str) or re.search(r"\{\{|\{%|\{#", _FIELD.sub("", told)):
        raise ConfigError(
            f"{where}: {plain(told, 80)!r} is more than a text with {{{{fields}}}}. Expressions and "
            "templates are not run here; put what they make into the data."
        )
    return _FIELD.sub(lambda found: str(_value(found[1], row, where)), told)
