"""Consumers: which linear layers take in what a norm gives out, found by watching the model run once.

A shift b after a norm without a bias is a change W·b of the bias of every linear layer that follows, provided
that nothing else sees the norm's output. Whether that is so is observed, not guessed from names.
"""

from __future__ import annotations

import inspect
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from lineas.apply.fold_rules import obstacle
from lineas.maps.affine import AffineMap

Consumers = tuple[nn.Linear, ...]


def linear_consumers(root: nn.Module, norms: Iterable[nn.Module]) -> dict[nn.Module, Consumers]:
    """Of these modules, those whose output goes into plain linear layers and nowhere else, with the layers.

    root: a language model of transformers; it is run on two tokens, without a gradient or a trace. For other
    models, and for those that cannot be run like this, nothing is found.
    """
    norms = set(norms)
    if not norms or not takes_tokens(root):
        return {}
    watch = _Watch({id(m.weight): m for m in root.modules() if type(m) is nn.Linear})
    try:
        with ExitStack() as stack:
            for norm in norms:
                stack.callback(norm.register_forward_hook(partial(_note, watch)).remove)
            stack.enter_context(undisturbed(root))
            stack.enter_context(watch)
            root(input_ids=two_tokens(root), use_cache=False)
    except Exception:  # a model may refuse the trial in any way, and then hooks serve it
        return {}
    return {norm: followers for norm in norms if (followers := watch.followers(norm))}


class _Watch(TorchFunctionMode):
    """Notes every torch function that takes in a watched tensor: the linear layer it belongs to, or None."""

    def __init__(self, layers: Mapping[int, nn.Linear]) -> None:
        super().__init__()
        self.layers = layers
        self.outputs: dict[int, tuple[nn.Module, Tensor]] = {}  # tensors are kept, so that ids stay theirs
        self.uses: dict[nn.Module, dict[nn.Linear | None, None]] = {}
        self.calls: Counter[nn.Linear] = Counter()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        if (layer := self._layer(func, args)) is not None:
            self.calls[layer] += 1
        for position, tensor in enumerate(_tensors((args, kwargs or {}))):
            found = self.outputs.get(id(tensor))
            if found is not None and any(True for _ in _tensors(result)):  # else it only asks for a shape
                self.uses[found[0]][self._layer(func, args) if position == 0 else None] = None
        return result

    def _layer(self, func: Any, args: Any) -> nn.Linear | None:
        """The module that this call is the work of, if it is a linear layer's."""
        is_linear = func is nn.functional.linear and len(args) > 1
        return self.layers.get(id(args[1])) if is_linear else None

    def followers(self, norm: nn.Module) -> Consumers:
        """Everything that took in the norm's output; empty where something else than linear layers did."""
        used = list(self.uses.get(norm, ()))
        layers = tuple(layer for layer in used if layer is not None and _can_shift(layer))
        # A layer that also works on something else would shift that too.
        alone = all(self.calls[layer] == 1 for layer in layers)
        return layers if alone and len(layers) == len(used) else ()


def _note(watch: _Watch, module: nn.Module, args: Any, output: Any) -> None:
    outputs = list(_tensors(output))
    # A module that runs twice, or gives out more than one tensor, is none of those that can be followed.
    twice = module in watch.uses or len(outputs) != 1
    watch.uses[module] = {None: None} if twice else {}
    for tensor in outputs:
        watch.outputs[id(tensor)] = (module, tensor)


def _can_shift(layer: nn.Linear) -> bool:
    d = layer.weight.shape[0]
    return obstacle(layer, AffineMap(torch.zeros(d), torch.ones(d))) is None


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _tensors(each)
    elif isinstance(value, (tuple, list)):
        for each in value:
            yield from _tensors(each)


def takes_tokens(root: nn.Module) -> bool:
    """Whether this is a language model of transformers that runs on token ids alone."""
    encodes = getattr(getattr(root, "config", None), "is_encoder_decoder", False)
    return not encodes and {"input_ids", "use_cache"} <= set(inspect.signature(root.forward).parameters)


def two_tokens(root: Any) -> Tensor:
    """[1, 2] token ids, where the model takes them in."""
    return torch.zeros((1, 2), dtype=torch.long, device=root.get_input_embeddings().weight.device)


@contextmanager
def undisturbed(root: nn.Module) -> Iterator[None]:
    """Evaluation mode and no gradient for the trial; modes and random state are as before afterwards."""
    modes = {module: module.training for module in root.modules()}
    try:
        for module in modes:
            module.training = False
        with torch.inference_mode(False), torch.no_grad(), torch.random.fork_rng():
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
