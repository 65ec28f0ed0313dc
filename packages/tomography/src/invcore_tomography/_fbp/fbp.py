"""`FBP`: filtered backprojection, as a linear operator from sinograms to images."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import ClassVar, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from invcore import DtypeError, LinearOperator, ParameterError, Space, Value

from .._geometry.batches import learns, over_batch, scans
from .._geometry.geometry import Geometry
from .._kernels import fdk, torch_fdk
from .filters import FilterName, check_filter, filter_rows
from .scan import FbpScan, coverage, fbp_scan


class FBP(LinearOperator):
    """Filtered backprojection of parallel, fan, cone and helical scans: an approximate inverse of `XRay`.

    .. math:: x(r) = Σ_v Δ_v M_v(r)^2 \\, (h * w y_v)(\\text{where view v sees r})

    with the ramp filter h along the detector's columns, the angle Δ of each view, the weights w for the
    obliqueness of rays and for those measured twice, and the distance weight M². In a parallel beam M = 1.
    The method follows from the geometry:

    * parallel and fan beam, flat and curved detector, over half a turn, a turn, or anything between; a short
      fan-beam scan is weighted by Parker's weights, a full scan with the detector off the middle by Wang's;
    * cone beam on a circle: Feldkamp, Davis and Kress, exact in the plane of the source, full and short scan;
    * helix: the same, each voxel from the views whose detector it falls on, normalized by their total angle.
      An approximation for small advances.

    Each view stands for the angles half way to its neighbors, so that views at irregular, repeated or dropped
    angles, in any order and over any number of turns, keep the intensity. Only a missing wedge is left open:
    a single gap of more than half a radian, five times the median gap and twice any other.

    Parameters
    ----------
    geometry : Geometry
        As in `XRay`. The image is reconstructed on its grid.
    filter : {"ram-lak", "shepp-logan", "cosine", "hann", "hamming"}
        Window of the ramp filter, from the sharpest to the smoothest.
    cutoff : float
        Highest frequency as a fraction of half the sampling rate, in (0, 1].
    channels : int
        Number of channels of the image.

    Notes
    -----
    A linear layer: domain ``(channel, view, column)`` or ``(channel, view, row, column)``, range
    ``(channel, y, x)`` or ``(channel, z, y, x)``. Gradients reach the sinogram through the exact transpose.
    ``A.fbp(y)`` is the same as ``FBP(geometry=A.geometry)(y)``.

    The formula holds for certain scans only, not for arbitrary vectors. The geometry is therefore a constant,
    which `bind` does not replace, unless one of its vectors requires a gradient: the vectors are then
    parameters.

    Raises
    ------
    ParameterError
        For any other scan: tilted detectors, other paths of the source, a varying pitch.

    References
    ----------
    A. C. Kak, M. Slaney, "Principles of Computerized Tomographic Imaging", IEEE Press (1988), chapter 3.
    L. A. Feldkamp, L. C. Davis, J. W. Kress, "Practical cone-beam algorithm", J. Opt. Soc. Am. A 1 (1984).
    D. L. Parker, "Optimal short scan convolution reconstruction for fanbeam CT", Med. Phys. 9 (1982).
    G. Wang, "X-ray micro-CT with a displaced detector array", Med. Phys. 29 (2002).

    Examples
    --------
    >>> from invcore_tomography import ellipses, parallel
    >>> geometry = parallel(90, columns=64, pitch=1 / 32)
    >>> disk = ellipses(center=[(0.0, 0.0)], axes=[(0.15, 0.15)], density=[1.0], profile="gaussian")
    >>> x = FBP(geometry)(disk.project(geometry))
    >>> bool((x - disk.rasterize(geometry.grid)).abs().max() < 0.01)
    True
    """

    geometry: Geometry
    filter: FilterName = "ram-lak"
    cutoff: float = 1.0
    channels: int = 1
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        if not isinstance(self.geometry, Geometry):
            raise DtypeError(
                f"FBP: geometry must be a Geometry, got {type(self.geometry).__name__}; make one with "
                "parallel(), fan(), cone()..."
            )
        check_filter(self.filter, self.cutoff)
        if not isinstance(self.channels, int) or self.channels < 1:
            raise ParameterError(f"FBP: channels must be a positive int, got {self.channels!r}")
        with torch.no_grad():
            for geometry in self._scans:
                if geometry.source.device.type != "meta":
                    fbp_scan(geometry)

    @property
    def domain(self) -> Space:
        return Space((self.channels, self.geometry.views, *self.geometry.detector_shape))

    @property
    def range(self) -> Space:
        return Space((self.channels, *self.geometry.grid.shape))

    def forward(self, x: Tensor) -> Tensor:
        return over_batch(
            self.geometry, x, self.domain, self.range, lambda k, part: self._part(k).image(part)
        )

    def adjoint(self, y: Tensor) -> Tensor:
        return over_batch(
            self.geometry, y, self.range, self.domain, lambda k, part: self._part(k).transposed(part)
        )

    def vjp_params(self, x: Tensor, v: Tensor) -> dict[str, Tensor]:
        """Gradient of ⟨v, FBP x⟩ with respect to the geometry, through the torch version."""
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
            parts = scans(geometry)

            def image(k: int, part: Tensor) -> Tensor:
                return _Reconstruction(parts[k], self.filter, self.cutoff).image(part, in_torch=True)

            y = over_batch(geometry, x, self.domain, self.range, image)
            found = torch.autograd.grad(
                (y * v).sum(), list(leaves.values()), create_graph=graph, allow_unused=True
            )
        return {name: torch.zeros_like(t) if g is None else g for (name, t), g in zip(held.items(), found)}

    def _children(self) -> Iterator[tuple[str, Value]]:
        return super()._children() if learns(self.geometry) else iter(())

    @cached_property
    def _scans(self) -> list[Geometry]:
        return scans(self.geometry)

    @cached_property
    def _parts(self) -> list[_Reconstruction]:
        with torch.no_grad():
            return [_Reconstruction(one, self.filter, self.cutoff) for one in self._scans]

    def _part(self, k: int) -> _Reconstruction:
        if learns(self.geometry):
            with torch.no_grad():
                return _Reconstruction(self._scans[k], self.filter, self.cutoff)
        return self._parts[k]


class _Reconstruction:
    """Filtered backprojection of one scan, data as (n, view, [row,] column), images as (n, [z,] y, x)."""

    def __init__(self, geometry: Geometry, filter: FilterName, cutoff: float) -> None:
        self.geometry, self.filter, self.cutoff = geometry, filter, cutoff
        self.scan: FbpScan = fbp_scan(geometry)
        shape = geometry.grid.shape
        self.grid: tuple[int, int, int] = (shape[0] if len(shape) == 3 else 1, shape[-2], shape[-1])

    def image(self, y: Tensor, in_torch: bool = False) -> Tensor:
        """The image of a sinogram."""
        y = y.reshape(y.shape[0], self.geometry.views, self.geometry.rows, self.geometry.columns)
        y = self._turned(y) * self.scan.before.to(y.dtype)
        x = self._backproject(
            self._filtered(functional.pad(y, (self.scan.margin, self.scan.margin))), in_torch
        )
        if self.scan.helical:
            x = x * (self._shares(True) if in_torch else self._share).to(x.dtype)
        return x.reshape(x.shape[0], *self.geometry.grid.shape)

    def transposed(self, x: Tensor) -> Tensor:
        """The transpose of `image`."""
        x = x.reshape(x.shape[0], *self.grid)
        if self.scan.helical:
            x = x * self._share.to(x.dtype)
        y = self._filtered(self._project(x)).narrow(-1, self.scan.margin, self.geometry.columns)
        y = self._turned(y * self.scan.before.to(x.dtype))
        return y.reshape(y.shape[0], self.geometry.views, *self.geometry.detector_shape)

    def _turned(self, y: Tensor) -> Tensor:
        return y.flip(2) if self.scan.flipped else y

    def _filtered(self, y: Tensor) -> Tensor:
        return filter_rows(y, self.scan.step, filter=self.filter, cutoff=self.cutoff, angle=self.scan.angle)

    def _backproject(self, q: Tensor, in_torch: bool = False) -> Tensor:
        if in_torch or q.device.type != "cpu":
            return torch_fdk.fdk_backproject(
                q, self.scan.views, self.grid, per_radian=self.scan.per_radian, power=self.scan.power
            ).to(q.dtype)
        columns = float(self.scan.per_radian.detach())
        out = fdk.fdk_backproject(
            _array(q), _array(self.scan.views), self.grid, per_radian=columns, power=self.scan.power
        )
        return torch.from_numpy(out).to(q.dtype)

    def _project(self, x: Tensor) -> Tensor:
        shape = (self.geometry.rows, self.geometry.columns + 2 * self.scan.margin)
        views, power = self.scan.views, self.scan.power
        if x.device.type != "cpu":
            return torch_fdk.fdk_adjoint(x, views, shape, per_radian=self.scan.per_radian, power=power).to(
                x.dtype
            )
        columns = float(self.scan.per_radian.detach())
        out = fdk.fdk_adjoint(_array(x), _array(views), shape, per_radian=columns, power=power)
        return torch.from_numpy(out).to(x.dtype)

    @cached_property
    def _share(self) -> Tensor:
        with torch.no_grad():
            return self._shares()

    def _shares(self, in_torch: bool = False) -> Tensor:
        """2π over the angle from which each voxel of a helical scan is seen, at least π."""
        data, views = coverage(self.scan, self.geometry)
        columns = self.scan.per_radian
        if in_torch or views.device.type != "cpu":
            seen = torch_fdk.fdk_backproject(data, views, self.grid, per_radian=columns, power=0)
        else:
            out = fdk.fdk_backproject(
                _array(data), _array(views), self.grid, per_radian=float(columns.detach()), power=0
            )
            seen = torch.from_numpy(out)
        return 2 * torch.pi / seen.clamp_min(torch.pi)


def _array(x: Tensor) -> np.ndarray:
    real = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
    return np.ascontiguousarray(x.detach().to(real).numpy())
