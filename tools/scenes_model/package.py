"""Put the trained parts into the shipped folders: a stock diffusers pipeline, open_clip model, detector."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, EulerDiscreteScheduler, StableDiffusionPipeline
from safetensors.torch import load_file, save_file

from lineas.scenes.bundled import CLIP, PIPELINE, WEIGHTS
from tools.scenes_model.denoiser import Denoiser
from tools.scenes_model.text import build_tokenizer


def scheduler() -> EulerDiscreteScheduler:
    """One step from the largest noise level gives the UNet's output exactly."""
    return EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="sample",
        timestep_spacing="trailing",
    )


def assemble(trained: Path, autoencoder: Path) -> StableDiffusionPipeline:
    """The pipeline from a training checkpoint and an autoencoder folder, UNet and autoencoder in float16."""
    tokenizer = build_tokenizer(trained / "tokenizer")
    model = Denoiser(len(tokenizer), tokenizer.eos_token_id)
    model.load_state_dict(torch.load(trained / "checkpoint.pt", weights_only=True)["model"])
    return StableDiffusionPipeline(
        vae=AutoencoderTiny.from_pretrained(autoencoder).half(),
        # In float32, as transformers keeps the stored dtype when it loads.
        text_encoder=model.text_encoder,
        tokenizer=tokenizer,
        unet=model.unet.half(),
        scheduler=scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def add_words(built: Path, folder: Path) -> None:
    """Put vocabulary and merges beside the tokenizer: transformers 5 leaves them out, 4 needs them."""
    for name in ("vocab.json", "merges.txt"):
        shutil.copy(built / name, folder)


def prefix_names(path: Path) -> None:
    """Name the text encoder's weights as transformers 4 does; 5 reads both, 4 takes no others."""
    weights = {f"text_model.{name.removeprefix('text_model.')}": w for name, w in load_file(path).items()}
    save_file(weights, path, metadata={"format": "pt"})


def tidy(folder: Path) -> None:
    """Leave out of the configurations what only the training machine knew, and what loading remarks on."""
    for path in folder.rglob("*.json"):
        values = json.loads(path.read_text())
        if isinstance(values, dict) and path.name in ("config.json", "model_index.json"):
            for name in ("_name_or_path", *(("block_out_channels",) if path.parent.name == "vae" else ())):
                values.pop(name, None)
            path.write_text(json.dumps(values, indent=2) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "trained", type=Path, help="output folder of denoiser.py, or of together.py /denoiser"
    )
    parser.add_argument("autoencoder", type=Path)
    parser.add_argument("--detector", type=Path, help="a new one's folder; else the one that is there stays")
    parser.add_argument("--clip", type=Path, help="a new one's folder; else the one that is there stays")
    arguments = parser.parse_args()
    shutil.rmtree(PIPELINE, ignore_errors=True)
    (WEIGHTS / "figures").mkdir(parents=True, exist_ok=True)
    assemble(arguments.trained, arguments.autoencoder).save_pretrained(PIPELINE)
    add_words(arguments.trained / "tokenizer", PIPELINE / "tokenizer")
    prefix_names(PIPELINE / "text_encoder" / "model.safetensors")
    tidy(PIPELINE)
    if arguments.detector:
        shutil.copy(arguments.detector / "detector.safetensors", WEIGHTS)
        shutil.copy(arguments.detector / "detector.json", WEIGHTS / "figures")
    if arguments.clip:
        shutil.rmtree(CLIP, ignore_errors=True)
        shutil.copytree(arguments.clip, CLIP, ignore=shutil.ignore_patterns("accuracy.json"))
        (WEIGHTS / "figures" / "clip.json").write_text((arguments.clip / "accuracy.json").read_text())
    total = sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file())
    print(json.dumps({"bytes": total, "MB": round(total / 1e6, 2)}))


if __name__ == "__main__":
    main()
