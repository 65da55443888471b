"""Names of steerings on the Hugging Face hub, as they are given wherever a file could be."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from lineas.errors import SteeringFileError, plain

START = "hf:"
FILE = "steering.safetensors"


@dataclass(frozen=True)
class HubName:
    """One file of a repository of models. file: within it. revision: branch, tag or commit, None for main."""

    repo: str
    file: str = FILE
    revision: str | None = None

    @property
    def local(self) -> Path:
        """What a file made from it is called here: after the file, or the repository for the usual one."""
        stem = Path(self.file).stem if self.file != FILE else self.repo.rpartition("/")[2]
        return Path(f"{stem}.safetensors")


def hub_name(text: str | Path) -> HubName | None:
    """ "hf:owner/name"; "/folder/file.safetensors" and "@revision" follow where they are not the usual ones.

    None for what does not start with "hf:", and for a file of that name that lies here. Raises
    `SteeringFileError` for what starts so and goes on otherwise.
    """
    whole = text.as_posix() if isinstance(text, Path) else text
    if not whole.startswith(START) or Path(whole).exists():
        return None
    found = re.fullmatch(
        r"hf:([\w.-]+/[\w.-]+)((?:/[\w. -]+)*/[\w. -]+\.safetensors)?(?:@([\w./-]+))?", whole
    )
    if found is None or {".", ".."} & set(re.split("[/@:]", whole)):
        raise SteeringFileError(
            f"{plain(whole)!r} is no name on the hub. Expected hf:owner/name, or "
            "hf:owner/name/file.safetensors@revision."
        )
    repo, file, revision = found.groups()
    return HubName(repo, file[1:] if file else FILE, revision)


def local_path(text: str | Path) -> Path:
    """The path itself, or for a name on the hub the file that it would be called here."""
    name = hub_name(text)
    return Path(text) if name is None else name.local
