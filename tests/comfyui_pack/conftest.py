"""A real ComfyUI for these tests: the folder COMFYUI_PATH, else ~/ComfyUI, else they are skipped."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

ROOT = Path(__file__).parents[2]
COMFYUI = Path(os.environ.get("COMFYUI_PATH", Path.home() / "ComfyUI"))
PROMPT = "a red clock on a table at night"


@pytest.fixture(scope="session")
def comfyui_path() -> Path:
    if not (COMFYUI / "comfy" / "model_patcher.py").is_file():
        pytest.skip(f"no ComfyUI in {COMFYUI}: set COMFYUI_PATH to the folder of a ComfyUI")
    loads_audio = (
        COMFYUI / "comfy" / "text_encoders" / "gemma4.py"
    ).is_file()  # newer ones cannot do without
    for package in ("aiohttp", "av", "torchsde", "einops", *(["torchaudio"] if loads_audio else [])):
        pytest.importorskip(package, reason=f"ComfyUI's requirements are not installed: {package}")
    return COMFYUI


@pytest.fixture(scope="session")
def comfyui(comfyui_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """ComfyUI on the CPU, in this process, with folders of its own for output and models."""
    sys.path.append(str(comfyui_path))
    from comfy.cli_args import args

    args.cpu = True
    import folder_paths

    base = tmp_path_factory.mktemp("comfyui")
    folder_paths.models_dir = str(base / "models")
    folder_paths.set_output_directory(str(base / "output"))
    folder_paths.set_temp_directory(str(base / "temp"))
    from comfyui_lineas.files import register_folders

    register_folders()
    return SimpleNamespace(output=base / "output", models=base / "models")


@pytest.fixture(scope="session")
def scenes(comfyui: Any) -> Any:
    """MODEL, CLIP and VAE of the bundled model, loaded in inference mode as ComfyUI's executor does."""
    from comfyui_lineas.scenes.loading import load_scenes

    with torch.inference_mode():
        model, clip, vae = load_scenes()
    return SimpleNamespace(model=model, clip=clip, vae=vae)


@pytest.fixture
def draw(scenes: Any) -> Callable[..., torch.Tensor]:
    """Images [b, h, w, 3] of the stock nodes."""
    import nodes

    @torch.inference_mode()
    def drawn(
        model: Any = None,
        clip: Any = None,
        prompt: str = PROMPT,
        seed: int = 0,
        steps: int = 1,
        cfg: float = 1.0,
        batch: int = 1,
    ) -> torch.Tensor:
        encode = nodes.CLIPTextEncode().encode
        positive, negative = (encode(clip or scenes.clip, text)[0] for text in (prompt, ""))
        latent = nodes.EmptyLatentImage().generate(128, 128, batch)[0]
        result = nodes.KSampler().sample(
            model or scenes.model, seed, steps, cfg, "euler", "simple", positive, negative, latent
        )[0]
        return scenes.vae.decode(result["samples"])

    return drawn


@pytest.fixture
def steering_for(scenes: Any) -> Callable[..., Any]:
    """A steering with random maps at the sites of a pattern."""
    from comfyui_lineas.models.tree import Tree
    from lineas.maps.affine import AffineMap
    from lineas.modules.kinds import width
    from lineas.modules.names import find_sites, named_modules
    from lineas.steering.provenance import Provenance
    from lineas.steering.steering import Steering

    def made(pattern: str = "unet.*norm*", scale: float = 0.2, seed: int = 0) -> Any:
        components = Tree(scenes.model, scenes.clip).components
        table, random = named_modules(components), torch.Generator().manual_seed(seed)

        def numbers(module: Any, size: float) -> torch.Tensor:
            return size * torch.randn(width(module), generator=random)

        maps = {
            site: AffineMap(numbers(table[site.name], scale), numbers(table[site.name], scale / 3))
            for site in find_sites(components, pattern)
        }
        return Steering(maps, Provenance(base_model="lineas/scenes"))

    return made


@pytest.fixture
def told(comfyui: Any, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """(text, id of the node) of every text that the frontend would be sent."""
    texts: list[tuple[str, str]] = []

    def send_sync(event: str, data: dict[str, str], sid: str | None = None) -> None:
        assert event == "lineas.told" and sid == "the page that asked"
        texts.append((data["text"], data["node"]))

    server = SimpleNamespace(instance=SimpleNamespace(send_sync=send_sync, client_id="the page that asked"))
    monkeypatch.setitem(sys.modules, "server", SimpleNamespace(PromptServer=server))
    return texts


@pytest.fixture
def running(comfyui: Any) -> Callable[[str], Any]:
    """node id -> a block in which ComfyUI's executor runs that node, in a graph of its own."""
    from uuid import uuid4

    from comfy_execution.utils import CurrentNodeContext

    return lambda node: CurrentNodeContext(uuid4().hex, node)


@pytest.fixture
def unchanged(scenes: Any) -> Iterator[None]:
    """The shared model is bit for bit what it was when the test ends, without any hook."""
    roots = [scenes.model.model, scenes.clip.cond_stage_model]
    before = [{name: p.clone() for name, p in root.named_parameters()} for root in roots]
    held = [{name: id(p) for name, p in root.named_parameters()} for root in roots]
    yield
    scenes.model.detach(unpatch_all=True)
    scenes.clip.patcher.detach(unpatch_all=True)
    for root, values, ids in zip(roots, before, held, strict=True):
        assert all(torch.equal(p, values[name]) for name, p in root.named_parameters())
        assert {name for name, _ in root.named_parameters()} == ids.keys()
        for module in root.modules():
            assert not module._forward_hooks and not module._forward_pre_hooks
            assert "forward" not in vars(module)
