"""Antialiased downsampling by an integer factor, and its scaled adjoint."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError, ShapeError
from .._value import power_of_two
from ..spaces import Space, per_sample, zeros
from ._base import LinearOperator, Operator
from ._basic import Mask
from ._convolution import BOUNDARIES, Boundary, Convolution, spectral_basis
from ._convolution_kernels import (
    direct,
    direct_adjoint,
    extend,
    extend_adjoint,
    from_spectrum,
    place,
    spectrum,
)

if TYPE_CHECKING:
    from ._svd import SVD

Filter = Literal["gaussian", "bilinear", "bicubic", "sinc", "box", "none"]

_REACH: dict[str, int] = {"gaussian": 2, "bilinear": 1, "bicubic": 2, "sinc": 3}


def resampling_kernel(
    name: Filter, factor: int, *, ndim: int = 2, dtype: torch.dtype = torch.float32
) -> Tensor:
    """The antialiasing kernel that `Downsample` uses under a name, a product of equal kernels along the axes.

    Parameters
    ----------
    name : {"gaussian", "bilinear", "bicubic", "sinc", "box", "none"}
        With t the distance in pixels of the coarse grid: a Gaussian of standard deviation 1/2 cut at 2, the
        triangle 1 - \\|t\\|, the cubic of Keys with a = -1/2, sinc(t) windowed by sinc(t / 3), the average
        over a coarse pixel, or a point.
    factor : int
    ndim : int
    dtype : torch.dtype

    Returns
    -------
    Tensor, shape (1, *k)
        Symmetric, of sum one. The length is even for an even factor and odd for an odd one (1 for "none").

    Raises
    ------
    ParameterError

    References
    ----------
    R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. Acoust. Speech
    Signal Process. 29 (1981). C. E. Duchon, "Lanczos filtering in one and two dimensions", J. Appl. Meteorol.
    18 (1979).

    Examples
    --------
    >>> resampling_kernel("bilinear", 2, ndim=1)
    tensor([[0.1250, 0.3750, 0.3750, 0.1250]])
    """
    if name == "none":
        return torch.ones((1,) * (ndim + 1), dtype=dtype)
    if name == "box":
        line = torch.ones(factor, dtype=torch.float64)
    elif name in _REACH:
        taps = 2 * _REACH[name] * factor - factor % 2
        t = ((torch.arange(taps, dtype=torch.float64) - (taps - 1) / 2) / factor).abs()
        line = _profile(name, t)
    else:
        known = (*_REACH, "box", "none")
        raise ParameterError(f"the kernel must be a tensor or one of {known}, got {name!r}")
    line = line / line.sum()
    kernel = torch.ones((), dtype=torch.float64)
    for _ in range(ndim):
        kernel = kernel[..., None] * line
    return kernel.to(dtype)[None]


def _profile(name: str, t: Tensor) -> Tensor:
    if name == "gaussian":
        return torch.exp(-2 * t**2)
    if name == "bilinear":
        return (1 - t).clamp_min(0)
    if name == "sinc":
        return torch.sinc(t) * torch.sinc(t / 3)
    near, far = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return torch.where(t <= 1, near, torch.where(t < 2, far, 0.0))


class Downsample(LinearOperator):
    r"""Low-pass filter and keep one pixel of ``factor`` along each axis.

    .. math:: y[m] = \sum_j k[j]\, \tilde x\left[f m + \lfloor (f + K - 2) / 2 \rfloor - j\right]

    x̃ is x continued beyond its edges. The middle of a symmetric kernel lies on the center of the coarse
    pixel, the middle of f fine ones, where f and the length K of the kernel are both even or both odd, as in
    all kernels given by name; otherwise half a pixel before.

    Parameters
    ----------
    domain : Space
        Shape ``(channel, *spatial)`` with one to three spatial dimensions, each a multiple of ``factor``.
    factor : int
    kernel : str or Tensor, shape (..., channel or 1, *k)
        A name of `resampling_kernel`, or the kernel; leading dimensions are batch.
    boundary : {"circular", "zero", "reflect", "replicate", "valid"}
        As for `Convolution`; "valid" keeps the coarse pixels that see the image alone.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    Notes
    -----
    With a circular boundary A Aᴴ is a circular convolution on the coarse grid. Its transfer function, the
    mean over aliases of that of the kernel squared, gives the exact norm and the closed form of `ridge`.

    References
    ----------
    N. Zhao, Q. Wei, A. Basarab, N. Dobigeon, D. Kouamé, J.-Y. Tourneret, "Fast single image super-resolution
    using a new analytical solution for l2-l2 problems", IEEE Trans. Image Process. 25 (2016).

    Examples
    --------
    >>> A = Downsample((1, 6), factor=2, kernel="box")
    >>> A(torch.tensor([[1.0, 3.0, 5.0, 7.0, 0.0, 1.0]]))
    tensor([[2.0000, 6.0000, 0.5000]])
    >>> A.ridge(torch.tensor([[2.0, 6.0, 0.5]]), torch.zeros(1, 6), weight=0.5)
    tensor([[1.0000, 1.0000, 3.0000, 3.0000, 0.2500, 0.2500]])
    """

    domain: Space
    factor: int = 2
    kernel: Tensor | str = "bicubic"
    boundary: Boundary = "circular"
    params = ("kernel",)

    def __post_init__(self) -> None:
        shape, d = self.domain.shape, len(self.domain.shape) - 1
        if not isinstance(self.factor, int) or self.factor < 1:
            raise ParameterError(f"Downsample: factor must be a positive integer, got {self.factor!r}")
        if d not in (1, 2, 3) or 0 in shape or any(n % self.factor for n in shape[1:]):
            raise ShapeError(
                "Downsample: the image must be (channel, *spatial) with one to three spatial dimensions "
                f"that are multiples of {self.factor}, got {self.domain}; crop or pad it first"
            )
        if self.boundary not in BOUNDARIES:
            raise ParameterError(f"Downsample: boundary must be one of {BOUNDARIES}, got {self.boundary!r}")
        if isinstance(self.kernel, str):
            resampling_kernel(self.kernel, 1)  # type: ignore[arg-type]
            self._check_valid()
            return
        if not (self.kernel.is_floating_point() or self.kernel.is_complex()):
            raise DtypeError(f"Downsample: kernel must be floating point or complex, got {self.kernel.dtype}")
        if self.kernel.is_complex() and self.domain.kind == "real":
            raise DtypeError("Downsample: a complex kernel needs a complex domain: Space(shape, 'complex')")
        taps = tuple(self.kernel.shape)
        if len(taps) <= d or 0 in taps[-d:] or taps[-d - 1] not in (1, shape[0]):
            raise ShapeError(
                f"Downsample: kernel must be (..., {shape[0]} or 1, *k) with {d} spatial dimensions for "
                f"{self.domain}, got {taps}"
            )
        self._check_valid()

    def _check_valid(self) -> None:
        if 0 in self._coarse:
            raise ShapeError(
                f"Downsample: with boundary='valid' no coarse pixel sees {self._spatial} pixels alone "
                f"through a kernel of {tuple(self._kernel().shape[1:])}"
            )

    @property
    def range(self) -> Space:
        return Space((self.domain.shape[0], *self._coarse), self.domain.kind)

    @property
    def _spatial(self) -> tuple[int, ...]:
        return self.domain.shape[1:]

    @property
    def _coarse(self) -> tuple[int, ...]:
        whole = tuple(n // self.factor for n in self._spatial)
        if self.boundary != "valid":
            return whole
        before, after = self._reaches(self._kernel())
        return tuple(max(0, n - self._cut(b) - self._cut(a)) for n, b, a in zip(whole, before, after))

    def _cut(self, reach: int) -> int:
        """Count the coarse pixels that see beyond an edge."""
        return max(0, -(-reach // self.factor))

    @cached_property
    def _named(self) -> Tensor:
        assert isinstance(self.kernel, str)
        with torch.inference_mode(False):
            return resampling_kernel(self.kernel, self.factor, ndim=len(self._spatial), dtype=torch.float64)  # type: ignore[arg-type]

    def _kernel(self, x: Tensor | None = None) -> Tensor:
        """The kernel, one given by name in the precision and on the device of ``x``."""
        if isinstance(self.kernel, Tensor):
            return self.kernel
        return self._named if x is None else self._named.to(x.device, x.real.dtype)

    def _reaches(self, kernel: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Padding needed before and after the image; negative values crop."""
        taps = kernel.shape[-len(self._spatial) :]
        shifts = [(self.factor + k - 2) // 2 for k in taps]
        return tuple(k - 1 - s for k, s in zip(taps, shifts)), tuple(s - self.factor + 1 for s in shifts)

    def _margins(self, kernel: Tensor) -> tuple[tuple[int, ...], tuple[int, ...]]:
        """Padding of the image before and after; negative values crop."""
        before, after = self._reaches(kernel)
        if self.boundary == "valid":
            before = tuple(b - self.factor * self._cut(b) for b in before)
            after = tuple(a - self.factor * self._cut(a) for a in after)
        return before, after

    def forward(self, x: Tensor) -> Tensor:
        kernel = self._kernel(x)
        extended = extend(x, *self._margins(kernel), self.boundary)
        return direct(extended, kernel, len(self._spatial), self.factor)

    def adjoint(self, y: Tensor) -> Tensor:
        kernel = self._kernel(y)
        extended = direct_adjoint(y, kernel, len(self._spatial), self.factor)
        return extend_adjoint(extended, self._spatial, *self._margins(kernel), self.boundary)

    def _aliased_power(self, kernel: Tensor) -> Tensor:
        """The transfer function of A Aᴴ on the coarse grid, (..., channel or 1, *coarse)."""
        d = len(self._spatial)
        grid = place(kernel, self._spatial, (0,) * d)
        power = spectrum(grid, self._spatial, real=False).abs() ** 2
        for dim, n in zip(range(-d, 0), self._coarse):
            positive = power.ndim + dim
            power = power.unflatten(positive, (self.factor, n)).mean(positive)
        return power

    def norm_bound(self) -> Tensor | None:
        """Exact for a circular boundary: the root of the largest value of the transfer function of A Aᴴ."""
        if self.boundary != "circular":
            return None
        kernel = self._kernel()
        largest = power_of_two(kernel.abs().amax())  # so that squares neither overflow nor underflow
        power = self._aliased_power(kernel / largest)
        return largest * power.flatten(-len(self._spatial) - 1).amax(-1).sqrt()

    def ridge(self, y: Tensor | None = None, z: Tensor | None = None, *, weight: float | Tensor) -> Tensor:
        r"""Minimize ½‖A x − y‖² + ½ weight ‖x − z‖² in closed form: the proximal operator of the data term.

        For a circular boundary only. `least_squares` and the splitting solvers use it automatically.

        .. math:: x = z + A^H (A A^H + w I)^{-1} (y - A z)

        with the inverse on the coarse grid. It stays accurate as the weight goes to zero, where x is the
        consistent image nearest to z (Zhao et al. 2016, written with the residual).

        Parameters
        ----------
        y : Tensor, shape (..., channel, *coarse), optional
        z : Tensor, shape (..., channel, *spatial), optional
            By default zero; at least one of the two is needed.
        weight : float or Tensor, shape (...)
            Not negative; one for all or one for each sample.

        Raises
        ------
        ParameterError
        """
        if self.boundary != "circular":
            raise ParameterError(
                f"Downsample.ridge needs boundary='circular', this one is {self.boundary!r}; use "
                "least_squares"
            )
        given = y if z is None else z
        if given is None:
            raise ParameterError("Downsample.ridge needs data y, a center z, or both")
        real = self.domain.kind == "real"
        power = self._aliased_power(self._kernel(given))
        if real:
            power = power.narrow(-1, 0, self._coarse[-1] // 2 + 1)
        rest = y if z is None else (0 if y is None else y) - self._apply(z)
        assert rest is not None
        dual = spectrum(rest, self._coarse, real=real) / (power + per_sample(weight, self.domain))
        x = self._apply_adjoint(from_spectrum(dual, self._coarse, real=real))
        return x if z is None else z + x

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor | None:
        return self.ridge(y, z, weight=weight) if self.boundary == "circular" else None

    def _svd(self) -> SVD | None:
        """For a circular boundary: A Aᴴ is diagonal in the Fourier transform of the coarse grid."""
        from ._svd import SVD

        if self.boundary != "circular":
            return None
        kernel = self._kernel()
        wide = kernel.to(torch.complex128 if kernel.is_complex() else torch.float64)
        power = self._aliased_power(wide)
        dims = tuple(range(-len(self._coarse), 0))
        seen = power > 16 * torch.finfo(power.dtype).eps * power.amax(dims, keepdim=True)
        s = torch.where(seen, power, 0).sqrt().to(self.dtype)
        inverse = torch.where(seen, power, torch.inf).rsqrt().to(self.dtype)
        U = spectral_basis(self.range)
        V: Any = self.H @ U @ Mask(inverse, self.range)
        return SVD(U=U, s=s, V=V)


class Upsample(LinearOperator):
    r"""Interpolation to a finer periodic grid, :math:`f^d` times the adjoint of `Downsample`.

    The factor :math:`f^d` keeps constants where the kernel does, as those given by name do ("none" writes
    each value to one fine pixel, f^d fold). With kernel "bilinear" it is linear interpolation, with "bicubic"
    that of Keys.

    Parameters
    ----------
    domain : Space
        The coarse image, ``(channel, *spatial)``; real or complex.
    factor : int
    kernel : str or Tensor, shape (..., channel or 1, *k)
        As for `Downsample`.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    References
    ----------
    R. G. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. Acoust. Speech
    Signal Process. 29 (1981).

    Examples
    --------
    >>> B = Upsample((1, 3), factor=2, kernel="bilinear")
    >>> B(torch.tensor([[0.0, 4.0, 8.0]]))
    tensor([[2., 1., 3., 5., 7., 6.]])
    """

    domain: Space
    factor: int = 2
    kernel: Tensor | str = "bicubic"
    params = ("kernel",)

    def __post_init__(self) -> None:
        if not isinstance(self.factor, int) or self.factor < 1:
            raise ParameterError(f"Upsample: factor must be a positive integer, got {self.factor!r}")
        _ = self._down  # its checks

    @property
    def range(self) -> Space:
        channels, *spatial = self.domain.shape
        return Space((channels, *(n * self.factor for n in spatial)), self.domain.kind)

    @cached_property
    def _down(self) -> Downsample:
        return Downsample(domain=self.range, factor=self.factor, kernel=self.kernel)

    @property
    def _scale(self) -> int:
        return self.factor ** (len(self.domain.shape) - 1)

    def forward(self, x: Tensor) -> Tensor:
        return self._scale * self._down.adjoint(x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._scale * self._down.forward(y)

    def norm_bound(self) -> Tensor | None:
        bound = self._down.norm_bound()
        return None if bound is None else self._scale * bound


def coarse(A: Operator, factor: int, *, kernel: Tensor | Filter = "bicubic") -> Operator:
    """The operator that sees a coarse image: A U with U the interpolation by ``factor`` (multiscale methods).

    Parameters
    ----------
    A : Operator
        Its domain is ``(channel, *spatial)`` with spatial dimensions that are multiples of ``factor``.
    factor : int
    kernel : str or Tensor
        As for `Upsample`.

    Returns
    -------
    Operator
        From the coarse image to the range of ``A``; linear where ``A`` is.

    References
    ----------
    S. G. Nash, "A multigrid approach to discretized optimization problems", Optim. Methods Softw. 14 (2000).

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> coarse(Identity((1, 8, 8)), 4).domain
    Space((1, 2, 2))
    """
    if not isinstance(A.domain, Space):
        raise ShapeError(f"coarse: the domain must be one image, got {A.domain}")
    down = Downsample(domain=A.domain, factor=factor, kernel=kernel)
    return A @ Upsample(domain=down.range, factor=factor, kernel=kernel)


def coarse_convolution(A: Convolution, factor: int, *, kernel: Tensor | Filter = "bicubic") -> Convolution:
    """Return the convolution of coarse images that equals D A U, U interpolation and D downsampling.

    Exact, not an approximation: with a circular boundary D A U commutes with shifts of the coarse grid, so it
    is a convolution by its response to a point (the Galerkin operator of a multigrid method, up to the scale
    of U).

    Parameters
    ----------
    A : Convolution
        With a circular boundary and spatial dimensions that are multiples of ``factor``.
    factor : int
    kernel : str or Tensor
        As for `Downsample`.

    Raises
    ------
    ParameterError
        If the boundary is not circular.

    References
    ----------
    U. Trottenberg, C. Oosterlee, A. Schüller, "Multigrid", Academic Press (2001), section 2.3.

    Examples
    --------
    >>> A = Convolution(torch.ones(1, 3, 3) / 9, domain=(1, 8, 8))
    >>> B = coarse_convolution(A, 2)
    >>> B.domain, torch.allclose(B(torch.ones(1, 4, 4)), torch.ones(1, 4, 4))
    (Space((1, 4, 4)), True)
    """
    if A.boundary != "circular":
        raise ParameterError(
            f"coarse_convolution needs boundary='circular', this one is {A.boundary!r}; use coarse(A, factor)"
        )
    down = Downsample(domain=A.domain, factor=factor, kernel=kernel)
    up = Upsample(domain=down.range, factor=factor, kernel=kernel)
    spatial = down.range.shape[1:]
    point = zeros(down.range, dtype=A.kernel.dtype, device=A.kernel.device)
    point[(slice(None), *(n // 2 for n in spatial))] = 1
    response = down._apply(A._apply(up._apply(point)))
    kernels = [k for k in (A.kernel, kernel) if isinstance(k, Tensor)]
    d = len(spatial)
    if all(k.shape[-d - 1] == 1 for k in kernels):
        response = response.narrow(-d - 1, 0, 1)
    if not any(k.is_complex() for k in kernels):
        response = response.real
    return Convolution(kernel=response, domain=down.range, method=A.method)
