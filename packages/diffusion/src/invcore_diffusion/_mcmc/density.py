"""The density of noisy images as a prior: of a denoiser that is a posterior mean."""

from __future__ import annotations

from torch import Tensor

from invcore import Prior
from invcore.denoisers import MMSEDenoiser
from invcore.operators import Space, SpaceLike


class NoisyDensity(Prior):
    """g(x) = -log p_σ(x), for a denoiser with a known density, so that ∇g(x) = (x - D(x, σ))/σ² (Tweedie).

    Parameters
    ----------
    denoiser : MMSEDenoiser
    sigma : float

    Examples
    --------
    >>> import invcore
    >>> import torch
    >>> D = invcore.denoiser("gaussian", mean=torch.zeros(1, 2), covariance=torch.eye(2))
    >>> NoisyDensity(D, sigma=1.0).grad(torch.ones(1, 2))
    tensor([[0.5000, 0.5000]])
    """

    denoiser: MMSEDenoiser
    sigma: float

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return -self.denoiser.log_density(x, self.sigma)

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        return (x - self.denoiser(x, self.sigma)) / self.sigma**2

    def majorizer(self, space: SpaceLike) -> float:
        """1/σ², as the Jacobian of D is a covariance over σ²."""
        return self.sigma**-2
