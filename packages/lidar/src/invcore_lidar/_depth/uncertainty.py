"""Uncertainty of depth: Cramér-Rao bounds, and the posterior deviation of a regularized map."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from invcore import ParameterError, ShapeError

from .._photons.impulse import ImpulseResponse
from .._photons.units import SPEED_OF_LIGHT
from .detections import Table, tabulate


def information(table: Table, photons: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Return the Fisher information of the time of flight, per bin², of signal over background per bin."""
    q = np.geomspace(1e-9, 1e6, 400)
    of_one = np.array([table.information(x) for x in q])
    safe = np.maximum(photons, 1e-12)
    ratio = np.clip(background / safe, q[0], q[-1])
    return safe * np.exp(np.interp(np.log(ratio), np.log(q), np.log(of_one)))


def depth_deviation(
    reflectivity: Tensor, background: Tensor | float, *, impulse: ImpulseResponse, bin_width: float
) -> Tensor:
    r"""Return the Cramér-Rao bound of a depth, the least deviation of an unbiased pixelwise estimate,

    .. math:: σ_d = \frac{c}{2} \Bigl( \sum_b \frac{(r \, ∂m_b/∂t)^2}{r m_b + β} \Bigr)^{-1/2},

    with mᵦ the part of the impulse response in bin b. If background dominates, estimates find the wrong peak
    and their error is far above the bound: compare r with the background under the response.

    Parameters
    ----------
    reflectivity : Tensor, shape (...)
        r, expected signal photons of the only surface.
    background : float or Tensor, shape (...)
        β, expected background photons per bin.
    impulse : ImpulseResponse
    bin_width : float
        Seconds.

    Returns
    -------
    Tensor, shape (...)
        Meters; infinite where there is no signal.

    Raises
    ------
    ParameterError
        If the bin width is not positive.

    Notes
    -----
    The information is averaged over the positions of a return in its bin. Bins longer than the response carry
    information only near their edges: the error is then about c/2 · bin_width/√12, not this bound. The
    response is floored at a thousandth of its maximum, as the abrupt start of a measured one would count far
    too much.

    References
    ----------
    D. Shin, A. Kirmani, V. K. Goyal, J. H. Shapiro, "Photon-efficient computational 3-D and reflectivity
    imaging with single-photon detectors", IEEE Trans. Comput. Imaging 1 (2015).

    Examples
    --------
    >>> h = ImpulseResponse.gaussian(fwhm=235.482e-12)  # standard deviation 100 ps: 15 mm
    >>> s = depth_deviation(torch.tensor([1.0, 25.0]), 0.0, impulse=h, bin_width=10e-12)
    >>> (1000 * s).round().tolist()
    [15.0, 3.0]
    """
    if not bin_width > 0:
        raise ParameterError(
            f"depth_deviation: bin_width must be a positive time in seconds, got {bin_width!r}"
        )
    r = reflectivity.detach().cpu().double().numpy()
    b = background.detach().cpu().double().numpy() if isinstance(background, Tensor) else background
    info = information(
        tabulate(impulse, bin_width), r, np.broadcast_to(b, np.broadcast_shapes(r.shape, np.shape(b)))
    )
    sigma = np.where(r > 0, info**-0.5, np.inf) * (bin_width * SPEED_OF_LIGHT / 2)
    return torch.as_tensor(sigma, dtype=reflectivity.dtype, device=reflectivity.device)


