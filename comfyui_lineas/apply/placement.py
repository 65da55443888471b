"""When, where and on which conditioning a steering acts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from lineas.errors import ConfigError

BRANCHES = ("both", "cond", "uncond")
AUTOMATIC, WEIGHTS, HOOKS = METHODS = ("automatic", "weights", "hooks")


@dataclass(frozen=True)
class Window:
    """When a steering acts: at noise levels from `start` down to, but not including, `end`."""

    start: float = float("inf")
    end: float = -1.0

    def __contains__(self, sigma: float) -> bool:
        return self.end < sigma <= self.start


@dataclass(frozen=True)
class Placement:
    """When, where and on which conditioning a steering acts; the defaults are always, everywhere, both."""

    start_percent: float = 0.0
    end_percent: float = 1.0
    apply_to: str = "both"
    method: str = AUTOMATIC
    mask: Tensor | None = None

    @property
    def is_constant(self) -> bool:
        always = self.start_percent <= 0 and self.end_percent >= 1
        return always and self.apply_to == "both" and self.mask is None

    def window(self, model: Any) -> Window:
        """The noise levels of the percentages. `ConfigError` when there are none between them."""
        if self.start_percent >= self.end_percent:
            raise ConfigError(
                f"start_percent is {self.start_percent:g} and end_percent {self.end_percent:g}, so it "
                "would never act. Let it start before it ends."
            )
        sampling = model.get_model_object("model_sampling")
        start = (
            float("inf") if self.start_percent <= 0 else float(sampling.percent_to_sigma(self.start_percent))
        )
        return Window(
            start, -1.0 if self.end_percent >= 1 else float(sampling.percent_to_sigma(self.end_percent))
        )
