"""What people have to know: on the node that it concerns, in every frontend, and in the log."""

from __future__ import annotations

import logging
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

EVENT = "lineas.told"
"""A message of our own: progress texts of ComfyUI go when newer frontends have finished a run."""


@dataclass
class Board:
    """The notices of one node in one run of the graph, shown together below its widgets.

    node: its id, None outside of a graph, where the log alone tells.
    """

    node: str | None = None
    prompt: str = ""
    lines: list[str] = field(default_factory=list)

    def tell(self, text: str) -> None:
        """Show a warning on the node, and write it to the log."""
        logging.warning("LinEAS: %s", text)
        self.show(text)

    def show(self, text: str) -> None:
        """Show a text on the node, below those before it."""
        if text not in self.lines:
            self.lines.append(text)
        self._send()

    def take_back(self, text: str) -> None:
        """Show a text no longer that was true of an earlier run."""
        if text in self.lines:
            self.lines.remove(text)
            self._send()

    def _send(self) -> None:
        instance = getattr(getattr(sys.modules.get("server"), "PromptServer", None), "instance", None)
        if self.node is not None and instance is not None:
            told = {"node": self.node, "prompt_id": self.prompt, "text": "\n".join(self.lines)}
            # web/js/told.js shows it, in the page that asked: another one has other nodes of this number.
            instance.send_sync(EVENT, told, getattr(instance, "client_id", None))


_boards: dict[str, Board] = {}


def board() -> Board:
    """The board of the node that is being run at the moment."""
    execution = sys.modules.get("comfy_execution.utils")
    context = execution.get_executing_context() if execution is not None else None
    if context is None:
        return Board()
    node, prompt = str(context.node_id), str(context.prompt_id)
    if node not in _boards or _boards[node].prompt != prompt:
        _boards[node] = Board(node, prompt)
    return _boards[node]


@contextmanager
def warnings_told() -> Iterator[None]:
    """What the library warns of while the block runs is told on the node that runs, once each."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        try:
            yield
        finally:
            for text in dict.fromkeys(str(entry.message) for entry in caught):
                board().tell(text)
