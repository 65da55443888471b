from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toys.models import steering_for

from lineas.adapters.language.writing import Writer
from lineas.cli import models as cli_models
from lineas.errors import HubError, LineasError
from lineas.modules.names import find_sites
from lineas.scenes import BUNDLED


def test_what_a_folder_makes_is_found_out(tmp_path: Path) -> None:
    with pytest.raises(HubError, match="holds no model"):
        cli_models.find_task(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    assert cli_models.find_task(str(tmp_path)) == "text"
    (tmp_path / "model_index.json").write_text("{}")
    assert cli_models.find_task(str(tmp_path)) == "image"


def test_no_network_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    hub = pytest.importorskip("huggingface_hub")
    errors = pytest.importorskip("huggingface_hub.errors")
    raised: list[Exception] = [errors.LocalEntryNotFoundError("offline"), OSError("no route")]

    def download(*_: Any, **__: Any) -> None:
        raise raised.pop(0)

    with pytest.raises(HubError, match="Check the name"):
        cli_models.find_task("not a name at all")  # refused by the hub's own rules, without network
    monkeypatch.setattr(hub, "hf_hub_download", download)
    monkeypatch.setattr(hub, "try_to_load_from_cache", lambda *_: None)
    for _ in range(2):
        with pytest.raises(HubError, match="cannot be reached"):
            cli_models.find_task("owner/model")


def test_missing_weights_are_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("lineas.scenes.bundled.FOLDERS", dict.fromkeys(BUNDLED, tmp_path / "nowhere"))
    for name in BUNDLED:
        with pytest.raises(LineasError, match=f"bundled model {name} are missing"):
            cli_models.load(name)


def test_text_is_sampled_alike_for_a_seed_and_changes_with_the_strength(models: Path) -> None:
    from lineas.adapters.language.loading import load_language_model

    model, tokenizer = load_language_model(models / "llama", device="cpu")
    sites = find_sites({"": model}, "model.layers.*.mlp.down_proj")
    writer = Writer(model, tokenizer, [steering_for(model, sites)], [8.0], tokens=12)
    state = torch.get_rng_state()
    plain = writer("the cold night", 0.0, seed=1)
    assert 5 < len(plain.split()) <= 12
    assert writer("the cold night", 0.0, seed=1) == plain
    assert writer("the cold night", 1.0, seed=1) != plain
    assert torch.get_rng_state().equal(state)


def test_a_language_model_writes_texts(lineas: Any, toy: Path) -> None:
    given = ("--sweep", "0,1", "--seeds", "1", "--tokens", 5)
    code, out, err = lineas("generate", "the cold", *given, "--model", "llama")
    assert code == 0, err
    rows = json.loads((toy / "out" / "texts.json").read_text())
    assert [(row["strength"], row["seed"]) for row in rows] == [(0, 1), (1, 1)]
    assert f"[λ = 1] the cold{rows[1]['text']}" in out
    assert 0 < len(rows[0]["text"].split()) <= 5
    assert rows[0]["text"] == rows[1]["text"]  # no steering: the same seed writes the same
