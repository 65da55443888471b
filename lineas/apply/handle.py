"""The handle of steerings on a model, by hooks and in weights alike."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from weakref import WeakKeyDictionary

from torch import nn

from lineas.apply.moved_sites import follow
from lineas.apply.runs import Run
from lineas.apply.steering_hook import SteeringHook
from lineas.apply.strengths import Strengths, strengths_for
from lineas.apply.undo import Undo, put_pre_hook
from lineas.errors import ConfigError
from lineas.modules.names import named_modules
from lineas.steering.site import Site
from lineas.steering.steering import Steering


@dataclass
class Part:
    """What one steering does on a model: its hooks, the sites that are in weights, and how strongly."""

    strength: float
    hooks: list[SteeringHook] = field(default_factory=list)
    fused: list[Site] = field(default_factory=list)


class Handle:
    """Steerings on a model until `remove()` or the end of the `with` block.

    fused: sites whose maps are in the weights. hooked: sites whose maps act by hooks. Both in the order of
    the steerings. A handle that is dropped leaves its steerings on the model, with a warning.

    undo: takes everything off again. refold: sets the strengths of what is in weights, None
    for none any more. components: the model's, to know whether they ran.
    """

    def __init__(
        self,
        parts: Sequence[Part],
        undo: Undo,
        refold: Callable[[Sequence[float] | None, bool], None] | None = None,
        components: Mapping[str, nn.Module] | None = None,
    ) -> None:
        self._parts, self._refold, self._removed = parts, refold, False
        self.fused = tuple(site for part in parts for site in part.fused)
        self.hooked = tuple(hook.site for part in parts for hook in part.hooks)
        self._ran = {name: Run() for name in components or {}}
        self._undo, self._told = undo, False
        self._watch(components or {})

    @property
    def sites(self) -> list[Site]:
        """Every steered site, in order of steerings."""
        return [site for part in self._parts for site in (*part.fused, *(hook.site for hook in part.hooks))]

    def set_strength(self, strength: Strengths) -> None:
        """Change λ from the next forward on: one number for all, or one for each, else `ConfigError`."""
        values = strengths_for(strength, len(self._parts))
        if self._refold is not None:
            self._refold(values, False)
        for part, value in zip(self._parts, values, strict=True):
            part.strength = value
            for hook in part.hooks:
                hook.strength = value

    def remove(self, keep: bool = False) -> None:
        """Give the model back as it was, bit for bit. Doing it again does nothing; any order is fine.

        keep: weights that something else has changed since they were fused stay as they are now. Without it
        they are a `MismatchError`, and nothing is touched.
        """
        if self._removed:
            return
        if self._refold is not None:
            self._refold(None, keep)
        self._undo()
        self._removed = True
        self.tell_of_silence()

    def tell_of_silence(self) -> None:
        """Warn, once, of sites that have not run by now although the model did: their maps had no effect.

        What is in weights is told of by components, as it has no hook of its own.
        """
        runs = self._ran.values()
        if self._told or not any(run.began for run in runs) or any(run.is_broken for run in runs):
            return
        if silent := [site for part in self._parts if part.strength for site in self._silent(part)]:
            self._told = True
            warnings.warn(
                f"{len(silent)} of {len(self.sites)} sites never ran while they were steered, the first is "
                f"{silent[0]}: the model did not call these modules, as a text encoder whose embeddings are "
                "given, or a module that was replaced or compiled.",
                stacklevel=3,
            )

    def forget_runs(self) -> None:
        """Count nothing that ran so far: an exception ended it, before what follows had its turn."""
        for run in self._ran.values():
            run.began = run.is_broken = False
        for part in self._parts:
            for hook in part.hooks:
                hook.has_run = False

    def _silent(self, part: Part) -> list[Site]:
        passed_over = {name for name, run in self._ran.items() if not run.began and not run.is_unseen}
        fused = [site for site in part.fused if self._component(site) in passed_over]
        return [*fused, *(hook.site for hook in part.hooks if not hook.has_run)]

    def _watch(self, components: Mapping[str, nn.Module]) -> None:
        """Note the runs of each component, and of the first and last of its modules that hold fused maps.

        A component may run by a method of its own, as the decoder of a VAE does. Hooks follow their sites.
        """
        for name, root in components.items():
            self._ran[name].watch(root, self._undo)
            hooks = [hook for part in self._parts for hook in part.hooks]
            follow(name, root, [each for each in hooks if self._component(each.site) == name], self._undo)
        table = named_modules(components) if self.fused else {}
        for name, ran in self._ran.items():
            sites = [site for site in self.fused if self._component(site) == name]
            for site in {*sites[:1], *sites[-1:]}:
                put_pre_hook(table[site.name], ran.on_module, self._undo)

    def _component(self, site: Site) -> str:
        return next((name for name in self._ran if name and site.name.startswith(f"{name}.")), "")

    def __enter__(self) -> Handle:
        return self

    def __exit__(self, exception: type[BaseException] | None, *_: object) -> None:
        if exception is not None:
            self.forget_runs()
        try:
            self.remove()
        except KeyboardInterrupt:
            self.remove()  # it goes on where it was
            raise

    def __del__(self) -> None:
        if not getattr(self, "_removed", True) and self.sites:
            warnings.warn(
                "The handle of a steering was dropped: the model stays steered. Keep the handle and call "
                "remove(), or use it as `with steer(…):`.",
                ResourceWarning,
                stacklevel=2,
            )


_OWNERS: WeakKeyDictionary[nn.Module, list[tuple[int, object]]] = WeakKeyDictionary()


def claim(components: Mapping[str, nn.Module], undo: Undo) -> None:
    """Keep other threads from steering these components until `undo` is called.

    Hooks and weights belong to the model, not to a thread. Raises `ConfigError` while another thread steers.
    """
    me = (threading.get_ident(), object())
    for root in components.values():
        # No lock, which an interrupt could leave shut: each thread first writes itself down, then looks.
        undo.add(_forget, root, me)
        _OWNERS.setdefault(root, []).append(me)
    owners = [thread for root in components.values() for thread, _ in _OWNERS[root]]
    if any(thread != me[0] for thread in owners):
        raise ConfigError(
            "Another thread is steering this model, and both would act on both. Take turns with a lock "
            "around steering and running, or give each thread a copy of the model."
        )


def _forget(root: nn.Module, owner: tuple[int, object]) -> None:
    if owner in (owners := _OWNERS.get(root, [])):
        owners.remove(owner)


def as_list(steering: Steering | Sequence[Steering]) -> list[Steering]:
    """One steering or several, as a list."""
    return [steering] if isinstance(steering, Steering) else list(steering)
