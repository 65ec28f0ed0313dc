"""The dimension of the manifold that a decoder parametrizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

import invcore


class IntrinsicDimension(NamedTuple):
    """The result of `intrinsic_dimension`.

    Attributes
    ----------
    dimension : Tensor, shape (n,)
        At each point.
    eigenvalues : Tensor, shape (n, q)
        Of the pullback metric JᵀJ, largest first.
    """

    dimension: Tensor
    eigenvalues: Tensor


def intrinsic_dimension(
    decode: Callable[[Tensor], Tensor], points: Tensor, *, threshold: float = 1e-2
) -> IntrinsicDimension:
    """The number of directions in which a decoder moves: the numerical rank of its pullback metric [1]_.

    With J the Jacobian of the decoder at a point, it is the number of eigenvalues of JᵀJ above ``threshold``
    times the largest. For a trained `VAE` evaluate it at the means of images. A closed manifold (a circle, a
    sphere) has no single chart, and one decoder of it shows the dimension of the space around: split it.

    Parameters
    ----------
    decode : callable
        From latent variables (q,) to an image.
    points : Tensor, shape (n, q)
    threshold : float
        Between 0 and 1.

    References
    ----------
    .. [1] P. Causin, A. Marta, Estimating dataset dimension via singular metrics under the manifold
       hypothesis: application to inverse problems, 2025, arXiv:2507.07291.

    Examples
    --------
    >>> helix = lambda z: torch.stack([torch.cos(z[0]), torch.sin(z[0]), z[0] + 0 * z[1]])
    >>> intrinsic_dimension(helix, torch.rand(5, 2, generator=torch.Generator().manual_seed(0))).dimension
    tensor([1, 1, 1, 1, 1])
    """
    if points.ndim != 2 or not points.is_floating_point():
        raise invcore.ShapeError(
            f"intrinsic_dimension: expected real points (n, q), got {points.dtype} {tuple(points.shape)}"
        )
    if not 0 < threshold < 1:
        raise invcore.ParameterError(
            f"intrinsic_dimension: threshold must be between 0 and 1, got {threshold!r}"
        )
    found = []
    for z in points:
        J = torch.func.jacfwd(decode)(z.detach()).detach().reshape(-1, len(z))
        found.append(torch.linalg.eigvalsh(J.mT @ J).flip(-1).clamp_min(0))
    eigenvalues = torch.stack(found) if found else points.new_zeros(points.shape)
    return IntrinsicDimension((eigenvalues > threshold * eigenvalues[:, :1]).sum(1), eigenvalues)
