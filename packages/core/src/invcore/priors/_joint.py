"""Proximal operators of sums Σ wᵢ hᵢ(Kᵢx) that are no formula: an iteration on the dual problem."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from .._variation.dual import dual_prox
from ..operators import Space
from ..spaces import batch_shape, zeros
from ._base import Part, Prior
from ._constraints import Box, NonNegative


def prox_of_parts(
    prior: Any,
    x: Any,
    step: float | Tensor,
    parts: tuple[Part, ...],
    *,
    inner: Prior | None = None,
    start: tuple[Any, ...] | None = None,
) -> tuple[Any, tuple[Any, ...]]:
    """The proximal operator of a prior of these parts and an exact ``inner`` one, and the dual variables.

    Raises
    ------
    ParameterError
        If there is no duality gap, because the conjugate of a part is not known or a part is a constraint.
    """
    for part in parts:
        if type(part.prior)._conjugate is Prior._conjugate or isinstance(part.prior, Box | NonNegative):
            raise ParameterError(
                f"the proximal operator of this {type(prior).__name__} is not known, and has no duality gap "
                f"because of {type(part.prior).__name__}: use a solver that takes the terms apart, "
                "'chambolle_pock', 'condat_vu' or 'admm'"
            )
    options: Any = {"inner": inner, "rtol": prior.rtol, "max_steps": prior.max_steps, "start": start}
    z, gap, left = dual_prox(x, prior._steps(step, x), parts, **options)
    prior._warn("prox", gap)
    return z, left


def memory_of_parts(x: Any, parts: tuple[Part, ...], space: Any) -> tuple[Tensor, ...]:
    """The dual variables, at first zero; none where derivatives go through the iteration."""
    ranges = [part.operator.range for part in parts]
    if torch.is_grad_enabled() or not all(isinstance(s, Space) for s in ranges):
        return ()
    batch = batch_shape(x, space)
    return tuple(zeros(s, batch, dtype=x.dtype, device=x.device) for s in ranges)
