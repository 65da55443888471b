"""Writing: whole or not at all, with the rights that were there, under any name that can be read back."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest
import torch

from lineas.errors import SteeringFileError
from lineas.maps.affine import AffineMap
from lineas.steering import writing
from lineas.steering.files import load_steering
from lineas.steering.site import Site
from lineas.steering.steering import Steering

EXPECTED = Steering({Site("unet.norm"): AffineMap(torch.tensor([0.5, 0]), torch.tensor([0.25, -1]))})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "a.safetensors"


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    path: Path, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    EXPECTED.save(path)
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(writing.os, step, full)
    with pytest.raises(SteeringFileError, match=r"No space left.*unchanged") as caught:
        EXPECTED.at(0.5).save(path)
    assert isinstance(caught.value.__cause__, OSError)
    assert path.read_bytes() == before and os.listdir(path.parent) == [path.name]


def test_an_interruption_leaves_no_temporary_file(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(writing.os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        EXPECTED.save(path)
    assert os.listdir(path.parent) == []


def test_folders_that_cannot_be_written_are_named(tmp_path: Path) -> None:
    with pytest.raises(SteeringFileError, match="folder that you may write"):
        EXPECTED.save(tmp_path / "missing" / "a.safetensors")
    (tmp_path / "folder").mkdir()
    with pytest.raises(SteeringFileError):
        EXPECTED.save(tmp_path / "folder")
    assert os.listdir(tmp_path) == ["folder"]


def test_a_read_only_folder_is_named(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def read_only(*_: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    # Simulated: root, as which tests may run, can write into any folder.
    monkeypatch.setattr(writing, "open", read_only, raising=False)
    with pytest.raises(SteeringFileError, match=r"Read-only.*folder that you may write"):
        EXPECTED.save(path)


def test_the_written_file_has_the_usual_permissions(path: Path) -> None:
    EXPECTED.save(path)
    (path.parent / "plain").touch()
    assert path.stat().st_mode == (path.parent / "plain").stat().st_mode


def test_a_replaced_file_keeps_its_rights_and_its_symbolic_link(path: Path) -> None:
    EXPECTED.save(path)
    path.chmod(0o600)
    link = path.with_name("link.safetensors")
    link.symlink_to(path.name)
    EXPECTED.at(0.5).save(link)
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o600
    assert load_steering(path).allclose(EXPECTED.at(0.5))


@pytest.mark.parametrize("length", range(244, 256))
def test_names_may_be_as_long_as_the_system_takes(path: Path, length: int) -> None:
    EXPECTED.save(path.with_name("n" * length))
    assert os.listdir(path.parent) == ["n" * length]
    with pytest.raises(SteeringFileError, match="Cannot write"):
        EXPECTED.save(path.with_name("n" * 256))


def test_names_that_could_not_be_read_back_are_refused(path: Path) -> None:
    for name in (b"caf\xe9", b"a\0b"):
        with pytest.raises(SteeringFileError, match="Cannot write"):
            EXPECTED.save(path.parent / os.fsdecode(name))
    assert os.listdir(path.parent) == []


def test_temporary_files_of_killed_processes_go_and_no_others(path: Path) -> None:
    names = (".lineas-0123.tmp", ".lineas-new.tmp", ".someone.tmp")
    old, new, other = (path.with_name(name) for name in names)
    for each in (old, new, other):
        each.touch()
    for each in (old, other):
        os.utime(each, (0, 0))
    EXPECTED.save(path)
    assert not old.exists() and new.exists() and other.exists()
