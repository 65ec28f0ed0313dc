"""`XRay`: line integrals of an image along the rays of a scan."""

from __future__ import annotations

import builtins
import math
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, Space

from .._fbp.filters import FilterName
from .._geometry.batches import learns, over_batch, scans
from .._geometry.coarse import coarser, pixel_means
from .._geometry.geometry import Geometry
from .._geometry.grid import Grid
from .projector import Projector


class XRay(LinearOperator):
    """The X-ray transform of an image, sampled at the pixels of a detector,

    .. math:: y_{v,p} = ∫ x(o_{v,p} + t d_{v,p}) dt,

    (o, d) the ray of pixel p in view v (`Geometry.rays`), t in meters: y is a line integral if x is
    attenuation per meter.

    The image is interpolated linearly along its rows or columns, whichever the ray crosses more of them
    (Joseph, 1982), and is zero outside. In a parallel beam the sums of a view are found for rays half a
    pixel apart and read at the detector's columns by Keys' cubic convolution. ``A.H`` is the exact adjoint.

    Parameters
    ----------
    geometry : Geometry
        Positions of source and detector. Its vectors ``source``, ``detector``, ``u``, ``v`` are the
        parameters ξ: they may have leading batch dimensions (a scan for each sample), and gradients reach
        them.
    channels : int
        Number of channels of the image, projected separately.
    max_bytes : int
        Memory for interpolation weights, which derivatives by the geometry and devices other than CPUs need.

    Notes
    -----
    Domain ``(channel, y, x)`` or ``(channel, z, y, x)``; range ``(channel, view, column)`` or
    ``(channel, view, row, column)``; both real.

    Rays are whole lines: source and detector must stand outside the image.

    Sums run in the precision of the image; rays are found in double precision. The derivative by the geometry
    is that of the interpolated image, which has kinks where a ray passes through a pixel's center; where
    detector rows coincide with slices in a parallel beam, which takes a faster kernel, it is that of linear
    interpolation, which differs from the kernel by its interpolation error.

    References
    ----------
    P. M. Joseph, "An improved algorithm for reprojecting rays through pixel images", IEEE Trans. Med. Imaging
    1 (1982).
    R. Keys, "Cubic convolution interpolation for digital image processing", IEEE Trans. Acoust. 29 (1981).

    Examples
    --------
    >>> from invcore_tomography import parallel
    >>> A = XRay(parallel(4, columns=3, pitch=1e-3))
    >>> y = A(torch.full((1, 3, 3), 100.0))
    >>> y[0, 0]
    tensor([0.3000, 0.3000, 0.3000])
    >>> A.H(y).shape
    torch.Size([1, 3, 3])
    """

    geometry: Geometry
    channels: int = 1
    max_bytes: int = 2**28
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        if not isinstance(self.geometry, Geometry):
            raise DtypeError(
                f"XRay: geometry must be a Geometry, got {type(self.geometry).__name__}; make one with "
                "parallel(), fan(), cone()..."
            )
        if not isinstance(self.channels, int) or self.channels < 1:
            raise ParameterError(f"XRay: channels must be a positive int, got {self.channels!r}")
        if not isinstance(self.max_bytes, int) or self.max_bytes < 1:
            raise ParameterError(f"XRay: max_bytes must be a positive int, got {self.max_bytes!r}")

    @property
    def domain(self) -> Space:
        return Space((self.channels, *self.geometry.grid.shape))

    @property
    def range(self) -> Space:
        return Space((self.channels, self.geometry.views, *self.geometry.detector_shape))

    def forward(self, x: Tensor) -> Tensor:
        return over_batch(self.geometry, x, self.domain, self.range, lambda k, part: self._projector(k)(part))

    def adjoint(self, y: Tensor) -> Tensor:
        return over_batch(
            self.geometry, y, self.range, self.domain, lambda k, part: self._projector(k)(part, adjoint=True)
        )

    def fbp(self, y: Tensor, *, filter: FilterName = "ram-lak", cutoff: float = 1.0) -> Tensor:
        """Filtered backprojection of ``y``, an approximate inverse; `FBP` is the same as a layer.

        Parameters
        ----------
        y : Tensor, shape (..., channel, view, column) or (..., channel, view, row, column)
        filter : {"ram-lak", "shepp-logan", "cosine", "hann", "hamming"}
        cutoff : float
            Highest frequency as a fraction of half the sampling rate.

        Raises
        ------
        ParameterError
            If the formula does not cover the geometry.
        """
        from .._fbp.fbp import FBP

        return FBP(geometry=self.geometry, channels=self.channels, filter=filter, cutoff=cutoff)(y)

    def vjp_params(self, x: Tensor, v: Tensor) -> dict[str, Tensor]:
        """Gradient of ⟨v, A x⟩ with respect to the geometry, in torch, some views at a time."""
        graph = torch.is_grad_enabled()
        held = self.geometry.parameters()
        if not graph:
            x, v = x.detach(), v.detach()
        with torch.enable_grad():
            leaves = {
                name: t.view_as(t) if graph and t.requires_grad else t.detach().requires_grad_()
                for name, t in held.items()
            }
            geometry = self.geometry.bind(**leaves)
            total = [torch.zeros_like(t) for t in held.values()]
            for views in torch.arange(geometry.views).split(self._views_at_once(x)):
                part = XRay(
                    geometry=geometry[views.to(geometry.device)],
                    channels=self.channels,
                    max_bytes=self.max_bytes,
                )
                y = over_batch(part.geometry, x, part.domain, part.range, part._in_torch)
                axis = -len(geometry.detector_shape) - 1
                weight = v.index_select(axis, views.to(v.device))
                found = torch.autograd.grad(
                    (y * weight).sum(), list(leaves.values()), create_graph=graph, allow_unused=True
                )
                total = [t if g is None else t + g for t, g in zip(total, found)]
        return dict(zip(held, total))

    def norm_bound(self) -> Tensor | None:
        """Upper bound of ‖A‖ for nonnegative interpolation weights, usually within 3 % of the norm.

        ‖A‖² ≤ maxᵢ (AᵀA x)ᵢ/xᵢ for any x > 0 (Collatz), after three steps of the power method. A parallel
        beam within the slices has the norm of one slice.
        """
        return self._bound() if learns(self.geometry) else self._kept_bound

    @cached_property
    def _kept_bound(self) -> Tensor | None:
        return self._bound()

    def _bound(self) -> Tensor | None:
        kinds = {self._projector(k).kind for k in builtins.range(len(self._scans))}
        geometry = self.geometry
        if kinds == {"slices"}:
            plane = Geometry(
                **{name: getattr(geometry, name)[..., :2] for name in ("source", "detector", "u")},
                detector_shape=geometry.detector_shape[1:],
                grid=Grid(
                    shape=geometry.grid.shape[1:],
                    spacing=geometry.grid.spacing[1:],
                    center=geometry.grid.center[1:],
                ),
                beam="parallel",
            )
            return XRay(geometry=plane, max_bytes=self.max_bytes).norm().expand(geometry.batch)
        if not kinds <= {"rays", "spatial"}:
            return None
        one = XRay(geometry=geometry, max_bytes=self.max_bytes)
        dtype, margin = (torch.float64, 1e-9) if one.domain.size <= 2**22 else (torch.float32, 1e-4)
        x = torch.ones((*geometry.batch, *one.domain.shape), dtype=dtype, device=geometry.device)
        trailing = tuple(builtins.range(-len(one.domain.shape), 0))
        bounds = []
        for _ in builtins.range(3):
            y = one._apply_adjoint(one._apply(x))
            bounds.append((y / x).amax(trailing))
            largest = y.amax(trailing, keepdim=True)
            x = (y / torch.where(largest > 0, largest, 1)).clamp_min(1e-6)  # any positive x is allowed
        margin += 4 * torch.finfo(self.dtype).eps
        return (torch.stack(bounds).amin(0) * (1 + margin)).sqrt().to(self.dtype)

    def coarser(self, y: Tensor) -> tuple[XRay, Tensor] | None:
        """The transform of images with pixels of twice the size, and the data with the means of two columns.

        Means of 2 x 2 pixels in space. None for images of fewer than 2¹⁶ pixels.

        Examples
        --------
        >>> from invcore_tomography import parallel
        >>> A = XRay(parallel(6, columns=256))
        >>> B, y = A.coarser(A(torch.ones(1, 256, 256)))
        >>> (B(torch.ones(1, 128, 128)) - y).abs().max() / y.max() < 0.1
        tensor(True)
        """
        geometry = coarser(self.geometry)
        if geometry is None:
            return None
        operator = XRay(geometry=geometry, channels=self.channels, max_bytes=self.max_bytes)
        return operator, pixel_means(y, self.geometry, geometry)

    def subsets(self, n: int) -> LinearOperator:
        """A stack of operators of ``n`` interleaved subsets of the views, as for OS-SIRT, OSEM and SAGA.

        Parameters
        ----------
        n : int
            Number of subsets; subset i has the views i, i + n, i + 2n, ...

        Returns
        -------
        LinearOperator
            Its data are tuples: `split` cuts a sinogram accordingly.

        Examples
        --------
        >>> from invcore_tomography import parallel
        >>> A = XRay(parallel(6, columns=4))
        >>> [tuple(y.shape) for y in A.subsets(2)(torch.ones(1, 4, 4))]
        [(1, 3, 4), (1, 3, 4)]
        """
        from invcore import stack

        parts = self.geometry.subsets(n)
        stacked: Any = stack(
            [XRay(geometry=part, channels=self.channels, max_bytes=self.max_bytes) for part in parts]
        )
        return stacked

    def split(self, y: Tensor, n: int) -> tuple[Tensor, ...]:
        """Split a sinogram into the data of ``n`` interleaved subsets of the views, without copying.

        Parameters
        ----------
        y : Tensor, shape (..., channel, view, column) or (..., channel, view, row, column)
        n : int

        Examples
        --------
        >>> from invcore_tomography import parallel
        >>> A = XRay(parallel(6, columns=4))
        >>> y = A(torch.ones(1, 4, 4))
        >>> all(torch.allclose(a, b) for a, b in zip(A.split(y, 3), A.subsets(3)(torch.ones(1, 4, 4))))
        True
        """
        if not isinstance(n, int) or not 1 <= n <= self.geometry.views:
            raise ParameterError(f"split: n must be between 1 and {self.geometry.views} views, got {n!r}")
        rest: Any = (slice(None),) * len(self.geometry.detector_shape)
        return tuple(y[(..., slice(first, None, n), *rest)] for first in range(n))

    # -- projectors ----------------------------------------------------------------------------------

    @cached_property
    def _projectors(self) -> list[Projector]:
        """One for each scan in the batch of geometries."""
        with torch.no_grad():
            return [Projector(one, self.max_bytes) for one in self._scans]

    def _projector(self, k: int) -> Projector:
        if learns(self.geometry):
            return Projector(self._scans[k], self.max_bytes)
        return self._projectors[k]

    @cached_property
    def _scans(self) -> list[Geometry]:
        return scans(self.geometry)

    def _in_torch(self, k: int, x: Tensor) -> Tensor:
        return Projector(self._scans[k], self.max_bytes, by_slices=False).in_torch(x)

    def _views_at_once(self, x: Tensor) -> int:
        """Number of views whose weights, and copies kept for differentiation, fit into ``max_bytes``."""
        shape = self.geometry.grid.shape
        images = max(1, x.numel() // math.prod(shape))
        if self.geometry.ndim == 2 and self.geometry.beam == "parallel":
            return max(
                1, self.max_bytes // (max(shape) * (sum(shape) + self.geometry.columns) * (24 + 12 * images))
            )
        samples = math.prod(self.geometry.detector_shape) * max(shape)
        return max(1, self.max_bytes // (samples * (160 + 40 * images)))
