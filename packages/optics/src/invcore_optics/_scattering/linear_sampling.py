"""The linear sampling method: where an object is, by one small linear equation for each point."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError, Physics, Value
from invcore.noises import GaussianNoise
from invcore.spaces import check

from .scattering import Born, Scattering


class LinearSampling(Value):
    r"""The shape of a scatterer, without a model of what it is made of: the linear sampling method [1]_.

    With F the data as a matrix (receiver, emitter) and Φ_z the field at the receivers of a source in the
    pixel z, the equation F g = Φ_z can be solved with a bounded g only if z lies in the scatterer. The image
    is 1/‖g_z‖, with Tikhonov's g of the smallest singular values cut by α:

    .. math:: ‖g_z‖^2 = \sum_i \frac{s_i^2 |b_i|^2}{(s_i^2 + α_z)^2}, \qquad b = U^H Φ_z .

    α_z follows from the noise level δ ≥ ‖F_δ - F‖ by Morozov's principle, ‖F g - Φ_z‖ = δ ‖g‖ [2]_.

    Parameters
    ----------
    alpha : float, optional
        The same α for all pixels, in units of the largest singular value squared.
    noise_level : float, optional
        δ; by default σ (√receivers + √emitters), the norm of a matrix of the Gaussian noise of the physics.

    References
    ----------
    .. [1] D. Colton, A. Kirsch, "A simple method for solving inverse scattering problems in the resonance
       region", Inverse Problems 12 (1996).
    .. [2] D. Colton, M. Piana, R. Potthast, "A simple method using Morozov's discrepancy principle for
       solving inverse scattering problems", Inverse Problems 13 (1997).

    Examples
    --------
    >>> angles = torch.arange(16) * torch.pi / 8
    >>> A = Scattering.of_angles(angles, angles, (16, 16), spacing=0.1, wavelength=1.0)
    >>> disk = torch.zeros(1, 16, 16)
    >>> disk[:, 4:8, 4:8] = 0.5
    >>> image = LinearSampling(alpha=1e-3)(A(disk), Physics(A))
    >>> bool(image[disk > 0].mean() > 1.5 * image[disk == 0].mean())
    True
    """

    alpha: float | None = None
    noise_level: float | None = None

    def __post_init__(self) -> None:
        for name in ("alpha", "noise_level"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ParameterError(f"LinearSampling: {name} must be positive, got {value!r}")

    def __call__(self, y: Tensor, physics: Physics) -> Tensor:
        """Make the image.

        Parameters
        ----------
        y : Tensor, complex, shape (..., emitter, receiver)
        physics : Physics
            Of `Scattering` or `Born`.

        Returns
        -------
        Tensor, shape (..., 1, y, x)
            1/‖g_z‖.

        Raises
        ------
        ParameterError
            If the operator is another one, or neither ``alpha`` nor the noise level is known.
        """
        A = physics.operator
        if not isinstance(A, Scattering | Born):
            raise ParameterError(
                f"LinearSampling: the operator must be Scattering or Born, got {type(A).__name__}"
            )
        check(y, A.range, "LinearSampling: data")
        U, s, _ = torch.linalg.svd(y.mT, full_matrices=False)
        b = (U.mH @ A.greens.to(y.dtype).flatten(-2)).abs().square()  # (..., i, pixel)
        power = s.square().unsqueeze(-1)
        if self.alpha is not None:
            alpha = (self.alpha * power[..., :1, :]).expand_as(b[..., :1, :])
        else:
            alpha = morozov(s, b, self._delta(y, physics))
        norm = (power * b / (power + alpha).square()).sum(-2).sqrt()
        return (1 / norm).unflatten(-1, A.greens.shape[-2:]).unsqueeze(-3)

    def _delta(self, y: Tensor, physics: Physics) -> Tensor:
        if self.noise_level is not None:
            return y.real.new_tensor(self.noise_level)
        noise: Any = physics.noise
        if not isinstance(noise, GaussianNoise):
            raise ParameterError(
                "LinearSampling: Morozov's principle needs the noise level: Gaussian noise of the physics, "
                f"noise_level=, or a fixed alpha=; the physics has {type(noise).__name__}"
            )
        sigma = torch.as_tensor(noise.sigma, dtype=y.real.dtype, device=y.device)
        return sigma * (y.shape[-1] ** 0.5 + y.shape[-2] ** 0.5)


def morozov(s: Tensor, b: Tensor, delta: Tensor) -> Tensor:
    """α with ‖F g - Φ‖ = δ ‖g‖ for each pixel, by bisection: Σ |b|² (α² - δ² s²)/(s² + α)² = 0.

    Parameters
    ----------
    s : Tensor, shape (..., i)
        Singular values.
    b : Tensor, shape (..., i, pixel)
        |Uᴴ Φ|².
    delta : Tensor, shape (...)
        δ.

    Returns
    -------
    Tensor, shape (..., 1, pixel)
    """
    s, delta = s.unsqueeze(-1), delta[..., None, None]

    def excess(alpha: Tensor) -> Tensor:
        """What the residual is above the noise, over b: it grows with α."""
        ratio = b / (s.square() + alpha).square()
        return (ratio * (alpha.square() - (delta * s).square())).sum(-2, keepdim=True)

    with torch.no_grad():
        tiny = torch.finfo(s.dtype).tiny ** 0.5
        low = (delta * s.amin(-2, keepdim=True)).clamp_min(tiny).log().expand_as(b[..., :1, :])
        high = (delta * s.amax(-2, keepdim=True)).clamp_min(tiny).log().expand_as(low)
        for _ in range(60):
            middle = (low + high) / 2
            above = excess(middle.exp()) > 0
            low, high = torch.where(above, low, middle), torch.where(above, middle, high)
        alpha = ((low + high) / 2).exp()
        power = s.square()
        slope = (2 * b * (alpha * power + (delta * s).square()) / (power + alpha) ** 3).sum(-2, keepdim=True)
    return alpha - excess(alpha) / slope  # a step of Newton, for the derivatives
