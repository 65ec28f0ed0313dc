"""`AstraXRay`: the X-ray transform as the ASTRA toolbox computes it."""

from __future__ import annotations

import math
import weakref
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, Space

from .._geometry.batches import learns, over_batch, scans
from .._geometry.geometry import Geometry
from .._geometry.grid import Grid
from .._geometry.write_formats import to_astra

_PROJECTORS = {"parallel": ("linear", "line", "strip"), "divergent": ("line",)}
_BYTES = 12
"""Size of an entry of a sparse matrix: a value and a column index."""


class AstraXRay(LinearOperator):
    """Line integrals of an image in the plane by ASTRA's projectors on the CPU, an alternative to `XRay`,

    .. math:: y_{v,p} = Σ_{i} w_{v,p,i} x_i,

    w by one of

    - ``"linear"``: samples where the ray crosses rows or columns, interpolated linearly (Joseph, 1982),
    - ``"line"``: the length of the ray inside each pixel (Siddon, 1985),
    - ``"strip"``: the area that each pixel shares with the strip which a detector pixel sees, by the strip's
      width.

    Sums run in single precision. In double precision they go through the projector's matrix, whose entries
    ASTRA finds in single precision: the adjoint is exact, agreement with exact integrals is not better. There
    are no derivatives with respect to the geometry.

    ASTRA's projectors in 3-D and on CUDA are left out: their backprojection is not the adjoint of their
    projection.

    Parameters
    ----------
    geometry : Geometry
        In the plane, of square pixels; the detector of a fan is flat.
    channels : int
        Number of channels of the image, projected separately.
    projector : {"auto", "linear", "line", "strip"}
        "auto" is "linear" in a parallel beam and "line", the only one, in a fan.
    max_bytes : int
        Limit of the matrix that double precision needs.

    Notes
    -----
    Domain ``(channel, y, x)``, range ``(channel, view, column)``, both real. Lengths in meters, as in `XRay`.

    References
    ----------
    W. van Aarle et al., "Fast and flexible X-ray tomography using the ASTRA toolbox", Opt. Express 24 (2016).
    R. L. Siddon, "Fast calculation of the exact radiological path for a three-dimensional CT array", Med.
    Phys. 12 (1985).

    Examples
    --------
    >>> from invcore_tomography import parallel
    >>> A = AstraXRay(geometry=parallel(4, columns=3, pitch=1e-3))
    >>> A.range
    Space((1, 4, 3))
    """

    geometry: Geometry
    channels: int = 1
    projector: Literal["auto", "linear", "line", "strip"] = "auto"
    max_bytes: int = 2**30
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        geometry = self.geometry
        if not isinstance(geometry, Geometry):
            raise DtypeError(f"AstraXRay: geometry must be a Geometry, got {type(geometry).__name__}")
        if not isinstance(self.channels, int) or self.channels < 1:
            raise ParameterError(f"AstraXRay: channels must be a positive int, got {self.channels!r}")
        if geometry.ndim != 2 or geometry.curvature is not None:
            what = "a curved detector" if geometry.ndim == 2 else "a scan in 3-D"
            raise ParameterError(
                f"AstraXRay: expected a scan in the plane with a flat detector, got {what}; use XRay"
            )
        dy, dx = geometry.grid.spacing
        if not math.isclose(dy, dx, rel_tol=1e-6):
            raise ParameterError(
                f"AstraXRay: ASTRA needs square pixels, got {dy:g} by {dx:g} m; use XRay, or another grid"
            )
        offered = ("auto", *_PROJECTORS[geometry.beam])
        if self.projector not in offered:
            raise ParameterError(
                f"AstraXRay: projector must be one of {offered} in a {geometry.beam} beam, got "
                f"{self.projector!r}"
            )

    @property
    def domain(self) -> Space:
        return Space((self.channels, *self.geometry.grid.shape))

    @property
    def range(self) -> Space:
        return Space((self.channels, self.geometry.views, *self.geometry.detector_shape))

    def forward(self, x: Tensor) -> Tensor:
        return self._each(x, self.domain, self.range, adjoint=False)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._each(y, self.range, self.domain, adjoint=True)

    def _each(self, x: Tensor, source: Space, target: Space, adjoint: bool) -> Tensor:
        """Project image by image; ASTRA takes one at a time."""
        projections = self._made() if learns(self.geometry) else self._kept
        precision = torch.float64 if x.dtype == torch.float64 else torch.float32

        def project(k: int, images: Tensor) -> Tensor:
            out = torch.empty(len(images), *target.shape[1:], dtype=precision)
            for image, place in zip(images.detach().to("cpu", precision), out):
                place.copy_(torch.from_numpy(projections[k](image.contiguous().numpy(), adjoint)))
            return out

        return over_batch(self.geometry, x, source, target, project).to(x)

    @cached_property
    def _kept(self) -> list[_Projection]:
        return self._made()

    def _made(self) -> list[_Projection]:
        """One for each scan in the batch of geometries."""
        beam, spacing = self.geometry.beam, self.geometry.grid.spacing[0]
        name = _PROJECTORS[beam][0] if self.projector == "auto" else self.projector
        name = name if beam == "parallel" else f"{name}_fanflat"
        return [_Projection(_in_pixels(one), name, spacing, self.max_bytes) for one in scans(self.geometry)]


