"""Problems as the solvers of this package take them: photons, response table, batch."""

from __future__ import annotations

from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from invcore import ParameterError, Physics
from invcore.solvers import Problem

from .._models.tcspc import TCSPC
from .detections import Detections, Table, from_counts, tabulate


class Prepared(NamedTuple):
    """Photons of each sample of a batch, and the response."""

    data: list[Detections]
    table: Table
    operator: TCSPC
    batch: torch.Size

    def stacked(self, y: Tensor, images: list[Tensor], samples: list[Any]) -> tuple[Tensor, Tensor, Any]:
        """Return the batch of images (type and device of the data), of changes, and of ``samples``."""
        kind = type(samples[0]) if samples else None
        if kind is None:  # an empty batch
            empty = y.new_zeros(*self.batch, *self.operator.domain.shape)
            return empty, y.new_zeros(self.batch), ()
        joined = kind(*(torch.stack(v).reshape((*self.batch, *v[0].shape)) for v in zip(*samples)))
        x = torch.stack(images).to(y.device, y.dtype).reshape(*self.batch, *images[0].shape)
        return x, joined.change.to(y.device), joined


def require_tcspc(solver: object, physics: Physics) -> TCSPC:
    """Return the operator; raise unless it is a `TCSPC` that can be inverted pixelwise."""
    operator = physics.operator
    name = type(solver).__name__
    if not isinstance(operator, TCSPC):
        raise ParameterError(f"{name} is for the operator TCSPC (lidar.tcspc), got {type(operator).__name__}")
    for part in ("psf", "delay"):
        if getattr(operator, part) is not None:
            raise ParameterError(
                f"{name} takes a TCSPC without {part}: continue from its result with a general solver, "
                "such as 'lbfgs'"
            )
    return operator


_MADE: WeakKeyDictionary[Problem, Prepared] = WeakKeyDictionary()


def prepared(problem: Problem) -> Prepared:
    """Return the photons of a problem; cached for the lifetime of the problem."""
    if problem not in _MADE:
        operator = problem.A
        assert isinstance(operator, TCSPC)
        y = problem.y
        batch = y.shape[: y.ndim - 3]
        data = [from_counts(c, operator.bin_width, operator.start) for c in y.reshape(-1, *y.shape[-3:])]
        _MADE[problem] = Prepared(data, tabulate(operator.impulse, operator.bin_width), operator, batch)
    return _MADE[problem]


def per_sample(held: Any, index: int, batch: torch.Size) -> Any:
    """Return sample ``index`` of a batch of named tuples of tensors."""
    return type(held)(*(v.reshape((-1, *v.shape[len(batch) :]))[index] for v in held))
