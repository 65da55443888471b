"""Steerings on the hub, through huggingface_hub and over HTTP, at a stand-in for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from toys.models import affine

from lineas.errors import ConfigError, HubError, SteeringFileError
from lineas.steering.hub_names import FILE, HubName, hub_name, local_path
from lineas.steering.provenance import Provenance
from lineas.steering.reading import MAX_BYTES, MAX_HEADER
from lineas.steering.site import Site
from lineas.steering.steering import Steering


@pytest.fixture
def steering() -> Steering:
    settings = {"recipe": "turbo", "denoising_steps": 1, "guidance": 0.0}
    made = Provenance("lineas", "acme/draws", settings=settings, notes="remove fog")
    return Steering({Site("unet.mid_block.norm", 0, 1): affine(4)}, made)


def test_what_is_pushed_comes_back(hub: Any, steering: Steering, tmp_path: Path) -> None:
    address = steering.push_to_hub("me/no-fog", private=True)
    assert "/me/no-fog/" in address and hub.private == {"me/no-fog"}
    for back in (Steering.from_pretrained("me/no-fog"), Steering.load("hf:me/no-fog")):
        assert back.allclose(steering, rtol=0, atol=0)
        assert back.provenance == steering.provenance
    (tmp_path / "folder").mkdir()
    steering.save(tmp_path / "folder" / FILE)
    assert Steering.from_pretrained(tmp_path / "folder").allclose(steering)


def test_what_was_loaded_once_is_there_offline(
    hub: Any, steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    steering.push_to_hub("me/no-fog")
    Steering.load("hf:me/no-fog")
    hub.asked.clear()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert Steering.from_pretrained("me/no-fog", local_files_only=True).allclose(steering)
    assert hub.asked == []


def test_the_card_says_what_for_which_model_and_how(hub: Any, steering: Steering, tmp_path: Path) -> None:
    hub.facts["acme/draws"] = {"cardData": {"license": "openrail++"}, "pipeline_tag": "text-to-image"}
    Image.new("RGB", (2, 2)).save(tmp_path / "grid.png")
    steering.push_to_hub(
        "me/no-fog",
        about="Takes fog out of harbours.",
        figures={"fog found": 0.0625, "by strength": {"0": {"found": 0.9375}, "1": {"found": 0.0625}}},
        pictures={"at every strength": tmp_path / "grid.png"},
    )
    files = hub.files["me/no-fog"]
    assert set(files) == {"README.md", "config.json", FILE, "picture-0.png"}
    card = files["README.md"].decode()
    for part in (
        "license: openrail++\n",
        "base_model: acme/draws\n",
        "pipeline_tag: text-to-image\n",
        "Takes fog out of harbours.",
        "**For acme/draws**, whose licence is openrail++",
        "| fog found | 0.0625 |",
        "| by strength | found |\n|---|---|\n| 0 | 0.9375 |\n| 1 | 0.0625 |",
        "![at every strength](picture-0.png)",
        'lineas generate "a prompt" --model acme/draws --steering hf:me/no-fog:0.8',
        'Steering.from_pretrained("me/no-fog")',
        'pipe("a prompt", num_inference_steps=1, guidance_scale=0.0)',
        "*Load & Apply Steering*",
    ):
        assert part in card


def test_the_python_of_a_card_runs(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """That of a language model too, up to the calls of models that are not there."""
    language = Steering({Site("model.layers.0.mlp"): affine(4)}, Provenance("lineas", "acme/writes"))
    language.push_to_hub("me/polite")
    card = hub.files["me/polite"]["README.md"].decode()
    assert "pipeline_tag: text-generation" in card and "this is for a language model" in card
    assert "whose licence is on the page of that model" in card and "\nlicense:" not in card
    monkeypatch.setattr("lineas.load_language_model", lambda name: 1 / (name != "acme/writes"))
    with pytest.raises(ZeroDivisionError):
        exec(card.split("```python\n")[1].split("```")[0], {})


def test_a_stranger_s_words_end_no_cell(hub: Any, steering: Steering) -> None:
    odd = Steering(steering.maps, Provenance("lineas", "acme/draws", notes="a|b\n# c <img src=x>"))
    odd.push_to_hub("me/odd", figures={"x | y": "1\n# z"})
    card = hub.files["me/odd"]["README.md"].decode()
    assert "A steering: a\\|b." in card
    assert "| x \\| y | 1 # z |" in card
    assert "<img" not in card.split("```")[0]


def test_one_file_of_many_at_a_revision(hub: Any, steering: Steering) -> None:
    steering.push_to_hub("me/many")
    hub.files["me/many"]["fog/heavy.safetensors"] = hub.files["me/many"].pop(FILE)
    assert Steering.load("hf:me/many/fog/heavy.safetensors@main").allclose(steering)
    assert Steering.from_pretrained("me/many", "fog/heavy.safetensors").allclose(steering)


def test_what_is_not_there_or_no_steering_is_told(hub: Any, steering: Steering) -> None:
    with pytest.raises(HubError, match="Cannot load 'me/none' from the hub"):
        Steering.load("hf:me/none")
    hub.files["me/odd"] = {FILE: b"\x10\x00\x00\x00\x00\x00\x00\x00garbage", "config.json": b"[]"}
    with pytest.raises(HubError):
        Steering.load("hf:me/odd")
    hub.files["me/odd"]["config.json"] = b"{}"
    with pytest.raises(SteeringFileError, match="Cannot read a steering"):
        Steering.load("hf:me/odd")


def test_what_is_too_large_is_not_downloaded(hub: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.files["me/large"] = {FILE: bytes(2000)}
    monkeypatch.setattr("lineas.steering.hub.MAX_BYTES", 1000 - MAX_HEADER)
    assert MAX_BYTES > 1000
    with pytest.raises(HubError, match="2000 bytes"):
        Steering.load("hf:me/large")
    assert ("GET", f"/me/large/resolve/main/{FILE}") not in hub.asked


def test_an_endpoint_that_does_not_answer_is_told(
    steering: Steering, monkeypatch: pytest.MonkeyPatch
) -> None:
    from toys.hub import ask, serve

    with serve() as (address, _):
        pass
    ask(address, monkeypatch, Path("nowhere"))
    with pytest.raises(HubError, match="on the hub as 'me/no-fog'"):
        steering.push_to_hub("me/no-fog")


def test_pictures_that_are_none_are_refused(steering: Steering, tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    for path in (tmp_path / "a.txt", tmp_path / "none.png"):
        with pytest.raises(ConfigError, match="picture"):
            steering.push_to_hub("me/no-fog", pictures={"a": path})


def test_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert hub_name("night.safetensors") is None
    assert hub_name("hf:me/no-fog") == HubName("me/no-fog")
    assert hub_name(Path("hf:me/no-fog/a b/c.safetensors@v1")) == HubName(
        "me/no-fog", "a b/c.safetensors", "v1"
    )
    assert local_path("hf:me/no-fog") == Path("no-fog.safetensors")
    assert local_path("hf:me/many/fog.safetensors") == Path("fog.safetensors")
    assert local_path("a/b.st") == Path("a/b.st")
    for wrong in ("hf:", "hf:me", "hf:me/x/../y.safetensors", "hf:me/x/y.bin", "hf:me/x@"):
        with pytest.raises(SteeringFileError, match="no name on the hub"):
            hub_name(wrong)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "hf:me").mkdir()
    (tmp_path / "hf:me" / "here").touch()
    assert hub_name("hf:me/here") is None  # a file that lies here


def test_pushing_changes_nothing(hub: Any, steering: Steering) -> None:
    before = {site: map.tensors() for site, map in steering.maps.items()}
    steering.push_to_hub("me/no-fog")
    for site, tensors in before.items():
        for name, tensor in tensors.items():
            assert torch.equal(steering.maps[site].tensors()[name], tensor)
