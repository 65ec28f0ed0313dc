"""The density of data of Gaussian images: log p(y) = log ∫ p(y|x) p(x) dx."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._value import real_dtype
from ..denoisers._gaussian_field import GaussianField, at_precision
from ..denoisers._mmse import log_normal, squared
from ..noises import BlockNoise, GaussianMapNoise, GaussianNoise, Noise, NoNoise
from ..operators import Convolution, Identity, LinearOperator, Mask, Operator, SpaceLike, block_diag
from ..operators._convolution_kernels import place, spectral_layout, spectrum
from ..spaces import Space, batch_shape, device_of, dtype_of, flatten, real_size_of, tree_map, unflatten

_DENSE = 2048
"""Data up to which the covariance is formed and factored."""


def log_evidence(field: GaussianField, y: Any, physics: Physics) -> Tensor:
    """log p(y) for y ~ N(A m, A C Aᴴ + Σ); in Fourier space for a circular convolution and a stationary C."""
    A: Any = physics.operator
    noise = noise_covariance(physics.noise, A.range, batch_shape(y, A.range))
    residual = tree_map(torch.sub, y, A._apply(at_precision(field.mean, dtype_of(y))))
    sigma = noise_level(physics.noise, A, y)
    if (
        sigma is not None
        and field.spectrum is not None
        and isinstance(A, Convolution)
        and A.boundary == "circular"
    ):
        return _of_convolution(field, A, residual, sigma)
    n = real_size_of(A.range)
    if n > _DENSE:
        raise ParameterError(
            f"{type(field).__name__}.log_evidence: the determinant of the covariance of {n} data is known in "
            "closed form for a circular Convolution, a stationary image (spectrum) and white noise; else "
            f"up to {_DENSE} data. Crop them, or use 'marginal_likelihood' with draws, which needs no "
            "determinant."
        )
    K: Any = A @ field.spread(dtype_of(y)) @ A.H
    matrix = _dense(K if noise is None else K + noise, dtype_of(y), residual)
    root, failed = torch.linalg.cholesky_ex(matrix)
    if bool((failed != 0).any()):
        raise ParameterError(
            f"{type(field).__name__}.log_evidence: the covariance of the data is singular, so that they have "
            "no density: the noise is zero, or below rounding"
        )
    white = torch.linalg.solve_triangular(root, flatten(residual, A.range).unsqueeze(-1), upper=False)
    variances = root.diagonal(dim1=-2, dim2=-1).square()
    return log_normal(squared(white.squeeze(-1)), torch.ones_like(variances), 1) - variances.log().sum(-1) / 2


def _of_convolution(field: GaussianField, A: Convolution, residual: Tensor, sigma: Tensor) -> Tensor:
    assert field.spectrum is not None
    spatial = A.domain.shape[1:]
    axes = tuple(range(-len(spatial), 0))
    layout = spectral_layout(spatial, tuple(A.kernel.shape[-len(spatial) :]), A.boundary)
    gain = squared(spectrum(place(A.kernel, spatial, layout.shift), spatial, real=False))
    level = sigma.square().reshape(*sigma.shape, *(1,) * (len(spatial) + 1))
    variances = gain * field.spectrum.to(real_dtype(residual.dtype)) + level
    power = squared(torch.fft.fftn(residual, dim=axes, norm="ortho"))
    both = torch.broadcast_tensors(power, variances)
    parts = 2 if A.domain.kind == "complex" else 1
    modes, spreads = (t.flatten(axes[0] - 1) for t in both)
    return log_normal(modes, spreads, parts)


def _dense(K: LinearOperator, dtype: torch.dtype, residual: Any) -> Tensor:
    """K in real coordinates, (batch..., n, n)."""
    n = real_size_of(K.range)
    like = flatten(residual, K.range)
    one = torch.zeros(n, dtype=like.dtype, device=like.device)
    batch = batch_shape(K._apply(unflatten(one, K.domain)), K.range)
    basis = torch.eye(n, dtype=like.dtype, device=like.device).reshape(n, *(1,) * len(batch), n)
    return flatten(K._apply(unflatten(basis, K.domain)), K.range).expand(n, *batch, n).movedim(0, -1)


def noise_level(noise: Noise, A: Operator, y: Any) -> Tensor | None:
    """σ of white noise, of each sample; None for other noise."""
    if not isinstance(noise, GaussianNoise):
        return None
    sigma = noise.per_sample(A.range, batch_shape(y, A.range)).sigma
    return torch.as_tensor(sigma, dtype=real_dtype(dtype_of(y)), device=device_of(y))


def noise_covariance(
    noise: Noise, space: SpaceLike, batch: tuple[int, ...], power: int = 2
) -> LinearOperator | None:
    """The covariance of each real component of Gaussian noise on the data, None if there is no noise.

    With ``power`` 1 its root.
    """
    if isinstance(noise, NoNoise):
        return None
    if isinstance(noise, GaussianNoise):
        sigma = noise.per_sample(space, batch).sigma
        return Identity(space) * sigma**power  # type: ignore[return-value]
    if isinstance(noise, GaussianMapNoise) and isinstance(space, Space):
        return Mask(
            mask=noise.sigma.expand(*noise.parameter_batch(space), *space.shape) ** power, domain=space
        )
    if isinstance(noise, BlockNoise) and isinstance(space, tuple):
        parts = [noise_covariance(n, s, batch, power) for n, s in zip(noise.parts, space)]
        known: list[Any] = [0 * Identity(s) if p is None else p for p, s in zip(parts, space)]
        return block_diag(known)
    raise ParameterError(
        f"the noise must be Gaussian (gaussian, gaussian_map, blocks of them or none), got "
        f"{type(noise).__name__}."
    )
