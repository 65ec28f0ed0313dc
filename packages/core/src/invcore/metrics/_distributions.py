"""Distances between distributions of images: of Gaussians, and of sets of draws."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError, ShapeError
from .._value import real_dtype


def bures_wasserstein(
    mean: Tensor, covariance: Tensor, other_mean: Tensor, other_covariance: Tensor
) -> Tensor:
    r"""Wasserstein distance of order 2 between N(m, A) and N(m', B) [1]_.

    .. math:: W_2^2 = \|m - m'\|^2 + \operatorname{tr}(A + B - 2 (A^{1/2} B A^{1/2})^{1/2})

    The trace is computed as ‖A^½ - B^½ U‖², U the nearest unitary matrix, which keeps small distances exact.

    Parameters
    ----------
    mean, other_mean : Tensor, shape (batch..., n)
    covariance, other_covariance : Tensor, shape (batch..., n, n)
        Symmetric, or Hermitian for complex vectors (then E (x - m)(x - m)ᴴ), and positive semidefinite.

    Returns
    -------
    Tensor, shape (batch...)
        W₂, in the units of the vectors.

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    .. [1] D. Dowson and B. Landau, "The Fréchet distance between multivariate normal distributions", J.
       Multivar. Anal. 12 (1982).

    Examples
    --------
    >>> a, b = torch.diag(torch.tensor([4.0, 1.0])), torch.eye(2)
    >>> bures_wasserstein(torch.zeros(2), a, torch.tensor([0.0, 1.0]), b)  # √((2 - 1)² + 1²)
    tensor(1.4142)
    """
    for name, m, C in (("first", mean, covariance), ("second", other_mean, other_covariance)):
        n = m.shape[-1] if m.ndim else 0
        if tuple(C.shape[-2:]) != (n, n) or n != mean.shape[-1]:
            raise ShapeError(
                f"bures_wasserstein: expected means (batch..., n) and covariances (batch..., n, n), the "
                f"{name} pair has {tuple(m.shape)} and {tuple(C.shape)}."
            )
    # the nearest unitary matrix is the polar factor of B^½ A^½
    a, b = _root(covariance, "covariance"), _root(other_covariance, "other_covariance")
    left, _, right = torch.linalg.svd(b @ a)
    apart = (a - b @ (left @ right)).abs().square().sum((-2, -1))
    return ((mean - other_mean).abs().square().sum(-1) + apart).sqrt()


def _root(covariance: Tensor, name: str) -> Tensor:
    values, vectors = torch.linalg.eigh(covariance)
    ulp = torch.finfo(values.dtype).eps * values.abs().amax(-1, keepdim=True)
    rough = 1e3 * ulp
    skew = (covariance - covariance.mH).abs().amax((-2, -1)) > rough[..., 0]
    if bool(skew.any()) or bool((values < -rough).any()):
        raise ParameterError(f"bures_wasserstein: {name} is not symmetric and positive semidefinite.")
    values = torch.where(values > values.shape[-1] * ulp, values, 0)
    return (vectors * values.sqrt().unsqueeze(-2)) @ vectors.mH


def sliced_wasserstein(
    x: Tensor, other: Tensor, *, generator: torch.Generator, projections: int = 100
) -> Tensor:
    r"""Wasserstein distance of order 2 between the projections of two sets of draws, over random lines [1]_.

    .. math:: SW_2^2 = E_θ W_2^2(\{⟨θ, x_i⟩\}, \{⟨θ, x'_j⟩\}), \qquad \|θ\| = 1 \text{ uniform}

    On each line it is exact: the distance of the quantile functions. Two sets of n draws of one distribution
    are a distance of order 1/√n apart.

    Parameters
    ----------
    x, other : Tensor, shape (n, *shape) and (m, *shape)
        Draws, the first dimension numbers them. Real or complex, as real and imaginary part.
    generator : torch.Generator
        Draws the lines.
    projections : int
        Their number.

    Returns
    -------
    Tensor
        SW₂, without dimensions, in the units of the draws.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    References
    ----------
    .. [1] N. Bonneel, J. Rabin, G. Peyré, H. Pfister, "Sliced and Radon Wasserstein barycenters of measures",
       J. Math. Imaging Vis. 51 (2015).

    Examples
    --------
    >>> x = torch.tensor([[0.0], [1.0], [2.0]])
    >>> sliced_wasserstein(x, x.flip(0) + 3, generator=torch.Generator().manual_seed(0))
    tensor(3.)
    """
    if x.ndim < 1 or x.shape[1:] != other.shape[1:] or not (len(x) and len(other)):
        raise ShapeError(
            "sliced_wasserstein: expected draws (n, *shape) and (m, *shape) with n, m >= 1, got "
            f"{tuple(x.shape)} and {tuple(other.shape)}."
        )
    if x.is_complex() != other.is_complex():
        raise DtypeError(
            f"sliced_wasserstein: both sets are real or complex, got {x.dtype} and {other.dtype}."
        )
    if isinstance(projections, bool) or not isinstance(projections, int) or projections < 1:
        raise ParameterError(
            f"sliced_wasserstein: projections must be a whole number from 1 on, got {projections!r}"
        )
    a, b = _real_rows(x), _real_rows(other)
    lines = torch.randn(
        a.shape[1], projections, generator=generator, dtype=real_dtype(x.dtype), device=generator.device
    )
    lines = (lines / torch.linalg.vector_norm(lines, dim=0)).to(a)
    # quantile functions, constant between multiples of 1/n and of 1/m: here in units of 1/(n m)
    n, m = len(a), len(b)
    ends = torch.cat([torch.arange(0, n * m, m), torch.arange(0, n * m, n)]).unique().to(a.device)
    widths = torch.diff(ends, append=ends.new_tensor([n * m])) / (n * m)
    gaps = (a @ lines).sort(0).values[ends // m] - (b @ lines).sort(0).values[ends // n]
    return (widths.to(a.dtype) @ gaps.square()).mean().sqrt()


def _real_rows(x: Any) -> Tensor:
    x = x.flatten(1) if x.ndim > 1 else x.unsqueeze(1)
    return torch.view_as_real(x).flatten(1) if x.is_complex() else x
