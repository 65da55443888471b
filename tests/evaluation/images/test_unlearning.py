"""A steering as a technique of eval-unlearn: found by its entry point, run where the harness is installed."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toys.saved import one_step_pipeline

from lineas.adapters.images.drawing import Drawer
from lineas.adapters.images.loading import load_pipeline
from lineas.adapters.images.sites import diffusion_sites
from lineas.errors import ConfigError
from lineas.evaluation.images.unlearning import SteeringTechnique
from lineas.maps.affine import AffineMap
from lineas.modules.kinds import width
from lineas.modules.names import module_tree, named_modules
from lineas.steering.provenance import Provenance
from lineas.steering.steering import Steering

PROMPTS = ["a cat", "a dog at night", "a bird"]
ROOT = Path(__file__).parents[3]


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    import torch

    monkeypatch.chdir(tmp_path)
    one_step_pipeline().save_pretrained(tmp_path / "toy")
    tree = module_tree(load_pipeline("toy", device="cpu"))
    random, table = torch.Generator().manual_seed(0), named_modules(tree)
    maps = {
        site: AffineMap(torch.randn(d, generator=random), torch.randn(d, generator=random))
        for site in diffusion_sites(tree, "norms")
        for d in [width(table[site.name])]
    }
    Steering(maps, Provenance(base_model="toy")).save("night.safetensors")
    return tmp_path


def test_its_images_are_those_of_the_steered_pipeline(desk: Path) -> None:
    technique = SteeringTechnique("night.safetensors:0.5", device="cpu", batch=2)
    drawn = technique.generate(prompts=PROMPTS, seed=3)
    steering = Steering.load("night.safetensors")
    expected = Drawer(load_pipeline("toy", device="cpu"), [steering], [0.5], seed=3)(PROMPTS)
    plain = Drawer(load_pipeline("toy", device="cpu"), seed=3)(PROMPTS)
    for one, two, other in zip(drawn, expected, plain, strict=True):
        assert np.array_equal(one, two)
        assert not np.array_equal(one, other)


def test_without_a_model_anywhere_it_says_so(desk: Path) -> None:
    Steering(Steering.load("night.safetensors").maps).save("whose.safetensors")
    with pytest.raises(ConfigError, match="No model is named"):
        SteeringTechnique("whose.safetensors")


def test_the_entry_point_leads_to_it() -> None:
    tomllib = pytest.importorskip("tomllib")
    points = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["entry-points"]
    module, _, name = points["eval_unlearn.techniques"]["lineas"].partition(":")
    assert getattr(import_module(module), name) is SteeringTechnique


def test_the_harness_runs_it(desk: Path) -> None:
    """With a metric of this test, as those of the harness load models from the hub."""
    runners = pytest.importorskip("eval_unlearn.runners")
    from eval_unlearn.registry import register_metric, register_technique
    from eval_unlearn.types import Dataset, MetricResult

    class Brightness:
        def __init__(self, **_: Any) -> None:
            self.seen: list[float] = []

        def load_dataset(self) -> list[Dataset]:
            return [Dataset(PROMPTS[:2], {"source": "here"}), Dataset(PROMPTS[2:], {"source": "here"})]

        def update(self, images: list[Any], *_: Any) -> None:
            self.seen += [float(np.mean(image)) for image in images]

        def compute(self) -> MetricResult:
            return MetricResult("brightness", float(np.mean(self.seen)), {"images": len(self.seen)})

    register_metric("brightness")(Brightness)
    config = {"steering": "night.safetensors:0.5", "device": "cpu", "erase_concept": "night"}
    register_technique("lineas")(SteeringTechnique)
    report = runners.SingleBenchmarkRunner("lineas", "brightness", config, {}, "results", seed=0).run()
    assert report["metric_result"]["details"] == {"images": 3}
    assert report["erase_concept"] == "night"
