"""Run eval-unlearn on the bundled model with a steering in it: its runner, its metric UA/IRA, no network.

    pip install eval-unlearn
    python -m benchmarks.images.unlearning --output docs/results

UA is the share of images of prompts with the concept in which the metric's CLIP finds the other concept
rather than this one, IRA the same for prompts of the other concept. The metric takes CLIP models by
four names; the bundled open_clip model stands in for one of them, as it knows what the images show.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import tempfile
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.report import machine, table
from lineas.errors import require
from lineas.scenes.bundled import CLIP
from lineas.scenes.concepts import concept_sets

STAND_IN = "openai/clip-vit-large-patch14"
SHIPPED = Path(__file__).parents[2] / "comfyui_lineas" / "steering" / "remove-night-scenes.safetensors"
NAMES = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
    "attn.out_proj": "self_attn.out_proj",
}
OUTER = {
    "ln_final": "text_model.final_layer_norm",
    "token_embedding": "text_model.embeddings.token_embedding",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.conv1": "vision_model.embeddings.patch_embedding",
    "visual.ln_post": "vision_model.post_layernorm",
    "visual.ln_pre": "vision_model.pre_layrnorm",  # as it is spelt there
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
}
HEAD = """# eval-unlearn on the bundled model

`python -m benchmarks.images.unlearning`, on {machine}: {count} held-out prompts with {target}, {count}
with {retain}, through eval-unlearn {version} with `technique: {{name: lineas}}` and its metric `ua_ira`,
whose CLIP is the bundled one. UA is of images that should no longer show {target}, IRA of {retain}; higher is
better.
"""


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights of open_clip under the names of transformers."""
    made: dict[str, Tensor] = {
        "text_projection.weight": weights["text_projection"].T.contiguous(),
        "visual_projection.weight": weights["visual.proj"].T.contiguous(),
        "logit_scale": weights["logit_scale"],
    }
    for name, tensor in weights.items():
        side = "vision_model" if name.startswith("visual.") else "text_model"
        block = name.removeprefix("visual.").removeprefix("transformer.resblocks.")
        if "resblocks." in name:
            number, inner = block.split(".", 1)
            stem, _, end = inner.rpartition(".")
            start = f"{side}.encoder.layers.{number}"
            if inner.startswith("attn.in_proj_"):
                parts = zip("qkv", tensor.chunk(3), strict=True)
                end = inner.removeprefix("attn.in_proj_")
                made |= {f"{start}.self_attn.{p}_proj.{end}": part.contiguous() for p, part in parts}
            else:
                made[f"{start}.{NAMES[stem]}.{end}"] = tensor
        elif name in OUTER:
            made[OUTER[name]] = tensor
        elif (stem := name.rpartition(".")[0]) in OUTER:
            made[f"{OUTER[stem]}.{name.rpartition('.')[2]}"] = tensor
    return made


def save_clip(folder: Path) -> None:
    """The bundled open_clip model as a CLIPModel of transformers with its processor."""
    transformers = require("transformers", "transformers")
    told = json.loads((CLIP / "open_clip_config.json").read_text(encoding="utf-8"))
    model, shown = told["model_cfg"], told["preprocess_cfg"]
    vision, text = model["vision_cfg"], model["text_cfg"]
    config = transformers.CLIPConfig(
        projection_dim=model["embed_dim"],
        text_config=_tower(text, text["heads"])
        | {"vocab_size": text["vocab_size"], "max_position_embeddings": text["context_length"]}
        | {"bos_token_id": text["vocab_size"] - 2, "eos_token_id": text["vocab_size"] - 1},
        vision_config=_tower(vision, vision["width"] // vision["head_width"])
        | {"image_size": vision["image_size"], "patch_size": vision["patch_size"]},
    )
    made = transformers.CLIPModel(config)
    weights = {name: t.float() for name, t in load_file(CLIP / "open_clip_model.safetensors").items()}
    made.load_state_dict({**made.state_dict(), **renamed(weights)})
    made.save_pretrained(folder)
    side = vision["image_size"]
    transformers.CLIPImageProcessor(
        size={"shortest_edge": side},
        crop_size={"height": side, "width": side},
        image_mean=shown["mean"],
        image_std=shown["std"],
    ).save_pretrained(folder)
    transformers.AutoTokenizer.from_pretrained(str(CLIP)).save_pretrained(folder)


def _tower(told: dict[str, Any], heads: int) -> dict[str, Any]:
    width = told["width"]
    return {
        "hidden_size": width,
        "intermediate_size": int(width * told["mlp_ratio"]),
        "num_hidden_layers": told["layers"],
        "num_attention_heads": heads,
        "hidden_act": "gelu",
    }


def scores(technique: dict[str, Any], metric: dict[str, Any]) -> dict[str, Any]:
    """What the harness's own runner reports for one technique."""
    runner = require("eval_unlearn.runners", "test").SingleBenchmarkRunner
    return runner("lineas", "ua_ira", technique, metric, "results", seed=1000).run()["metric_result"][
        "details"
    ]


def _csv(path: str, prompts: tuple[str, ...]) -> str:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([["prompt"], *([prompt] for prompt in prompts)])
    return path


def measured(steering: Path, target: str, retain: str, count: int) -> list[list[str]]:
    """A row of the table for each strength, in a folder that is gone afterwards."""
    rows, home = [], Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            save_clip(Path(STAND_IN))
            sets = [concept_sets("time", name, held_out=count).held_out_with for name in (target, retain)]
            paths = [_csv(f"{name}.csv", each) for name, each in zip(("target", "retain"), sets, strict=True)]
            metric = {
                **dict(zip(("target_prompts_path", "retain_prompts_path"), paths, strict=True)),
                "target_concept": f"a place at {target}",
                "retain_concept": f"a place at {retain}",
                "clip_model_name": STAND_IN,
                "batch_size": 2 * count,
                "device": "cpu",
            }
            for strength in (0.0, 1.0):
                asked = {"steering": f"{steering}:{strength:g}", "model": "scenes", "erase_concept": target}
                found = scores(asked, metric)
                rows.append([f"{strength:g}", f"{found['ua_score']:.3f}", f"{found['ira_score']:.3f}"])
        finally:
            os.chdir(home)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steering", type=Path, default=SHIPPED)
    parser.add_argument("--target", default="night")
    parser.add_argument("--retain", default="sunset")
    parser.add_argument("--count", type=int, default=64)
    parser.add_argument("--output", type=Path, default=Path("docs/results"))
    args = parser.parse_args()
    from importlib.metadata import version

    facts = {"machine": machine(), "version": version("eval-unlearn"), "count": args.count}
    rows = measured(args.steering.resolve(), args.target, args.retain, args.count)
    text = HEAD.format(**facts, target=args.target, retain=args.retain)
    args.output.mkdir(parents=True, exist_ok=True)
    (args.output / "unlearning.md").write_text(f"{text}\n{table(['strength', 'UA', 'IRA'], rows)}\n", "utf-8")


if __name__ == "__main__":
    torch.set_grad_enabled(False)
    main()
