"""Tiny models saved as people have them on disk, for what loads a model by its path."""

from __future__ import annotations

from pathlib import Path
from string import ascii_lowercase
from typing import Any

import numpy as np
import pytest


def one_step_pipeline(**options: Any) -> Any:
    """A Stable Diffusion of 16 × 16 pixels whose scheduler predicts the image itself, as the bundled one."""
    from toys.pipelines import euler, sd1

    return sd1(euler(prediction_type="sample"), **options)


def save_language_model(folder: Path, name: str = "Llama") -> None:
    from toys.language import model, tokenizer

    model(name).save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def save_classifier(folder: Path, labels: tuple[str, ...] = ("neutral", "toxic")) -> None:
    """A text classifier with the words of the language models."""
    from toys.language import WORDS, tokenizer, transformers

    config = transformers.BertConfig(
        vocab_size=len(WORDS) + 3, hidden_size=16, num_hidden_layers=1, num_attention_heads=2,
        intermediate_size=16, num_labels=len(labels), id2label=dict(enumerate(labels)), pad_token_id=0,
    )  # fmt: skip
    transformers.BertForSequenceClassification(config).save_pretrained(folder)
    tokenizer().save_pretrained(folder)


def save_image_encoder(folder: Path) -> None:
    """A DINOv2 with its image processor."""
    from toys.language import transformers

    config = transformers.Dinov2Config(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, image_size=28, patch_size=14
    )
    transformers.Dinov2Model(config).save_pretrained(folder)
    transformers.BitImageProcessor(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}
    ).save_pretrained(folder)


def save_gguf(path: Path) -> None:
    """A Llama of random weights as a file of llama.cpp, with one token per letter."""
    gguf = pytest.importorskip("gguf")
    width, feed_forward, heads, words = 32, 48, 2, ["<unk>", "<s>", "</s>", "▁", *ascii_lowercase]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_context_length(64)
    writer.add_embedding_length(width)
    writer.add_block_count(2)
    writer.add_feed_forward_length(feed_forward)
    writer.add_head_count(heads)
    writer.add_head_count_kv(heads)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(width // heads)
    writer.add_vocab_size(len(words))
    writer.add_tokenizer_model("llama")
    writer.add_token_list(words)
    writer.add_token_scores([-float(i) for i in range(len(words))])
    writer.add_token_types([2, 3, 3, *[1] * (len(words) - 3)])  # unknown, control, control, normal
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    shapes = {"token_embd": (len(words), width), "output": (len(words), width), "output_norm": (width,)}
    for block in range(2):
        each = {"attn_norm": (width,), "ffn_norm": (width,), "ffn_down": (width, feed_forward)}
        each |= {f"attn_{name}": (width, width) for name in ("q", "k", "v", "output")}
        each |= {f"ffn_{name}": (feed_forward, width) for name in ("gate", "up")}
        shapes |= {f"blk.{block}.{name}": shape for name, shape in each.items()}
    generator = np.random.default_rng(0)
    for name, shape in shapes.items():
        values = 0.3 * generator.standard_normal(shape) + (len(shape) == 1)
        writer.add_tensor(f"{name}.weight", values.astype(np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
