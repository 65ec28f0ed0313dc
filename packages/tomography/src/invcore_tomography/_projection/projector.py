"""Choice of the projection kernel for a geometry, and its arguments.

All arguments are in double precision, in voxels, and differentiable functions of the vectors.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from .._geometry.geometry import Geometry
from .._kernels import cone, parallel, rays, rays_space, torch_planar, torch_spatial, triton_parallel

_TIE = 1 + 1e-6
"""Views within this factor of the diagonal have rows as their main axis, whatever rounding does."""
_ALIGNED = 1e-6
"""Largest distance in voxels between a detector row and its slice."""


class Projector:
    """Sums over an image for one scan (without batch dimensions): compiled on a CPU, torch elsewhere.

    Parameters
    ----------
    geometry : Geometry
    max_bytes : int
        Memory that the torch version may use for the weights of a group of rays.
    by_slices : bool
        Use the planar kernel where a parallel beam lies in the slices. Nothing then depends on z, so
        derivatives must not be taken with it.
    """

    def __init__(self, geometry: Geometry, max_bytes: int, *, by_slices: bool = True) -> None:
        self.geometry, self.max_bytes = geometry, max_bytes
        self.grid = geometry.grid.shape
        vectors = {name: t.double() for name, t in geometry.parameters().items()}
        # the choice depends on values, which autograd must not record
        self.slices = _slices(geometry) if by_slices and geometry.ndim == 3 else None
        self.kind: Literal["parallel", "rays", "slices", "spatial"] = (
            ("parallel" if geometry.beam == "parallel" else "rays")
            if geometry.ndim == 2
            else ("spatial" if self.slices is None else "slices")
        )
        if self.kind in ("parallel", "slices"):
            self.arguments = _parallel_arguments(geometry, vectors)
        elif self.kind == "rays":
            self.arguments = _ray_arguments(geometry)
        else:
            self.arguments = _spatial_arguments(geometry, vectors)

    def __call__(self, x: Tensor, adjoint: bool = False) -> Tensor:
        """Project images (n, *grid), or apply the adjoint to sinograms (n, view, *detector)."""
        if x.device.type != "cpu":
            return self.in_torch(x, adjoint, _device_planes)
        single = x.dtype if x.dtype in (torch.float32, torch.float64) else torch.float32
        array = np.ascontiguousarray(x.detach().to(single).numpy())
        if self.kind == "slices":
            run = self._in_slices(_compiled_planar, self.arrays, adjoint)
            out = run(torch.from_numpy(array))
        elif self.kind == "spatial":
            out = torch.from_numpy(self._compiled_spatial(array, adjoint))
        else:
            out = torch.from_numpy(
                _compiled_planar(self.kind, array, self.arrays, self._other_shape(adjoint), adjoint)
            )
        return out.to(x.dtype)

    def in_torch(
        self, x: Tensor, adjoint: bool = False, planes: Callable[..., Tensor] | None = None
    ) -> Tensor:
        """Project in torch, with derivatives in ``x`` and in the vectors of the geometry.

        ``planes`` replaces the projection in the plane.
        """
        planes = planes or _torch_planes
        if self.kind == "spatial":
            function: Any = torch_spatial.spatial_adjoint if adjoint else torch_spatial.spatial_forward
            geometry, (spacing, *vectors) = self.geometry, self.arguments
            shape = self.grid if adjoint else geometry.detector_shape
            flat = geometry.beam == "parallel"
            return function(
                x, *vectors, spacing, shape, geometry.curvature, flat, max_bytes=self.max_bytes
            ).to(x.dtype)
        if self.kind == "slices":
            return self._in_slices(planes, self.arguments, adjoint)(x)
        return planes(self.kind, x, self.arguments, self._other_shape(adjoint), adjoint).to(x.dtype)

    @cached_property
    def arrays(self) -> tuple[Any, ...]:
        """The arguments as numpy arrays."""
        return tuple(np.ascontiguousarray(t.detach().numpy()) for t in self.arguments)

    def _other_shape(self, adjoint: bool) -> Any:
        return self.grid if adjoint else self.geometry.columns

    @cached_property
    def _columnar(self) -> bool:
        """True if the column kernel computes the sums of the ray kernel, only faster."""
        spacing, source, detector, u, v = self.arrays
        shape: Any = self.geometry.detector_shape
        return self.geometry.beam == "divergent" and cone.is_columnar(
            source, detector, u, v, tuple(spacing), shape, self.geometry.curvature
        )

    def _compiled_spatial(self, x: np.ndarray, adjoint: bool) -> np.ndarray:
        spacing, vectors = self.arrays[0], self.arrays[1:]
        shape: Any = self.grid if adjoint else self.geometry.detector_shape
        curvature = self.geometry.curvature
        if self._columnar:
            function: Any = cone.cone_adjoint if adjoint else cone.cone_forward
            return function(x, *vectors, tuple(spacing), shape, curvature)
        function = rays_space.rays3_adjoint if adjoint else rays_space.rays3_forward
        return function(x, *vectors, tuple(spacing), shape, curvature, self.geometry.beam == "parallel")

    def _in_slices(
        self, planar: Callable[..., Any], arguments: Any, adjoint: bool
    ) -> Callable[[Tensor], Tensor]:
        """Slice by slice: every detector row sees one slice (or none)."""
        assert self.slices is not None
        nz, rows = self.grid[0], self.geometry.rows
        slices = self.slices.to(self.geometry.device)
        kept = (slices >= 0) & (slices < nz)
        seen = slices[kept]

        def run(x: Tensor) -> Tensor:
            chosen = x[:, :, kept].transpose(1, 2) if adjoint else x[:, seen]  # (n, slices, ...)
            n, m = chosen.shape[:2]
            flat = chosen.reshape(n * m, *chosen.shape[2:]).contiguous()
            shape = self.grid[1:] if adjoint else self.geometry.columns
            out = planar(
                "parallel", flat.numpy() if planar is _compiled_planar else flat, arguments, shape, adjoint
            )
            out = out if isinstance(out, Tensor) else torch.from_numpy(out)
            out = out.reshape(n, m, *out.shape[1:])
            if adjoint:
                return out.new_zeros(n, *self.grid).index_copy(1, seen, out)
            full = out.new_zeros(n, self.geometry.views, rows, self.geometry.columns)
            return full.index_copy(2, kept.nonzero().flatten(), out.transpose(1, 2))

        return run


def _compiled_planar(kind: str, x: np.ndarray, arguments: Any, shape: Any, adjoint: bool) -> np.ndarray:
    function: Any = {
        ("parallel", False): parallel.parallel_forward,
        ("parallel", True): parallel.parallel_adjoint,
        ("rays", False): rays.rays_forward,
        ("rays", True): rays.rays_adjoint,
    }[kind, adjoint]
    return function(x, *arguments) if (kind, adjoint) == ("rays", False) else function(x, *arguments, shape)


def _torch_planes(kind: str, x: Tensor, arguments: Any, shape: Any, adjoint: bool) -> Tensor:
    function: Any = {
        ("parallel", False): torch_planar.parallel_forward,
        ("parallel", True): torch_planar.parallel_adjoint,
        ("rays", False): torch_planar.rays_forward,
        ("rays", True): torch_planar.rays_adjoint,
    }[kind, adjoint]
    return function(x, *arguments) if (kind, adjoint) == ("rays", False) else function(x, *arguments, shape)


def _device_planes(kind: str, x: Tensor, arguments: Any, shape: Any, adjoint: bool) -> Tensor:
    """Without derivatives: by Triton where it has the kernel, else by torch."""
    if kind != "parallel" or x.dtype == torch.float64 or not triton_parallel.usable(x.device):
        return _torch_planes(kind, x, arguments, shape, adjoint)
    function: Any = triton_parallel.parallel_adjoint if adjoint else triton_parallel.parallel_forward
    out: Tensor = function(x, *(t.detach() for t in arguments), shape)
    return out.to(x.dtype)


# -- arguments ------------------------------------------------------------------------------------------


def _spatial_arguments(geometry: Geometry, vectors: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Spacing, source, detector, u, v in voxels, (x, y, z)."""
    grid = geometry.grid
    like = vectors["u"]
    spacing = torch.stack(
        [torch.full((), s, dtype=like.dtype, device=like.device) for s in grid.spacing[::-1]]
    )
    source = vectors["source"]
    source = source / spacing if geometry.beam == "parallel" else grid.to_index(source)
    return (
        spacing,
        source,
        grid.to_index(vectors["detector"]),
        vectors["u"] / spacing,
        vectors["v"] / spacing,
    )


