"""The pages of the documentation, their blocks, and the models and files that these work on."""

from __future__ import annotations

import re
from pathlib import Path

from PIL import Image

from lineas.cli.config_file import toml_text

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
IMAGES = "stabilityai/sdxl-turbo"
TEXTS = ("Qwen/Qwen2.5-0.5B", "Qwen/Qwen2.5-1.5B")


def blocks(language: str) -> list[tuple[str, str]]:
    """Page and text of every block of a language; "" is plain text, as commands are."""
    fences = re.compile(r"^```(\w*)\n(.*?)^```$", re.M | re.S)  # in pairs, lest a closing one opens a block
    found = [(page.name, fences.findall(page.read_text())) for page in PAGES]
    return [(name, text) for name, texts in found for kind, text in texts if kind == language]


def set_up(folder: Path) -> None:
    """Tiny models in folders with the names of the hub, and the files that the pages take as given."""
    from toys import language, pipelines, saved

    pipelines.sdxl().save_pretrained(folder / IMAGES)
    saved.one_step_pipeline().save_pretrained(folder / "tiny-scenes")
    for name in TEXTS:
        saved.save_language_model(folder / name)
    saved.save_classifier(folder / "s-nlp/roberta_toxicity_classifier")
    saved.save_image_encoder(folder / "facebook/dinov2-small")
    saved.save_gguf(folder / "model.gguf")
    images, texts = (pipelines.SOURCE, pipelines.TARGET), (language.SOURCE, language.TARGET)
    lists = {"with": images[0], "without": images[1], "other": pipelines.PRESERVE, "prompts": images[0][:2]}
    lists |= {"rude": texts[0], "civil": texts[1], "plain": language.PRESERVE, "openings": texts[0][:2]}
    lists |= {"sea": _long(texts[1]), "stories": _long(texts[0])}
    Image.new("RGB", (8, 8)).save(folder / "grid.png")
    for name, prompts in (lists | {"encyclopaedia": texts[1]}).items():
        (folder / f"{name}.txt").write_text("\n".join(prompts))
    task = ROOT / "benchmarks" / "language" / "data" / "everyday"
    for file in ("everyday.yaml", "everyday.jsonl"):
        (folder / file).write_bytes((task / file).read_bytes())
    asked = {"model": IMAGES, "source": "with.txt", "target": "without.txt", "output": "no-fog.safetensors"}
    (folder / "no-fog.run.toml").write_text(toml_text("train", asked))
    many = f'models = ["{IMAGES}"]\n[[concepts]]\nremove = "fog"\nsteps = 1\ncount = 4\n'
    (folder / "many.toml").write_text(many)
    _write_steerings(folder)


def _long(texts: list[str]) -> list[str]:
    """As many texts as a report needs, made of these."""
    return [f"{one} {other}" for one in texts for other in texts for _ in range(4)][:52]


def _write_steerings(folder: Path) -> None:
    from lineas.adapters.images.loading import load_pipeline
    from lineas.adapters.images.sites import diffusion_sites
    from lineas.adapters.language.loading import load_language_model
    from lineas.adapters.language.sites import language_sites
    from lineas.modules.names import module_tree

    made_for = {IMAGES: ("no-fog", "ukiyo-e", "other", "remove-pink-elephant"), "tiny-scenes": ("night",)}
    for model, names in made_for.items():
        tree = module_tree(load_pipeline(folder / model, device="cpu"))
        for seed, name in enumerate(names):
            _steering(tree, diffusion_sites(tree, "norms"), seed).save(folder / f"{name}.safetensors")
    tree = {"": load_language_model(folder / TEXTS[0], device="cpu")[0]}
    for name in ("civil", "polite"):
        _steering(tree, language_sites(tree, "post_attention"), 0).save(folder / f"{name}.safetensors")
    shift = _steering(tree, language_sites(tree, "mlp")[1:], 0, scale=0.0)
    shift.save(folder / "shift.safetensors")
    _steering(tree, language_sites(tree, "blocks"), 0).save(folder / "blocks.safetensors")


def _steering(tree, sites, seed, scale=0.05):  # type: ignore[no-untyped-def]
    import torch

    from lineas.maps.affine import AffineMap
    from lineas.modules.kinds import width
    from lineas.modules.names import named_modules
    from lineas.steering.steering import Steering

    table, random = named_modules(tree), torch.Generator().manual_seed(seed)
    widths = {site: width(table[site.name]) or tree[""].config.hidden_size for site in sites}
    return Steering(
        {
            site: AffineMap(scale * torch.randn(d, generator=random), 0.1 * torch.randn(d, generator=random))
            for site, d in widths.items()
        }
    )
