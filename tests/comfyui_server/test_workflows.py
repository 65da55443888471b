"""Every workflow, from the file that the editor opens: converted, queued and looked at."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from comfyui_server.client import RejectedError
from comfyui_server.conftest import BLUEPRINTS, WORKFLOWS, workflow
from comfyui_server.graph import to_prompt

NAMES = sorted(path.stem for path in WORKFLOWS.glob("*.json"))
CHECKPOINTS = {
    name: {
        model["name"] for node in workflow(name)["nodes"] for model in node["properties"].get("models", [])
    }
    for name in NAMES
}
BUNDLED = [name for name in NAMES if not CHECKPOINTS[name]]
SHOWING = ("PreviewImage", "LineasSweepGrid", "LineasSteeringInfo", "MaskPreview")


@pytest.mark.parametrize("name", NAMES)
def test_the_files_are_what_their_description_builds(comfy, name):
    sys.path.insert(0, str(WORKFLOWS / "source"))
    try:
        from build import built
    finally:
        sys.path.pop(0)
    comfy.workflow(name)
    text = (WORKFLOWS / f"{name}.json").read_text(encoding="utf-8")
    assert built(comfy.info)[f"{name}.json"] == text, "run: python example_workflows/source/build.py"


def test_the_blueprints_are_what_their_description_builds(comfy):
    sys.path.insert(0, str(WORKFLOWS / "source"))
    try:
        from build import blueprints_built
    finally:
        sys.path.pop(0)
    texts = {path.name: path.read_text(encoding="utf-8") for path in BLUEPRINTS.glob("*.json")}
    assert blueprints_built(comfy.info) == texts, "run: python example_workflows/source/build.py"


@pytest.mark.parametrize("name", BUNDLED)
def test_a_workflow_on_the_bundled_model_draws_all_its_pictures(comfy, name):
    if "transformer" in name and not (comfy.folder / "comfy" / "text_encoders" / "z_image.py").is_file():
        pytest.skip("this release does not know Z-Image")
    prompt = comfy.prompt(workflow(name))
    run = comfy.run(prompt)
    showing = [node for node, content in prompt.items() if content["class_type"] in SHOWING]
    assert showing
    for node in showing:
        images = comfy.client.images(run, node)
        assert images, prompt[node]
        for image in images:
            assert min(image.shape[:2]) >= 64
            assert np.ptp(image) > 20, f"{prompt[node]} shows one flat colour"


@pytest.mark.parametrize("name", sorted(set(NAMES) - set(BUNDLED)))
def test_a_workflow_on_a_checkpoint_lacks_that_file_alone(comfy, name):
    flow = comfy.workflow(name)
    prompt = to_prompt(flow, comfy.info)
    with pytest.raises(RejectedError) as refused:
        comfy.client.run(prompt)
    errors = [error for node in refused.value.node_errors.values() for error in node["errors"]]
    assert {error["type"] for error in errors} == {"value_not_in_list"}
    assert {error["extra_info"]["received_value"] for error in errors} == CHECKPOINTS[name]
