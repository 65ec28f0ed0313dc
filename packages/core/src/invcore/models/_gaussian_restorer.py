"""The exact reconstruction of Gaussian images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._physics import Physics
from ..denoisers._gaussian_field import GaussianField, at_precision
from ..operators import LinearOperator
from ..spaces import batch_shape, check, dtype_of, tree_map
from ._evidence import log_evidence, noise_covariance


class GaussianRestorer(GaussianField):
    """The conditional mean of a Gaussian image x ~ N(m, C) given data y = A x + n, n Gaussian.

    R(y, physics) = m + C Aᴴ (A C Aᴴ + Σ)⁻¹ (y - A m) [1]_, Σ the covariance of the physics' own noise
    (``gaussian``, ``gaussian_map``, ``blocks`` of them or ``none``). No reconstruction has a smaller mean
    squared error on images drawn from N(m, C), and its error is uncorrelated with the data. For A = 1 it is
    the denoiser ``gaussian``, which draws images and knows their density.

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
    >>> from invcore.operators import Mask
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
        A = self._checked(y, physics)
        mean, C = at_precision(self.mean, dtype_of(y)), self.spread(dtype_of(y))
        K: Any = A @ C @ A.H
        noise = noise_covariance(physics.noise, A.range, batch_shape(y, A.range))
        u = self.solved(K if noise is None else K + noise, tree_map(torch.sub, y, A(mean)))
        return mean + C(A.H(u))

    def log_evidence(self, y: Any, physics: Physics) -> Tensor:
        r"""log p(y), the density of the data under this prior, whatever the image.

        .. math:: y \sim N(A m, K), \; K = A C A^{\mathsf H} + Σ: \quad
            \log p(y) = -\tfrac12 (y - A m)^{\mathsf H} K^{-1} (y - A m) - \tfrac12 \log\det 2πK

        As a function of what A depends on (a kernel, an angle) it is the marginal likelihood: the first term
        is that of the most likely image, the second keeps it from preferring no blur. Exact in Fourier space
        for a circular `invcore.operators.Convolution`, a ``spectrum`` and white noise; else by a Cholesky
        factorization, for up to 2048 data. Derivatives reach y, the parameters of A and the noise level.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *physics.range.shape)
        physics : Physics
            As for a call.

        Returns
        -------
        Tensor, shape (batch...)

        Raises
        ------
        ShapeError, DtypeError
        ParameterError
            If there are too many data, or the noise is zero where the data of images are not.

        Examples
        --------
        >>> from invcore.noises import GaussianNoise
        >>> R = GaussianRestorer(mean=torch.zeros(1, 1), covariance=torch.tensor([[3.0]]))
        >>> from invcore.operators import Mask
        >>> physics = Physics(Mask(torch.ones(1, 1), (1, 1)), GaussianNoise(sigma=1.0))
        >>> R.log_evidence(torch.tensor([[2.0]]), physics)  # N(0, 4)
        tensor(-2.1121)
        """
        self._checked(y, physics)
        return log_evidence(self, y, physics)

    def _checked(self, y: Any, physics: Physics) -> LinearOperator:
        A = physics.operator
        if not isinstance(A, LinearOperator):
            raise ParameterError(f"GaussianRestorer: A must be linear, got {type(A).__name__}.")
        if A.domain != self.domain:
            raise ShapeError(
                f"GaussianRestorer: it restores images in {self.domain}, those of this physics are in "
                f"{A.domain}."
            )
        check(y, A.range, "GaussianRestorer: y")
        return A
