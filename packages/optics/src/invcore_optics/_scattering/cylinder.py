"""The exact field that a circular cylinder scatters."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError


def cylinder_field(
    positions: Tensor, *, radius: float, wavelength: float, index: float | None, angle: float = 0.0
) -> Tensor:
    r"""The field that a circular cylinder at the origin scatters of a plane wave.

    .. math:: u(r, θ) = \sum_n i^n c_n H_n^{(1)}(k r)\, e^{in(θ - φ)},

    φ the direction of the wave of unit amplitude. With equal densities (TM waves of permittivity n²)

    .. math:: c_n = \frac{k_1 J_n'(k_1 a) J_n(k a) - k J_n'(k a) J_n(k_1 a)}
              {k H_n'(k a) J_n(k_1 a) - k_1 J_n'(k_1 a) H_n(k a)}, \qquad k_1 = n k,

    and c_n = -J_n(ka)/H_n(ka) for a sound-soft one (a conductor).

    Parameters
    ----------
    positions : Tensor, shape (..., 2)
        (y, x) in meters, outside of the cylinder.
    radius, wavelength : float
        a, and the wavelength around, meters.
    index : float or None
        n, relative to the medium around; None for sound-soft.
    angle : float
        φ, radians.

    Returns
    -------
    Tensor, complex128, shape (...)

    Raises
    ------
    ParameterError
        If a length is not positive, or a position is inside.

    Examples
    --------
    >>> cylinder_field(torch.tensor([0.0, 3.0]), radius=1.0, wavelength=1.0, index=1.0).abs()
    tensor(0., dtype=torch.float64)
    """
    from scipy.special import hankel1

    k = _wavenumber(radius, wavelength)
    y, x = positions.double().unbind(-1)
    r, theta = torch.hypot(y, x), torch.atan2(y, x) - angle
    if r.numel() and float(r.min()) < radius:
        raise ParameterError("cylinder_field: positions must be outside of the cylinder")
    n, c = _coefficients(k, radius, index)
    waves = hankel1(n, k * r.numpy()[..., None]) * np.exp(1j * n * theta.numpy()[..., None])
    return torch.from_numpy(np.asarray((1j**n * c * waves).sum(-1)))


def cylinder_far_field(
    outgoing: Any, incoming: Any, *, radius: float, wavelength: float, index: float | None
) -> Tensor:
    """The far field of a circular cylinder at the origin, the factor of e^{ikr}/√r.

    u∞ = sqrt(2/(πk)) e^{-iπ/4} Σ c_n e^{in(θ - φ)}, with c_n as of `cylinder_field`.

    Parameters
    ----------
    outgoing, incoming : Tensor, shape (receiver,), shape (emitter,)
        θ and φ, radians.
    radius, wavelength, index
        As in `cylinder_field`.

    Returns
    -------
    Tensor, complex128, shape (emitter, receiver)

    Raises
    ------
    ParameterError
        If a length is not positive.
    """
    k = _wavenumber(radius, wavelength)
    n, c = _coefficients(k, radius, index)
    out, into = (torch.as_tensor(a, dtype=torch.float64).numpy() for a in (outgoing, incoming))
    turns = np.exp(1j * n * (out[None, :, None] - into[:, None, None]))
    return torch.from_numpy(math.sqrt(2 / (math.pi * k)) * np.exp(-0.25j * math.pi) * (turns @ c))


def _wavenumber(radius: float, wavelength: float) -> float:
    for name, value in (("radius", radius), ("wavelength", wavelength)):
        if not 0 < value < math.inf:
            raise ParameterError(f"{name} must be a positive length in meters, got {value!r}")
    return 2 * math.pi / wavelength


def _coefficients(k: float, a: float, index: float | None) -> tuple[np.ndarray, np.ndarray]:
    """Orders n and c_n, as many as matter in double precision."""
    from scipy.special import h1vp, hankel1, jv, jvp

    last = math.ceil(k * a + 8 * (k * a) ** (1 / 3) + 12)
    n = np.arange(-last, last + 1)
    if index is None:
        return n, -jv(n, k * a) / hankel1(n, k * a)
    k1 = index * k
    above = k1 * jvp(n, k1 * a) * jv(n, k * a) - k * jvp(n, k * a) * jv(n, k1 * a)
    below = k * h1vp(n, k * a) * jv(n, k1 * a) - k1 * jvp(n, k1 * a) * hankel1(n, k * a)
    return n, above / below
