"""The noise that undersampling amplifies: g-factor by unfolding matrices and by pseudo-replicas."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError, Physics, ShapeError


def g_factor(maps: Tensor, acceleration: tuple[int, ...], *, covariance: Tensor | None = None) -> Tensor:
    r"""Compute the g-factor of SENSE on a regular grid, from its unfolding matrices.

    With every R-th sample along an axis, R voxels a field of view / R apart fold onto each other. With S
    their coil sensitivities (coil, voxel) and :math:`\Psi` the noise covariance,

    .. math:: g_i = \sqrt{\left[(S^H \Psi^{-1} S)^{-1}\right]_{ii} \left[S^H \Psi^{-1} S\right]_{ii}} \ge 1,

    and the noise of voxel i is :math:`g_i \sqrt R` times that of the fully sampled scan.

    Parameters
    ----------
    maps : Tensor, shape (..., coil, *spatial)
        Coil sensitivities, complex. Voxels at which all are zero count as empty.
    acceleration : tuple of int
        R of each spatial axis, 1 where all samples are measured; its length is the number of spatial axes.
    covariance : Tensor, shape (coil, coil), optional
        :math:`\Psi`; white noise by default.

    Returns
    -------
    Tensor, shape (..., *spatial)
        Real; 0 at empty voxels, infinite where the coils cannot tell the voxels apart.

    Raises
    ------
    ShapeError
        If the maps do not fit.
    ParameterError
        If a length is not a multiple of its R, or more voxels fold than there are coils.

    References
    ----------
    K. Pruessmann, M. Weiger, M. Scheidegger, P. Boesiger, "SENSE: sensitivity encoding for fast MRI", Magn.
    Reson. Med. 42 (1999).

    Examples
    --------
    >>> from invcore_mri import coil_array, g_factor
    >>> g = g_factor(coil_array((16, 16), coils=8), (2, 1))
    >>> g.shape, bool((g >= 1 - 1e-6).all())
    (torch.Size([16, 16]), True)
    """
    d = len(acceleration)
    if not maps.is_complex() or maps.ndim < d + 1 or d < 1:
        raise ShapeError(
            f"expected complex maps (..., coil, *spatial) with {d} axes, got {tuple(maps.shape)}"
        )
    coils, spatial = maps.shape[-d - 1], tuple(maps.shape[-d:])
    for n, r in zip(spatial, acceleration):
        if r < 1 or n % r:
            raise ParameterError(f"{n} voxels do not fold {r} times: {n} / {r} must be whole")
    fold = math.prod(acceleration)
    if fold > coils:
        raise ParameterError(f"{fold} voxels fold onto each other, more than {coils} coils can tell apart")
    s = maps.detach().to(torch.complex128)
    if covariance is not None:
        if tuple(covariance.shape) != (coils, coils):
            raise ShapeError(
                f"the noise covariance must be ({coils}, {coils}), got {tuple(covariance.shape)}"
            )
        lower = torch.linalg.cholesky(covariance.to(s.device, torch.complex128))
        s = torch.linalg.solve_triangular(lower, s.movedim(-d - 1, -1).unsqueeze(-1), upper=False)
        s = s.squeeze(-1).movedim(-1, -d - 1)
    # (..., coil, R1, n1 / R1, R2, n2 / R2, ...) to (..., n1 / R1, n2 / R2, ..., coil, R)
    split = [size for n, r in zip(spatial, acceleration) for size in (r, n // r)]
    lead = s.ndim - d - 1
    s = s.reshape(*s.shape[: lead + 1], *split)
    repeats = [lead + 1 + 2 * a for a in range(d)]
    places = [lead + 2 + 2 * a for a in range(d)]
    s = s.permute(*range(lead), *places, lead, *repeats).flatten(-d)
    gram = s.mH @ s
    power = gram.diagonal(dim1=-2, dim2=-1).real
    empty = power <= 1e-12 * power.amax()
    gram = gram + torch.diag_embed(empty.to(gram.dtype))
    inverse, info = torch.linalg.inv_ex(gram)
    variance = inverse.diagonal(dim1=-2, dim2=-1).real
    variance = torch.where((info != 0).unsqueeze(-1), math.inf, variance)
    g = torch.where(empty, 0, (variance * power).clamp_min(0).sqrt())
    g = g.reshape(*g.shape[:-1], *acceleration)  # (..., places, repeats)
    order = [axis for a in range(d) for axis in (lead + d + a, lead + a)]
    return g.permute(*range(lead), *order).reshape(*g.shape[:lead], *spatial).to(maps.real.dtype)


@torch.no_grad()
def pseudo_replicas(
    reconstruct: Callable[[Any, Physics], Tensor],
    y: Tensor,
    physics: Physics,
    *,
    draws: int = 100,
    generator: torch.Generator,
) -> Tensor:
    r"""Measure the noise of any reconstruction: the standard deviation over replicas with more noise.

    Each replica adds noise of the physics, once more, to the data. For a linear reconstruction the result is
    its noise, within :math:`1 / \sqrt{4 \, \text{draws}}`; for another, its noise near these data. Divided by
    that of the fully sampled scan and :math:`\sqrt R`, it is the g-factor: with `Sense` and noise of σ in
    each real component the full scan has :math:`\sigma / \sqrt{\sum_c |s_c|^2}`.

    Parameters
    ----------
    reconstruct : callable
        ``reconstruct(y, physics)``, as a solver is called.
    y : Tensor, shape (*range.shape)
        Data of one scan.
    physics : Physics
        Operator and noise. Where y is zero (not measured) no noise is added.
    draws : int
        Number of replicas, 2 or more.
    generator : torch.Generator

    Returns
    -------
    Tensor, shape (*domain.shape)
        Standard deviation of each real component, root mean square of the two.

    Raises
    ------
    ParameterError
        If ``draws`` is less than 2.

    References
    ----------
    P. M. Robson, A. K. Grant, A. J. Madhuranthakam, R. Lattanzi, D. K. Sodickson, C. A. McKenzie,
    "Comprehensive quantification of signal-to-noise ratio and g-factor for image-based and k-space-based
    parallel imaging reconstructions", Magn. Reson. Med. 60, 895 (2008).

    Examples
    --------
    >>> import torch, invcore
    >>> from invcore_mri import Sense, coil_array, pseudo_replicas
    >>> A = Sense(coil_array((8, 8), coils=4), torch.ones(1, 1))
    >>> physics = invcore.Physics(A, invcore.noise("gaussian", sigma=0.1))
    >>> noise = pseudo_replicas(lambda y, p: p.operator.H(y), torch.ones(4, 8, 8) + 0j, physics,
    ...                         draws=400, generator=torch.Generator().manual_seed(0))
    >>> round(float(noise.mean()), 2)
    0.1
    """
    if draws < 2:
        raise ParameterError(f"a standard deviation takes 2 draws or more, got {draws}")
    measured = y != 0
    mean = square = torch.zeros(())
    for count in range(1, draws + 1):  # Welford
        x = reconstruct(torch.where(measured, physics.noise(y, generator=generator), y), physics)
        change = x - mean
        mean = mean + change / count
        square = square + (change.conj() * (x - mean)).real
    parts = 2 if x.is_complex() else 1
    return (square / (parts * (draws - 1))).sqrt()
