"""Checks of posterior samplers: ``sampler(y, physics, generator=g)`` draws an image per item."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import DataError, InvcoreError, ParameterError, ShapeError
from .._physics import Physics
from ..noises import GaussianNoise
from ..operators import Matrix
from ..priors import Tikhonov
from ..spaces import check
from ._checks import fail, require_refused, skip
from ._operator_inputs import require_no_global_randomness
from ._probes import cast, distance, require_same, seeded, snapshot

_DRAWS = 4000
_SIGMA = 0.6


def _physics() -> Physics:
    matrix = torch.tensor([[1.0, 0.5], [0.0, 1.2], [0.7, -0.4]], dtype=torch.float64)
    return Physics(operator=Matrix(matrix=matrix), noise=GaussianNoise(sigma=_SIGMA))


def _data(batch: tuple[int, ...] = ()) -> Tensor:
    return torch.tensor([0.8, -1.1, 0.4], dtype=torch.float64).expand(*batch, 3)


def _posterior(sampler: Any) -> tuple[Tensor, Tensor]:
    """Mean and covariance of x | y for y = A x + n and the prior density ∝ exp(-λ‖x‖²/2)."""
    if not isinstance(getattr(sampler, "prior", None), Tikhonov):
        skip("the posterior is known for the prior Tikhonov() only; register an example with it")
    weight = float(getattr(sampler, "weight", 1.0))
    matrix = _physics().operator.matrix  # type: ignore[attr-defined]
    covariance = torch.linalg.inv(matrix.mT @ matrix / _SIGMA**2 + weight * torch.eye(2, dtype=torch.float64))
    return covariance @ matrix.mT @ _data() / _SIGMA**2, covariance


def check_result_is_an_image(sampler: Any) -> None:
    """A draw lies in the domain of the operator, in the precision of the data, one for each of the batch."""
    for dtype in (torch.float32, torch.float64):
        for batch in ((), (3,)):
            x = sampler(cast(_data(batch), dtype), _physics().to(dtype), generator=seeded(0))
            check(x, _physics().domain, "the draw")
            if x.dtype != dtype or tuple(x.shape) != (*batch, 2):
                fail(f"data {dtype} of batch {batch} give {x.dtype} {tuple(x.shape)}")


def check_posterior_mean(sampler: Any) -> None:
    """On a Gaussian problem the mean of many draws is the posterior mean."""
    mean, covariance = _posterior(sampler)
    x = _draws(sampler)
    deviation = torch.linalg.solve_triangular(
        torch.linalg.cholesky(covariance), (x.mean(0) - mean).unsqueeze(-1), upper=False
    )
    worst = float(deviation.abs().max()) * _DRAWS**0.5
    if not worst < 6:
        fail(
            f"the mean of {_DRAWS} draws is {worst:.0f} standard errors from the posterior mean "
            f"{mean.tolist()}: {x.mean(0).tolist()}"
        )


def check_posterior_covariance(sampler: Any) -> None:
    """On a Gaussian problem the covariance of many draws is the posterior covariance."""
    _, covariance = _posterior(sampler)
    x = _draws(sampler)
    factor = torch.linalg.cholesky(covariance)
    white = torch.linalg.solve_triangular(factor, (x - x.mean(0)).mT, upper=False)
    found = white @ white.mT / (_DRAWS - 1)
    error = float((found - torch.eye(2, dtype=torch.float64)).abs().max())
    if not error < 0.15:
        fail(
            f"the covariance of the draws is {float(found.diagonal().mean()):.3g} x that of the posterior "
            f"(largest difference of the whitened one {error:.2g}, allowed 0.15)"
        )


def _draws(sampler: Any) -> Tensor:
    return sampler(_data((_DRAWS,)), _physics(), generator=seeded(1))


def check_uses_its_generator(sampler: Any) -> None:
    """The same seed gives the same draw, another seed another; draws of a batch differ."""
    y, physics = _data((2,)), _physics()
    first, again, other = (sampler(y, physics, generator=seeded(s)) for s in (1, 1, 2))
    if distance(again, first) > 0:
        fail("the same seed gives another draw: the generator is ignored, or state is kept")
    if distance(other, first) == 0:
        fail("another seed gives the same draw: the generator is ignored")
    if distance(first[0], first[1]) == 0:
        fail("two samples of a batch with equal data get the same draw")


def check_batch_split_invariance(sampler: Any) -> None:
    """The same seed gives a sample the same draw whether its batch-mates have these or other data."""
    y, physics = _data((3,)), _physics()
    mates = y.clone()
    mates[1:] = 100.0
    require_same(
        sampler(mates, physics, generator=seeded(3))[0],
        sampler(y, physics, generator=seeded(3))[0],
        1e-9,
        "the draw for a sample changes with its batch-mates",
    )


def check_no_global_randomness(sampler: Any) -> None:
    """Nothing reads or advances the random state of torch, numpy or Python."""
    require_no_global_randomness(
        lambda: sampler(_data((2,)), _physics(), generator=seeded(0)), type(sampler).__name__
    )


def check_needs_a_generator(sampler: Any) -> None:
    """Without a generator it raises a ParameterError or a TypeError."""
    call = functools.partial(sampler, _data(), _physics())
    require_refused("a call without a generator", (ParameterError, TypeError), call)


def check_bad_data_raises(sampler: Any) -> None:
    """NaN raises an error, a wrong shape a ShapeError; the data are not changed."""
    physics, y = _physics(), _data().clone()
    kept = snapshot(y)
    sampler(y, physics, generator=seeded(0))
    if kept.changed():
        fail("sampling changes its data in place")
    broken = y.clone()
    broken[0] = float("nan")
    cases: tuple[tuple[str, Tensor, tuple[type[Exception], ...]], ...] = (
        ("NaN in the data", broken, (DataError, InvcoreError)),
        ("data one entry too long", torch.cat([y, y[:1]]), (ShapeError,)),
    )
    for what, value, kinds in cases:
        require_refused(what, kinds, functools.partial(sampler, value, physics, generator=seeded(0)))


def checks(sampler: Any) -> list[Callable[[Any], None]]:
    """The checks for a sampler."""
    return [
        check_result_is_an_image,
        check_posterior_mean,
        check_posterior_covariance,
        check_uses_its_generator,
        check_batch_split_invariance,
        check_no_global_randomness,
        check_needs_a_generator,
        check_bad_data_raises,
    ]
