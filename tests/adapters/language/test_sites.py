from __future__ import annotations

from typing import Any

import pytest

from lineas.adapters.language.sites import language_sites

transformers = pytest.importorskip("transformers")
SMALL = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4}  # fmt: skip
MIXTURE = {"num_experts_per_tok": 1, "num_local_experts": 2}
QWEN = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 8}


def model(name: str, **options: Any) -> Any:
    config = getattr(transformers, f"{name}Config")(**SMALL, **options)
    return getattr(transformers, f"{name}ForCausalLM")(config)


@pytest.mark.parametrize(("name", "options"), [("Mixtral", MIXTURE), ("GptOss", MIXTURE), ("Qwen3Moe", QWEN)])
def test_the_feed_forward_of_a_mixture_is_what_its_experts_add_up_to(
    name: str, options: dict[str, Any]
) -> None:
    found = language_sites({"": model(name, **options)}, "mlp")
    assert [site.name for site in found] == ["model.layers.0.mlp", "model.layers.1.mlp"]


def test_blocks_of_a_hybrid_without_attention_are_told() -> None:
    hybrid = model("Lfm2", full_attn_idxs=[1])
    with pytest.warns(UserWarning, match="sites in 1 of 2 blocks"):
        (found,) = language_sites({"": hybrid}, "attention")
    assert found.name == "model.layers.1.self_attn.out_proj"
