"""The manifest of a batch: concepts × models × settings, as jobs."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from lineas.cli.config_file import read_toml
from lineas.cli.models import BUNDLED
from lineas.errors import ConfigError, plain

INTENTS = ("remove", "add", "swap")
PLANNED = ("kind", "template", "count", "seed", "examples", "others", "preserve")
"""Options of a concept that make its prompts; the others are those of LinEAS, `sites` and `seconds`."""
LISTS = ("examples", "others", "preserve")
"""Those that name files of prompts."""
LOADED = ("task", "recipe", "dtype", "device")
"""Options of a model."""


@dataclass(frozen=True)
class Job:
    """One steering to make: an intent, with one model, under one setting.

    concept, to: its words; `to` for a swap alone. setting: a name of the manifest, "" for none. options: of
    the plan and of LinEAS. loading: how the model is loaded. report: measure it, where that is known. clip:
    the open_clip model that judges images, to calibrate and to report by; None goes by the cost.
    """

    intent: str
    concept: str
    to: str | None = None
    model: str = BUNDLED[0]
    setting: str = ""
    options: Mapping[str, Any] = field(default_factory=dict, hash=False)
    loading: Mapping[str, str] = field(default_factory=dict, hash=False)
    report: bool = False
    clip: str | None = None

    @property
    def label(self) -> str:
        """What it does, in words."""
        return f"{self.intent} {self.concept}" + (f" for {self.to}" if self.to else "")

    @property
    def place(self) -> str:
        """Its files within the folder of a batch, without their endings."""
        parts = [_slug(part) for part in (Path(self.model).name, self.setting, self.label) if part]
        return "/".join([*parts[:-1], parts[-1]])

    @property
    def digest(self) -> str:
        """What it asks for, as a hash: another one means other results."""
        told = {name: value for name, value in asdict(self).items() if name != "clip" or value}
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Manifest:
    """The jobs, those of one model beside each other, and the folder that their results go to."""

    jobs: tuple[Job, ...]
    output: Path


def read_manifest(path: str | Path) -> Manifest:
    """What a TOML file asks for. Raises `ConfigError` and `PromptError`, before anything is computed.

    models: names, or tables with a name and options of loading. concepts: tables with one of remove, add
    (a text, or several) and swap (two texts), and options. settings: tables of options by name. report,
    clip, output: see docs/batch.md.
    """
    told, path = read_toml(path), Path(path)
    _only(told, ("models", "concepts", "settings", "report", "clip", "output"), f"{plain(path)}")
    models = [_model(each) for each in _list(told.get("models", [BUNDLED[0]]), "models")]
    settings: Mapping[str, Any] = told.get("settings") or {"": {}}
    concepts = [_concept(each, path.parent) for each in _list(told.get("concepts", []), "concepts")]
    report, clip = bool(told.get("report", False)), told.get("clip")
    if clip is not None and not (isinstance(clip, str) and clip):
        raise ConfigError(f"clip is {plain(clip)}, expected the name or folder of an open_clip model.")
    jobs = tuple(
        Job(
            *words,
            name,
            setting,
            {**_table(changes, f"settings.{setting}"), **options},
            loading,
            report,
            clip,
        )
        for name, loading in models
        for setting, changes in settings.items()
        for each, options in concepts
        for words in each
    )
    if not jobs:
        raise ConfigError(f'{plain(path)} asks for nothing. Add [[concepts]] with remove = "at night".')
    _check_places(jobs)
    return Manifest(jobs, Path(told.get("output", path.with_suffix(""))))


Words = tuple[str, str, str | None]


def _concept(told: Any, folder: Path) -> tuple[list[Words], dict[str, Any]]:
    """Intent, concept and what takes its place, of each steering; and the options."""
    table = dict(_table(told, "concepts"))
    intents = [intent for intent in INTENTS if intent in table]
    if len(intents) != 1:
        raise ConfigError(f"A concept is {plain(table)}, expected one of {', '.join(INTENTS)} in it.")
    intent = intents[0]
    words = table.pop(intent)
    texts = words if isinstance(words, list) else [words]
    if not texts or not all(isinstance(text, str) and text.strip() for text in texts):
        raise ConfigError(f"{intent} is {plain(words)}, expected a text or a list of texts.")
    if intent == "swap" and len(texts) != 2:
        raise ConfigError(f'swap is {plain(words)}, expected two texts, such as ["a cat", "a dog"].')
    each: list[Words] = [(intent, text, None) for text in texts]
    if intent == "swap":
        each = [(intent, texts[0], texts[1])]
    return each, _with_prompts(table, folder)


def _with_prompts(options: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The options with the prompts themselves in the place of files, which lie beside the manifest."""
    from lineas.prompts.files import read_prompts

    named = {name: options[name] for name in LISTS if isinstance(options.get(name), str)}
    return {**options, **{name: list(read_prompts(folder / file)) for name, file in named.items()}}


def _model(told: Any) -> tuple[str, dict[str, str]]:
    table = {"name": told} if isinstance(told, str) else dict(_table(told, "models"))
    name = table.pop("name", "")
    _only(table, LOADED, f"the model {plain(name)!r}")
    if not isinstance(name, str) or not name:
        raise ConfigError(f"A model is {plain(told)}, expected a name, or a table with a name.")
    return name, table


def _only(table: Mapping[str, Any], known: Sequence[str], what: str) -> None:
    odd = [name for name in table if name not in known]
    if odd:
        raise ConfigError(f"{what} has the entry {plain(odd[0])}, expected {', '.join(known)}.")


def _list(told: Any, name: str) -> list[Any]:
    if not isinstance(told, list):
        raise ConfigError(f"{name} is {plain(told)}, expected a list.")
    return told


def _table(told: Any, name: str) -> Mapping[str, Any]:
    if not isinstance(told, Mapping):
        raise ConfigError(f"{name} is {plain(told)}, expected a table.")
    return told


def _check_places(jobs: Sequence[Job]) -> None:
    """Two jobs of one place would write over each other."""
    seen: dict[str, Job] = {}
    for job in jobs:
        if (other := seen.setdefault(job.place, job)) is not job:
            raise ConfigError(
                f"{other.label!r} and {job.label!r} would both be written to {job.place}. Ask for each once, "
                "or give them settings of other names."
            )


def _slug(text: str) -> str:
    return re.sub(r"[^\w.]+", "-", text).strip("-.")[:100] or "it"


def by_model(jobs: Sequence[Job]) -> Iterator[tuple[str, list[Job]]]:
    """The jobs of each model, in the order of the manifest."""
    for name in dict.fromkeys(job.model for job in jobs):
        yield name, [job for job in jobs if job.model == name]
