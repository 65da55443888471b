"""The benchmark of intents on texts, on a tiny model: fits, reports and judges run from end to end."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip("profanity_check")

from benchmarks.language import intents


@pytest.mark.filterwarnings("ignore:On texts that it was not fitted to")
@pytest.mark.filterwarnings("ignore:On prompts that it was not fitted to")
def test_a_page_tells_what_each_intent_does(tmp_path: Path) -> None:
    words = ["--model", "tiny-llama", "--dtype", "float32", "--quick", "--steerings", str(tmp_path / "s")]
    intents.main([*words, "--output", str(tmp_path)])
    told = (tmp_path / "intents_texts.md").read_text()
    for case in intents.CASES:
        assert f"## {case.intent} {case.concept}" in told and f"| strength | {case.counted} |" in told
    assert told.count("| 1 | ") == told.count("| steering, strength 1 |") == len(intents.CASES)
    made = {path.name for path in (tmp_path / "s").iterdir()}
    assert made == {"add-the-sea-quick.safetensors", "remove-rudeness-quick.safetensors"}
