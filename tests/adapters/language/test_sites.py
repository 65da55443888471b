from __future__ import annotations

from typing import Any

import pytest

from lineas.adapters.language.sites import language_sites

transformers = pytest.importorskip("transformers")
SMALL = {"vocab_size": 16, "hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2,
         "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 4}  # fmt: skip
MIXTURE = {"num_experts_per_tok": 1, "num_local_experts": 2}
MAMBA = {"mamba_num_heads": 4, "mamba_head_dim": 4, "n_groups": 1, "ssm_state_size": 4}
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


def test_what_mixes_tokens_in_a_hybrid_is_reached_whatever_it_is() -> None:
    found = language_sites({"": model("Lfm2", full_attn_idxs=[1])}, "attention")
    assert [site.name for site in found] == [
        "model.layers.0.conv.out_proj",
        "model.layers.1.self_attn.out_proj",
    ]


@pytest.mark.parametrize(("preset", "held"), [("attention", "2 of 3"), ("mlp", "1 of 3")])
def test_blocks_of_a_hybrid_without_such_a_part_are_told(preset: str, held: str) -> None:
    hybrid = model("NemotronH", layers_block_type=["linear_attention", "full_attention", "mlp"], **MAMBA)
    with pytest.warns(UserWarning, match=f"sites in {held} blocks"):
        language_sites({"": hybrid}, preset)


def test_experts_that_all_tokens_share_beside_a_mixture_are_sites_too() -> None:
    shared = model("GraniteMoeShared", shared_intermediate_size=8, **MIXTURE)
    found = language_sites({"": shared}, "mlp")
    assert [site.name.removeprefix("model.layers.") for site in found] == [
        f"{block}.{part}" for block in (0, 1) for part in ("block_sparse_moe", "shared_mlp.output_linear")
    ]


def test_the_tower_of_another_sense_is_left_out() -> None:
    small = {"hidden_size": 8, "intermediate_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2}
    seeing = transformers.Gemma3ForConditionalGeneration(
        transformers.Gemma3Config(
            text_config=SMALL, vision_config={**small, "image_size": 8, "patch_size": 4}
        )
    )
    found = language_sites({"": seeing}, "attention")
    assert len(found) == 2 and all("language_model" in site.name for site in found)