def posterior_deviation(
    depth: Tensor,
    deviation: Tensor,
    *,
    weight: float,
    unit: float,
    samples: int = 32,
    steps: int = 100,
    generator: torch.Generator,
) -> Tensor:
    r"""Return the posterior deviation of a depth map regularized by total variation.

    In the Gaussian approximation at the map, the precision of the posterior is Λ + Dᴴ W D: Λ holds 1/σ_d² of
    single pixels (`depth_deviation`), D the differences between neighbors, and W = λ / (unit ·
    max(\|difference\|, unit)) the curvature of the penalty. The diagonal of the inverse is the variance of
    draws x = (Λ + DᴴWD)⁻¹ (Λ^½ ε₁ + Dᴴ W^½ ε₂), each by conjugate gradients.

    Parameters
    ----------
    depth : Tensor, shape (y, x)
        Meters.
    deviation : Tensor, shape (y, x)
        σ_d of single pixels in meters, infinite where they carry no information.
    weight : float
        λ of λ Σ \|D d\| / unit.
    unit : float
        Meters.
    samples : int
        Number of draws; the relative error of the result is 1/√(2 samples).
    steps : int
        Largest number of steps of conjugate gradients.
    generator : torch.Generator

    Returns
    -------
    Tensor, shape (y, x)
        Standard deviations in meters.

    Raises
    ------
    ShapeError
        If the two maps differ in shape.

    References
    ----------
    G. Papandreou and A. Yuille, "Gaussian sampling by local perturbations", NeurIPS (2010).

    Examples
    --------
    >>> flat = torch.zeros(16, 16, dtype=torch.float64)
    >>> alone = torch.ones_like(flat)
    >>> g = torch.Generator().manual_seed(0)
    >>> s = posterior_deviation(flat, alone, weight=10.0, unit=1.0, generator=g)
    >>> bool((s < 0.6).all())
    True
    """
    if depth.ndim != 2 or depth.shape != deviation.shape:
        raise ShapeError(
            f"posterior_deviation: depth and deviation must be (y, x), got {tuple(depth.shape)} and "
            f"{tuple(deviation.shape)}"
        )
    d = depth.double() / unit
    precision = torch.where(torch.isfinite(deviation), (unit / deviation.double()) ** 2, 0.0)
    precision = precision + 1e-9 * precision.max().clamp_min(1e-300)
    along = [weight / d.diff(dim=a).abs().clamp_min(1.0) for a in (0, 1)]

    def penalty(v: Tensor) -> Tensor:
        out = torch.zeros_like(v)
        for axis, w in zip((-2, -1), along):
            out = out + _differences_adjoint(w * v.diff(dim=axis), axis)
        return out

    def draw(like: Tensor) -> Tensor:
        return torch.randn(samples, *like.shape, dtype=torch.float64, generator=generator).to(like.device)

    b = precision.sqrt() * draw(d)
    for axis, w in zip((-2, -1), along):
        b = b + _differences_adjoint(w.sqrt() * draw(w), axis)
    diagonal = precision + penalty_diagonal(along, d.shape)
    x, r = torch.zeros_like(b), b
    z = r / diagonal
    p, rho = z, (r * z).sum((-2, -1), keepdim=True)
    for _ in range(steps):
        q = precision * p + penalty(p)
        alpha = rho / (p * q).sum((-2, -1), keepdim=True).clamp_min(1e-300)
        x, r = x + alpha * p, r - alpha * q
        z = r / diagonal
        new = (r * z).sum((-2, -1), keepdim=True)
        p, rho = z + new / rho.clamp_min(1e-300) * p, new
        if bool((r.square().sum((-2, -1)) < 1e-8 * b.square().sum((-2, -1))).all()):
            break
    return (x.square().mean(0).sqrt() * unit).to(depth.dtype)


def _differences_adjoint(v: Tensor, axis: int) -> Tensor:
    pad = (1, 1) if axis == -1 else (0, 0, 1, 1)
    return -torch.nn.functional.pad(v, pad).diff(dim=axis)


def penalty_diagonal(weights: list[Tensor], shape: torch.Size) -> Tensor:
    """Return the diagonal of Dᴴ W D."""
    out = torch.zeros(shape, dtype=torch.float64, device=weights[0].device)
    for axis, w in zip((-2, -1), weights):
        n = shape[axis]
        out.narrow(axis, 0, n - 1).add_(w)
        out.narrow(axis, 1, n - 1).add_(w)
    return out
