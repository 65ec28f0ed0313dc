"""Random illumination microscopy: the variance of images under unknown speckles."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from invcore import DtypeError, Operator, ParameterError, ShapeError, Space, Value

from .._pupils.otf import round_transfer
from .checks import image_stack
from .spectra import frequencies, place_kernel


class SpeckleVariance(Operator):
    r"""Variance over speckled images of one sample: a sum of squares of blurred images.

    .. math::
        V(r) = \iint h(r - r_1) h(r - r_2) C(r_1 - r_2) x(r_1) x(r_2) \, dr_1 dr_2
        = \sum_l w_l (u_l * x)^2(r)

    for speckles of mean 1 and covariance C. Since h(r₁) C(r₁ - r₂) h(r₂) is a positive kernel, its
    eigenvectors u on the window of the point spread function give the sum, and some tens of them all of it.
    V holds frequencies of the sample up to the sum of the cutoffs of the objective and the speckles, and
    determines a positive sample [1]_. Blurs are periodic. `SpeckleVariance.of` makes the kernels.

    Parameters
    ----------
    kernels : Tensor, shape (..., l, ky, kx)
        u, centered at ``k // 2``; leading dimensions are batch.
    weights : Tensor, shape (..., l)
        w ≥ 0.
    shape : tuple of int
        Pixels (ny, nx). V has twice the bandwidth of the images: pixels of up to λ / (8 NA).

    Notes
    -----
    Domain and range ``(1, y, x)``. V(s x) = s² V(x).

    Raises
    ------
    ShapeError, DtypeError

    References
    ----------
    .. [1] S. Labouesse, J. Idier, A. Sentenac, T. Mangeat, "Uniqueness of the random illumination microscopy
       variance equation", arXiv:2103.00493 (2021).

    Examples
    --------
    >>> A = SpeckleVariance.of(psf=torch.ones(1, 1), cutoff=0.5, shape=(4, 4))  # fully developed: contrast 1
    >>> A(3 * torch.ones(1, 4, 4)).mean()
    tensor(9.)
    """

    kernels: Tensor
    weights: Tensor
    shape: tuple[int, int]
    params = ("kernels", "weights")

    def __post_init__(self) -> None:
        for name, value in (("kernels", self.kernels), ("weights", self.weights)):
            if not isinstance(value, Tensor) or not value.is_floating_point():
                got = getattr(value, "dtype", type(value).__name__)
                raise DtypeError(f"SpeckleVariance: {name} must be a real floating tensor, got {got}")
        if self.kernels.ndim < 3 or 0 in self.kernels.shape:
            raise ShapeError(
                f"SpeckleVariance: kernels must be (..., l, ky, kx), got {tuple(self.kernels.shape)}"
            )
        if self.weights.ndim < 1 or self.weights.shape[-1] != self.kernels.shape[-3]:
            raise ShapeError(
                f"SpeckleVariance: weights must be (..., {self.kernels.shape[-3]}), one for each kernel, got "
                f"{tuple(self.weights.shape)}"
            )
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ShapeError(f"SpeckleVariance: shape must be pixels (ny, nx), got {self.shape}")

    @staticmethod
    def of(
        *,
        psf: Tensor,
        cutoff: float,
        shape: tuple[int, int],
        method: Literal["low_rank", "modes"] = "low_rank",
        share: float = 0.999,
    ) -> SpeckleVariance:
        r"""Return the variance for fully developed speckles of a clear round pupil.

        Their covariance is the inverse Fourier transform of the `otf` of the illumination.

        Parameters
        ----------
        psf : Tensor, shape (ky, kx)
            h of the detection, centered at ``k // 2``: for "low_rank", cut to where it is not negligible.
        cutoff : float
            Of the illumination, 2 NA / λ of excitation, in cycles per pixel.
        shape : tuple of int
            Pixels (ny, nx).
        method : {"low_rank", "modes"}
            Eigenvectors on the window of h, or two kernels for each Fourier mode q of the covariance,
            h cos(2πq·r) and h sin(2πq·r): exact on the periodic grid, many more, and with gradients to h.
        share : float
            Of the trace that the eigenvectors keep.

        Raises
        ------
        ParameterError, ShapeError
        """
        if psf.ndim != 2 or not psf.is_floating_point():
            raise ShapeError(
                f"SpeckleVariance.of: psf must be real (ky, kx), got {psf.dtype} {tuple(psf.shape)}"
            )
        if not 0 < cutoff <= 0.5:
            raise ParameterError(
                f"SpeckleVariance.of: cutoff must lie in (0, 0.5] cycles per pixel, got {cutoff!r}; "
                "use finer pixels"
            )
        if method == "modes":
            kernels, weights = _modes(psf, cutoff, shape)
            return SpeckleVariance(kernels=kernels, weights=weights, shape=shape)
        if method != "low_rank":
            raise ParameterError(f"SpeckleVariance.of: method must be 'low_rank' or 'modes', got {method!r}")
        if not 0 < share <= 1:
            raise ParameterError(f"SpeckleVariance.of: share must lie in (0, 1], got {share!r}")
        kernels, weights = _eigenvectors(psf, cutoff, shape, share)
        return SpeckleVariance(kernels=kernels, weights=weights, shape=shape)

    @property
    def domain(self) -> Space:
        return Space((1, *self.shape))

    @property
    def range(self) -> Space:
        return Space((1, *self.shape))

    @cached_property
    def _kept(self) -> Tensor:
        with torch.inference_mode(False):
            return torch.fft.rfft2(place_kernel(self.kernels, self.shape))

    def forward(self, x: Tensor) -> Tensor:
        if not x.numel():  # torch.fft refuses an empty batch, and solvers start from one
            return x.square()
        learned = self.kernels.requires_grad
        transfer = torch.fft.rfft2(place_kernel(self.kernels, self.shape)) if learned else self._kept
        blurred = torch.fft.irfft2(transfer * torch.fft.rfft2(x), s=self.shape)
        return (self.weights[..., None, None] * blurred.square()).sum(-3, keepdim=True)


def _spectrum_of_covariance(cutoff: float, shape: tuple[int, int], like: Tensor) -> Tensor:
    """Ĉ on the grid of the FFT, of covariance 1 at zero distance."""
    fy, fx = frequencies(shape, like)
    spectrum = round_transfer(torch.hypot(fy, fx) / cutoff)
    return spectrum * (math.prod(shape) / spectrum.sum())


def _modes(psf: Tensor, cutoff: float, shape: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Kernels (l, ky, kx) and weights (l,) of all modes: q and -q count together."""
    spectrum = _spectrum_of_covariance(cutoff, shape, psf.detach()) / math.prod(shape)
    fy, fx = (f.expand(shape).flatten() for f in frequencies(shape, psf.detach()))
    used = (spectrum.flatten() > 0) & ((fy > 0) | ((fy == 0) & (fx >= 0)))
    double = 2.0 - ((fy == 0) & (fx == 0)).to(psf.dtype)
    weights = (double * spectrum.flatten())[used]
    y, x = (torch.arange(k, dtype=psf.dtype, device=psf.device) - k // 2 for k in psf.shape)
    turn = 2 * math.pi * (fy[used, None, None] * y[:, None] + fx[used, None, None] * x)
    return torch.cat((psf * turn.cos(), psf * turn.sin())), torch.cat((weights, weights))


def _eigenvectors(psf: Tensor, cutoff: float, shape: tuple[int, int], share: float) -> tuple[Tensor, Tensor]:
    """The leading eigenvectors of h(r₁) C(r₁ - r₂) h(r₂), as kernels (l, ky, kx), and eigenvalues (l,)."""
    if psf.numel() > 4096:
        raise ParameterError(
            f"SpeckleVariance.of: eigenvectors on a window of {tuple(psf.shape)} pixels are too many; cut "
            "the psf to where it is not negligible"
        )
    wide = (max(shape[0], 2 * psf.shape[0]), max(shape[1], 2 * psf.shape[1]))
    h = psf.detach().double()
    covariance = torch.fft.ifft2(_spectrum_of_covariance(cutoff, wide, h)).real
    rows, columns = (torch.arange(k, device=h.device) for k in h.shape)
    apart_y = (rows[:, None] - rows).repeat_interleave(len(columns), 0).repeat_interleave(len(columns), 1)
    apart_x = (columns[:, None] - columns).repeat(len(rows), len(rows))
    K = h.flatten()[:, None] * covariance[apart_y % wide[0], apart_x % wide[1]] * h.flatten()
    values, vectors = torch.linalg.eigh(K)
    values, vectors = values.flip(0).clamp(min=0), vectors.flip(1)
    enough = torch.cumsum(values, 0) < share * values.sum() * (1 - 1e-12)
    count = min(int(enough.sum()) + 1, len(values))
    kernels = vectors[:, :count].T.reshape(count, *psf.shape).to(psf.dtype)
    return kernels, values[:count].to(psf.dtype)


class SpeckleMoments(NamedTuple):
    """Mean and variance of images under speckles.

    Attributes
    ----------
    mean, variance : Tensor, shape (..., 1, y, x)
        Over the frames; the variance without that of the noise.
    contrast : Tensor, shape (...)
        √(Σ variance / Σ mean²): small where a pixel sees many speckles.
    """

    mean: Tensor
    variance: Tensor
    contrast: Tensor


class SpeckleStatistics(Value):
    r"""Mean of speckled images, and their variance without that of the noise.

    The noise of photons adds the mean (times the gain) to the variance over the frames, that of the camera
    σ²: both are subtracted. Estimated from M frames, the variance has a relative standard error of about
    √(2/M) in each speckle: 14 % for 100 frames.

    Parameters
    ----------
    gain : float
        Data units per photon; 0 for images without the noise of photons.
    read_noise : float
        Standard deviation σ of the camera, in data units.

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> y = torch.tensor([2.0, 6.0]).reshape(2, 1, 1)
    >>> SpeckleStatistics()(y).variance  # 8 of the frames less 4 of the photons
    tensor([[[4.]]])
    """

    gain: float = 1.0
    read_noise: float = 0.0

    def __post_init__(self) -> None:
        if not (0 <= self.gain < math.inf and 0 <= self.read_noise < math.inf):
            raise ParameterError(
                f"SpeckleStatistics: gain and read_noise must be >= 0, got {self.gain}, {self.read_noise}"
            )

    def __call__(self, y: Tensor) -> SpeckleMoments:
        """Return the moments.

        Parameters
        ----------
        y : Tensor, shape (..., frame, y, x)
            Images without background, at least two.

        Raises
        ------
        ShapeError, DtypeError, DataError
        """
        image_stack(y, "SpeckleStatistics", least=2)
        variance, mean = torch.var_mean(y, -3, keepdim=True)
        variance = variance - self.gain * mean - self.read_noise**2
        ratio = variance.sum((-3, -2, -1)) / mean.square().sum((-3, -2, -1))
        return SpeckleMoments(mean, variance, ratio.clamp(min=0).sqrt())
