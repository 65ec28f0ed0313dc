"""The best local reconstruction for a finite set of images."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._physics import Physics
from .._value import Value
from ..denoisers._empirical import check_images
from ..denoisers._local_mmse import check_patch, local_mean, real, windows
from ..noises import GaussianNoise
from ..operators import Identity, LinearOperator, Space
from ..operators._solve import solve
from ..spaces import batch_shape, check, device_of, dtype_of, randn, real_size_of, tensor_dtype, tree_map

_DENSE = 4096
"""Entries of images up to which a covariance is found for each pixel."""

_FLOOR = 1e-10
"""Smallest eigenvalue of the covariance of a window, of the largest: data without noise have a little."""


class LocalMMSE(Value):
    r"""What a convolutional network after a simple inversion learns from a finite set of images [1]_.

    .. math::
        \hat x_p = \sum_{i, p'} w_{i,p'} \, x_i[p'], \qquad
        w_{i,p'} \propto \frac{1}{\sqrt{\det K_{p'}}} \exp\left(-\tfrac12 r^{\mathsf H} K_{p'}^{-1} r\right),
        \qquad r = Π_p B y - Π_{p'} B A x_i

    with Π_p the window of ``patch`` pixels a side around p, with periodic edges, B a fixed inversion and K_p
    = σ² Π_p B Bᴴ Π_pᴴ the covariance of its noise in a window. It has the least mean squared error of all
    functions of the window that are the same at every pixel, over the images and the noise: a
    reference for networks of this receptive field that see B y (and not A), without training. For A = 1 it is
    `invcore.denoisers.LocalMMSEDenoiser`, whose variants it has.

    For operators that commute with shifts all windows have one covariance. Else each pixel has its own, which
    takes a factorization and a comparison of all windows each: for small images.

    Parameters
    ----------
    images : Tensor, shape (item, channel, *spatial)
    patch : int or None
        Side of the window, odd. None: the whole image.
    equivariant : bool
        Whether the windows of all pixels are compared, or those of the same pixel only.
    inverse : {"adjoint", "identity"} or float
        B: Aᴴ, 1 for data that are images, or (AᴴA + λ)⁻¹Aᴴ with the number λ > 0.

    References
    ----------
    .. [1] M.-H. Nguyen, Q.-B. Do, E. Pauwels, P. Weiss, "An analytic theory of convolutional neural network
       inverse problems solvers", arXiv:2601.10334 (2026).

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> R = LocalMMSE(torch.tensor([[[-1.0, 1.0]]]), patch=1)  # tanh(y/σ²)
    >>> R(torch.tensor([[0.5, 3.0]]), Physics(Identity((1, 2)), GaussianNoise(sigma=1.0)))
    tensor([[0.4621, 0.9951]])
    """

    images: Tensor
    patch: int | None = 11
    equivariant: bool = True
    inverse: Literal["adjoint", "identity"] | float = "adjoint"

    def __post_init__(self) -> None:
        check_images("LocalMMSE", self.images)
        check_patch("LocalMMSE", self.patch)
        named = self.inverse in ("adjoint", "identity")
        if not named and not (isinstance(self.inverse, int | float) and self.inverse > 0):
            raise ParameterError(
                f"LocalMMSE: inverse must be 'adjoint', 'identity' or a number > 0, got {self.inverse!r}"
            )

    def __call__(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *physics.range.shape)
        physics : Physics
            A linear operator on images of the shape of ``images``, with Gaussian noise of one level > 0.

        Returns
        -------
        Tensor, shape (batch..., channel, *spatial)

        Raises
        ------
        ShapeError, DtypeError
        ParameterError
            If the operator is not linear, or the noise is of another kind.
        """
        sigma = self._checked(y, physics).to(device_of(y), torch.float64)
        A: Any = physics.operator.to(torch.float64)
        wide = tree_map(lambda v, s: v.to(tensor_dtype(s, torch.float64)), y, A.range)
        values = self.images.to(tensor_dtype(A.domain, torch.float64))
        batch, image = batch_shape(y, A.range), tuple(values.shape[1:])
        if not math.prod(batch):
            return values.new_zeros((*batch, *image)).to(tensor_dtype(A.domain, dtype_of(y)))
        B = _inversion(A, self.inverse)
        roots, logs = _whitening(B.gram, A.domain, self.patch, values.device)
        observed = B.data(tree_map(lambda v, s: v.reshape(-1, *s.shape), wide, A.range))
        out = local_mean(
            observed,
            B.images(values),
            values,
            sigma.square(),
            self.patch,
            equivariant=self.equivariant,
            roots=roots,
            logs=sigma.square() * logs,
        )
        return out.view(*batch, *image).to(tensor_dtype(A.domain, dtype_of(y)))

    def _checked(self, y: Any, physics: Physics) -> Tensor:
        """The noise level, shape (1), of a problem that it is for."""
        A, noise = physics.operator, physics.noise
        if not isinstance(A, LinearOperator):
            raise ParameterError(f"LocalMMSE: A must be linear, got {type(A).__name__}.")
        sigma = torch.as_tensor(noise.sigma) if isinstance(noise, GaussianNoise) else torch.zeros(1)
        if not bool((sigma > 0).all()) or sigma.numel() != 1:
            raise ParameterError(
                f"LocalMMSE: the noise must be Gaussian, with one sigma > 0 for all data, got {noise!r:.60}"
            )
        kind: Any = "complex" if self.images.is_complex() else "real"
        own = Space(tuple(self.images.shape[1:]), kind)
        if A.domain != own:
            raise ShapeError(f"LocalMMSE: its images are in {own}, those of this physics in {A.domain}.")
        if self.inverse == "identity" and A.range != own:
            raise ParameterError(
                f"LocalMMSE: inverse='identity' is for data that are images, got data in {A.range}"
            )
        check(y, A.range, "LocalMMSE: y")
        return sigma.reshape(1)


class _Inversion(NamedTuple):
    """Maps of images of an inversion B of A: B y, B A x and B Bᴴ x."""

    data: Callable[[Any], Tensor]
    images: Callable[[Tensor], Tensor]
    gram: Callable[[Tensor], Tensor]


def _inversion(A: LinearOperator, inverse: Literal["adjoint", "identity"] | float) -> _Inversion:
    if inverse == "adjoint":
        return _Inversion(A.H, A.gram, A.gram)
    if inverse == "identity":
        return _Inversion(lambda y: y, A, lambda x: x)
    K: Any = A.gram + Identity(A.domain) * inverse

    def solved(x: Any) -> Any:
        return solve(K, x, solver="cg")

    return _Inversion(
        lambda y: solved(A.H(y)), lambda x: solved(A.gram(x)), lambda x: solved(A.gram(solved(x)))
    )


def _whitening(
    gram: Callable[[Tensor], Tensor], space: Space, patch: int | None, device: torch.device
) -> tuple[Tensor, Tensor]:
    """Roots of the inverse covariances of windows of noise B n, and log determinants: one, or one a pixel."""
    each = windows(torch.arange(space.size, device=device).view(1, *space.shape), patch)[0]
    if space.kind == "complex":
        each = torch.stack([2 * each, 2 * each + 1], -1).flatten(-2)
    count = real_size_of(space)
    if _stationary(gram, space, device):
        chosen = each[0]
        K = _columns(gram, chosen, space)[:, chosen][None]
    elif count <= _DENSE:
        dense = _columns(gram, torch.arange(count, device=device), space)
        K = dense[each[:, :, None], each[:, None, :]]
    else:
        raise ParameterError(
            f"LocalMMSE: the inversion does not commute with shifts, so that each of {count} entries has a "
            f"covariance of its own; that is done for up to {_DENSE}. Crop the images."
        )
    powers, vectors = torch.linalg.eigh((K + K.mT) / 2)
    powers = torch.maximum(powers, _FLOOR * powers[:, -1:])
    roots = vectors / powers.sqrt()[:, None]
    return (roots[0] if len(roots) == 1 else roots), powers.log().sum(-1)


def _stationary(gram: Callable[[Tensor], Tensor], space: Space, device: torch.device) -> bool:
    """Whether a map commutes with periodic shifts, by a random image."""
    drawn = torch.Generator().manual_seed(0)
    x = randn(space, generator=drawn, dtype=torch.float64, device=device)
    image = gram(x)
    limit = 1e-8 * float(image.abs().max())
    return all(
        float((gram(x.roll(1, axis)) - image.roll(1, axis)).abs().max()) <= limit
        for axis in range(1, len(space.shape))
    )


def _columns(gram: Callable[[Tensor], Tensor], which: Tensor, space: Space) -> Tensor:
    """The rows of a symmetric map in real coordinates: (len(which), real size)."""
    found = []
    for some in which.split(256):
        one = torch.zeros(len(some), real_size_of(space), dtype=torch.float64, device=which.device)
        one[torch.arange(len(some), device=which.device), some] = 1
        basis = torch.view_as_complex(one.view(len(some), -1, 2)) if space.kind == "complex" else one
        found.append(real(gram(basis.view(-1, *space.shape)).flatten(1)))
    return torch.cat(found)
