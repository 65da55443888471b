"""The bundled model in ComfyUI's classes computes what it computes in diffusers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

PROMPTS = ("a red clock on a table at night", "a blue cube and a (yellow:1.0) ball on the beach", "")


@pytest.fixture(scope="module")
def pipe() -> Any:
    from lineas.scenes.bundled import load_pipeline

    return load_pipeline()


@pytest.mark.parametrize("seed", range(3))
def test_images_are_those_of_diffusers(scenes: Any, draw: Callable[..., Any], pipe: Any, seed: int) -> None:
    prompt = PROMPTS[seed].replace("(yellow:1.0)", "yellow")
    with torch.no_grad():
        reference = pipe(
            prompt,
            num_inference_steps=1,
            guidance_scale=0,
            generator=torch.Generator().manual_seed(seed),
            output_type="np",
        ).images
    image = draw(prompt=PROMPTS[seed], seed=seed)
    assert image.shape == (1, 128, 128, 3)
    assert (torch.from_numpy(reference) - image).abs().max() < 0.1 / 255


def test_text_is_encoded_as_in_diffusers(scenes: Any, pipe: Any) -> None:
    ours = scenes.clip.encode_from_tokens(scenes.clip.tokenize(PROMPTS[0]))
    assert torch.allclose(ours, pipe.encode_prompt(PROMPTS[0], "cpu", 1, False)[0], atol=1e-5)


def test_images_are_encoded_as_in_diffusers(scenes: Any, pipe: Any) -> None:
    image = torch.rand(1, 128, 128, 3, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        reference = pipe.vae.encode(image.movedim(-1, 1) * 2 - 1).latents
    with torch.inference_mode():
        assert torch.allclose(scenes.vae.encode(image), reference, atol=1e-4)


def test_it_is_never_paged_through_the_gpus_memory(comfyui: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    import comfy.model_patcher

    from comfyui_lineas.scenes.loading import load_scenes

    plain = comfy.model_patcher.ModelPatcher
    if not hasattr(plain, "is_dynamic"):
        pytest.skip("this ComfyUI knows no dynamic VRAM")
    paged = type("Paged", (plain,), {"is_dynamic": lambda self: True})
    monkeypatch.setattr(comfy.model_patcher, "CoreModelPatcher", paged)
    model, clip, _ = load_scenes()
    assert not model.is_dynamic() and not clip.patcher.is_dynamic()


def test_an_autoencoder_narrow_at_full_resolution_is_that_of_diffusers(comfyui: Any) -> None:
    from comfyui_lineas.scenes.vae import build_vae
    from tools.scenes_model.tapered import Tapered, stock

    torch.manual_seed(0)
    full = stock(Tapered())
    vae = build_vae(full.config, full.state_dict())
    image = torch.rand(1, 128, 128, 3)
    with torch.no_grad():
        latent = full.encode(image.movedim(-1, 1) * 2 - 1).latents
        decoded = (full.decode(latent).sample / 2 + 0.5).clamp(0, 1).movedim(1, -1)
    with torch.inference_mode():
        assert torch.allclose(vae.encode(image), latent, atol=1e-4)
        assert torch.allclose(vae.decode(latent), decoded, atol=1e-4)


def test_an_autoencoder_with_more_blocks_than_comfyui_has_is_refused(comfyui: Any) -> None:
    from comfyui_lineas.scenes.vae import build_vae
    from lineas.errors import ConfigError
    from tools.scenes_model.tapered import Tapered, stock

    full = stock(Tapered((8,) * 4, (0, 1, 1, 4), (1, 1, 1, 0)))
    with pytest.raises(ConfigError, match=r"encoder has \(0, 1, 1, 4\) blocks .* \(1, 3, 3, 3\)"):
        build_vae(full.config, full.state_dict())


def test_it_is_loaded_without_diffusers(comfyui_path: Any) -> None:
    import subprocess
    import sys
    from pathlib import Path

    code = (
        f"import sys; sys.path[:0] = [{str(Path(__file__).parents[2])!r}, {str(comfyui_path)!r}]\n"
        "from comfy.cli_args import args; args.cpu = True\n"
        "sys.modules['diffusers'] = None\n"
        "from comfyui_lineas.scenes.loading import load_scenes; load_scenes()\n"
        "heavy = {'diffusers', 'open_clip', 'matplotlib', 'accelerate'} & set(sys.modules)\n"
        "print(sorted(name for name in heavy if sys.modules[name] is not None))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip().endswith("[]"), done.stderr[-2000:]


def test_a_release_that_does_not_know_the_transformer_is_told(
    comfyui: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from comfyui_lineas.scenes import loading
    from lineas.errors import ConfigError

    monkeypatch.setattr(loading, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"does not know.*choose scenes"):
        loading.load_scenes("scenes-transformer")
