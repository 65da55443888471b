"""Training runs on disk: a checkpoint that also holds what was asked for, all that `--resume` needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from lineas.cli.console import complain
from lineas.cli.files import CHECKPOINT
from lineas.errors import ConfigError, SteeringFileError, plain
from lineas.prompts.banks import PromptSets


@dataclass(frozen=True)
class Run:
    """What a training run was asked for. `config` holds the fields of a `TrainConfig`.

    held_out_…: prompts that the strength is calibrated on; none leaves it. Twins are source prompts in words
    that ask for what is wanted. clip: an open_clip model that judges images of them, to calibrate by.
    contexts: what a language model reads before each text of source, target and preserve.
    """

    model: str
    output: str
    source: tuple[str, ...]
    target: tuple[str, ...]
    config: dict[str, Any]
    preserve: tuple[str, ...] = ()
    contexts: tuple[tuple[str, ...], ...] = ()
    label: str = ""
    task: str | None = None
    recipe: str | None = None
    sites: tuple[str, ...] | None = None
    dtype: str | None = None
    device: str | None = None
    held_out_source: tuple[str, ...] = ()
    held_out_target: tuple[str, ...] = ()
    held_out_preserve: tuple[str, ...] = ()
    held_out_twins: tuple[str, ...] = ()
    clip: str | None = None
    chat: bool = False

    @property
    def sets(self) -> PromptSets:
        """The prompts together; the held-out ones are those to calibrate on."""
        held = (self.held_out_source, self.held_out_target, self.held_out_preserve, self.held_out_twins)
        return PromptSets(
            self.source, self.target, self.preserve, self.label, held_out=held, contexts=self.contexts
        )


def save_run(asked: Run, state: Mapping[str, Any], path: Path) -> None:
    """Write a run and the state of its fit, whole or not at all. Raises `SteeringFileError`."""
    from lineas.fitting.resume_files import save_checkpoint

    save_checkpoint({**state, "run": asdict(asked)}, path)


def keep_run(asked: Run, state: Mapping[str, Any], path: Path) -> bool:
    """The same where a failure must not end a training: a line on stderr, and False."""
    try:
        save_run(asked, state, path)
    except SteeringFileError as error:
        complain(f"note: there is no checkpoint to go on from. {error}")
        return False
    return True


def load_run(path: str | Path) -> tuple[Run, dict[str, Any]]:
    """The run, and the state that `Trainer.load_state` takes.

    Raises `SteeringFileError` for a file that is missing, damaged or holds no run with known options.
    """
    from lineas.fitting.resume_files import load_checkpoint
    from lineas.methods.lineas.config import TrainConfig

    state = load_checkpoint(path)
    try:
        run = _run(state.pop("run", None))
        TrainConfig(**run.config)
    except (AttributeError, TypeError, ConfigError) as error:
        raise SteeringFileError(
            f"{plain(path)} does not say what was trained in words of this version ({plain(error, 120)}). "
            f"Give a file that lineas train wrote, ending in {CHECKPOINT}, or start afresh."
        ) from error
    return run, state


def _run(told: Any) -> Run:
    """A file has no tuples, only lists. Raises TypeError where an entry is not of its kind."""
    known = {entry.name for entry in fields(Run)}
    values: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in told.items() if name in known
    }
    contexts = values.get("contexts", ())
    values["contexts"] = tuple(tuple(each) if isinstance(each, list) else each for each in contexts)
    run = Run(**values)
    others = (*_LISTS, "config", "chat", "contexts")
    texts = {name: value for name, value in values.items() if name not in others}
    wrong = [name for name, value in texts.items() if not isinstance(value, str | None)]
    wrong += [name for name in ("model", "output", "label") if getattr(run, name) is None]
    wrong += ["chat"] * (not isinstance(run.chat, bool))
    wrong += ["contexts"] * (not all(_is_list_of_texts(each, False) for each in run.contexts))
    wrong += [name for name in _LISTS if not _is_list_of_texts(getattr(run, name), name == "sites")]
    if wrong or not isinstance(run.config, dict) or not all(isinstance(key, str) for key in run.config):
        raise TypeError(f"{', '.join([*wrong, 'config'])} cannot be read")
    return run


_HELD_OUT = ("held_out_source", "held_out_target", "held_out_preserve", "held_out_twins")
_LISTS = ("source", "target", "preserve", "sites", *_HELD_OUT)


def _is_list_of_texts(value: Any, may_be_none: bool) -> bool:
    if value is None:
        return may_be_none
    return isinstance(value, tuple) and all(isinstance(each, str) for each in value)
