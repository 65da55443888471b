"""The exact full-batch gradient, in the memory of one micro-batch, or of more where that is free."""

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
            self.batches.fitting(self._accumulate, backward=True)
            self._add_up()
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
        self.batches.graphs.count = 0
        self._source()
        self._preserve()

    def _source(self) -> None:
        """The gradient of the cost, a function of all source rows at once.

        More than one micro-batch: a first pass collects the rows, the cost is differentiated with respect to
        them, and each micro-batch's share is sent back, through its graph where it was kept, else through
        that of a second pass. The last micro-batch is never run twice. Of several processes each does so with
        its own micro-batches; one that has none runs the first, as a pattern of the rows.
        """
        batches = self.batches.of("source")
        own = self.batches.processes.own(batches)
        *others, last = own or batches[:1]
        parts = [self._first_pass(batch) for batch in others]
        with self._rows("source", last) as rows:
            if len(batches) == 1:
                self._backward([self.objective.cost(rows)])
                return
            shares = self._shares([*parts, rows], len(batches))
            if not own:
                return
            self._backward(_flat(rows), shares.pop())
        for batch, share in zip(others, shares, strict=True):
            part = parts.pop(0)
            if any(each.requires_grad for each in _flat(part)):
                self._backward(_flat(part), share)
                self.batches.graphs.count -= 1
            else:
                with self._rows("source", batch) as rows:
                    self._backward(_flat(rows), share)

    def _first_pass(self, batch: Sequence[int]) -> Rows:
        """Rows of a micro-batch, with their graph where there is room for it."""
        graphs, device = self.batches.graphs, next(iter(self.objective.spreads.values()))[0].device
        if not graphs.possible:
            return self._without_graph(batch)
        if not graphs.bytes_per_prompt:
            graphs.measure(lambda: self._with_graph(batch), len(batch))
        if not graphs.has_room(len(batch), device):
            return self._without_graph(batch)
        graphs.count += 1
        return self._with_graph(batch)

    def _with_graph(self, batch: Sequence[int]) -> Rows:
        with self._rows("source", batch) as rows:
            return rows

    @torch.no_grad()
    def _without_graph(self, batch: Sequence[int]) -> Rows:
        return self._with_graph(batch)

    def _shares(self, own: Sequence[Rows], count: int) -> list[tuple[Tensor, ...]]:
        """The gradient of the cost with respect to this process's rows, in the order of `_flat`.

        count: micro-batches in all processes.
        """
        parts = self.batches.gathered(own, count)
        leaves = {
            site: [rows.detach().requires_grad_() for rows in each] for site, each in joined(parts).items()
        }
        self.objective.cost(leaves).backward()
        sizes = zip(*([len(rows) for rows in _flat(part)] for part in parts), strict=True)
        gradients = [torch.zeros_like(leaf) if leaf.grad is None else leaf.grad for leaf in _flat(leaves)]
        each = zip(*(g.split(list(n)) for g, n in zip(gradients, sizes, strict=True)), strict=True)
        return self.batches.processes.own(list(each))

    def _preserve(self) -> None:
        """The preserve term is a sum over prompts, so each micro-batch goes back at once."""
        batches = self.batches.alike("preserve") if self.objective.preserves else []
        for batch in self.batches.processes.own(batches):
            with self._rows("preserve", batch) as rows:
                self._backward([self.objective.preserve(rows, batch)])

    def _add_up(self) -> None:
        """Gradients and figures of all prompts, from those of each process's share."""
        processes, last = self.batches.processes, self.objective.last
        if processes.count == 1:
            return
        shares = processes.told((last.objective - last.preserve, last.preserve, last.bad_site))
        last.preserve = sum(preserve for _, preserve, _ in shares)
        # The first one's: all decide by the same number, on whatever kind of device it was computed.
        last.objective = shares[0][0] + last.preserve
        last.bad_site = next((site for _, _, site in shares if site is not None), None)
        everything = [parameter for each in self.parameters.values() for parameter in each.all()]
        sums = processes.sum([parameter.grad for parameter in everything], everything)
        for parameter, gradient in zip(everything, sums, strict=True):
            parameter.grad = gradient

    def _parts(self, group: Group) -> list[Rows]:
        def run(batch: list[int]) -> Rows:
            with self._rows(group, batch) as rows:
                return rows

        return self.batches.each(group, run)

    @contextmanager
    def _rows(self, group: Group, indices: Sequence[int]) -> Iterator[Rows]:
        """Rows with the maps at work, until the block ends: recomputation needs them again."""
        maps = self._maps()
        with at_work(maps, self._holders) as left:

            def transform(site: Site, z: Tensor) -> Tensor:
                if site in left:
                    return left[site](site, z)
                return (
                    self.batches.problem.steered(maps[site], site, z, group, indices) if site in maps else z
                )

            with self.batches.problem.recording(group, indices, transform, self.pooling[group]) as rows:
                yield rows

    def _maps(self) -> dict[Site, Map]:
        return {site: parameters.map() for site, parameters in self.parameters.items()}

    def _backward(self, outputs: list[Tensor], gradients: Sequence[Tensor] | None = None) -> None:
        """Rows that no parameter reaches, as those of sites before the first steered one, go nowhere."""
        gradients = gradients or [torch.ones_like(output) for output in outputs]
        pairs = zip(outputs, gradients, strict=True)
        sent = [(output, gradient * self.scale) for output, gradient in pairs if output.requires_grad]
        torch.autograd.backward([output for output, _ in sent], [gradient for _, gradient in sent])


def _flat(rows: Rows) -> list[Tensor]:
    return [each for firings in rows.values() for each in firings]


def _finite(tensors: Sequence[Tensor]) -> bool:
    return all(bool(torch.isfinite(tensor).all()) for tensor in tensors)
