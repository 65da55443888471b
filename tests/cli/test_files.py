from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from toys.models import affine

from lineas.cli.commands import generate
from lineas.maps.affine import AffineMap
from lineas.scenes.bundled import CLIP
from lineas.steering.provenance import Provenance
from lineas.steering.site import Site
from lineas.steering.steering import Steering


def test_info_shows_where_it_acts(lineas: Any, steering_file: Path) -> None:
    code, out, err = lineas("info", steering_file, "--sites")
    assert (code, err) == (0, "")
    steering = Steering.load(steering_file)
    assert f"{len(steering.maps)}, {sum(map.width for map in steering.maps.values())} units, sparsity" in out
    assert "unet.down_blocks.0.resnets.0.norm1 " in out
    assert "unet.down_blocks.*" in out


def test_bad_files_are_refused_in_one_line(lineas: Any, toy: Path) -> None:
    (toy / "broken.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00garbage")
    for words in (("info",), ("invert",), ("export", "--model", "toy"), ("generate", "a cat", "--steering")):
        for name in ("broken.safetensors", "nowhere.safetensors"):
            code, _, err = lineas(*words, name)
            assert code == 2
            assert name in err
            assert err.count("\n") == 1


def test_the_inverse_undoes(lineas: Any, steering_file: Path) -> None:
    code, _out, _ = lineas("invert", steering_file)
    assert code == 0
    inverse = Steering.load(steering_file.with_name("night-inverse.safetensors"))
    assert inverse.inverse().allclose(Steering.load(steering_file), atol=1e-4)
    assert lineas("invert", steering_file)[0] == 2
    assert lineas("invert", steering_file, "--force")[0] == 0
    assert lineas("invert", steering_file, "--force", "--min-scale", "0")[0] == 2


def test_every_command_takes_a_steering_of_the_hub(lineas: Any, hub: Any, steering_file: Path) -> None:
    Steering.load(steering_file).push_to_hub("me/no-night")
    steering_file.unlink()
    name, model, prompts = "hf:me/no-night", ("--model", "toy"), ("--prompts", "day.txt")
    for words in (
        ("info", name),
        ("invert", name),
        ("compose", f"{name}:0.5", name, "--output", "both.safetensors"),
        ("export", name, *model),
        ("generate", "a cat", "--steering", f"{name}:0.5", *model),
        ("evaluate", "--steering", name, *prompts, *model, "--sweep", "0,1", "--clip", CLIP),
        ("compare", f"{name}:0.5", name, *prompts, *model),
    ):
        code, _, err = lineas(*words)
        assert code == 0, (words[0], err)
    for written in ("no-night-inverse.safetensors", "no-night-lora.safetensors", "both.safetensors"):
        assert (steering_file.parent / written).is_file()
    code, _, err = lineas("info", "hf:me/none")
    assert code == 2 and "Cannot load 'me/none' from the hub" in err and err.count("\n") == 1


def test_limited_units_are_reported(lineas: Any, toy: Path) -> None:
    map = affine(4)
    zero = type(map)(torch.tensor([-1.0, 0.1, 0, 0]), map.shift)
    Steering({Site("unet.conv_norm_out", 0, 1): zero}).save("zero.safetensors")
    code, out, err = lineas("invert", "zero.safetensors")
    assert code == 0
    assert "1 units limited" in out
    assert err.startswith("lineas: note: ")


@pytest.mark.parametrize("mode", ["sequence", "sum"])
def test_three_files_become_one(lineas: Any, toy: Path, mode: Any) -> None:
    site = Site("unet.conv_norm_out", 0, 1)
    parts = [Steering({site: affine(4, seed)}, Provenance(base_model="toy")) for seed in (1, 2, 3)]
    for i, part in enumerate(parts):
        part.save(f"{i}.safetensors")
    words = ("0.safetensors:0.5", "1.safetensors", "2.safetensors:-1")
    code, _out, err = lineas("compose", *words, "--mode", mode, "--output", "all.safetensors")
    assert (code, err) == (0, "")
    first = parts[0].compose(parts[1], mode, (0.5, 1.0))
    assert Steering.load("all.safetensors").allclose(first.compose(parts[2], mode, (1.0, -1.0)), atol=1e-6)
    assert lineas("compose", *words, "--output", "all.safetensors")[0] == 2
    assert lineas("compose", words[0], "--output", "one.safetensors")[0] == 2


