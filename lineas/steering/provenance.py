"""Where a steering came from."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace

from lineas.errors import ConfigError

Setting = str | int | float | bool | None
MAX_SETTINGS = 500
MAX_TEXT, MAX_NOTES = 2000, 50_000
"""Signs of one text, and of the notes."""
USABLE = ("usable_from", "usable_to")
"""Settings that say from where to where strengths were found to be of use."""
CALIBRATED_BY = "calibrated_by"
"""The setting that says what found them."""


def public_name(text: str) -> str:
    """What a file may say of a model: a name on a hub as it is, of a path its last folder alone.

    A folder of the hub's cache becomes the name on the hub again. Whose computer it was is nobody's business.
    """
    cached = re.search(r"models--([\w.-]+?)--([\w.-]+)[/\\]snapshots[/\\]\w+", text)
    if cached:
        return f"{cached[1]}/{cached[2]}{text[cached.end() :]}"
    path = re.match(r"(?:[/~\\]|\.{1,2}[/\\]|[A-Za-z]:[/\\])", text)
    parts = [part for part in re.split(r"[/\\]", text) if part]
    return parts[-1] if parts and (path or (len(parts) > 2 and " " not in text)) else text


@dataclass(frozen=True)
class Provenance:
    """Where a steering came from. Every field may be empty.

    method: name of the method that fitted it. base_model: the model it was fitted on, for people.
    fingerprint: the same for machines, over the modules at its sites. prompts_hash: of the prompt sets.
    settings: the method's options, seeds included. library_version, created: of the fit, created in ISO 8601.
    notes: free text, one remark per line. Raises `ConfigError` for values that a file cannot hold.
    """

    method: str = ""
    base_model: str = ""
    fingerprint: str = ""
    prompts_hash: str = ""
    settings: Mapping[str, Setting] = field(default_factory=dict, hash=False)
    library_version: str = ""
    created: str = ""
    notes: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.settings, Mapping):
            raise ConfigError(f"settings of a provenance are {self.settings!r}, expected a mapping.")
        texts = {f.name: getattr(self, f.name) for f in fields(self) if f.name != "settings"}
        wrong = [name for name, value in texts.items() if not isinstance(value, str)]
        plain = {name: isinstance(name, str) and isinstance(v, Setting) for name, v in self.settings.items()}
        wrong += [repr(name) for name, fits in plain.items() if not fits]
        if wrong:
            raise ConfigError(
                f"{', '.join(wrong)} of a provenance must be text, or a plain value in settings."
            )

    def bounded(self) -> Provenance:
        """The same with texts, names of settings and their number cut to what a file may hold."""
        whole = {f.name: getattr(self, f.name) for f in fields(self) if f.name not in ("settings", "notes")}
        few = list(self.settings.items())[:MAX_SETTINGS]
        settings = {name[:MAX_TEXT]: v[:MAX_TEXT] if isinstance(v, str) else v for name, v in few}
        # Of notes the newest are kept: they say what was done to the file last.
        return Provenance(
            **{name: text[:MAX_TEXT] for name, text in whole.items()},
            settings=settings,
            notes=self.notes[-MAX_NOTES:],
        )

    def unmeasured(self) -> Provenance:
        """The same without a usable range: what changes a steering leaves it behind."""
        left = (*USABLE, CALIBRATED_BY)
        kept = {name: value for name, value in self.settings.items() if name not in left}
        return self if len(kept) == len(self.settings) else replace(self, settings=kept)

    def at(self, strength: float) -> Provenance:
        """The same of the steering at a strength: its usable range counts in that one."""
        if strength <= 0:
            return self.unmeasured()
        bounds = {name: self.settings[name] for name in USABLE if name in self.settings}
        moved = {name: round(v / strength, 3) for name, v in bounds.items() if isinstance(v, int | float)}
        return replace(self, settings={**self.settings, **moved}) if moved else self

    def noted(self, remark: str) -> Provenance:
        """The same with one more line of notes."""
        return replace(self, notes=f"{self.notes}\n{remark}" if self.notes else remark)
