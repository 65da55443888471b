"""The parameters of all steered sites, as one."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from lineas.maps.base import Map
from lineas.maps.parameters import Parameters
from lineas.maths.penalties import SparseGroupLasso
from lineas.maths.proximal import ProximalOptimizer
from lineas.methods.lineas.config import TrainConfig
from lineas.steering.site import Site


class ParameterSet(dict[Site, Parameters]):
    """{Site: parameters of its map}, in execution order."""

    def all(self) -> list[Tensor]:
        """Every parameter of every site, in a fixed order."""
        return [parameter for each in self.values() for parameter in each.all()]

    def copies(self) -> list[Tensor]:
        """Detached copies of `all`, as `restore` takes them."""
        return [parameter.detach().clone() for parameter in self.all()]

    def restore(self, values: Iterable[Tensor]) -> None:
        """Set every parameter to a copy's values."""
        with torch.no_grad():
            for parameter, value in zip(self.all(), values, strict=True):
                parameter.copy_(value)

    @property
    def at_identity(self) -> bool:
        """True where no map changes anything."""
        return all(map.is_identity for map in self.maps().values())

    def maps(self) -> dict[Site, Map]:
        """Copies of the maps as they are, which later steps leave alone."""
        with torch.inference_mode(False), torch.no_grad():
            return {site: parameters.map().copied() for site, parameters in self.items()}

    def sparsity(self) -> float:
        """Share of the units, 0..1, that the maps do not touch."""
        with torch.no_grad():
            moved = [each.map().support for each in self.values()]
        return 1 - sum(int(units.sum()) for units in moved) / sum(units.numel() for units in moved)

    def bad_site(self) -> Site | None:
        """The first site with a parameter that is not finite."""
        each = self.items()
        return next((s for s, p in each if not all(bool(t.isfinite().all()) for t in p.all())), None)

    def optimizer(self, config: TrainConfig) -> ProximalOptimizer:
        """A fresh optimiser of all parameters; the penalty acts on those that it may shrink."""
        penalised = [p for each in self.values() for p in each.penalised()]
        free = [p for each in self.values() for p in each.free()]
        base = torch.optim.Adam if config.optimizer == "adam" else torch.optim.SGD
        groups: list[dict[str, Any]] = [{"params": group} for group in (penalised, free) if group]
        proxes = [SparseGroupLasso(config.l1, config.group).prox, None][: len(groups)]
        return ProximalOptimizer(base(groups, lr=config.learning_rate), proxes, config.sparsity)
