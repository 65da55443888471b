"""Multiple-choice accuracy through lm-eval: a local task file, or a task by name such as mmlu."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lineas.errors import ConfigError, HubError, LineasError, require
from lineas.evaluation.rates import Rate, bootstrap_interval


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

        The interval is of the paired difference, far narrower than those of the two rates.
        """
        change = [float(a) - float(b) for a, b in zip(self.right, base.right, strict=True)]
        return sum(change) / len(change), *bootstrap_interval(change, [1.0] * len(change))


def multiple_choice(
    model: Any,
    tokenizer: Any,
    task: str | Path,
    *,
    shots: int | None = None,
    limit: int | None = None,
    batch: int = 16,
) -> Accuracy:
    """Accuracy of a language model, as it is (steered or not), on a task of lm-eval.

    task: the .yaml file of a task, whose data files are looked for beside it, or a name that lm-eval knows
    ("mmlu", "arc_easy"; these load their questions from the hub). shots: solved examples before each
    question; None is what the task says, 5 is usual for mmlu. limit: questions per task, None all.

    Raises `MissingExtraError` without lm-eval, `ConfigError` for unknown tasks and `HubError` when the
    questions cannot be had.
    """
    lm_eval, harness = (
        require("lm_eval", "language-evaluation"),
        require("lm_eval.models.huggingface", "language-evaluation"),
    )
    manager = require("lm_eval.tasks", "language-evaluation").TaskManager
    local = Path(task).suffix in (".yaml", ".yml")
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
        )
    except Exception as error:
        if isinstance(error, (OSError, ConnectionError)) or "hub" in str(error).lower():
            raise HubError(
                f"The questions of {task} cannot be had ({_first_line(error)}). Check the connection, or "
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
    """The configuration in a task file, with its data files beside it."""
    yaml = require("yaml", "language-evaluation")
    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"Cannot read the task {path}: {error}. Give a task file of lm-eval.") from error
    files = (config.get("dataset_kwargs") or {}).get("data_files")
    if isinstance(files, dict):
        beside = {split: str((path.parent / name).resolve()) for split, name in files.items()}
        config["dataset_kwargs"]["data_files"] = beside
    return config


def _first_line(error: BaseException) -> str:
    return str(error).strip().partition("\n")[0]
