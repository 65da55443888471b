"""What a file says of the model that it was made on, and what it keeps to itself."""

from __future__ import annotations

import pytest
from toys.problem import ToyProblem

from lineas.steering.provenance import public_name


@pytest.mark.parametrize(
    ("told", "public"),
    [
        ("stabilityai/sd-turbo", "stabilityai/sd-turbo"),
        ("scenes", "scenes"),
        ("hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K", "hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
        ("", ""),
        ("*norm*,text_encoder*", "*norm*,text_encoder*"),
        ("/home/jane/secret-project/my-model", "my-model"),
        ("/home/jane/my-model/", "my-model"),
        ("~/models/judge:neutral", "judge:neutral"),
        ("C:\\Users\\Jane\\model", "model"),
        ("../models/x", "x"),
        ("models/of/jane", "jane"),
        ("stabilityai/sdxl with tianweiy/DMD2", "stabilityai/sdxl with tianweiy/DMD2"),
        ("/home/jane/.cache/huggingface/hub/models--gpt--two/snapshots/abc123", "gpt/two"),
        ("/x/models--org--judge.v2/snapshots/0a1b:toxic", "org/judge.v2:toxic"),
    ],
)
def test_paths_stay_at_home(told: str, public: str) -> None:
    assert public_name(told) == public


def test_a_fit_writes_no_path() -> None:
    problem = ToyProblem()
    problem.base_model = "/home/jane/toy"
    made = problem.provenance("lofit", reward="/home/jane/judge:neutral", steps=3)
    assert (made.base_model, dict(made.settings)) == ("toy", {"reward": "judge:neutral", "steps": 3})
