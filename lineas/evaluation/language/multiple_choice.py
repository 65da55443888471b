"""Multiple-choice accuracy through lm-eval: a local task file, or a task by name such as mmlu."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineas.errors import ConfigError, HubError, LineasError, plain, require
from lineas.evaluation.language.task_files import ENDINGS, read_task
from lineas.evaluation.rates import Rate, bootstrap_interval, unseen_share


@dataclass(frozen=True)
class Accuracy:
    """Which questions were answered right, in the order of the harness."""

    right: tuple[bool, ...]

    @property
    def rate(self) -> Rate:
        """Share of right answers, with its 95 % interval."""
        return Rate(sum(self.right), len(self.right))

    def change_over(self, base: Accuracy) -> tuple[float, float, float]:
        """How far this is above `base` on the same questions (0.01 is one point), and its 95 % interval.

        The interval is of the paired difference, far narrower than those of the two rates. Where no answer
        changed, it is what so many questions leave room for: 145 of them about ±2 points.
        """
        change = [float(a) - float(b) for a, b in zip(self.right, base.right, strict=True)]
        if not any(change):
            return 0.0, -unseen_share(len(change)), unseen_share(len(change))
        return sum(change) / len(change), *bootstrap_interval(change, [1.0] * len(change))


def multiple_choice(
    model: Any,
    tokenizer: Any,
    task: str | Path,
    *,
    shots: int | None = None,
    limit: int | None = None,
    batch: int = 16,
    chat: bool = False,
) -> Accuracy:
    """Accuracy of a language model, as it is (steered or not), on a task of lm-eval.

    task: a .yaml or .jsonl file of questions, see `task_files`, of which nothing is executed; or a name that
    lm-eval knows ("mmlu", "arc_easy"), whose code and templates come with lm-eval and are trusted, and whose
    questions are loaded from the hub. shots: solved examples before each question; None is what the task
    says, 5 is usual for mmlu. limit: questions per task, None all. chat: in the tokenizer's own template.

    Raises `MissingExtraError` without lm-eval, `ConfigError` for unknown and unreadable tasks and `HubError`
    when the questions cannot be had.
    """
    lm_eval, harness = (
        require("lm_eval", "language-evaluation"),
        require("lm_eval.models.huggingface", "language-evaluation"),
    )
    manager = require("lm_eval.tasks", "language-evaluation").TaskManager
    local = Path(task).suffix in ENDINGS
    wanted: Any = _local_task(Path(task)) if local else str(task)
    known = manager(include_defaults=not local)
    if not local and not known.match_tasks([str(task)]):
        raise ConfigError(f"lm-eval has no task {str(task)!r}. List them with `lm-eval ls`, or give a .yaml.")
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    wrapped = harness.HFLM(pretrained=model, tokenizer=tokenizer, batch_size=batch)
    try:
        found = lm_eval.simple_evaluate(
            model=wrapped,
            tasks=[wanted],
            num_fewshot=shots,
            limit=limit,
            task_manager=known,
            bootstrap_iters=0,
            apply_chat_template=chat,
        )
    except LineasError:
        raise
    except Exception as error:
        if isinstance(error, (OSError, ConnectionError)) or "hub" in str(error).lower():
            raise HubError(
                f"The questions of {task} cannot be had ({plain(error, 200)}). Check the connection, or "
                "give the .yaml of a local task."
            ) from error
        raise
    return Accuracy(tuple(_judgements(found["samples"])))


def _judgements(samples: dict[str, Sequence[dict[str, Any]]]) -> list[bool]:
    right = [sample["acc"] >= 0.5 for each in samples.values() for sample in each if "acc" in sample]
    if not right:
        raise LineasError("The task has no metric `acc`, so it is no multiple choice. Name another task.")
    return right


def _local_task(path: Path) -> dict[str, Any]:
    """The task of a file for lm-eval, with functions of ours where it would fill in templates."""
    datasets = require("datasets", "language-evaluation")
    rows = [{"question": i.text, "choices": list(i.choices), "answer": i.answer} for i in read_task(path)]
    return {
        "task": "local",
        "custom_dataset": lambda **_: {"test": datasets.Dataset.from_list(rows)},
        "test_split": "test",
        "output_type": "multiple_choice",
        "doc_to_text": lambda row: row["question"],
        "doc_to_choice": lambda row: row["choices"],
        "doc_to_target": lambda row: row["answer"],
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
