"""Validation: metrics of the model on held-out data, and which weights were the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Module

from invcore import Physics
from invcore.losses import Loss

from .._losses.base import of_samples
from .._losses.wrapped import at_step
from .evaluate import default_metrics, examine, judged
from .measure import Entries
from .options import Loading, Validation

if TYPE_CHECKING:
    from lightning_fabric import Fabric


class Judge:
    """The metrics of a training, the first of which decides; without references the loss does.

    Attributes
    ----------
    metrics : dict of str to Metric
        Empty where the loss decides.
    """

    def __init__(
        self,
        validation: Validation,
        physics: Sequence[Physics],
        loss: Loss,
        loading: Loading,
        seed: int,
        fabric: Fabric,
    ) -> None:
        self.validation, self.physics, self.loss, self.seed = validation, physics, loss, seed
        self.parameters: Mapping[str, Callable[..., Any]] = loading.parameters
        self.batch, self.fabric = loading.batch, fabric
        _, first = Entries(validation.dataset)[0, 0]
        default = {} if first.x is None else default_metrics(physics[0])
        self.metrics = dict(default if validation.metrics is None else validation.metrics)

    def means(self, model: Module, pictures: int) -> tuple[dict[str, float], Tensor | None]:
        """Means of the metrics over all processes, and some reconstructions."""
        fabric, data = self.fabric, self.validation.dataset
        values = torch.zeros(max(len(self.metrics), 1), dtype=torch.float64)
        kept: list[Tensor] = []
        share = {"rank": fabric.global_rank, "processes": fabric.world_size}
        made = {"batch": self.batch, "seed": self.seed}
        at_step(model, 0)  # draws that do not depend on when it is judged
        for one, x_hat, _ in examine(model, self.physics, data, self.parameters, **made, **share):
            if self.metrics:
                each = [judged(metric, x_hat, one.x) for metric in self.metrics.values()]
            else:
                loss: Any = self.loss.at(0) if hasattr(self.loss, "at") else self.loss
                index = tuple(i for _, i in one.keys)
                at_step(model, 0, index)
                loss = of_samples(loss, index)
                with torch.no_grad():
                    each = [loss(x_hat, one.x, one.y, one.physics, model).cpu()]
            values += torch.stack([v.double().sum() for v in each])
            if sum(map(len, kept)) < pictures:
                kept.append(x_hat.cpu())
        if fabric.world_size > 1:
            values = torch.as_tensor(fabric.all_reduce(values, reduce_op="sum"))
        values = values / len(data)
        return (
            {f"validation_{name}": v for name, v in zip(self.metrics or ["loss"], values.tolist())},
            torch.cat(kept)[:pictures] if kept else None,
        )

    def since_best(self, history: Sequence[Mapping[str, float]]) -> int:
        """Validations since the best one; -1 if there was none."""
        name, metric = next(iter(self.metrics.items()), ("loss", None))
        sign = -1 if getattr(metric, "higher_is_better", False) else 1
        values = [sign * row[key] for row in history if (key := f"validation_{name}") in row]
        known = [math.inf if math.isnan(v) else v for v in values]
        return len(values) - 1 - known.index(min(known)) if values else -1

    def exhausted(self, history: Sequence[Mapping[str, float]]) -> bool:
        """True if patience is at its end."""
        patience = self.validation.patience
        return patience is not None and self.since_best(history) >= patience
