"""Put the trained parts into one folder that ``ZImagePipeline.from_pretrained`` reads."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import torch
from diffusers import AutoencoderTiny, FlowMatchEulerDiscreteScheduler, ZImagePipeline

from tools.scenes_model.package import tidy
from tools.scenes_transformer.model import SHIFT, Flow, build
from tools.scenes_transformer.tokenizer import build_tokenizer


def load(folder: Path) -> Flow:
    """The model of a training folder."""
    model = build(len(build_tokenizer()))
    model.load_state_dict(torch.load(folder / "checkpoint.pt", weights_only=True)["model"])
    return model.eval()


def assemble(model: Flow, autoencoder: AutoencoderTiny) -> ZImagePipeline:
    """The stock pipeline, with the noise levels that the model was trained on."""
    return ZImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler(num_train_timesteps=1000, shift=SHIFT),
        vae=autoencoder,
        text_encoder=model.text_encoder,
        tokenizer=build_tokenizer(),
        transformer=model.transformer,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trained", type=Path, help="output folder of flow.py")
    parser.add_argument("autoencoder", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    model, autoencoder = load(arguments.trained), AutoencoderTiny.from_pretrained(arguments.autoencoder)
    # The text encoder stays in float32, as transformers keeps the stored dtype when it loads.
    model.transformer.half()
    assemble(model, autoencoder.half()).save_pretrained(arguments.output)
    tidy(arguments.output)
    total = sum(path.stat().st_size for path in arguments.output.rglob("*") if path.is_file())
    print(json.dumps({"bytes": total, "MB": round(total / 1e6, 2)}))


if __name__ == "__main__":
    main()
