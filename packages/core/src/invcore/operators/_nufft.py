"""The Fourier transform of an image at frequencies that are not on a grid."""

from __future__ import annotations

import dataclasses
import itertools
import math
from functools import cached_property
from typing import ClassVar, Literal

import torch
from torch import Tensor

from .._errors import DtypeError, MissingDependencyError, ParameterError, ShapeError
from .._value import complex_dtype, real_dtype
from ..spaces import Space, broadcast_shapes
from ._autograd import under_transform
from ._base import LinearOperator
from ._nonuniform_sums import Plans, direct_to_grid, direct_to_points, finufft_here, positions

_RADIANS = {"radians": 1.0, "cycles": 2 * math.pi}
_LARGE = 64 * 64  # pixels from which AᴴA goes image by image


class NUFFT(LinearOperator):
    r"""The nonuniform Fourier transform in one to three dimensions.

    .. math:: y_m = \frac{w_m}{\sqrt N} \sum_n x_n \, e^{-i k_m \cdot (n - c)}

    over all N pixels, with the origin c at index n // 2 of each axis. At the frequencies of a grid it is the
    centered `FourierTransform`. Derivatives reach the points and weights, of any order. AᴴA is a convolution
    on a grid twice as large (a Toeplitz matrix), so that ``A.gram`` does not depend on the number of
    points [1]_.

    Parameters
    ----------
    points : Tensor, shape (..., m, d)
        The frequencies k; axes in the order of the image. Leading dimensions are batch.
    domain : Space
        ``(channel, *spatial)`` with d spatial dimensions, complex or real (then the adjoint takes the real
        part).
    unit : {"radians", "cycles"}
        Of the points, per pixel: -π to π, or -1/2 to 1/2.
    weights : Tensor, shape (..., m), optional
        Real factors w of the data: as the root of a sampling density, or of an inverse variance.
    eps : float
        Relative accuracy, within a factor of two or so. What float32 cannot reach, about 2e-7 times the
        longest axis, is computed in float64.
    method : {"auto", "finufft", "direct"}
        "finufft" is fast, on a CPU (``pip install "invcore[nufft]"``). "direct" sums all m N terms, exactly
        and on any device, in bounded memory. "auto" is the first where it can be had.

    Raises
    ------
    ShapeError, DtypeError, ParameterError, MissingDependencyError

    Notes
    -----
    The derivative to a point is analytic, :math:`\partial y_m / \partial k_m = -i F_m (n - c) x`: one more
    transform for each axis.

    References
    ----------
    .. [1] J. A. Fessler, S. Lee, V. T. Olafsson, H. R. Shi, D. C. Noll, "Toeplitz-based iterative image
       reconstruction for MRI with correction for magnetic field inhomogeneity", IEEE Trans. Signal Process.
       53 (2005).
    .. [2] A. H. Barnett, J. Magland, L. af Klinteberg, "A parallel nonuniform fast Fourier transform library
       based on an 'exponential of semicircle' kernel", SIAM J. Sci. Comput. 41 (2019): finufft.

    Examples
    --------
    >>> A = NUFFT(torch.tensor([[0.0], [0.25]]), Space((1, 4), "complex"), unit="cycles", method="direct")
    >>> A(torch.ones(1, 4) + 0j).abs().round(decimals=4)
    tensor([[2., 0.]])
    """

    points: Tensor
    domain: Space
    unit: Literal["radians", "cycles"]
    weights: Tensor | None = None
    eps: float = 1e-6
    method: Literal["auto", "finufft", "direct"] = "auto"
    params: ClassVar[tuple[str, ...]] = ("points", "weights")
    positional: ClassVar[int | None] = 2
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        d, p = len(self.domain.shape) - 1, self.points
        if not 1 <= d <= 3 or 0 in self.domain.shape:
            raise ShapeError(f"NUFFT: the image must be (channel, *spatial), got {self.domain}")
        if self.unit not in _RADIANS:
            raise ParameterError(f"NUFFT: unit must be 'radians' or 'cycles', got {self.unit!r}")
        if self.method not in ("auto", "finufft", "direct"):
            raise ParameterError(f"NUFFT: method must be 'auto', 'finufft' or 'direct', got {self.method!r}")
        if self.method == "finufft" and not finufft_here():
            raise MissingDependencyError(
                "NUFFT: finufft is not installed: pip install \"invcore[nufft]\", or method='direct'"
            )
        if not 0 < self.eps < 1:
            raise ParameterError(f"NUFFT: eps is a relative accuracy between 0 and 1, got {self.eps!r}")
        if not p.is_floating_point() or (self.weights is not None and not self.weights.is_floating_point()):
            raise DtypeError("NUFFT: points and weights must be real and floating")
        if p.ndim < 2 or p.shape[-1] != d:
            raise ShapeError(f"NUFFT: points must be (..., m, {d}) for {self.domain}, got {tuple(p.shape)}")
        if self.weights is not None and self.weights.shape[-1:] not in (p.shape[-2:-1], (1,)):
            raise ShapeError(f"NUFFT: weights must be (..., {p.shape[-2]}), got {tuple(self.weights.shape)}")
        if not under_transform():
            self._check_points()

    def _check_points(self) -> None:
        largest = float(self.points.detach().abs().amax()) if self.points.numel() else 0.0
        if not math.isfinite(largest):
            raise ParameterError("NUFFT: points must be finite")
        if largest * _RADIANS[self.unit] > 4 * math.pi:
            raise ParameterError(
                f"NUFFT: points reach {largest:.4g} {self.unit} per pixel, beyond twice the sampling "
                f"frequency; the Nyquist frequency is {math.pi / _RADIANS[self.unit]:.4g}. Is the unit "
                "another?"
            )

    @property
    def _d(self) -> int:
        return len(self.domain.shape) - 1

    @property
    def _spatial(self) -> tuple[int, ...]:
        return self.domain.shape[1:]

    @property
    def range(self) -> Space:
        return Space((self.domain.shape[0], self.points.shape[-2]), "complex")

    @cached_property
    def _radians(self) -> Tensor:
        """The points in [-π, π], float64: the origin is a pixel, so they matter only up to 2π."""
        k = self.points.detach().double() * _RADIANS[self.unit]
        return k - 2 * math.pi * torch.round(k / (2 * math.pi))

    @cached_property
    def _plans(self) -> list[Plans]:
        return [Plans(k, self.eps) for k in self._radians.reshape(-1, *self.points.shape[-2:])]

    def _wide(self, dtype: torch.dtype) -> torch.dtype:
        """The complex dtype that reaches ``eps``."""
        single = complex_dtype(real_dtype(dtype)) == torch.complex64
        reached = 2e-7 * max(self._spatial) <= self.eps
        return torch.complex64 if single and reached else torch.complex128

    def _sums(self, z: Tensor, ndim: int, *, to_grid: bool) -> Tensor:
        """Unscaled sums for (batch..., C, *ndim axes), with the batch of the points."""
        out = self._spatial if to_grid else (self.points.shape[-2],)
        batch = broadcast_shapes(self.points.shape[:-2], z.shape[: z.ndim - ndim - 1])
        channels, own = z.shape[-ndim - 1], z.shape[-ndim:]
        asked = complex_dtype(real_dtype(z.dtype))
        if z.numel() == 0 or self.points.numel() == 0:
            return z.new_zeros((*batch, channels, *out), dtype=asked)
        sets = self.points.shape[:-2]
        if sets.numel() == 1:
            items, which = z.reshape(1, -1, *own), [0]
        else:
            items = z.expand(*batch, channels, *own).reshape(-1, channels, *own)
            which = torch.arange(sets.numel()).reshape(sets).expand(batch).flatten().tolist()
        parts = [self._one(item, i, to_grid).to(asked) for item, i in zip(items, which)]
        return torch.stack(parts).reshape(*batch, channels, *out)

    def _one(self, z: Tensor, i: int, to_grid: bool) -> Tensor:
        """Unscaled sums of (T, ...) for one set of points."""
        if z.device.type == "cpu" and self.method != "direct" and finufft_here():
            wide, plans = z.to(self._wide(z.dtype)), self._plans[i]
            return plans.to_grid(wide, self._spatial) if to_grid else plans.to_points(wide)
        k = self._radians.reshape(-1, *self.points.shape[-2:])[i].to(z.device)
        z = z.to(complex_dtype(real_dtype(z.dtype)))
        return direct_to_grid(k, z, self._spatial) if to_grid else direct_to_points(k, z)

    @property
    def _scale(self) -> float:
        return math.prod(self._spatial) ** -0.5

    def forward(self, x: Tensor) -> Tensor:
        y = self._scale * self._sums(x, self._d, to_grid=False)
        return y if self.weights is None else self.weights.unsqueeze(-2) * y

    def adjoint(self, y: Tensor) -> Tensor:
        y = y if self.weights is None else self.weights.unsqueeze(-2) * y
        x = self._scale * self._sums(y, 1, to_grid=True)
        return x.real.clone() if self.domain.kind == "real" else x

    def vjp_params(self, x: Tensor, v: Tensor) -> dict[str, Tensor]:
        batch = broadcast_shapes(x.shape[: -self._d - 1], v.shape[:-2])
        x = x.expand(*batch, *self.domain.shape)
        bare = self if self.weights is None else dataclasses.replace(self, weights=None)
        grads = {}
        if self.weights is not None:
            grads["weights"] = (v.conj() * bare._apply(x)).real.sum(-2)
            v = self.weights.unsqueeze(-2) * v
        axes = [positions(n, x.real) for n in self._spatial]
        moments = torch.stack([x * r for r in torch.meshgrid(*axes, indexing="ij")])
        slopes = (v.conj() * bare._apply(moments)).imag.sum(-2) * _RADIANS[self.unit]
        return grads | {"points": slopes.movedim(0, -1)}

    @cached_property
    def _kept(self) -> dict[torch.dtype, Tensor]:
        return {}

    def _toeplitz(self, dtype: torch.dtype) -> Tensor:
        """The transfer function of AᴴA on a grid twice as large, (..., 1, *grid); real."""
        learned = any(p is not None and p.requires_grad for p in (self.points, self.weights))
        if dtype not in self._kept or learned:
            with torch.inference_mode(False):
                found = self._transfer(dtype)
            if learned or under_transform():
                return found
            self._kept[dtype] = found
        return self._kept[dtype]

    def _transfer(self, dtype: torch.dtype) -> Tensor:
        grid = tuple(2 * n for n in self._spatial)
        wide = dataclasses.replace(self, domain=Space((1, *grid), "complex"), weights=None)
        weights = torch.ones((), dtype=dtype, device=self.points.device)
        if self.weights is not None:
            weights = self.weights.to(dtype) ** 2
        weights = weights.expand(*weights.shape[:-1], self.points.shape[-2]).unsqueeze(-2)
        kernel = wide._apply_adjoint(weights + 0j) * (math.prod(grid) ** 0.5 / math.prod(self._spatial))
        for dim in range(-self._d, 0):  # lags of -n are never met; without them the kernel is Hermitian
            inside = torch.arange(kernel.shape[dim], device=kernel.device) > 0
            kernel = kernel * inside.reshape(-1, *(1,) * (-dim - 1))
        dims = tuple(range(-self._d, 0))
        kernel = torch.fft.ifftshift(kernel, dims)
        if self.domain.kind == "real":
            return torch.fft.rfftn(kernel.real, dim=dims).real
        return torch.fft.fftn(kernel, dim=dims).real

    def _gram(self, x: Tensor) -> Tensor:
        transfer = self._toeplitz(real_dtype(x.dtype))
        if x.device.type != "cpu" or math.prod(self._spatial) < _LARGE:
            return self._convolved(x, transfer)
        # image by image: MKL is several times slower along an axis that is not the last if there is a batch
        lead = broadcast_shapes(x.shape[: -self._d], transfer.shape[: -self._d])
        images = x.expand(*lead, *x.shape[-self._d :]).flatten(0, len(lead) - 1)
        transfers = transfer.expand(*lead, *transfer.shape[-self._d :])
        pieces = [
            self._convolved(image, transfers[index])
            for image, index in zip(images, itertools.product(*map(range, lead)))
        ]
        return (
            torch.stack(pieces).reshape(*lead, *self._spatial)
            if pieces
            else x.new_empty(*lead, *self._spatial)
        )

    def _convolved(self, x: Tensor, transfer: Tensor) -> Tensor:
        """The convolution, on a grid twice as large, of images with a kernel."""
        *others, last = range(-self._d, 0)
        n = dict(zip((*others, last), self._spatial))
        # axis by axis, so that no row of padding is transformed before it holds something, or after it is cut
        real = self.domain.kind == "real"
        z = (torch.fft.rfft if real else torch.fft.fft)(x, n=2 * n[last], dim=last)
        for dim in reversed(others):
            z = torch.fft.fft(z, n=2 * n[dim], dim=dim)
        z = z * transfer
        for dim in others:
            z = torch.fft.ifft(z, dim=dim).narrow(dim, 0, n[dim])
        return (torch.fft.irfft if real else torch.fft.ifft)(z, n=2 * n[last], dim=last).narrow(
            last, 0, n[last]
        )
