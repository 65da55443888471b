"""A pipeline or model with named steerings, steered by the calls that diffusers has for LoRA."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from contextlib import suppress
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from torch import nn

from lineas.apply.check import check_fit
from lineas.apply.fusing import fuse
from lineas.apply.handle import Handle
from lineas.apply.hooks import steer
from lineas.errors import ConfigError
from lineas.modules.names import module_tree, named_modules
from lineas.steering.steering import Steering


class SteeredModel:
    """A diffusers pipeline, a language model or a text-generation pipeline that holds steerings by name.

    Calls, attributes and methods are those of what it wraps, `pipe`. Loading a steering switches it on. As a
    context manager it unloads everything at the end of the block; then the model is as before, bit for bit.
    Several steerings act one after the other, in the order in which they were set. Sites are looked up again
    before a run when modules were replaced, by a LoRA for example. A copy has steerings of its own.
    """

    __slots__ = ("_active", "_applied", "_enabled", "_fused_at", "_loaded", "_modules", "pipe")

    def __init__(self, pipe: Any) -> None:
        module_tree(pipe)  # anything else is refused here
        self.pipe = pipe
        self._loaded: dict[str, Steering] = {}
        self._active: dict[str, float] = {}
        self._enabled = True
        self._fused_at: float | None = None
        self._applied: Handle | None = None
        self._modules: dict[str, nn.Module] = {}

    def load_steering(
        self, steering: Steering | str | Path, name: str | None = None, strength: float = 1.0
    ) -> str:
        """Add a steering, from a file or as it is, and switch it on; returns its name.

        name: None is that of the file. strength: λ; 0 off, 1 full, others extrapolate.
        Raises `MismatchError` when it does not fit the model, `SteeringFileError` for a bad file and
        `ConfigError` for a name that is taken; nothing has changed then.
        """
        if isinstance(steering, Steering):
            name = name or self._free_name()
        else:
            name, steering = name or Path(steering).stem, Steering.load(steering)
        self._check_free(name)
        check_fit(module_tree(self.pipe), steering)
        active = {**self._active, name: float(strength)}
        self._change(loaded={**self._loaded, name: steering}, active=active)
        return name

    def set_steerings(
        self, names: str | Sequence[str], strengths: float | Sequence[float] | None = None
    ) -> None:
        """Switch on exactly these, in this order, each at its strength; None is 1 for all.

        Raises `ConfigError` for unknown names and for another number of strengths.
        """
        names = [names] if isinstance(names, str) else list(names)
        self._check_known(names)
        if not isinstance(strengths, Sequence):
            strengths = [1.0 if strengths is None else float(strengths)] * len(names)
        if len(strengths) != len(names) or len(set(names)) != len(names):
            raise ConfigError(
                f"Got {len(strengths)} strengths for {len(set(names))} steerings. Give one strength for each."
            )
        self._change(active=dict(zip(names, map(float, strengths), strict=True)))

    def get_list_steerings(self) -> list[str]:
        """Names of all that are loaded, in order of loading."""
        return list(self._loaded)

    def get_active_steerings(self) -> dict[str, float]:
        """Strength by name of what acts now; empty while disabled."""
        return dict(self._active) if self._applied is not None else {}

    def disable_steering(self) -> None:
        """Run without any steering until `enable_steering`; names and strengths are kept."""
        self._change(enabled=False)

    def enable_steering(self) -> None:
        """Steer again as before `disable_steering`."""
        self._change(enabled=True)

    def fuse_steering(self, strength: float = 1.0) -> None:
        """Fold what is active into the weights, at its strengths times `strength`.

        Equal to hooks up to one rounding, and free at run time; what cannot be folded stays hooked. What is
        loaded, set or enabled later is folded as well.
        """
        self._change(fused_at=float(strength))

    def unfuse_steering(self) -> None:
        """Give the weights back bit for bit and steer by hooks again. Doing it again does nothing."""
        self._change(fused_at=None)

    def delete_steerings(self, names: str | Sequence[str]) -> None:
        """Forget some steerings. Raises `ConfigError` for unknown names."""
        names = [names] if isinstance(names, str) else list(names)
        self._check_known(names)
        loaded = {name: one for name, one in self._loaded.items() if name not in names}
        self._change(loaded=loaded, active={name: v for name, v in self._active.items() if name in loaded})

    def unload_steerings(self) -> None:
        """Forget all steerings; the model is as before, bit for bit."""
        self._change(loaded={}, active={}, enabled=True, fused_at=None)

    def fit(
        self,
        source: Sequence[str],
        target: Sequence[str],
        preserve: Sequence[str] | None = None,
        *,
        name: str | None = None,
        strength: float = 1.0,
        **options: Any,
    ) -> Steering:
        """Fit a steering to the model without what is active, load it and return it; see `adapters.fit`."""
        from lineas.adapters.problems import fit

        self._check_free(name)
        enabled = self._enabled
        self.disable_steering()
        try:
            steering = fit(self.pipe, source, target, preserve, **options)
        finally:
            self._change(enabled=enabled)
        self.load_steering(steering, name, strength)
        return steering

    def save_pretrained(self, folder: str | Path, **options: Any) -> None:
        """Write a checkpoint that stock classes load, with what is active in its weights.

        A language model is written with its tokenizer where the pipeline has one. folder, options: as the
        model's own `save_pretrained` takes them. The model is as before afterwards.
        Raises `ExportError`, before anything is written, when a steering cannot be folded or the stock class
        cannot hold the biases that it needs; see `adapters.steered_checkpoint`.
        """
        from lineas.adapters.language.checkpoint import check_stock, save_steered

        fused_at = self._fused_at
        self.fuse_steering(1.0 if fused_at is None else fused_at)
        try:
            components = module_tree(self.pipe)
            if hasattr(getattr(components.get(""), "config", None), "model_type"):
                tokenizer = getattr(self.pipe, "tokenizer", None)
                save_steered(components[""], folder, tokenizer, **options)
            else:
                check_stock(components)
                self.pipe.save_pretrained(folder, **options)
        finally:
            if fused_at is None:
                self.unfuse_steering()

    def to(self, *args: Any, **kwargs: Any) -> SteeredModel:
        """Move or cast the model; unlike its own `to`, this returns the wrapper."""
        moved = self.pipe.to(*args, **kwargs)
        self.pipe = self.pipe if moved is None else moved
        return self

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self._look_up_again()
        try:
            result = self.pipe(*args, **kwargs)
        except BaseException:
            if self._applied is not None:
                self._applied.forget_runs()
            raise
        if self._applied is not None:
            self._applied.tell_of_silence()
        return result

    def __getattr__(self, name: str) -> Any:
        if name in SteeredModel.__slots__:  # not set yet, as in a copy that is being made
            raise AttributeError(name)
        if name == "generate":
            self._look_up_again()
        return getattr(self.pipe, name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name in SteeredModel.__slots__:
            object.__setattr__(self, name, value)
        else:
            setattr(self.pipe, name, value)

    def __deepcopy__(self, memo: dict[int, Any]) -> SteeredModel:
        """A copy of the unsteered model with the same steerings, strengths and state."""
        enabled = self._enabled
        self._change(enabled=False)
        try:
            copied = SteeredModel(copy.deepcopy(self.pipe, memo))
        finally:
            self._change(enabled=enabled)
        copied._loaded, copied._active = dict(self._loaded), dict(self._active)
        copied._enabled, copied._fused_at = self._enabled, self._fused_at
        copied._apply()
        return copied

    def __enter__(self) -> SteeredModel:
        return self

    def __exit__(self, exception: type[BaseException] | None, *_: object) -> None:
        if exception is not None and self._applied is not None:
            self._applied.forget_runs()
        self.unload_steerings()

    def _free_name(self) -> str:
        names = (f"steering-{n}" for n in range(len(self._loaded) + 1))
        return next(name for name in names if name not in self._loaded)

    def _check_free(self, name: str | None) -> None:
        if name in self._loaded:
            raise ConfigError(f"There is a steering {name!r} already. Choose another name, or delete it.")

    def _check_known(self, names: Sequence[str]) -> None:
        unknown = [name for name in names if name not in self._loaded]
        if unknown:
            near = [each for name in unknown for each in get_close_matches(name, self._loaded)]
            hint = f" Near names: {', '.join(near)}." if near else ""
            known = ", ".join(self._loaded) or "none; load one with load_steering"
            raise ConfigError(f"Unknown steering {', '.join(map(repr, unknown))}. Loaded: {known}.{hint}")

    def _change(self, **fields: Any) -> None:
        """Take on other values of these fields, all or none: after a failure or Ctrl-C all is as it was."""
        before = {name: getattr(self, f"_{name}") for name in fields}
        try:
            self._take(fields)
            if list(before.get("active", ())) == list(self._active) and self._applied is not None:
                scale = 1.0 if self._fused_at is None else self._fused_at
                self._applied.set_strength([scale * strength for strength in self._active.values()])
            else:
                self._apply()
        except BaseException:
            self._take(before)
            with suppress(Exception):  # what fails twice is off, and listed as off
                self._apply()
            raise

    def _take(self, fields: dict[str, Any]) -> None:
        for name, value in fields.items():
            setattr(self, f"_{name}", value)

    def _look_up_again(self) -> None:
        """Steer the modules that are at the sites now, where others are there than were steered."""
        if self._applied is not None and self._modules != self._at_sites():
            self._change()

    def _at_sites(self) -> dict[str, nn.Module]:
        table = named_modules(module_tree(self.pipe))
        names = {site.name for name in self._active for site in self._loaded[name].maps}
        return {name: table[name] for name in names if name in table}

    def _apply(self) -> None:
        """Take off what acts, and put on what should."""
        if self._applied is not None:
            self._applied.remove()
        self._applied = None
        if not self._enabled or not self._active:
            return
        self._modules = self._at_sites()
        steerings, scale = [self._loaded[name] for name in self._active], self._fused_at
        strengths = [strength if scale is None else scale * strength for strength in self._active.values()]
        handle = None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of other weights, which loading told already
                handle = (steer if scale is None else fuse)(self.pipe, steerings, strengths)
            self._applied = handle
        except BaseException:
            if handle is not None and self._applied is None:  # an interrupt came before it was kept
                handle.remove()
            raise
