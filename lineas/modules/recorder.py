"""Capture: read module outputs while the model runs, pool them into rows, and feed transformed ones on."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from lineas.errors import MismatchError
from lineas.modules.names import module_tree, resolve
from lineas.steering.site import Site

Transform = Callable[[Site, Tensor], Tensor]
Pool = Callable[[Site, Tensor], Tensor]


def get_output(output: Any, index: int = 0) -> Tensor:
    """Tensor `index` of a module's output: a tensor, a tuple or list, or a dict-like in order of its keys.

    Raises `MismatchError` when there is no tensor at that place.
    """
    parts: Any = output.values() if isinstance(output, Mapping) else output
    parts = [parts] if isinstance(parts, Tensor) else list(parts) if isinstance(parts, Iterable) else []
    if not -len(parts) <= index < len(parts) or not isinstance(parts[index], Tensor):
        got = [type(part).__name__ for part in parts] or type(output).__name__
        raise MismatchError(
            f"Output {index} of the module is not a tensor; it returned {got}. Choose another site."
        )
    return parts[index]


def replace_output(output: Any, index: int, new: Tensor) -> Any:
    """The same kind of output with another tensor at `index`; the old container is left as it was."""
    if isinstance(output, Tensor):
        return new
    if isinstance(output, Mapping):
        replaced: Any = copy.copy(output)
        replaced[list(output)[index]] = new
        return replaced
    parts = list(output)
    parts[index] = new
    if hasattr(output, "_make"):  # a named tuple
        return output._make(parts)
    return type(output)(parts)


def replaying() -> bool:
    """True inside a backward pass, where a forward can only be a checkpointed block replaying itself."""
    return torch._C._current_graph_task_id() != -1


class AllRecorded(BaseException):
    """Ends a run whose last recorded output has come; `Recorder` raises it where it was asked to."""


class Recorder:
    """Context manager: rows of every firing of every site, with an optional transform of what the model sees.

    components: the model, as `module_tree` takes it. sites: what to record; each must exist, else
    `SiteError`.
    transform(site, z) -> z': replaces the output before it is pooled and passed on; None leaves it untouched.
    pool(site, z) -> [rows, d]: what to keep of a firing; None keeps the activation itself.
    firings: end the run by `AllRecorded` after so many in all, as nothing behind the last one matters.

    Gradients flow through transform and rows. A block under gradient checkpointing (use_reentrant=False; the
    reentrant kind cuts rows off from the graph) runs again in the backward pass: the transform is applied
    again, as it must be, but nothing is recorded twice. Rows made in `torch.inference_mode` are inference
    tensors.
    """

    rows: dict[Site, list[Tensor]]
    """[b, d] per firing, in order of firing."""
    order: list[Site]
    """Sites in the order they first fired: the execution order."""
    recording: bool
    """Set it to False to go on transforming without recording."""

    def __init__(
        self,
        components: Any,
        sites: Iterable[Site],
        transform: Transform | None = None,
        pool: Pool | None = None,
        firings: int | None = None,
    ) -> None:
        self._modules = _modules_of(module_tree(components), sites)
        self._transform, self._pool, self._firings = transform, pool, firings
        self._stack = ExitStack()
        self.recording = True
        self.clear()
        self.order = []
        self._fired: set[Site] = set()

    @property
    def silent(self) -> list[Site]:
        """Sites that have not fired: the model does not call these modules, or does not use their outputs."""
        return [site for site in self._modules if site not in self._fired]

    def clear(self) -> None:
        """Forget the rows; the execution order stays."""
        self.rows = {site: [] for site in self._modules}
        self._count = 0

    def __enter__(self) -> Recorder:
        with ExitStack() as stack:
            for site, module in self._modules.items():
                stack.callback(module.register_forward_hook(self._hook(site)).remove)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def _hook(self, site: Site) -> Callable[[nn.Module, Any, Any], Any]:
        def hook(module: nn.Module, args: Any, output: Any) -> Any:
            z = get_output(output, site.output)
            new = z if self._transform is None else self._transform(site, z)
            self._record(site, new)
            return None if self._transform is None else replace_output(output, site.output, new)

        return hook

    def _record(self, site: Site, z: Tensor) -> None:
        if not self.recording:
            return
        # Pooled in a replay too: a checkpointed block must save the same tensors both times.
        rows = z if self._pool is None else self._pool(site, z)
        if replaying():
            return
        self.rows[site].append(rows)
        self._count += 1
        if site not in self._fired:
            self._fired.add(site)
            self.order.append(site)
        if self._firings is not None and self._count >= self._firings:
            raise AllRecorded


def _modules_of(components: Mapping[str, nn.Module], sites: Iterable[Site]) -> dict[Site, nn.Module]:
    return {site: resolve(components, site) for site in sites}
