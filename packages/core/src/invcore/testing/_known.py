"""Images and data whose posterior is known in closed form: what the kit holds samplers to."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Self

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from ..denoisers import Denoiser, GaussianDenoiser, GaussianMixtureDenoiser
from ..noises import GaussianNoise
from ..operators import Convolution, Identity, LinearOperator, Mask, Space, SpaceLike
from ..priors import GaussianMixture, Prior
from ..spaces import batch_shape, vdot
from ._probes import seeded
from ._solver_problems import DenseProblem

SIGMA = 0.5
PIXELS = Space((1, 2))


@dataclass(frozen=True, eq=False)
class KnownPrior:
    """Random images with a known density: what `SamplerExample.make` receives.

    Attributes
    ----------
    name : str
        "gaussian", or "mixture": of three Gaussians whose modes overlap.
    denoiser : Denoiser
        The exact one, in double precision.
    prior : Prior
        Minus the logarithm of the density up to a constant: value and gradient, of the Gaussian `prox` too.
    density : GaussianMixture
        Of images as vectors of real numbers (`vectors`).
    space : Space
        Of the images, (channel, *spatial): real, or complex.

    Examples
    --------
    >>> known = KnownPrior.gaussian((1, 2))
    >>> known.density.means, known.density.covariances.diagonal(dim1=-2, dim2=-1).sqrt()
    (tensor([[ 0.4000, -0.3000]], dtype=torch.float64), tensor([[1.0000, 0.6000]], dtype=torch.float64))
    """

    name: str
    denoiser: Denoiser
    prior: Prior
    density: GaussianMixture
    space: Space

    @classmethod
    def gaussian(cls, shape: tuple[int, ...] = (1, 2), *, kind: Literal["real", "complex"] = "real") -> Self:
        """Correlated pixels with standard deviations from 1 to 0.6, and a mean that is not zero.

        Real and imaginary part of complex images are independent of each other.
        """
        space = Space(shape, kind)
        mean, covariance = _means(space.size)[:1], _covariance(space.size, 1.0, 0.6, 0.6)
        center, means, covariances = mean.view(shape), mean, covariance
        if kind == "complex":
            center = torch.complex(center, -0.5 * center)
            means, covariances = torch.cat([mean, -0.5 * mean], 1), torch.block_diag(covariance, covariance)
        one = torch.ones(1, dtype=torch.float64)
        denoiser = GaussianDenoiser(mean=center, covariance=covariance)
        density = GaussianMixture.of_covariances(one, means, covariances[None])
        return cls("gaussian", denoiser, GaussianPrior(denoiser), density, space)

    @classmethod
    def mixture(cls, shape: tuple[int, ...] = (1, 2)) -> Self:
        """Three modes with the weights 0.5, 0.3 and 0.2, each with a covariance of its own."""
        space = Space(shape)
        weights = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
        means = 3.0 * _means(space.size)
        spreads = ((0.7, 0.5, 0.5), (0.5, 0.6, -0.4), (0.6, 0.6, 0.0))
        covariances = torch.stack([_covariance(space.size, *s) for s in spreads])
        denoiser = GaussianMixtureDenoiser(
            weights=weights, means=means.view(3, *shape), covariances=covariances
        )
        density = GaussianMixture.of_covariances(weights, means, covariances)
        return cls("mixture", denoiser, MixturePrior(density), density, space)

    def images(self, vectors: Tensor) -> Tensor:
        """Images from vectors, shape (batch..., n)."""
        if self.space.kind == "complex":
            vectors = torch.complex(*vectors.chunk(2, -1))
        return vectors.reshape(*vectors.shape[:-1], *self.space.shape)

    def vectors(self, images: Tensor) -> Tensor:
        """The numbers of each image in double precision; of complex ones the real parts, then the others."""
        flat = images.flatten(-len(self.space.shape))
        return (torch.cat([flat.real, flat.imag], -1) if images.is_complex() else flat).double()


class GaussianPrior(Prior):
    """(x - m)ᴴ C⁻¹ (x - m)/2: `Quadratic` in closed form; its proximal operator is the Wiener filter."""

    denoiser: GaussianDenoiser

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return vdot(x - self.denoiser.mean.to(x.dtype), self._grad(x, space), space) / 2

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        away = (x - self.denoiser.mean.to(x.dtype)).flatten(-len(space.shape))
        return (away @ self._precision.to(x.dtype)).view(x.shape)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        root = torch.as_tensor(step, dtype=x.real.dtype).sqrt()
        return self.denoiser(x, root.expand(batch_shape(x, space)) if root.ndim else root)

    def majorizer(self, space: SpaceLike) -> float:
        return float(torch.linalg.matrix_norm(self._precision, 2))

    @cached_property
    def _precision(self) -> Tensor:
        assert self.denoiser.covariance is not None
        return torch.linalg.inv(self.denoiser.covariance)


class MixturePrior(Prior):
    """Minus the logarithm of the density of a mixture of Gaussians."""

    density: GaussianMixture

    def _value(self, x: Tensor, space: Space) -> Tensor:
        v, p = self._vectors(x, space)
        return -log_parts(p, v)[0].logsumexp(0).view(batch_shape(x, space))

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        v, p = self._vectors(x, space)
        logs, pulled = log_parts(p, v)
        return (logs.softmax(0).unsqueeze(-1) * pulled).sum(0).view(x.shape)

    def majorizer(self, space: SpaceLike) -> float:
        """That of the narrowest component: where several overlap the density is less curved."""
        return float(torch.linalg.matrix_norm(torch.linalg.inv(self.density.covariances), 2).max())

    def _vectors(self, x: Tensor, space: Space) -> tuple[Tensor, GaussianMixture]:
        return x.reshape(-1, space.size), self.density.to(x.dtype)


def physics_of(operator: str, space: Space = PIXELS, sigma: float = SIGMA) -> Physics:
    """One of the linear operators, with Gaussian noise: "identity", "mask", "blur", "matrix", "nothing"."""
    return Physics(operator=_operator(operator, space), noise=GaussianNoise(sigma=sigma))


def data_of(known: KnownPrior, physics: Physics) -> Tensor:
    """Data of an image off the mean, of a mixture halfway between two modes: which one, is left open."""
    x = known.density.means[:2].mean(0)
    if len(known.density.means) == 1:
        x = x + known.density.covariances[0].diagonal().sqrt()
    return physics.operator(known.images(x))


def posterior_of(known: KnownPrior, physics: Physics, y: Tensor) -> GaussianMixture:
    """The density of images as vectors, given the data of a linear operator with Gaussian noise."""
    A = physics.operator.dense(dtype=torch.float64)  # type: ignore[attr-defined]
    y = y.flatten()
    if A.is_complex():
        A = torch.cat([torch.cat([A.real, -A.imag], 1), torch.cat([A.imag, A.real], 1)])
        y = torch.cat([y.real, y.imag])
    return seen_through(known.density, A, float(physics.noise.sigma), y)  # type: ignore[attr-defined]


def seen_through(p: GaussianMixture, A: Tensor, sigma: float, y: Tensor) -> GaussianMixture:
    """The density of x, which was p, given y = A x + σ n.

    Each component becomes N(m + K (y - A m), C - K A C) with K = C Aᵀ S⁻¹ and S = A C Aᵀ + σ²; its weight is
    multiplied by N(y; A m, S).
    """
    S = A @ p.covariances @ A.mT + sigma**2 * torch.eye(len(A), dtype=torch.float64)
    K = torch.linalg.solve(S, A @ p.covariances).mT
    residual = y.flatten() - p.means @ A.mT
    means = p.means + (K @ residual.unsqueeze(-1)).squeeze(-1)
    covariances = p.covariances - K @ A @ p.covariances
    seen = torch.distributions.MultivariateNormal(torch.zeros_like(residual), S).log_prob(residual)
    weights = (p.weights.log() + seen).softmax(0)
    return GaussianMixture.of_covariances(weights, means, (covariances + covariances.mT) / 2)


def moments_of(p: GaussianMixture) -> tuple[Tensor, Tensor]:
    """Mean and covariance of a mixture."""
    mean = p.weights @ p.means
    away = p.means - mean
    return mean, (p.weights[:, None, None] * (p.covariances + away[:, :, None] * away[:, None, :])).sum(0)


def log_parts(p: GaussianMixture, v: Tensor) -> tuple[Tensor, Tensor]:
    """log w_k N(v; m_k, C_k), shape (component, n), and C_k⁻¹ (v - m_k), for vectors (n, d)."""
    away = v - p.means.unsqueeze(1)
    pulled = away @ torch.linalg.inv(p.covariances)
    constant = p.weights.log() - torch.logdet(2 * math.pi * p.covariances) / 2
    return constant.unsqueeze(1) - torch.einsum("kni,kni->kn", away, pulled) / 2, pulled


def _means(n: int) -> Tensor:
    """Three patterns, of two pixels (0.4, -0.3), (-0.4, 0.1) and (0.1, 0.4)."""
    patterns = torch.tensor([[0.4, -0.3], [-0.4, 0.1], [0.1, 0.4]], dtype=torch.float64)
    return patterns.repeat(1, -(-n // 2))[:, :n]


def _covariance(n: int, first: float, last: float, correlation: float) -> Tensor:
    """Standard deviations from ``first`` to ``last``, correlations that fall off with the distance."""
    deviations = torch.linspace(first, last, n, dtype=torch.float64)
    apart = (torch.arange(n)[:, None] - torch.arange(n)).abs()
    return deviations[:, None] * deviations * torch.tensor(correlation, dtype=torch.float64) ** apart


def _operator(name: str, space: Space) -> LinearOperator:
    n, dims = space.size, len(space.shape) - 1
    if name == "identity":
        return Identity(space)
    if name == "nothing":
        return Mask(torch.zeros(space.shape, dtype=torch.float64), space)
    if name == "mask":
        return Mask((torch.arange(n) % 2 == 0).double().view(space.shape), space)
    if name == "blur":
        kernel = torch.tensor([0.7, 0.3], dtype=torch.float64).view(2, *(1,) * (dims - 1))
        return Convolution(kernel.expand(1, *kernel.shape), space)
    if name != "matrix":
        raise ParameterError(f"no operator is called {name!r}: identity, mask, blur, matrix, nothing")
    dtype = torch.complex128 if space.kind == "complex" else torch.float64
    matrix = torch.randn(n + n // 2, n, generator=seeded(132), dtype=dtype)
    matrix = matrix / torch.linalg.matrix_norm(matrix, 2)
    return DenseProblem(matrix=matrix, domain=space, range=Space((n + n // 2,), space.kind))
