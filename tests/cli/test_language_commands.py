"""The commands on a language model in a folder: train, evaluate, export; and on images: evaluate, compare."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from toys.language import PRESERVE, SOURCE, TARGET, WORDS, model, transformers
from toys.saved import save_language_model

from lineas.adapters.language.sites import language_sites
from lineas.apply.hooks import steer
from lineas.maps.affine import AffineMap
from lineas.scenes.bundled import FOLDERS
from lineas.steering.steering import Steering

EVERYDAY = Path(__file__).parents[2] / "benchmarks" / "language" / "data" / "everyday" / "everyday.yaml"
IDS = torch.tensor([[1, 5, 6, 7, 8]])


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with a tiny Llama in model/, text files, and a steering of it that only shifts."""
    monkeypatch.chdir(tmp_path)
    save_language_model(Path("model"))
    for name, texts in {"source": SOURCE, "target": TARGET, "preserve": PRESERVE}.items():
        Path(f"{name}.txt").write_text("\n".join(texts))
    sites = language_sites({"": model("Llama")}, "mlp")[1:]
    shift = AffineMap(torch.zeros(16), torch.linspace(-1, 1, 16))
    Steering(dict.fromkeys(sites, shift)).save("shift.safetensors")
    return tmp_path


def test_a_topic_is_added_and_the_first_token_carries_it(lineas: Any, folder: Path) -> None:
    words = ("add", "warmth", "--model", "model", "--examples", "target.txt", "--others", "source.txt")
    kept = ("--preserve", "preserve.txt")
    code, _, err = lineas(*words, *kept, "--steps", 2, "--output", "warm.safetensors")
    assert code == 0, err
    steering = Steering.load("warm.safetensors")
    assert {map.kind for map in steering.maps.values()} == {"first_token"}
    assert steering.provenance.settings["cost"] < steering.provenance.settings["cost_at_start"]
    code, out, _ = lineas("generate", "the cold", "--model", "model", "--steering", "warm.safetensors:1.5")
    assert code == 0 and out
    code, _, err = lineas(*words, "--preset", "paper", "--steps", 2, "--output", "paper.safetensors")
    assert code == 0, err


def test_longer_lists_calibrate_and_end_in_a_report(lineas: Any, folder: Path) -> None:
    for name, texts in {"cold": SOURCE, "warm": TARGET}.items():
        Path(f"{name}.txt").write_text(
            "\n".join(f"{texts[n % 4]} {WORDS[n % len(WORDS)]}" for n in range(52))
        )
    words = ("remove", "cold", "--model", "model", "--steps", 10, "--learning-rate", 0.3)
    words += ("--examples", "cold.txt", "--others", "warm.txt", "--preserve", "preserve.txt")
    code, out, err = lineas(*words, "--report")
    assert code == 0, err
    settings = Steering.load("remove-cold.safetensors").provenance.settings
    assert settings["calibrated_by"] == "likelihood" and "calibrated by likelihood" in out
    told = Path("remove-cold-report.md").read_text()
    assert told.strip() in out and "| steering, strength 1 |" in told
    assert not Path("remove-cold-report.png").exists()
    code, _, err = lineas(*words, "--report", "--output", "other.safetensors", "--clip", "any")
    assert code == 2 and "--clip judges images" in err
    Path("cold.txt").write_text("\n".join(SOURCE))
    code, _, err = lineas(*words, "--report", "--output", "other.safetensors")
    assert code == 2 and "Give 64 examples" in err and not Path("other.safetensors").exists()


def test_a_steering_is_trained_and_evaluated(lineas: Any, folder: Path) -> None:
    pytest.importorskip("profanity_check")
    pytest.importorskip("lm_eval")
    words = ("--source", "source.txt", "--target", "target.txt", "--preserve", "preserve.txt", "--steps", 2)
    code, out, err = lineas("train", "--model", "model", *words, "--output", "cold.safetensors")
    assert code == 0, err
    code, out, err = lineas(
        "evaluate", "--model", "model", "--steering", "cold.safetensors:0.5", "--sweep", "0,0.5,1",
        "--openings", "source.txt", "--samples", 2, "--text", "target.txt", "--questions", EVERYDAY,
        "--limit", 2, "--output", "figures.json",
    )  # fmt: skip
    assert code == 0, err
    heads = ("strength", "toxic continuations", "perplexity of the continuations", "perplexity", "accuracy")
    assert f"| {' | '.join(heads)} |" in out
    table = [line for line in out.splitlines() if line.startswith("| ")][2:]
    assert [line.split("|")[1].strip() for line in table] == ["0", "0.5", "1"]
    record = json.loads(Path("figures.json").read_text())["strengths"]
    assert len(record["1"]["accuracy"]["right"]) == 2 and sum(record["0"]["toxicity"]["counts"]) == 8
    assert record["1"]["fluency"]["value"] > 1
    assert lineas("evaluate", "--model", "model", "--text", "target.txt", "--output", "figures.json")[0] == 2


def test_evaluate_says_what_is_missing(lineas: Any, folder: Path) -> None:
    code, _, err = lineas("evaluate", "--model", "model")
    assert code == 2 and "--openings, --text or --questions" in err
    code, _, err = lineas("evaluate", "--model", "model", "--text", "nowhere.txt")
    assert code == 2 and "nowhere.txt" in err


