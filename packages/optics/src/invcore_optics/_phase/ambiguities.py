"""What intensities leave open, and its removal before images are compared."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ShapeError
from invcore.spaces import broadcast_shapes


def aligned_phase(x: Tensor, reference: Tensor, *, scale: bool = False, dims: int = 3) -> Tensor:
    """Multiply an image by the phase that brings it closest to a reference.

    The data of phase retrieval are the same for x and e^{iα} x. The α of least squares is the phase of ⟨x,
    reference⟩.

    Parameters
    ----------
    x, reference : Tensor, complex, shape (..., channel, y, x)
    scale : bool
        Multiply by the complex number of least squares, which fits the magnitude too.
    dims : int
        Trailing dimensions that share the factor.

    Returns
    -------
    Tensor, shape (..., channel, y, x)

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> truth = torch.tensor([[[1 + 0j, 2 + 1j]]])
    >>> aligned_phase(1j * truth, truth)
    tensor([[[1.+0.j, 2.+1.j]]])
    """
    _check("aligned_phase", x, reference)
    axes = tuple(range(-dims, 0))
    inner = (x.conj() * reference).sum(axes, keepdim=True)
    if scale:
        size = x.abs().square().sum(axes, keepdim=True)
        return x * inner / size.clamp_min(torch.finfo(size.dtype).tiny)
    return x * torch.where(inner == 0, 1, torch.sgn(inner))


def aligned_ramp(
    x: Tensor, reference: Tensor, weights: Tensor | None = None, *, scale: bool = True
) -> tuple[Tensor, Tensor]:
    r"""Remove what ptychography leaves open when the probe is unknown: a factor and a linear phase.

    With the probe :math:`P e^{-2πi f·r}/a` the object :math:`a\, x\, e^{2πi f·r}` gives the same data. f is
    found at the maximum of the Fourier transform of :math:`\bar x` · reference, refined by least squares.

    Parameters
    ----------
    x, reference : Tensor, complex, shape (..., 1, y, x)
    weights : Tensor, shape (..., 1, y, x), optional
        What each pixel counts, such as the dose; 0 where the scan has not been.
    scale : bool
        Fit the magnitude of a too.

    Returns
    -------
    x : Tensor, shape (..., 1, y, x)
        Aligned.
    frequency : Tensor, shape (..., 2)
        f in cycles a pixel along y and x, by which the phase of x was increased.

    Raises
    ------
    ShapeError
        If the shapes do not broadcast.

    Examples
    --------
    >>> truth = torch.ones(1, 8, 8) + 0j
    >>> tilted = truth * torch.polar(torch.tensor(2.0), -0.5 * torch.arange(8.0))
    >>> found, f = aligned_ramp(tilted, truth)
    >>> (found - truth).abs().max().item() < 1e-5, (2 * torch.pi * f).round(decimals=4)
    (True, tensor([0.0000, 0.5000]))
    """
    _check("aligned_ramp", x, reference)
    product = (x.conj() * reference).squeeze(-3)
    if weights is not None:
        product = product * weights.squeeze(-3)
    f = dominant_frequency(product)
    ramp = _ramp(f, product).unsqueeze(-3)
    ones = reference if weights is None else reference * weights.sqrt()
    own = x * ramp if weights is None else x * ramp * weights.sqrt()
    inner = (own.conj() * ones).sum((-3, -2, -1), keepdim=True)
    size = own.abs().square().sum((-3, -2, -1), keepdim=True)
    factor = inner / size.clamp_min(torch.finfo(size.dtype).tiny) if scale else torch.sgn(inner)
    return x * ramp * factor, f


def dominant_frequency(product: Tensor) -> Tensor:
    """The frequency of the largest Fourier coefficient of an image (..., y, x), to a fraction of a sample.

    In cycles a pixel along y and x, (..., 2).

    Examples
    --------
    >>> wave = torch.polar(torch.ones(8, 8), 2 * torch.pi * 0.11 * torch.arange(8.0)[:, None].expand(8, 8))
    >>> dominant_frequency(wave).round(decimals=4).abs()
    tensor([0.1100, 0.0000])
    """
    f = _peak(product)
    for _ in range(20):
        f = f + _correction(product, f)
    return f


def _check(name: str, x: Tensor, reference: Tensor) -> None:
    try:
        broadcast_shapes(x.shape, reference.shape)
    except RuntimeError as error:
        raise ShapeError(
            f"{name}: image {tuple(x.shape)} and reference {tuple(reference.shape)} must have one shape"
        ) from error


def _coordinates(like: Tensor) -> tuple[Tensor, Tensor]:
    ny, nx = like.shape[-2:]
    real = like.real.dtype
    y, x = (torch.arange(n, dtype=real, device=like.device) - (n - 1) / 2 for n in (ny, nx))
    return y[:, None], x


def _ramp(f: Tensor, like: Tensor) -> Tensor:
    y, x = _coordinates(like)
    angle = 2 * math.pi * (f[..., 0, None, None] * y + f[..., 1, None, None] * x)
    return torch.polar(torch.ones_like(angle), angle)


def _peak(product: Tensor) -> Tensor:
    """The frequency of the largest Fourier coefficient, on a grid twice as fine."""
    sizes = [2 * n for n in product.shape[-2:]]
    spectrum = torch.fft.fft2(product, s=sizes).abs().flatten(-2)
    at = spectrum.argmax(-1)
    rows, columns = at // sizes[1], at % sizes[1]
    freqs = [torch.fft.fftfreq(n, dtype=product.real.dtype, device=product.device) for n in sizes]
    return torch.stack([freqs[0][rows], freqs[1][columns]], -1)


def _correction(product: Tensor, f: Tensor) -> Tensor:
    """A Newton step for the maximum of |Σ product e^{-2πi f·r}|."""
    y, x = _coordinates(product)
    left = product * _ramp(f, product).conj()
    total = left.sum((-2, -1))
    moments = {}
    for name, r in (("y", y), ("x", x), ("yy", y * y), ("yx", y * x), ("xx", x * x)):
        moments[name] = (left * r).sum((-2, -1)) / torch.where(total == 0, 1, total)
    mean_y, mean_x = moments["y"].imag, moments["x"].imag
    yy = moments["yy"].real - moments["y"].real.square()
    xx = moments["xx"].real - moments["x"].real.square()
    yx = moments["yx"].real - moments["y"].real * moments["x"].real
    det = yy * xx - yx.square()
    safe = torch.where(det.abs() > 1e-12 * (yy + xx).square(), det, torch.inf)
    step = torch.stack([xx * mean_y - yx * mean_x, yy * mean_x - yx * mean_y], -1) / safe.unsqueeze(-1)
    limit = step.new_tensor([0.25 / n for n in product.shape[-2:]])
    return (step / (2 * math.pi)).clamp(-limit, limit)
