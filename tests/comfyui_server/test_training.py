"""Training in the graph: seen while it runs, cancelled, resumed, cached; and the model left as it was."""

from __future__ import annotations

import json

import numpy as np
import pytest
import safetensors
from comfyui_server.conftest import workflow
from comfyui_server.graph import BYPASSED, edited, find, with_mode

TRAIN, APPLY = "LineasTrainSteering", "LineasApplySteering"


def titled(title: str) -> str:
    """The id of the node of the workflow with that title."""
    return next(str(node["id"]) for node in workflow("Try it now")["nodes"] if node.get("title") == title)


AFTER, BEFORE = titled("With the steering"), titled("Without it")


@pytest.fixture(scope="module")
def trained(comfy):
    """The workflow, run once: (prompt, run)."""
    prompt = comfy.prompt(workflow("Try it now"), steps=3, seed=11, learning_rate=0.2)
    return prompt, comfy.run(prompt, workflow=workflow("Try it now"))


@pytest.fixture(scope="module")
def untouched(comfy):
    """The picture of the workflow without any steering."""
    prompt = comfy.prompt(workflow("Try it now"))
    only = {node: prompt[node] for node in ancestors(prompt, BEFORE)}
    return comfy.client.images(comfy.run(only), BEFORE)[0]


def ancestors(prompt, node) -> set[str]:
    wires = [value[0] for value in prompt[node]["inputs"].values() if isinstance(value, list)]
    return {node}.union(*(ancestors(prompt, origin) for origin in wires))


def test_previews_and_progress_arrive_while_it_trains(trained):
    prompt, run = trained
    node = find(prompt, TRAIN)
    pictures = [picture for origin, picture in run.previews if origin == node]
    assert len(pictures) == 3
    assert all(picture.width == 2 * picture.height for picture in pictures[:-1])  # two prompts side by side
    assert pictures[-1].width == pictures[-1].height  # with the curve of the cost below them
    assert run.progress(node) == [(1, 3), (2, 3), (3, 3)]
    told = [data["node"] for kind, data in run.messages if kind == "executed"]
    first = next(
        i for i, (kind, data) in enumerate(run.messages) if kind == "progress" and data["node"] == node
    )
    done = next(i for i, (kind, d) in enumerate(run.messages) if kind == "executed" and d["node"] == node)
    assert node in told and first < done


def test_figures_and_path_stand_on_the_node(trained):
    prompt, run = trained
    [text] = [text for node, text in run.texts if node == find(prompt, TRAIN)][-1:]
    assert "3 steps" in text and "saved: " in text


def test_the_file_holds_the_workflow_that_made_it(trained):
    prompt, run = trained
    [text] = [text for node, text in run.texts if node == find(prompt, TRAIN)][-1:]
    path = text.partition("saved: ")[2].splitlines()[0]
    with safetensors.safe_open(path, "pt") as file:
        kept = file.metadata()
    assert json.loads(kept["workflow"]) == workflow("Try it now")
    assert json.loads(kept["prompt"])[find(prompt, TRAIN)]["class_type"] == TRAIN


def test_a_steering_that_does_not_act_says_so_on_its_node(comfy):
    prompt = comfy.prompt(workflow("Try it now"), steps=1, sites="all norms", file_name="late")
    run = comfy.run(edited(prompt, APPLY, start_percent=0.9))
    [text] = {text for node, text in run.texts if node == find(prompt, APPLY)}
    assert "did not act" in text


def test_the_steering_changes_the_picture_and_nothing_else(comfy, trained, untouched):
    _, run = trained
    assert np.array_equal(comfy.client.images(run, BEFORE)[0], untouched)
    assert not np.array_equal(comfy.client.images(run, AFTER)[0], untouched)


