"""The page of a blind comparison, and how it works in a browser."""

from __future__ import annotations

import json
import re
import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from lineas.errors import MismatchError
from lineas.evaluation.images.blind_comparison import comparison_page

NAMES = ("first", "second")
COUNT = 6


def images(colour: str) -> list[Image.Image]:
    return [Image.new("RGB", (8, 8), colour) for _ in range(COUNT)]


def page(**options: Any) -> str:
    prompts = [f"prompt {i} </script><b>" for i in range(COUNT)]
    return comparison_page(prompts, images("red"), images("blue"), NAMES, **options)


def data(html: str) -> dict[str, Any]:
    found = re.search(r'type="application/json">(.*?)</script>', html, re.S)
    assert found is not None
    return json.loads(found[1])


def test_the_page_is_self_contained_and_its_order_depends_on_the_seed() -> None:
    html = page()
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//|@import|url\(", html)
    content = data(html)
    assert sorted(pair["number"] for pair in content["pairs"]) == list(range(COUNT))
    assert all(image.startswith("data:image/png;base64,") for p in content["pairs"] for image in p["images"])
    assert page() == html != page(seed=1)
    sides = Counter(pair["left"] for seed in range(20) for pair in data(page(seed=seed))["pairs"])
    assert min(sides.values()) > 40


def test_what_cannot_be_compared_is_refused() -> None:
    for prompts, second, names in (
        (["a"], images("red"), NAMES),
        ([], [], NAMES),
        (["a"] * COUNT, images("red"), ("x", "x")),
    ):
        with pytest.raises(MismatchError, match="two different names"):
            comparison_page(prompts, images("red")[: len(prompts)], second, names)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    playwright = pytest.importorskip("playwright.sync_api")
    system = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with playwright.sync_playwright() as driver:
        try:
            opened = driver.chromium.launch(executable_path=system, args=["--no-sandbox"])
        except playwright.Error as error:
            pytest.skip(f"no chromium to open the page in: {str(error).splitlines()[0]}")
        yield opened
        opened.close()


def test_choices_by_key_and_mouse_are_counted_kept_and_saved(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "compare.html"
    path.write_text(page(reference=images("green"), seeds=list(range(COUNT))), encoding="utf-8")
    content = data(path.read_text())
    tab = browser.new_context(offline=True, accept_downloads=True).new_page()
    errors: list[Any] = []
    tab.on("pageerror", lambda error: errors.append(error))
    tab.goto(path.as_uri())
    assert tab.locator("#prompt").inner_text() == content["pairs"][0]["prompt"]
    assert "first" not in tab.locator("main").inner_text()  # blind until the end
    assert tab.locator("#reference").is_visible()
    tab.keyboard.press("ArrowLeft")
    tab.keyboard.press("ArrowRight")
    tab.keyboard.press("Backspace")
    tab.keyboard.press("2")
    tab.locator("#status", has_text=f"2 of {COUNT} judged").wait_for()
    for _ in range(20):  # browsers write what they keep behind the page's back
        tab.reload()
        if tab.locator("#status").inner_text() == f"2 of {COUNT} judged":
            break
    tab.locator("#status", has_text=f"2 of {COUNT} judged").wait_for()  # kept by the browser
    tab.locator("#left").click()
    tab.locator("#right").focus()
    tab.keyboard.press("Enter")
    tab.keyboard.press("ArrowDown")
    tab.keyboard.press("0")
    assert tab.locator("#result").is_visible() and not tab.locator("#judging").is_visible()
    with tab.expect_download() as download:
        tab.locator("#download").click()
    saved = json.loads(Path(download.value.path()).read_text())
    sides = ["left", "right", "left", "right", "neither", "neither"]
    assert [choice["side"] for choice in saved["choices"]] == sides
    expected = []
    for side, pair in zip(sides, content["pairs"], strict=True):
        index = {"left": pair["left"], "right": 1 - pair["left"]}.get(side)
        expected.append("neither" if index is None else NAMES[index])
    assert [choice["preferred"] for choice in saved["choices"]] == expected
    assert saved["counts"] == {name: expected.count(name) for name in (*NAMES, "neither")}
    other = tab.context.new_page()
    other.goto(path.as_uri())
    assert other.locator("#result").is_visible()
    other.locator("#reopen").click()
    tab.locator("#judging").wait_for()  # a second tab is followed
    tab.keyboard.press("0")
    rows = tab.locator("#counts tr").all_inner_texts()
    assert [row.split("\t")[:2] for row in rows] == [[n, str(c)] for n, c in saved["counts"].items()]
    assert not errors
