"""Steering files in ComfyUI's folders."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from lineas.errors import ConfigError, SteeringFileError
from lineas.maps.affine import AffineMap
from lineas.steering.site import Site
from lineas.steering.steering import Steering

pytestmark = pytest.mark.usefixtures("comfyui")


def steering() -> Steering:
    return Steering({Site("unet.conv_norm_out"): AffineMap(torch.ones(3), torch.zeros(3))})


def test_what_is_saved_is_listed_and_loaded(comfyui: Any) -> None:
    from comfyui_lineas.files import load_named, named_files, save_named

    path = Path(save_named(steering(), "mine/first"))
    assert path == comfyui.output / "steering" / "mine" / "first_00001_.safetensors"
    assert Path(save_named(steering(), "mine/first.safetensors")).name == "first_00002_.safetensors"
    name = str(path.relative_to(comfyui.output / "steering"))
    assert name in named_files()
    assert load_named(name).allclose(steering())


def test_models_steering_is_listed_too(comfyui: Any) -> None:
    from comfyui_lineas.files import named_files, stamp

    folder = comfyui.models / "steering"
    folder.mkdir(parents=True, exist_ok=True)
    steering().save(folder / "theirs.safetensors")
    (folder / "notes.txt").write_text("not a steering")
    assert "theirs.safetensors" in named_files() and "notes.txt" not in named_files()
    before = stamp("theirs.safetensors")
    (folder / "theirs.safetensors").write_bytes(b"x")
    assert stamp("theirs.safetensors") != before != stamp("missing.safetensors")


@pytest.mark.parametrize(
    "name", ["", "  ", "/", ".", "..", "../x", "a/../../x", "/etc/x", "..\\x", ".safetensors"]
)
def test_names_that_are_empty_or_lead_out_are_refused(name: str) -> None:
    from comfyui_lineas.files import save_named

    with pytest.raises(ConfigError, match="empty or leads out of output/steering"):
        save_named(steering(), name)


def test_a_link_out_of_the_folder_is_refused(comfyui: Any, tmp_path: Path) -> None:
    from comfyui_lineas.files import save_named

    folder = comfyui.output / "steering"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "link").symlink_to(tmp_path)
    with pytest.raises(ConfigError, match="leads out"):
        save_named(steering(), "link/x")
    (folder / "link").unlink()


def test_signs_that_some_systems_refuse_are_replaced() -> None:
    from comfyui_lineas.files import save_named

    assert Path(save_named(steering(), 'what: "is" it?')).name == "what- -is- it-_00001_.safetensors"


def test_missing_and_broken_files_are_told(comfyui: Any) -> None:
    from comfyui_lineas.files import load_named

    with pytest.raises(SteeringFileError, match="There is no steering 'nothing'"):
        load_named("nothing")
    with pytest.raises(SteeringFileError, match="There is no steering"):
        load_named("../../etc/passwd")
    folder = comfyui.output / "steering"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "broken.safetensors").write_bytes(b"\xff" * 100)
    with pytest.raises(SteeringFileError, match="Cannot read a steering"):
        load_named("broken.safetensors")


def test_folders_of_extra_model_paths_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    import folder_paths

    from comfyui_lineas.files import register_folders

    known = folder_paths.folder_names_and_paths
    monkeypatch.setitem(known, "steering", (["/shared/steering"], set()))
    register_folders()
    paths, suffixes = known["steering"]
    assert paths[0] == "/shared/steering" and len(paths) == 4 and suffixes == {".safetensors"}


def test_the_graph_that_made_a_file_is_kept_in_it(monkeypatch: pytest.MonkeyPatch) -> None:
    import safetensors
    from comfy.cli_args import args

    from comfyui_lineas.files import save_named
    from comfyui_lineas.graph_kept import LONGEST, graph_of

    flow = {"nodes": [{"id": 1, "title": "ähm"}], "version": 0.4}
    sent = SimpleNamespace(prompt={"1": {"class_type": "X"}}, extra_pnginfo={"workflow": flow, "other": 1})
    path = save_named(steering(), "with-graph", graph=graph_of(sent))
    with safetensors.safe_open(path, "pt") as file:
        kept = file.metadata()
    assert json.loads(kept["workflow"]) == flow and json.loads(kept["prompt"]) == sent.prompt
    assert "other" not in kept and Steering.load(path).allclose(steering())

    large = SimpleNamespace(prompt={"1": "x" * LONGEST}, extra_pnginfo=None)  # sent by a script
    assert graph_of(None) == graph_of(large) == {}
    monkeypatch.setattr(args, "disable_metadata", True)
    assert graph_of(sent) == {}
