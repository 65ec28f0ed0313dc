"""Weights of particles: their effective number, resampling, and the draw of one.

Particles are the first dimension, before the batch; each item has particles, weights and random numbers of
its own, as many numbers whatever the data are.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from invcore.spaces import tree_map


def effective_size(log_weights: Tensor) -> Tensor:
    """(Σ w)² / Σ w² of log-weights (particle, batch...): so many equally weighted ones would do as well."""
    return torch.exp(2 * log_weights.logsumexp(0) - (2 * log_weights).logsumexp(0))


def systematic(log_weights: Tensor, number: int, generator: torch.Generator) -> Tensor:
    """Draw numbers of particles: N equally spaced points, shifted at random, in the cumulative weights [1]_.

    Each particle is drawn N w times, rounded up or down at random.

    Parameters
    ----------
    log_weights : Tensor, shape (particle, batch...)
    number : int
        N.
    generator : torch.Generator

    Returns
    -------
    Tensor, shape (number, batch...)

    References
    ----------
    .. [1] G. Kitagawa, "Monte Carlo filter and smoother for non-Gaussian nonlinear state space models",
       J. Comput. Graph. Stat. 5 (1996).
    """
    cumulative = log_weights.softmax(0).cumsum(0).movedim(0, -1).contiguous()
    shift = torch.rand(
        cumulative.shape[:-1], generator=generator, dtype=cumulative.dtype, device=generator.device
    )
    points = (torch.arange(number, device=shift.device) + shift.unsqueeze(-1)) / number
    found = torch.searchsorted(cumulative, points.to(cumulative.device) * cumulative[..., -1:], right=True)
    return found.clamp(max=len(log_weights) - 1).movedim(-1, 0)


def chosen(particles: Tensor, index: Tensor) -> Tensor:
    """The particles with these numbers (particle, batch...), of a tensor (particle, batch..., *shape)."""
    where = index.reshape(*index.shape, *(1,) * (particles.ndim - index.ndim))
    return torch.take_along_dim(particles, where, 0)


def one_of(particles: Tensor, log_weights: Tensor, generator: torch.Generator) -> Tensor:
    """One particle for each item, drawn by weight, shape (batch..., *shape)."""
    return chosen(particles, systematic(log_weights, 1, generator))[0]


def resampled(
    held: Any, log_weights: Tensor, threshold: float, generator: torch.Generator
) -> tuple[Any, Tensor]:
    """Resample the items whose effective number of particles is below ``threshold`` times their number.

    Parameters
    ----------
    held : Tensor or tuple of Tensor, shape (particle, batch..., *shape)
        Particles, and what else is known of each.
    log_weights : Tensor, shape (particle, batch...)
        Normalized: they sum to one.
    threshold : float
    generator : torch.Generator

    Returns
    -------
    held, log_weights
    """
    number = len(log_weights)
    poor = effective_size(log_weights) < threshold * number
    all_of_them = torch.arange(number, device=log_weights.device).reshape(-1, *(1,) * poor.ndim)
    index = torch.where(poor, systematic(log_weights, number, generator), all_of_them)
    return tree_map(lambda t: chosen(t, index), held), torch.where(poor, -math.log(number), log_weights)
