"""The exact reconstruction of Gaussian images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._physics import Physics
from ..denoisers._gaussian_field import GaussianField, at_precision
from ..noises import GaussianMapNoise, GaussianNoise, Noise, NoNoise
from ..operators import Identity, LinearOperator, Mask, Operator, SpaceLike
from ..spaces import Space, batch_shape, check, dtype_of, tree_map


class GaussianRestorer(GaussianField):
    """The conditional mean of a Gaussian image x ~ N(m, C) given data y = A x + n, n Gaussian.

    R(y, physics) = m + C Aᴴ (A C Aᴴ + Σ)⁻¹ (y - A m) [1]_, Σ the covariance of the physics' own noise
    (``gaussian``, ``gaussian_map`` or ``none``). No reconstruction has a smaller mean squared error on images
    drawn from N(m, C), and its error is uncorrelated with the data. For A = 1 it is the denoiser
    ``gaussian``, which draws images and knows their density.

    Derivatives reach the data, the mean, the noise level and the parameters of A, without storing steps of
    the conjugate gradient iteration inside. Without noise, data that no image explains do not converge, and
    warn.

    Parameters
    ----------
    mean : Tensor, shape (channel, *spatial)
        m, complex for complex images.
    covariance : Tensor, shape (n, n)
        C as a matrix over the n entries of the image in the order of ``mean.flatten()``: symmetric, or
        Hermitian for complex images (then C is half of E (x - m)(x - m)ᴴ), and positive semidefinite.
    spectrum : Tensor, shape (channel, *spatial), with size 1 where it is constant
        C of a stationary field, periodic, with independent channels: the variance of each coefficient of the
        orthonormal FFT over the spatial dimensions. For real images it is even, S(-k) = S(k).
    operator : LinearOperator
        C as an operator on (channel, *spatial): symmetric and positive semidefinite.
    rtol : float, optional
        Relative residual at which conjugate gradient stops; by default a few ulps.
    max_steps : int, optional
        Maximum number of its steps.

    References
    ----------
    .. [1] S. M. Kay, Fundamentals of Statistical Signal Processing: Estimation Theory (1993), theorem 10.3.

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> physics = Physics(Mask(torch.tensor([[1.0, 0.0]]), (1, 2)), GaussianNoise(sigma=1.0))
    >>> alike = torch.tensor([[1.0, 0.5], [0.5, 1.0]])  # the second pixel is seen through the first
    >>> R = GaussianRestorer(mean=torch.zeros(1, 2), covariance=alike)
    >>> R(torch.tensor([[2.0, 0.0]]), physics).round(decimals=4)
    tensor([[1.0000, 0.5000]])
    """

    def __call__(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *physics.range.shape)
        physics : Physics
            A linear operator on images of the shape of ``mean``, and Gaussian noise or none.

        Returns
        -------
        Tensor, shape (batch..., channel, *spatial)

        Raises
        ------
        ShapeError, DtypeError
        ParameterError
            If the operator is not linear, or the noise is of another kind.

        Warns
        -----
        ConvergenceWarning
            If the tolerance is not reached.
        """
        A = physics.operator
        if not isinstance(A, LinearOperator):
            raise ParameterError(f"GaussianRestorer: A must be linear, got {type(A).__name__}.")
        if A.domain != self.domain:
            raise ShapeError(
                f"GaussianRestorer: it restores images in {self.domain}, those of this physics are in "
                f"{A.domain}."
            )
        check(y, A.range, "GaussianRestorer: y")
        mean, C = at_precision(self.mean, dtype_of(y)), self.spread(dtype_of(y))
        K: Any = A @ C @ A.H
        noise = noise_covariance(physics.noise, A.range, batch_shape(y, A.range))
        u = self.solved(K if noise is None else K + noise, tree_map(torch.sub, y, A(mean)))
        return mean + C(A.H(u))


def noise_covariance(noise: Noise, space: SpaceLike, batch: tuple[int, ...]) -> Operator | None:
    """The covariance of each real component of Gaussian noise on the data, None if there is no noise."""
    if isinstance(noise, NoNoise):
        return None
    if isinstance(noise, GaussianNoise):
        sigma = noise.per_sample(space, batch).sigma
        return Identity(space) * sigma**2
    if isinstance(noise, GaussianMapNoise) and isinstance(space, Space):
        return Mask(mask=noise.sigma.expand(*noise.parameter_batch(space), *space.shape) ** 2, domain=space)
    raise ParameterError(
        f"GaussianRestorer: the noise must be Gaussian (gaussian, gaussian_map or none), got "
        f"{type(noise).__name__}."
    )
