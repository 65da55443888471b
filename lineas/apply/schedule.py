"""Schedules: how strong a steering is over the denoising steps of an image pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import Tensor, nn

from lineas.errors import ConfigError
from lineas.steering.site import Site

DENOISERS = ("unet", "transformer", "transformer_2")


@dataclass(frozen=True)
class Schedule:
    """A factor on the strength, by how far the denoising has come: step i of n has come i / n.

    start, end: it acts from `start` on until before `end`; shares of the steps, 0 ≤ start < end ≤ 1.
    curve: factors at equal distances from the first step to the last, straight between them; none is 1.
    Raises `ConfigError` for anything else.
    """

    start: float = 0.0
    end: float = 1.0
    curve: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not 0 <= self.start < self.end <= 1:
            raise ConfigError(
                f"A schedule from {self.start:g} to {self.end:g} never acts, expected 0 ≤ start < end ≤ 1."
            )
        if not all(-float("inf") < factor < float("inf") for factor in self.curve):
            raise ConfigError(f"A schedule has the curve {self.curve}, expected finite factors.")

    @classmethod
    def parse(cls, text: str) -> Schedule:
        """ "0:0.5" the first half of the steps; "1,0.5,0" a curve. `ConfigError` for anything else."""
        try:
            if ":" in text:
                start, end = map(float, text.split(":"))
                return cls(start, end)
            return cls(curve=tuple(map(float, text.split(","))))
        except ValueError:
            raise ConfigError(
                f"Unknown schedule {text[:40]!r}, expected a start and an end as in 0:0.5, or factors from "
                "the first step to the last as in 1,0.5,0."
            ) from None

    def factor(self, step: int, steps: int) -> float:
        """The factor of step 0 … steps − 1; 0 where it does not act."""
        if not self.start <= step / steps < self.end:
            return 0.0
        if not self.curve:
            return 1.0
        place = (step / max(1, steps - 1)) * (len(self.curve) - 1)
        low = min(int(place), len(self.curve) - 1)
        high = min(low + 1, len(self.curve) - 1)
        return self.curve[low] + (place - low) * (self.curve[high] - self.curve[low])


@dataclass
class ScheduledRegion:
    """A region (site, z) -> the factor of the step that runs, counted by the denoiser's changing timestep."""

    schedule: Schedule
    scheduler: Any
    _seen: Any = field(default=None, init=False)
    _last: float = field(default=float("nan"), init=False)
    _step: int = field(default=0, init=False)

    def __call__(self, site: Site, z: Tensor) -> float:
        return self.schedule.factor(self._step, max(1, len(self.scheduler.timesteps)))

    def watch(self, components: Mapping[str, nn.Module]) -> list[tuple[nn.Module, Callable[..., None]]]:
        """Follow the runs of the denoisers; gives the hooks that see them."""
        found = [components[name] for name in DENOISERS if name in components]
        return [(each, partial(_note, self)) for each in found]

    def see(self, timestep: float) -> None:
        """A denoiser runs at this timestep. A pipeline sets the scheduler's timesteps anew for each run."""
        if self._seen is not self.scheduler.timesteps:
            self._seen, self._step = self.scheduler.timesteps, 0
        elif timestep != self._last:
            self._step += 1
        self._last = timestep


def scheduled_region(obj: Any, schedule: Schedule | str, sites: Mapping[Site, Any]) -> ScheduledRegion:
    """The region of a schedule on a pipeline. `ConfigError` for models without steps, and text encoders."""
    scheduler = getattr(obj, "scheduler", None)
    if scheduler is None or not hasattr(scheduler, "set_timesteps"):
        raise ConfigError(
            f"A schedule needs a diffusers pipeline, whose scheduler counts the steps; got "
            f"{type(obj).__name__}."
        )
    outside = [site for site in sites if site.component not in DENOISERS]
    if outside:
        raise ConfigError(
            f"{outside[0]} and {len(outside) - 1} more sites run before the denoising, where a schedule has "
            "no step. Keep the sites of the image model: steering.restrict(['unet.*', 'transformer*'])."
        )
    return ScheduledRegion(Schedule.parse(schedule) if isinstance(schedule, str) else schedule, scheduler)


def _note(region: ScheduledRegion, module: nn.Module, args: Any, kwargs: Any) -> None:
    given = kwargs.get("timestep", kwargs.get("t", args[1] if len(args) > 1 else None))
    region.see(float(given.flatten()[0]) if isinstance(given, Tensor) else float(given or 0))