def test_a_control_vector_is_written_where_a_steering_only_shifts(lineas: Any, folder: Path) -> None:
    gguf = pytest.importorskip("gguf")
    code, out, err = lineas("export", "shift.safetensors", "--model", "model", "--format", "gguf")
    assert code == 0, err
    assert "control vector: shift.gguf (1 blocks, 1 to 1)" in out
    assert [t.name for t in gguf.GGUFReader("shift.gguf").tensors] == ["direction.1"]
    steering = Steering.load("shift.safetensors")
    scaled = {s: AffineMap(torch.ones(16), m.tensors()["shift"]) for s, m in steering.maps.items()}
    Steering(scaled).save("scale.safetensors")
    code, _, err = lineas("export", "scale.safetensors", "--model", "model", "--format", "gguf")
    assert code == 2 and "it scales units" in err and not Path("scale.gguf").exists()


def test_shifts_go_to_other_servers(lineas: Any, folder: Path) -> None:
    words = ("export", "shift.safetensors", "--model", "model", "--format")
    code, out, err = lineas(*words, "hotwire")
    assert code == 0 and "vectors: shift.pt (1 blocks, 1 to 1)" in out, err
    assert torch.load("shift.pt", weights_only=True).shape == (2, 16)
    assert json.loads(Path("shift.hotwire.json").read_text())[0]["layer"] == 1
    code, out, err = lineas(*words, "vllm-lens")
    assert code == 0 and json.loads(Path("shift.vllm-lens.json").read_text())["layer_indices"] == [1], err
    code, _, err = lineas(*words, "easysteer")
    assert code == 2 and "it is not the output of a block" in err


def test_a_checkpoint_is_written_that_needs_no_lineas(lineas: Any, folder: Path) -> None:
    words = ("export", "shift.safetensors", "--model", "model", "--format", "checkpoint", "--strength", "0.5")
    code, out, err = lineas(*words)
    assert code == 0, err
    assert "checkpoint: shift-checkpoint" in out
    stock = transformers.AutoModelForCausalLM.from_pretrained("shift-checkpoint")
    made = transformers.AutoModelForCausalLM.from_pretrained("model")
    with torch.no_grad(), steer(made, Steering.load("shift.safetensors"), 0.5):
        torch.testing.assert_close(stock(IDS).logits, made(IDS).logits, rtol=1e-4, atol=1e-5)
    assert transformers.AutoTokenizer.from_pretrained("shift-checkpoint").pad_token == "<pad>"
    code, _, err = lineas(*words)
    assert code == 2 and "not empty" in err
    assert lineas(*words, "--force")[0] == 0


def test_texts_are_chats_where_asked(lineas: Any, folder: Path) -> None:
    train = ("train", "--source", "source.txt", "--target", "target.txt", "--steps", 1, "--chat", "--model")
    code, _, err = lineas(*train, "model", "--output", "never.safetensors")
    assert code == 2 and "has no chat template" in err
    words = transformers.AutoTokenizer.from_pretrained("model")
    words.chat_template = (
        "{{ bos_token }} day {{ messages[0]['content'] }}{{ ' sun' if add_generation_prompt }}"
    )
    words.save_pretrained("model")
    code, _, err = lineas(*train, "model", "--output", "chat.safetensors")
    assert code == 0, err
    code, out, err = lineas("generate", "cold", "--model", "model", "--steering", "chat.safetensors",
                            "--tokens", 2, "--chat")  # fmt: skip
    assert code == 0 and "[λ = 1] cold\n" in out, err
    pytest.importorskip("profanity_check")
    evaluate = ("evaluate", "--model", "model", "--sweep", "0,1", "--chat", "--openings", "source.txt")
    assert lineas(*evaluate)[0] == 0


def test_images_are_evaluated_and_compared(lineas: Any, toy: Path, steering_file: Path) -> None:
    Path("prompts.txt").write_text("a thing at night\na thing\n")
    code, out, err = lineas(
        "evaluate",
        "--model",
        "toy",
        "--steering",
        steering_file,
        "--prompts",
        "prompts.txt",
        "--output",
        "f.json",
    )
    assert code == 0, err
    assert "mean square change" in out and json.loads(Path("f.json").read_text())["strengths"] == [0.0, 1.0]
    assert lineas("evaluate", "--model", "toy", "--steering", steering_file)[0] == 2
    code, _, err = lineas("evaluate", "--model", "toy", "--prompts", "prompts.txt", "--chat")
    assert code == 2 and "--chat is for language models" in err
    words = ("compare", steering_file, f"{steering_file}:0.5", "--model", "toy", "--prompts", "prompts.txt")
    code, out, err = lineas(*words, "--seeds", "0,1", "--unsteered")
    assert code == 0, err
    assert "compare.html (4 pairs" in out
    assert "night at 0.5" in Path("compare.html").read_text()
    assert lineas(*words)[0] == 2  # the file is there already


def test_bundled_images_are_measured_by_their_own_detector(lineas: Any, toy: Path, monkeypatch: Any) -> None:
    pytest.importorskip("open_clip")
    monkeypatch.setitem(FOLDERS, "scenes", toy / "toy")
    Path("prompts.txt").write_text("a boat at night\na cat at night\n")
    code, out, err = lineas("evaluate", "--prompts", "prompts.txt", "--concept", "at night", "--sweep", "0,1")
    assert code == 0, err
    assert all(f"| {name} |" in out for name in ("CLIPScore", "IMGScore", "found"))
