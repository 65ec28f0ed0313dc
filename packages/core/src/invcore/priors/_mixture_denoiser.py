"""The exact denoiser of a mixture of Gaussian images: public in `invcore.denoisers`, here by its density."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._value import real_dtype
from ..denoisers._gaussian_field import check_covariance
from ..denoisers._mmse import MMSEDenoiser
from ..spaces import Space, flatten, space_of, unflatten
from ._gaussian_mixture import GaussianMixture


class GaussianMixtureDenoiser(MMSEDenoiser):
    r"""The exact denoiser of images drawn from a mixture of normal densities Σ_k w_k N(m_k, C_k).

    .. math::
        D(x, σ) = \sum_k r_k \left[m_k + C_k (C_k + σ^2)^{-1} (x - m_k)\right], \qquad
        r_k \propto w_k N(x; m_k, C_k + σ^2)

    Where a C_k is singular σ = 0 is refused; `EmpiricalDenoiser` is the limit C_k = 0.

    Parameters
    ----------
    weights : Tensor, shape (component,)
        w_k: positive, with sum one.
    means : Tensor, shape (component, channel, *spatial)
        m_k, complex for complex images.
    covariances : Tensor, shape (component, n, n)
        C_k over the n entries of an image in the order of ``means[k].flatten()``: symmetric, or Hermitian for
        complex images (then C_k is half of E (x - m_k)(x - m_k)ᴴ), and positive semidefinite.

    References
    ----------
    G. Yu, G. Sapiro, S. Mallat, "Solving inverse problems with piecewise linear estimators: from Gaussian
    mixture models to structured sparsity", IEEE Trans. Image Process. 21 (2012).

    Examples
    --------
    >>> two = torch.tensor([[[-1.0]], [[1.0]]])
    >>> D = GaussianMixtureDenoiser(
    ...     weights=torch.tensor([0.5, 0.5]), means=two, covariances=torch.zeros(2, 1, 1)
    ... )
    >>> D(torch.tensor([[0.5]]), 1.0)  # tanh(x/σ²)
    tensor([[0.4621]])
    """

    weights: Tensor
    means: Tensor
    covariances: Tensor

    def __post_init__(self) -> None:
        name, shape = "GaussianMixtureDenoiser", tuple(self.means.shape)
        if len(shape) < 3 or not shape[0] or tuple(self.weights.shape) != shape[:1]:
            raise ShapeError(
                f"{name}: expected weights (component,) and means (component, channel, *spatial), got "
                f"{tuple(self.weights.shape)} and {shape}."
            )
        if self.covariances.ndim != 3 or len(self.covariances) != shape[0]:
            raise ShapeError(
                f"{name}: expected {shape[0]} covariances (component, n, n), got "
                f"{tuple(self.covariances.shape)}."
            )
        check_covariance(self.covariances, self.means[0], f"{name}: covariances")
        w = self.weights.detach()
        if not bool((w > 0).all()) or not abs(float(w.sum()) - 1) < 1e-4:
            raise ParameterError(f"{name}: weights are positive, with sum one, got {w.tolist()}.")

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """That of one mean."""
        return tuple(self.means.shape[1:])

    @property
    def kind(self) -> str:
        """That of the means."""
        return "complex" if self.means.is_complex() else "real"

    @property
    def value_range(self) -> tuple[float, float]:  # type: ignore[override]
        """The means and three standard deviations, of the pixel and component with the largest ones."""
        m = torch.view_as_real(self.means) if self.means.is_complex() else self.means
        reach = 3 * float(self.covariances.diagonal(dim1=-2, dim2=-1).real.max()) ** 0.5
        return float(m.min()) - reach, float(m.max()) + reach

    @property
    def sigma_range(self) -> tuple[float, float]:  # type: ignore[override]
        """From 0, or 1e-12 of the range of values where a covariance is singular."""
        return self._least, math.inf

    @cached_property
    def _least(self) -> float:
        low, high = self.value_range
        powers, _ = self.mixture(self.dtype)._spectrum
        floor = powers.shape[-1] * torch.finfo(powers.dtype).eps * powers.amax(-1, keepdim=True)
        return 0.0 if bool((powers > floor).all()) else 1e-12 * (high - low)

    @cached_property
    def _mixtures(self) -> dict[torch.dtype, GaussianMixture]:
        return {}

    def mixture(self, dtype: torch.dtype) -> GaussianMixture:
        """The density of images as vectors of real numbers, in a precision."""
        if dtype not in self._mixtures:
            covariances = real_form(self.covariances) if self.means.is_complex() else self.covariances
            space = space_of(self.means, len(self.shape))
            self._mixtures[dtype] = GaussianMixture.of_covariances(
                self.weights, flatten(self.means, space), covariances
            ).to(dtype)
        return self._mixtures[dtype]

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if not x.numel():
            return x.clone()
        p, v, variance, space = self._vectors(x, sigma)
        return unflatten(p.posterior_mean(v, variance).view(*x.shape[: x.ndim - len(self.shape)], -1), space)

    def _log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        batch = x.shape[: x.ndim - len(self.shape)]
        if not x.numel():
            return torch.zeros(batch, dtype=sigma.dtype, device=x.device)
        p, v, variance, _ = self._vectors(x, sigma)
        return p.log_prob(v, variance).view(batch)

    def sample(self, batch: tuple[int, ...] = (), *, generator: torch.Generator) -> Tensor:
        p = self.mixture(self.dtype)
        drawn = [p.sample(1, generator) for _ in range(math.prod(batch))]
        flat = torch.cat(drawn) if drawn else p.means[:0]
        return unflatten(flat.view(*batch, p.dimension), space_of(self.means, len(self.shape)))

    def _vectors(self, x: Tensor, sigma: Tensor) -> tuple[GaussianMixture, Tensor, Tensor, Space]:
        """The density, images as rows, and their noise."""
        space = space_of(x, len(self.shape))
        p = self.mixture(real_dtype(x.dtype))
        variance = sigma.square().flatten() if sigma.ndim else sigma.square()
        return p, flatten(x, space).reshape(-1, p.dimension), variance, space


def real_form(covariances: Tensor) -> Tensor:
    """Covariances (..., 2n, 2n) of real and imaginary parts, side by side, from those of complex numbers."""
    c = covariances + 0j
    rows = [torch.stack([c.real, -c.imag], -1), torch.stack([c.imag, c.real], -1)]
    n = c.shape[-1]
    return torch.stack(rows, -2).transpose(-3, -2).reshape(*c.shape[:-2], 2 * n, 2 * n)
