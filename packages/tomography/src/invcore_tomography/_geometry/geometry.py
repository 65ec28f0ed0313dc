"""`Geometry`: positions of source and detector in every view, as vectors."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError, Value
from invcore.operators import under_transform
from invcore.spaces import broadcast_shapes

from .grid import Grid

if TYPE_CHECKING:
    from matplotlib.axes import Axes


class Geometry(Value):
    """Positions of source and detector in every view of a scan, and the grid of the image.

    Vectors are world vectors (x, y) or (x, y, z) in meters. The pixel in row a and column b of a view has its
    center at

    .. math:: d + (b - (n_b - 1)/2) u + (a - (n_a - 1)/2) v,

    d being the center of the detector. Every axis of the world grows with its index in the image (see
    `Grid`). The functions `parallel`, `fan`, `cone`, `helical`, `laminography` make the usual scans.

    Parameters
    ----------
    source : Tensor, shape (..., view, 2 or 3)
        Position of the source; the direction in which the rays travel, of any length, if the beam is
        parallel.
    detector : Tensor, shape (..., view, 2 or 3)
        Center of the detector.
    u : Tensor, shape (..., view, 2 or 3)
        Step from a detector column to the next.
    v : Tensor, shape (..., view, 3), optional
        Step from a detector row to the next; None in 2-D.
    detector_shape : tuple of int
        ``(columns,)`` or ``(rows, columns)``.
    grid : Grid
        Pixels or voxels of the image.
    beam : {"parallel", "divergent"}
    curvature : float, optional
        Radius in meters of a detector that is curved around the source: column b is seen under the angle
        (b - (columns - 1)/2) |u| / curvature from the middle, about the axis v through the source. None:
        flat.

    Notes
    -----
    The four tensors are the parameters ξ: gradients reach them, and they may carry leading batch dimensions.
    ``geometry[views]`` selects views.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the parts do not match, or a vector is not finite.

    Examples
    --------
    >>> from invcore_tomography import parallel
    >>> geometry = parallel(180, columns=64, pitch=1e-3)
    >>> geometry.grid
    Grid(64 x 64 pixels of 0.001 x 0.001 m, center (0, 0))
    >>> geometry[::2].views
    90
    """

    source: Tensor
    detector: Tensor
    u: Tensor
    detector_shape: tuple[int, ...]
    grid: Grid
    beam: Literal["parallel", "divergent"]
    v: Tensor | None = None
    curvature: float | None = None
    params = ("source", "detector", "u", "v")

    def __post_init__(self) -> None:
        if not isinstance(self.grid, Grid):
            raise DtypeError(f"Geometry: grid must be a Grid, got {type(self.grid).__name__}")
        if self.beam not in ("parallel", "divergent"):
            raise ParameterError(f"Geometry: beam must be 'parallel' or 'divergent', got {self.beam!r}")
        shape = self.detector_shape
        wanted = "(columns,)" if self.ndim == 2 else "(rows, columns)"
        if not isinstance(shape, tuple) or not all(isinstance(n, int) and n > 0 for n in shape):
            raise ShapeError(f"Geometry: detector_shape must be {wanted}, positive ints, got {shape!r}")
        if len(shape) != self.ndim - 1:
            raise ShapeError(
                f"Geometry: an image with {self.ndim} dimensions needs detector_shape {wanted}, got {shape}"
            )
        if (self.v is None) != (self.ndim == 2):
            raise ParameterError(
                "Geometry: v, the step between detector rows, is required in 3-D and not allowed in 2-D"
            )
        self._check_vectors()
        if self.curvature is not None:
            if self.beam == "parallel":
                raise ParameterError(
                    "Geometry: a curved detector is curved around a source: beam='divergent'"
                )
            if not (isinstance(self.curvature, int | float) and 0 < self.curvature < math.inf):
                raise ParameterError(
                    f"Geometry: curvature must be a positive length or None, got {self.curvature!r}"
                )

    def _check_vectors(self) -> None:
        plain = not under_transform()
        for name in self.params:
            vectors = getattr(self, name)
            if vectors is None and name == "v":
                continue
            if not isinstance(vectors, Tensor) or not vectors.is_floating_point():
                kind = vectors.dtype if isinstance(vectors, Tensor) else type(vectors).__name__
                raise DtypeError(f"Geometry: {name} must be a floating-point tensor, got {kind}")
            expected = (self.source.shape[-2] if self.source.ndim > 1 else 1, self.ndim)
            if tuple(vectors.shape[-2:]) != expected:
                raise ShapeError(
                    f"Geometry: {name} must be (..., {expected[0]}, {expected[1]}), one vector for each view "
                    f"like source, got {tuple(vectors.shape)}"
                )
            if not plain or vectors.device.type == "meta":
                continue
            if not bool(vectors.isfinite().all()):
                raise ParameterError(f"Geometry: {name} has entries that are not finite")
            a_step = name in ("u", "v") or (name == "source" and self.beam == "parallel")
            if a_step and not bool((vectors != 0).any(-1).all()):
                raise ParameterError(
                    f"Geometry: {name} is the zero vector in some view, which has no direction"
                )
        try:
            broadcast_shapes(*(t.shape for t in self.parameters().values()))
        except RuntimeError:
            shapes = {n: tuple(t.shape) for n, t in self.parameters().items()}
            raise ShapeError(f"Geometry: the batch dimensions do not broadcast: {shapes}") from None

    def __repr__(self) -> str:
        pitches = [f"{float(t.detach().norm(dim=-1).mean()):.4g}" for t in (self.v, self.u) if t is not None]
        size = " x ".join(map(str, self.detector_shape))
        kind = "columns" if self.ndim == 2 else "pixels"
        batch = f"batch {tuple(self.batch)}, " if self.batch else ""
        curved = f" on a radius of {self.curvature:.4g} m" if self.curvature is not None else ""
        return (
            f"Geometry({self.beam} beam, {batch}{self.views} views, {size} {kind} of {' x '.join(pitches)} "
            f"m{curved}, {self.grid!r})"
        )

    # -- sizes --------------------------------------------------------------------------------------

    @property
    def ndim(self) -> int:
        """Number of dimensions, 2 or 3."""
        return self.grid.ndim

    @property
    def views(self) -> int:
        """Number of views."""
        return self.source.shape[-2]

    @property
    def columns(self) -> int:
        """Number of detector columns."""
        return self.detector_shape[-1]

    @property
    def rows(self) -> int:
        """Number of detector rows; 1 in 2-D."""
        return self.detector_shape[0] if self.ndim == 3 else 1

    @property
    def batch(self) -> torch.Size:
        """Batch dimensions of the vectors, broadcast."""
        return broadcast_shapes(*(t.shape[:-2] for t in self.parameters().values()))

    # -- views ---------------------------------------------------------------------------------------

    def __getitem__(self, views: Any) -> Geometry:
        """Select views by an index, a slice, a list or tensor of indices, or a boolean mask."""
        index = torch.arange(self.views, device=self.device)
        try:
            chosen = index[views if isinstance(views, slice) else torch.as_tensor(views, device=index.device)]
        except (IndexError, TypeError, ValueError) as error:
            raise ParameterError(
                f"Geometry: {views!r} does not select among {self.views} views: {error}"
            ) from error
        chosen = chosen.reshape(-1)
        return self.bind(**{name: t.index_select(-2, chosen) for name, t in self.parameters().items()})

    def __len__(self) -> int:
        return self.views

    def subsets(self, n: int) -> tuple[Geometry, ...]:
        """``n`` interleaved subsets: views 0, n, 2n, ...; then 1, n + 1, ...; and so on.

        Raises
        ------
        ParameterError
            If ``n`` is not between 1 and the number of views.
        """
        if not isinstance(n, int) or not 1 <= n <= self.views:
            raise ParameterError(
                f"subsets: n must be between 1 and the number of views, {self.views}, got {n!r}"
            )
        return tuple(self[first::n] for first in range(n))

    # -- rays ----------------------------------------------------------------------------------------

    def pixels(self) -> Tensor:
        """Centers of the detector pixels.

        Returns
        -------
        Tensor, shape (..., view, column, 2) or (..., view, row, column, 3)
            In meters; differentiable in the vectors.
        """
        column = _centered(self.columns, self.u)
        if self.curvature is None:
            points = self.detector.unsqueeze(-2) + column.unsqueeze(-1) * self.u.unsqueeze(-2)
        else:
            points = self._arc(column)
        if self.v is None:
            return points
        row = _centered(self.rows, self.v).reshape(-1, 1, 1)
        return points.unsqueeze(-3) + row * self.v.unsqueeze(-2).unsqueeze(-2)

    def _arc(self, column: Tensor) -> Tensor:
        """Middle row of a detector curved around the source: (..., view, column, d)."""
        across = self.detector - self.source
        along = torch.zeros_like(across)
        if self.v is not None:
            axis = self.v / torch.linalg.vector_norm(self.v, dim=-1, keepdim=True)
            along = (across * axis).sum(-1, keepdim=True) * axis
            across = across - along
        pitch = torch.linalg.vector_norm(self.u, dim=-1, keepdim=True)
        radius = torch.linalg.vector_norm(across, dim=-1, keepdim=True)
        assert self.curvature is not None
        angle = (column * pitch / self.curvature).unsqueeze(-1)
        turned = angle.cos() * across.unsqueeze(-2) + angle.sin() * (radius * self.u / pitch).unsqueeze(-2)
        return (self.source + along).unsqueeze(-2) + turned

    def rays(self) -> tuple[Tensor, Tensor]:
        """A point and the unit direction of the ray to each detector pixel, in world units.

        Returns
        -------
        origin : Tensor, shape (..., view, column, 2) or (..., view, row, column, 3)
            The source, or the pixel itself if the beam is parallel.
        direction : Tensor, same shape
            Of length one, from the source to the detector. Both are differentiable in the vectors.
        """
        pixels = self.pixels()
        source = self.source.reshape(*self.source.shape[:-1], *(1,) * (self.ndim - 1), self.ndim)
        if self.beam == "parallel":
            origin, direction = pixels, source
        else:
            origin, direction = source, pixels - source
        direction = direction / torch.linalg.vector_norm(direction, dim=-1, keepdim=True)
        origin, direction = torch.broadcast_tensors(origin, direction)
        return origin, direction

    # -- pictures ------------------------------------------------------------------------------------

    def plot(self, ax: Axes | None = None, *, views: int = 8) -> Axes:
        """Draw the image, the source and the detector in some of the views.

        Parameters
        ----------
        ax : matplotlib Axes, optional
            Axes to draw in, three-dimensional for a scan in 3-D; new ones by default.
        views : int
            Number of views to draw, equally spaced.

        Returns
        -------
        matplotlib Axes
        """
        from .plot import plot

        return plot(self, ax, views)


def _centered(n: int, like: Tensor) -> Tensor:
    """Indices 0 to n - 1 relative to their mean."""
    return torch.arange(n, dtype=like.dtype, device=like.device) - (n - 1) / 2
