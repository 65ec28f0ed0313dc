"""How far the draws of a sampler are from a posterior known in closed form."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch

from .._errors import ParameterError
from ..operators import Space
from ..samplers import Sampler
from ._draws import DrawErrors, Truth
from ._known import SIGMA, KnownPrior, data_of, physics_of, posterior_of
from ._probes import seeded

_TOGETHER = 2**20
"""Numbers of the images that are drawn side by side."""


def posterior_errors(
    make: Callable[[KnownPrior], Sampler],
    *,
    prior: Literal["gaussian", "mixture"] = "gaussian",
    operator: Literal["identity", "mask", "blur", "matrix", "nothing"] = "blur",
    shape: tuple[int, ...] = (1, 2),
    sigma: float = SIGMA,
    draws: int = 10_000,
    seed: int = 0,
) -> DrawErrors:
    """Compare the draws of a sampler with the posterior of a linear operator with Gaussian noise.

    What the conformance kit asks of two pixels, for images of any size: to see an error fall with the number
    of steps, or how large a bias is. Errors hold the statistical one, about 1/√draws for mean and variances.

    Parameters
    ----------
    make : callable
        As `SamplerExample.make`.
    prior : {"gaussian", "mixture"}
        `KnownPrior.gaussian` or `KnownPrior.mixture`.
    operator : {"identity", "mask", "blur", "matrix", "nothing"}
        The mask hides every other pixel, the blur is circular, the matrix random with norm 1; "nothing" hides
        all, so that the posterior is the prior.
    shape : tuple of int
        (channel, *spatial)
    sigma : float
        Standard deviation of the noise.
    draws : int
    seed : int

    Returns
    -------
    DrawErrors

    Examples
    --------
    >>> from typing import NamedTuple
    >>> from invcore.samplers import Sampler
    >>> class State(NamedTuple):
    ...     x: torch.Tensor
    >>> class Prior(Sampler):  # draws without a look at the data
    ...     denoiser: object
    ...     burn_in: int = 0
    ...     def init(self, problem, generator):
    ...         batch = problem.start().shape[:-2]
    ...         return State(self.denoiser.sample(tuple(batch), generator=generator))
    ...     def step(self, problem, state, generator): return self.init(problem, generator)
    >>> errors = posterior_errors(lambda known: Prior(denoiser=known.denoiser), operator="nothing")
    >>> errors.mean < 0.05, errors.variance < 0.05
    (True, True)
    >>> posterior_errors(lambda known: Prior(denoiser=known.denoiser)).variance > 1
    True
    """
    if prior not in ("gaussian", "mixture"):
        raise ParameterError(f"posterior_errors: prior must be 'gaussian' or 'mixture', got {prior!r}")
    known = KnownPrior.gaussian(shape) if prior == "gaussian" else KnownPrior.mixture(shape)
    physics = physics_of(operator, Space(shape), sigma)
    y, sampler = data_of(known, physics), make(known)
    generator, found = seeded(seed), []
    together = max(1, _TOGETHER // known.space.size)
    for first in range(0, draws, together):
        chains = min(together, draws - first)
        chain = sampler.chain(y, physics, draws=1, chains=chains, keep=0, generator=generator)
        found.append(known.vectors(chain.last))
    return Truth(posterior_of(known, physics, y), draws).errors(torch.cat(found))