def _parallel_arguments(geometry: Geometry, vectors: dict[str, Tensor]) -> tuple[Tensor, ...]:
    """Axis, slope, t0, dt, weight of each view, in the xy-plane."""
    source, detector, u = (vectors[name][..., :2] for name in ("source", "detector", "u"))
    axis, slope, weight, at = _joseph(geometry, detector, source)
    sy, sx = geometry.grid.spacing[-2:]
    across, down = u[:, 0] / sx, u[:, 1] / sy
    dt = torch.where(axis == 0, across - down * slope, down - across * slope)
    return axis, slope, at - (geometry.columns - 1) / 2 * dt, dt, weight


def _ray_arguments(geometry: Geometry) -> tuple[Tensor, ...]:
    """Axis, crossing of the middle row, slope, weight of each ray."""
    double = geometry.bind(**{name: t.double() for name, t in geometry.parameters().items()})
    origin, direction = double.rays()
    axis, slope, weight, at = _joseph(geometry, origin, direction)
    return axis, at, slope, weight


def _joseph(geometry: Geometry, point: Tensor, direction: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Main axis, slope, length of a step, crossing of the main axis's middle, in voxels of the xy-plane.

    Main axis 0: one sample a row; the ray advances by ``slope`` columns in a row.
    """
    (ny, nx), (sy, sx), (cy, cx) = (
        numbers[-2:] for numbers in (geometry.grid.shape, geometry.grid.spacing, geometry.grid.center)
    )
    x, y = (point[..., 0] - cx) / sx, (point[..., 1] - cy) / sy  # voxels from the middle
    dx, dy = direction[..., 0] / sx, direction[..., 1] / sy
    rows = dy.detach().abs() * _TIE >= dx.detach().abs()
    main, other = torch.where(rows, dy, dx), torch.where(rows, dx, dy)
    slope = other / main
    at = torch.where(rows, x - y * slope + (nx - 1) / 2, y - x * slope + (ny - 1) / 2)
    weight = torch.where(rows, (slope * sx).square() + sy**2, (slope * sy).square() + sx**2).sqrt()
    return (~rows).to(torch.uint8), slope, weight, at


def _slices(geometry: Geometry) -> Tensor | None:
    """The slice that each detector row sees in all views, if beam and rows lie in the slices; else None."""
    if geometry.beam != "parallel":
        return None
    source, detector, u, v = (t.detach().double() for t in geometry.parameters().values())
    nz, dz = geometry.grid.shape[0], geometry.grid.spacing[0]
    level = (source[:, 2] == 0).all() & (u[:, 2] == 0).all() & (v[:, :2] == 0).all()
    step = v[:, 2] / dz
    first = (detector[:, 2] - geometry.grid.center[0]) / dz + (nz - 1) / 2 - (geometry.rows - 1) / 2 * step
    tolerance = _ALIGNED / geometry.rows
    level = level & ((step.abs() - 1).abs() <= tolerance).all() & ((step - step[0]).abs() <= tolerance).all()
    level = level & ((first - first[0].round()).abs() <= _ALIGNED).all()
    if not bool(level):
        return None
    rows = torch.arange(geometry.rows, device=first.device)
    return first[0].round().long() + step[0].round().long() * rows