def _in_pixels(geometry: Geometry) -> Geometry:
    """The same scan with pixels of size one and the image at the origin: ASTRA's thresholds are absolute."""
    source, detector, u = (t.detach().cpu().double() for t in geometry.parameters().values())
    middle = torch.tensor(geometry.grid.center[::-1], dtype=detector.dtype)
    spacing = geometry.grid.spacing[0]
    parallel = geometry.beam == "parallel"
    return Geometry(
        source=torch.nn.functional.normalize(source, dim=-1) if parallel else (source - middle) / spacing,
        detector=(detector - middle) / spacing,
        u=u / spacing,
        detector_shape=geometry.detector_shape,
        grid=Grid(shape=geometry.grid.shape),
        beam=geometry.beam,
    )


class _Projection:
    """A projector in ASTRA's memory, freed with this object."""

    def __init__(self, geometry: Geometry, name: str, spacing: float, max_bytes: int) -> None:
        import astra

        self.geometry, self.spacing, self.max_bytes = geometry, spacing, max_bytes
        self.identifier = astra.create_projector(name, *to_astra(geometry))
        weakref.finalize(self, astra.projector.delete, self.identifier)
        self.operator = astra.OpTomo(self.identifier)

    def __call__(self, x: np.ndarray, adjoint: bool) -> np.ndarray:
        """Project an image, or apply the adjoint to a sinogram."""
        if x.dtype == np.float32:
            return (self.operator.BP(x) if adjoint else self.operator.FP(x)) * np.float32(self.spacing)
        shape = self.geometry.grid.shape if adjoint else (self.geometry.views, self.geometry.columns)
        matrix = self.matrix.T if adjoint else self.matrix
        return (matrix @ x.ravel()).reshape(shape) * self.spacing

    @cached_property
    def matrix(self) -> Any:
        """The weights, sparse: (view and column, pixel)."""
        import astra

        width = 1 + float(self.geometry.u.norm(dim=-1).max())  # pixels that a strip touches in a row
        entries = (
            self.geometry.views * self.geometry.columns * max(self.geometry.grid.shape) * max(2.0, width)
        )
        if entries * _BYTES > self.max_bytes:
            raise ParameterError(
                f"AstraXRay: double precision needs a matrix of about {entries * _BYTES:.3g} bytes, "
                f"more than max_bytes = {self.max_bytes}; use single precision, XRay, or a larger max_bytes"
            )
        identifier = astra.projector.matrix(self.identifier)
        try:
            return astra.matrix.get(identifier)
        finally:
            astra.matrix.delete(identifier)