def test_a_new_strength_does_not_train_again(comfy, trained):
    prompt, _ = trained
    before = comfy.run(prompt)  # other tests ran in between; what they drew has taken the place in the cache
    again = comfy.run(edited(prompt, APPLY, strength=0.5))
    ran = {prompt[node]["class_type"] for node in again.executed()}
    assert {APPLY, "CLIPTextEncode", "KSampler", "VAEDecode", "PreviewImage"} == ran
    assert find(prompt, TRAIN) in again.cached()
    first, second = (comfy.client.images(run, AFTER)[0] for run in (before, again))
    assert not np.array_equal(first, second)


def test_the_same_graph_again_runs_nothing(comfy, trained):
    prompt, _ = trained
    comfy.run(prompt)
    assert comfy.run(prompt).executed() == set()


def test_bypassing_apply_gives_the_picture_of_before(comfy, trained, untouched):
    flow = with_mode(workflow("Try it now"), APPLY, BYPASSED)
    prompt = comfy.prompt(flow, steps=3, seed=11, learning_rate=0.2)
    assert np.array_equal(comfy.client.images(comfy.run(prompt), AFTER)[0], untouched)


def test_strengths_of_a_sweep_do_not_see_each_other(comfy, trained, untouched):
    prompt, run = trained
    sweep = edited(prompt, "LineasStrengthSweep", strengths="1, 0, 1")
    shown = {
        "class_type": "PreviewImage",
        "inputs": {"images": prompt[find(prompt, "LineasSweepGrid")]["inputs"]["images"]},
    }
    sweep["shown"] = shown
    sampler = prompt[shown["inputs"]["images"][0]]["inputs"]["samples"][0]
    sweep[sampler]["inputs"]["latent_image"] = prompt[samplers(prompt, AFTER)]["inputs"]["latent_image"]
    one, none, again = comfy.client.images(comfy.run(sweep), "shown")
    assert np.array_equal(none, untouched)
    assert np.array_equal(one, again)
    assert np.array_equal(one, comfy.client.images(run, AFTER)[0])


def samplers(prompt, preview) -> str:
    """The sampler behind a preview."""
    decode = prompt[preview]["inputs"]["images"][0]
    return prompt[decode]["inputs"]["samples"][0]


def test_cancel_stops_within_a_step_keeps_what_was_learned_and_can_go_on(comfy, untouched):
    prompt = comfy.prompt(workflow("Try it now"), steps=8, seed=12, file_name="cancelled-run")
    node = find(prompt, TRAIN)

    def cancel(client, run, message):
        kind, data = message
        if kind == "progress" and data["node"] == node and data["value"] == 3:
            client.interrupt()

    run = comfy.client.run(prompt, cancel)
    assert run.end == "interrupted"
    assert len(run.progress(node)) <= 4  # the step at which it was asked to stop, and at most one more
    saved = list((comfy.server.base / "output" / "steering").glob("cancelled-run*.safetensors"))
    assert len(saved) == 1

    resumed = comfy.run(prompt)
    values = [value for value, _ in resumed.progress(node)]
    assert values[0] > 3 and values[-1] == 8
    assert np.array_equal(comfy.client.images(resumed, BEFORE)[0], untouched)


def test_what_was_saved_can_be_loaded_at_once(comfy, trained):
    folder = comfy.server.base / "output" / "steering"
    name = sorted(path.name for path in folder.glob("remove-night*.safetensors"))[0]
    choices = comfy.client.get("/object_info/LineasLoadSteering")["LineasLoadSteering"]["input"]
    spec = choices["required"]["steering_name"]
    assert name in (spec[0] if isinstance(spec[0], list) else spec[1]["options"])
    prompt = comfy.prompt(workflow("Load a steering file"))
    comfy.run(edited(prompt, "LineasLoadSteering", steering_name=name))


def test_an_empty_list_is_an_error_that_says_so(comfy):
    prompt = edited(comfy.prompt(workflow("Try it now")), TRAIN, source="a house")
    run = comfy.client.run(prompt)
    assert run.end == "error"
    assert "source" in run.error() and "at least 2" in run.error()
