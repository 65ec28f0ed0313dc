"""Reconstructions of a series: a sum of two, and k-t SENSE from a training series."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import LinearOperator, ParameterError, Physics, ShapeError, Space
from invcore.operators import ChannelMatrix, Mask
from invcore.solvers import ConjugateGradient

from .frames import Frames
from .temporal import TemporalFourier, check_series, frame_axis


def superposition(A: LinearOperator, parts: int = 2) -> LinearOperator:
    """Return the operator of several series whose sum A sees, as of a background and a dynamic part.

    Parameters
    ----------
    A : LinearOperator
        With the domain ``(1, frame, *spatial)``.
    parts : int
        Number of parts.

    Returns
    -------
    LinearOperator
        With the domain ``(parts, frame, *spatial)``; the series is ``x.sum(-4, keepdim=True)`` of images in
        the plane.

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> from invcore_mri import Fourier, Frames
    >>> A = superposition(Frames(Fourier(torch.ones(1, 1), shape=(4, 4)), 3))
    >>> A.domain.shape, A.range.shape
    ((2, 3, 4, 4), (3, 1, 4, 4))
    """
    if not isinstance(A.domain, Space) or len(A.domain.shape) < 3 or A.domain.shape[0] != 1:
        raise ShapeError(f"superposition: A must act on one series (1, frame, *spatial), got {A.domain}")
    total = ChannelMatrix(
        torch.ones(1, parts, dtype=A.dtype, device=A.device),
        Space((parts, *A.domain.shape[1:]), A.domain.kind),
    )
    joined: LinearOperator = A @ total  # type: ignore[assignment]
    return joined


def kt_sense(
    y: Tensor, physics: Physics, training: Tensor, *, floor: float = 1e-2, max_steps: int = 50
) -> Tensor:
    r"""Reconstruct a series with what a training series says about its x-f space (k-t BLAST, k-t SENSE).

    .. math:: \min_x \frac{\|A x - y\|^2}{2 \sigma^2} + \sum_{p k} \frac{|(F_t x)_{pk}|^2}{M_{pk}^2}

    where M is the magnitude of the training series at the pixel p and the temporal frequency k, from images
    of low resolution [1]_. With the noise level σ of the physics it is the most likely Gaussian series of
    those variances: no weight is to be chosen. Solved by conjugate gradient for F_t x / M.

    Parameters
    ----------
    y : Tensor, shape (batch..., frame, coil, ...)
    physics : Physics
        Of an operator on ``(channel, frame, *spatial)``, as `Frames`, and Gaussian noise.
    training : Tensor, shape (batch..., channel, frame, *spatial)
        Complex, as of `low_resolution`.
    floor : float
        Least M, as a part of its mean over all frequencies at any pixel: nothing is impossible.
    max_steps : int
        Of conjugate gradient.

    Returns
    -------
    Tensor, shape (batch..., channel, frame, *spatial)

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    .. [1] J. Tsao, P. Boesiger, K. Pruessmann, "k-t BLAST and k-t SENSE: dynamic MRI with high frame rate
       exploiting spatiotemporal correlations", Magn. Reson. Med. 50 (2003).

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore_mri import Fourier, Frames
    >>> A = Frames(Fourier(torch.ones(1, 1), shape=(4, 4)), 3)
    >>> x = torch.ones(1, 3, 4, 4) + 0j
    >>> found = kt_sense(A(x), Physics(A, GaussianNoise(sigma=1e-3)), x)
    >>> bool((found - x).abs().max() < 1e-3)
    True
    """
    space = physics.domain
    assert isinstance(space, Space)
    check_series("kt_sense", space)
    if tuple(training.shape[-len(space.shape) :]) != space.shape or not training.is_complex():
        raise ShapeError(
            f"kt_sense: the training series must be complex (..., *{space.shape}), got {training.dtype} "
            f"{tuple(training.shape)}"
        )
    if not floor > 0:
        raise ParameterError(f"kt_sense: floor must be positive, got {floor!r}")
    F = TemporalFourier(space)
    size = F(training).abs()
    least = floor * size.mean(frame_axis(space), keepdim=True)
    least = least.clamp_min(1e-6 * float(size.amax()))
    spread = Mask(torch.maximum(size, least).to(training.dtype), F.range)
    K = F.H @ spread
    A = physics.operator
    assert isinstance(A, LinearOperator)
    solver = ConjugateGradient(weight=2.0, max_steps=max_steps, rtol=1e-5)
    found: Tensor = K(solver(y, Physics(A @ K, physics.noise)))
    return found


def low_resolution(y: Tensor, A: Frames, center: int) -> Tensor:
    """Reconstruct each frame from the center of its k-space alone, as a training series.

    Parameters
    ----------
    y : Tensor, shape (batch..., frame, coil, *spatial)
    A : Frames
        Of a `Sense` whose mask has the center in every frame.
    center : int
        Length of the center along each undersampled axis.

    Returns
    -------
    Tensor, shape (batch..., channel, frame, *spatial)

    Raises
    ------
    ParameterError
        If A is of another operator, or its center is not sampled.

    Examples
    --------
    >>> from invcore_mri import Frames, Sense, coil_array
    >>> A = Frames(Sense(coil_array((8, 8), coils=2), torch.ones(3, 1, 8)), 3)
    >>> x = torch.ones(1, 3, 8, 8) + 0j
    >>> low_resolution(A(x), A, 4).shape
    torch.Size([1, 3, 8, 8])
    """
    from .._sampling.operators import Sense

    sense = A.operator
    if not isinstance(sense, Sense):
        raise ParameterError(f"low_resolution: A must be Frames of Sense, not of {type(sense).__name__}")
    window = torch.ones(sense.shape, dtype=sense.dtype, device=sense.device)
    for axis, n in enumerate(sense.shape):
        if sense.mask.shape[axis - len(sense.shape)] == 1:
            continue
        away = (torch.arange(n, device=sense.device) - n // 2).abs() * 2 / center
        smooth = torch.where(away < 1, 0.5 + 0.5 * torch.cos(torch.pi * away), 0).to(sense.dtype)
        window = window * smooth.reshape(-1, *(1,) * (len(sense.shape) - axis - 1))
    inside = (window > 0).expand(sense.mask.shape[: -len(sense.shape)] + window.shape)
    measured = (sense.mask != 0).expand_as(inside)
    if not bool(measured[inside].all()):
        raise ParameterError(
            f"low_resolution: the center of {center} is not sampled in every frame: give a smaller center"
        )
    images: Tensor = A.H(window.unsqueeze(-len(sense.shape) - 1) * y)
    return images
