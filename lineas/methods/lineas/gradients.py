"""The exact full-batch gradient, in the memory of one micro-batch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor

from lineas.fitting.micro_batches import MicroBatches, joined
from lineas.fitting.problem import Group, Rows
from lineas.fitting.trained_weights import at_work, holders
from lineas.maps.base import Map
from lineas.maps.parameters import Parameters
from lineas.maths.pooling import Pooling
from lineas.methods.lineas.objective import Objective, Report
from lineas.steering.site import Site

HALF_PRECISION_SCALE = 2.0**12
SMALLEST_SCALE = 2.0**-12


class FullGradient:
    """Called, it puts the gradient of the objective over all prompts into the parameters' `grad`.

    Sites without parameters are left as they are; their rows count all the same.

    pooling: how the activations of the source and of the preserve prompts become rows.

    scale: what the loss is multiplied by on its way through a float16 model, whose gradients would vanish or
    overflow otherwise; 1 for other models. It falls by itself where gradients overflow.
    """

    def __init__(
        self,
        objective: Objective,
        parameters: Mapping[Site, Parameters],
        batches: MicroBatches,
        pooling: Mapping[Group, Pooling],
    ) -> None:
        self.objective, self.parameters, self.batches, self.pooling = objective, parameters, batches, pooling
        self._is_half = any(
            weight.dtype == torch.float16
            for component in batches.problem.components.values()
            for weight in component.parameters()
        )
        self.scale = HALF_PRECISION_SCALE if self._is_half else 1.0
        self._holders = holders(batches.problem.components, self._maps())

    def __call__(self) -> tuple[str, Site] | None:
        """None, or what is not finite and the first site in execution order where it is not."""
        while True:
            self.batches.fitting(self._accumulate)
            if self.objective.last.bad_site is not None:
                return "The cost", self.objective.last.bad_site
            bad = [site for site, each in self.parameters.items() if not _finite(each.gradients())]
            if not bad:
                break
            if not self._is_half or self.scale <= SMALLEST_SCALE:
                return "The gradient", bad[0]
            self.scale /= 8
        for each in self.parameters.values():
            for gradient in each.gradients():
                gradient /= self.scale
        return None

    @torch.no_grad()
    def evaluate(self) -> Report:
        """The figures at the parameters as they are, without a gradient."""
        self.batches.fitting(self._figures)
        return self.objective.last

    def _figures(self) -> None:
        self.objective.cost(joined(self._parts("source")))
        if self.objective.preserves:
            everyone = range(self.batches.problem.sizes["preserve"])
            self.objective.preserve(joined(self._parts("preserve")), everyone)

    def _accumulate(self) -> None:
        for each in self.parameters.values():
            each.forget_gradients()
        self._source()
        self._preserve()

    def _source(self) -> None:
        """The gradient of the cost, a function of all source rows at once.

        More than one micro-batch: a first pass collects the rows, the cost is differentiated with respect to
        them, and a second pass sends each micro-batch's share back.
        """
        batches = self.batches.of("source")
        if len(batches) == 1:
            with self._rows("source", batches[0]) as rows:
                self._backward([self.objective.cost(rows)])
            return
        with torch.no_grad():
            parts = self._parts("source")
        whole = joined(parts)
        leaves = {site: [rows.detach().requires_grad_() for rows in each] for site, each in whole.items()}
        self.objective.cost(leaves).backward()
        for batch, shares in zip(batches, _shares(leaves, parts), strict=True):
            with self._rows("source", batch) as rows:
                self._backward(_flat(rows), shares)

    def _preserve(self) -> None:
        """The preserve term is a sum over prompts, so each micro-batch goes back at once."""
        for batch in self.batches.alike("preserve") if self.objective.preserves else []:
            with self._rows("preserve", batch) as rows:
                self._backward([self.objective.preserve(rows, batch)])

    def _parts(self, group: Group) -> list[Rows]:
        parts = []
        for batch in self.batches.of(group):
            with self._rows(group, batch) as rows:
                parts.append(rows)
        return parts

    @contextmanager
    def _rows(self, group: Group, indices: Sequence[int]) -> Iterator[Rows]:
        """Rows with the maps at work, until the block ends: recomputation needs them again."""
        with (
            at_work(self._maps(), self._holders) as transform,
            self.batches.problem.recording(group, indices, transform, self.pooling[group]) as rows,
        ):
            yield rows

    def _maps(self) -> dict[Site, Map]:
        return {site: parameters.map() for site, parameters in self.parameters.items()}

    def _backward(self, outputs: list[Tensor], gradients: Sequence[Tensor] | None = None) -> None:
        """Rows that no parameter reaches, as those of sites before the first steered one, go nowhere."""
        gradients = gradients or [torch.ones_like(output) for output in outputs]
        pairs = zip(outputs, gradients, strict=True)
        sent = [(output, gradient * self.scale) for output, gradient in pairs if output.requires_grad]
        torch.autograd.backward([output for output, _ in sent], [gradient for _, gradient in sent])


def _shares(leaves: Rows, parts: Sequence[Rows]) -> list[tuple[Tensor, ...]]:
    """Each micro-batch's gradients, in the order of `_flat`."""
    sizes = zip(*([len(rows) for rows in _flat(part)] for part in parts), strict=True)
    gradients = [leaf.grad for leaf in _flat(leaves) if leaf.grad is not None]
    return list(zip(*(g.split(list(n)) for g, n in zip(gradients, sizes, strict=True)), strict=True))


def _flat(rows: Rows) -> list[Tensor]:
    return [each for firings in rows.values() for each in firings]


def _finite(tensors: Sequence[Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
