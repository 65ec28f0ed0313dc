"""`GaussianField`: an image with a normal density, its covariance in one of three forms."""

from __future__ import annotations

from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from .._value import Value, complex_dtype, real_dtype
from ..operators import Identity, LinearOperator, Space
from ..operators._solve import solve
from ..spaces import randn, space_of, zeros


class GaussianField(Value, abstract=True, fields=True):
    """Base class of what is made of a Gaussian image x ~ N(m, C), C a matrix, a spectrum or an operator.

    For complex images C is half of E (x - m)(x - m)ᴴ, as σ is the standard deviation of each real component
    of the noise: a real C is the covariance of the real and of the imaginary part.

    Parameters
    ----------
    mean : Tensor, shape (channel, *spatial)
        m, complex for complex images.
    covariance : Tensor, shape (n, n)
        C as a matrix over the n entries of the image in the order of ``mean.flatten()``: symmetric, or
        Hermitian for complex images, and positive semidefinite.
    spectrum : Tensor, shape (channel, *spatial), with size 1 where it is constant
        C of a stationary field, periodic, with independent channels: the variance of each coefficient of the
        orthonormal FFT over the spatial dimensions. The variance of a pixel is the mean of the spectrum. For
        real images it is even, S(-k) = S(k).
    operator : LinearOperator
        C as an operator on (channel, *spatial): symmetric and positive semidefinite.
    rtol : float, optional
        Relative residual at which conjugate gradient stops (``operator``); by default a few ulps.
    max_steps : int, optional
        Maximum number of its steps.
    """

    units: ClassVar[dict[str, int] | None] = {"mean": 1, "covariance": 2, "spectrum": 2, "operator": 2}

    mean: Tensor
    covariance: Tensor | None = None
    spectrum: Tensor | None = None
    operator: LinearOperator | None = None
    rtol: float | None = None
    max_steps: int | None = None

    def __post_init__(self) -> None:
        name = type(self).__name__
        if self.mean.ndim < 2:
            raise ShapeError(f"{name}: mean has shape (channel, *spatial), got {tuple(self.mean.shape)}.")
        forms = {n: getattr(self, n) for n in ("covariance", "spectrum", "operator")}
        given = [n for n, form in forms.items() if form is not None]
        if len(given) != 1:
            got = " and ".join(given) or "none"
            raise ParameterError(f"{name}: give one of covariance, spectrum and operator, got {got}.")
        if self.covariance is not None:
            check_covariance(self.covariance, self.mean, f"{name}: covariance")
        if self.spectrum is not None:
            self._check_spectrum(name)
        if self.operator is not None and not (self.operator.domain == self.operator.range == self.domain):
            raise ShapeError(
                f"{name}: the operator maps {self.domain}, the space of the mean, to itself; got "
                f"{self.operator.domain} to {self.operator.range}."
            )

    def _check_spectrum(self, name: str) -> None:
        assert self.spectrum is not None
        spectrum, shape = self.spectrum.detach(), self.shape
        if spectrum.ndim > len(shape) or any(
            n not in (1, m) for n, m in zip(spectrum.shape[::-1], shape[::-1])
        ):
            raise ShapeError(
                f"{name}: the spectrum broadcasts against the mean {shape}, got {tuple(spectrum.shape)}."
            )
        if spectrum.is_complex() or not bool((torch.isfinite(spectrum) & (spectrum >= 0)).all()):
            raise ParameterError(f"{name}: a spectrum holds variances: real, finite and >= 0.")
        axes = [a for a in range(-min(spectrum.ndim, len(shape) - 1), 0) if spectrum.shape[a] > 1]
        turned = spectrum.flip(axes).roll([1] * len(axes), axes) if axes else spectrum
        if not self.mean.is_complex() and not torch.allclose(spectrum, turned, rtol=1e-4, atol=0):
            raise ParameterError(
                f"{name}: the spectrum of a real image is even, S(-k) = S(k), with frequency 0 first as "
                "torch.fft has it (torch.fft.ifftshift brings it there); this one is not."
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """(channel, *spatial)."""
        return tuple(self.mean.shape)

    @property
    def domain(self) -> Space:
        """Space of the images."""
        return space_of(self.mean)

    @cached_property
    def _eigen(self) -> tuple[Tensor, Tensor]:
        """Eigenvalues and eigenvectors of the matrix C."""
        assert self.covariance is not None
        return eigen_of(self.covariance, f"{type(self).__name__}: covariance")

    @property
    def singular(self) -> bool:
        """Whether some direction has variance 0; for an operator, whether that is not excluded: True."""
        if self.operator is not None:
            return True
        powers = self._eigen[0] if self.spectrum is None else self.spectrum
        return not bool((powers > 0).all())

    @property
    def largest_variance(self) -> float:
        """The largest variance of a pixel (of an operator: that of the pixel in the middle)."""
        if self.covariance is not None:
            return float(self.covariance.diagonal().real.max())
        if self.spectrum is not None:
            axes = tuple(range(1, len(self.shape)))
            return float(self.spectrum.expand(self.shape).mean(axes).max())
        C = self.operator
        assert C is not None
        middle = tuple(n // 2 for n in self.shape)
        one = zeros(C.domain, dtype=C.dtype, device=C.device)
        one[middle] = 1
        return float(C(one)[middle].real)

    def spread(self, dtype: torch.dtype) -> LinearOperator:
        """C as an operator, in the precision of ``dtype``."""
        real = real_dtype(dtype)
        if self.operator is not None:
            return self.operator if self.operator.dtype == real else self.operator.to(real)
        if self.covariance is not None:
            return _MatrixCovariance(matrix=at_precision(self.covariance, real), domain=self.domain)
        assert self.spectrum is not None
        return _StationaryCovariance(spectrum=self.spectrum.to(real), domain=self.domain)

    def sample(self, batch: tuple[int, ...] = (), *, generator: torch.Generator) -> Tensor:
        """Draw images."""
        white = randn(self.domain, batch, generator=generator, dtype=self.dtype, device=self.mean.device)
        return self.mean + self.colored(white)

    def colored(self, white: Tensor) -> Tensor:
        """Give white noise, shape (batch..., channel, *spatial), the covariance of the images.

        Raises
        ------
        ParameterError
            If the covariance is an operator, which has no known root.
        """
        if self.covariance is not None:
            values, vectors = (at_precision(t, white.dtype) for t in self._eigen)
            vectors = vectors.to(white.dtype)
            modes = values.sqrt() * (white.flatten(-len(self.shape)) @ vectors.conj())
            return (modes @ vectors.mT).view(white.shape)
        if self.spectrum is not None:
            root = self.spectrum.to(real_dtype(white.dtype)).sqrt()
            return filtered(white, root, len(self.shape) - 1)
        raise ParameterError(
            f"{type(self).__name__}: draws need a root of C, which an operator does not give: pass a "
            "covariance or a spectrum."
        )

    def shrunk(self, away: Tensor, variance: Tensor) -> Tensor:
        """C (C + variance)⁻¹ away, for images (batch..., *shape) and one variance per sample, or one."""
        if self.covariance is not None:
            values, vectors = (at_precision(t, away.dtype) for t in self._eigen)
            vectors, flat = vectors.to(away.dtype), away.flatten(-len(self.shape))
            gain = wiener(values, variance.flatten(-len(self.shape)) if variance.ndim else variance)
            return ((flat @ vectors.conj() * gain) @ vectors.mT).view(away.shape)
        if self.spectrum is not None:
            gain = wiener(self.spectrum.to(real_dtype(away.dtype)), variance)
            return filtered(away, gain, len(self.shape) - 1)
        C = self.spread(away.dtype)
        level = variance.flatten(-len(self.shape))[..., 0] if variance.ndim else variance
        return C(self.solved(C + Identity(C.domain) * level, away))

    def solved(self, K: LinearOperator, residual: Any) -> Any:
        """K⁻¹ residual by conjugate gradient."""
        return solve(K, residual, solver="cg", rtol=self.rtol, max_steps=self.max_steps)


class _MatrixCovariance(LinearOperator):
    """C x for a matrix over all entries of x."""

    matrix: Tensor
    domain: Space
    params = ("matrix",)

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        flat = x.flatten(-len(self.domain.shape))
        return (flat @ self.matrix.mT.to(flat.dtype)).view(x.shape)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.forward(y)


class _StationaryCovariance(LinearOperator):
    """C x for a periodic stationary field: a multiplication of Fourier coefficients."""

    spectrum: Tensor
    domain: Space
    params = ("spectrum",)

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        return filtered(x, self.spectrum, len(self.domain.shape) - 1)

    def adjoint(self, y: Tensor) -> Tensor:
        return self.forward(y)


def filtered(x: Tensor, gain: Tensor, spatial_dims: int) -> Tensor:
    """Multiply Fourier coefficients; real images stay real, for which the gain is even."""
    axes = tuple(range(-spatial_dims, 0))
    out = torch.fft.ifftn(torch.fft.fftn(x, dim=axes) * gain, dim=axes)
    return out if x.is_complex() else out.real


def wiener(power: Tensor, variance: Tensor) -> Tensor:
    """power/(power + variance), and its limit 0 where both are 0."""
    total = power + variance
    return power / torch.where(total > 0, total, 1)


def check_covariance(covariance: Tensor, mean: Tensor, what: str) -> None:
    """Raise unless a matrix (..., n, n) is Hermitian and finite, and fits the mean."""
    n = mean.numel()
    if tuple(covariance.shape[-2:]) != (n, n):
        raise ShapeError(
            f"{what}: expected {n} x {n}, for the {n} entries of an image, got {tuple(covariance.shape)}."
        )
    if covariance.is_complex() and not mean.is_complex():
        raise ParameterError(f"{what} is complex and the mean is real: make that complex, m + 0j.")
    if covariance.requires_grad:
        raise ParameterError(f"{what} carries no gradient (its eigenvectors are used): detach it.")
    scale = covariance.abs().amax() if covariance.numel() else covariance.new_zeros(()).real
    limit = 1e3 * torch.finfo(covariance.dtype).eps * scale
    if not bool(((covariance - covariance.mH).abs() <= limit).all()):
        raise ParameterError(f"{what} is not symmetric (Hermitian if complex), or not finite.")


def eigen_of(covariance: Tensor, what: str) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of covariances (..., n, n); those that vanish up to rounding are 0."""
    values, vectors = torch.linalg.eigh((covariance + covariance.mH) / 2)
    floor = covariance.shape[-1] * torch.finfo(values.dtype).eps * values.abs().amax(-1, keepdim=True)
    if bool((values < -10 * floor).any()):
        raise ParameterError(
            f"{what} is not positive semidefinite: its smallest eigenvalue is {float(values.min()):.3g}."
        )
    return torch.where(values > floor, values, 0), vectors


def at_precision(t: Tensor, dtype: torch.dtype) -> Tensor:
    """A tensor of the same kind, real or complex, in the precision of ``dtype``."""
    real = real_dtype(dtype)
    return t.to(complex_dtype(real) if t.is_complex() else real)
