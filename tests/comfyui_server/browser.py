"""The real frontend in a headless Chromium, driven through its own interface."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from comfyui_server.graph import Prompt, Workflow

CHROMIUM = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SETTINGS = {
    "Comfy.TutorialCompleted": True,
    "Comfy.Workflow.ShowMissingModelsWarning": False,
    "Comfy.Release.Version": "99.0.0",
    "Comfy.Release.Status": "changelog seen",
    "Comfy.VersionCompatibility.DisableWarnings": True,
    "Comfy.ColorPalette": "dark",
    "Comfy.Graph.CanvasMenu": False,
    "Comfy.Minimap.Visible": False,
}
"""No tutorial, no news, no dialogs over the graph."""
PATIENCE = 300
"""Seconds to wait for the page; a software renderer on a busy machine takes long."""
MENUS = (60, 110)
"""Pixels on the left and at the top that the frontend's own menus and messages take."""

_SIZES = """() => app.graph.nodes.map(n => ({
    id: n.id, type: n.type, pos: [...n.pos], size: [...n.size], least: [...n.computeSize()]}))"""
_FIT = """([side, above, margin]) => {
    const c = app.canvas, r = app.graph.nodes.map(n => n.getBounding()).concat(
        app.graph.groups.map(g => g._bounding));
    const left = Math.min(...r.map(b => b[0])), top = Math.min(...r.map(b => b[1]));
    const right = Math.max(...r.map(b => b[0] + b[2])), bottom = Math.max(...r.map(b => b[1] + b[3]));
    const w = window.innerWidth - side - 2 * margin, h = window.innerHeight - above - 2 * margin;
    c.ds.scale = Math.min(w / (right - left), h / (bottom - top));
    c.ds.offset[0] = (side + margin + w / 2) / c.ds.scale - (left + right) / 2;
    c.ds.offset[1] = (above + margin + h / 2) / c.ds.scale - (top + bottom) / 2;
    c.setDirty(true, true);
    const x = v => (v + c.ds.offset[0]) * c.ds.scale, y = v => (v + c.ds.offset[1]) * c.ds.scale;
    return [x(left), y(top), x(right), y(bottom)].map(Math.round);
}"""


def chromium() -> str | None:
    """The browser's executable: `CHROMIUM`, else the first that the system has, None if it has none."""
    named = os.environ.get("CHROMIUM")
    return named or next((found for name in CHROMIUM if (found := shutil.which(name))), None)


class Frontend:
    """A page with ComfyUI's editor."""

    def __init__(self, page: Any):
        self.page = page

    def load(self, workflow: Workflow, name: str) -> None:
        """Open a workflow as the template browser does."""
        self.page.evaluate("([w, name]) => app.loadGraphData(w, true, true, name)", [workflow, name])
        self.page.wait_for_function(f"() => app.graph.nodes.length === {len(workflow['nodes'])}")
        self.page.wait_for_timeout(1000)

    def nodes(self) -> list[dict[str, Any]]:
        """Position, size and least size of each node as the editor has them."""
        return list(self.page.evaluate(_SIZES))

    def prompt(self) -> Prompt:
        """What the editor would send to the server."""
        sent = self.page.evaluate("async () => (await app.graphToPrompt()).output")
        return {node: {"class_type": c["class_type"], "inputs": c["inputs"]} for node, c in sent.items()}

    def serialized(self) -> Workflow:
        """What the editor would save."""
        saved: Workflow = self.page.evaluate("() => app.graph.serialize()")
        return saved

    def queue(self, patience: float = 1800) -> str:
        """Run the graph and wait until it is done; returns how it ended."""
        self.page.evaluate(
            """() => { window.ended = null;
                for (const kind of ['execution_success', 'execution_error', 'execution_interrupted'])
                    app.api.addEventListener(kind, e => { window.ended = kind; window.detail = e.detail });
                app.queuePrompt(0, 1); }"""
        )
        self.page.wait_for_function("() => window.ended !== null", timeout=patience * 1000)
        self.page.wait_for_timeout(2500)
        return str(self.page.evaluate("() => window.ended"))

    def fit(self, margin: int = 20) -> tuple[int, int, int, int]:
        """Show the whole graph; returns where in the window it is: left, top, right and bottom pixel."""
        left, top, right, bottom = self.page.evaluate(_FIT, [*MENUS, margin])
        self.page.wait_for_timeout(1000)
        return left, top, right, bottom

    def screenshot(self) -> bytes:
        """The window as PNG."""
        picture: bytes = self.page.screenshot()
        return picture


@contextmanager
def frontend(url: str, width: int = 2400, height: int = 1300, scale: float = 1.0) -> Iterator[Frontend]:
    """The editor of a server, at a window size in pixels; `scale` device pixels per pixel."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        try:
            page = browser.new_page(viewport={"width": width, "height": height}, device_scale_factor=scale)
            for name, value in SETTINGS.items():
                page.request.post(f"{url}/settings/{name}", data=json.dumps(value))
            page.set_default_timeout(PATIENCE * 1000)
            page.goto(url)
            page.wait_for_function("() => window.app?.graph && window.app.extensionManager")
            page.wait_for_timeout(2500)
            yield Frontend(page)
        finally:
            browser.close()