def test_export_writes_a_lora_file(lineas: Any, steering_file: Path) -> None:
    code, out, err = lineas("export", steering_file, "--model", "toy", "--title", "no night")
    assert code == 0, err
    assert "33 of 33 sites" in out
    tensors = load_file(steering_file.with_name("night-lora.safetensors"))
    assert "lora_unet_down_blocks_0_resnets_0_norm1.w_norm" in tensors
    assert lineas("export", steering_file, "--model", "toy")[0] == 2


def test_export_writes_a_lora_of_peft_and_refuses_what_that_cannot_hold(
    lineas: Any, steering_file: Path
) -> None:
    site = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_out.0"
    deviation, shift = torch.zeros(2, 32)
    deviation[3], deviation[5], shift[3] = 0.5, -0.2, 1.0
    Steering({Site(site): AffineMap(deviation, shift)}).save("thin.safetensors")
    code, out, err = lineas("export", "thin.safetensors", "--model", "toy", "--format", "peft")
    assert code == 0, err
    assert "LoRA file: thin-peft.safetensors (1 of 1 sites)" in out
    tensors = load_file("thin-peft.safetensors")
    assert tensors[f"{site}.lora_A.weight"].shape == (2, 32)  # a rank for each unit that is scaled
    code, _, err = lineas("export", steering_file, "--model", "toy", "--format", "peft")
    assert (
        code == 2
        and "33 of 33 sites" in err
        and not steering_file.with_name("night-peft.safetensors").exists()
    )


@pytest.mark.parametrize("words", [("export", "--force"), ("generate", "a cat", "--steering")])
def test_a_steering_for_another_model_is_refused(lineas: Any, steering_file: Path, words: tuple) -> None:
    code, _, err = lineas(*words, steering_file, "--model", "other-toy")
    assert code == 2
    assert "made for toy" in err
    assert "unet.down_blocks.0.resnets.0.norm1 has 24 units" in err


def test_images_one_by_one(lineas: Any, steering_file: Path, toy: Path) -> None:
    (toy / "more.txt").write_text("one prompt alone")
    words = ("a cat / at night", "--prompts", "more.txt", "--seeds", "0,5", "--output", "pictures")
    code, out, _ = lineas("generate", *words, "--steering", f"{steering_file}:0.5", "--model", "toy")
    assert code == 0
    names = sorted(path.name for path in (toy / "pictures").iterdir())
    assert names == [
        "000-a-cat-at-night-0.png",
        "001-a-cat-at-night-5.png",
        "002-one-prompt-alone-0.png",
        "003-one-prompt-alone-5.png",
        "run.toml",
    ]
    assert all(str(Path("pictures") / name) in out for name in names[:-1])


def test_a_sweep_is_one_picture(lineas: Any, steering_file: Path, toy: Path) -> None:
    words = ("a cat at night", "a dog", "--sweep", "0:1:3", "--batch", "1", "--model", "toy")
    code, _out, _ = lineas(
        "generate", *words, "--steering", steering_file, "--steering", f"{steering_file}:-1"
    )
    assert code == 0
    sheet = Image.open(toy / "out" / generate.SHEET)
    assert sheet.width > 3 * 16
    assert sheet.height > 2 * 16


@pytest.mark.parametrize("words", [(), (" ",), ("--prompts", "nowhere.txt"), ("--prompts", "empty.txt")])
def test_no_prompt_is_refused(lineas: Any, toy: Path, words: tuple[str, ...]) -> None:
    (toy / "empty.txt").touch()
    code, _, err = lineas("generate", "--model", "toy", *words)
    assert code == 2
    assert "prompt" in err
    assert not (toy / "out").exists()


def test_a_picture_is_written_whole_or_not_at_all(
    lineas: Any, toy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    code, _, err = lineas("generate", "a cat", "--model", "toy")
    assert code == 2
    assert "No space left" in err
    assert list((toy / "out").iterdir()) == []


def test_an_unknown_device_is_refused(lineas: Any, toy: Path) -> None:
    code, _, err = lineas("generate", "a cat", "--model", "toy", "--device", "abacus")
    assert code == 2
    assert "abacus" in err
