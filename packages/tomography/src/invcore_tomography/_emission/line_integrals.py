"""`LineIntegrals`: integrals of an image along line segments, the lines of response of a scanner."""

from __future__ import annotations

from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from invcore import LinearOperator, ParameterError, ShapeError
from invcore.operators import Space

from .._geometry.grid import Grid
from .._kernels import lines, torch_lines
from .scanner import TimeOfFlight


class LineIntegrals(LinearOperator):
    r"""Integrals of an image along any line segments, with or without time of flight.

    .. math:: (Ax)_i = \int x(a_i + t\,(b_i - a_i)/|b_i - a_i|)\, dt, \qquad
       (Ax)_{ji} = \int x(\ldots)\, Φ_j\bigl(t - |b_i - a_i|/2\bigr)\, dt

    by Joseph's rule [1]_: a sample in each plane of the axis along which the line advances most, linear
    between voxels. Φ_j is the share of bin j: a normal distribution about the distance from the middle of the
    segment, integrated over the bin.

    Parameters
    ----------
    first, last : Tensor of float64, shape (..., 2 or 3)
        End points a and b in meters, (x, y) or (x, y, z).
    grid : Grid
        The image.
    tof : TimeOfFlight, optional
    tof_bin : Tensor of int64, shape (...), optional
        Time-of-flight bin of each line (list mode); all bins by default.

    Notes
    -----
    Domain ``(1, *grid.shape)``. The range is ``(1, *lines)`` with the leading dimensions of ``first``, and
    ``(1, tof, *lines)`` with time of flight. On a CPU the kernel is compiled; elsewhere the same sums are
    torch's.

    References
    ----------
    .. [1] P. M. Joseph, "An improved algorithm for reprojecting rays through pixel images", IEEE Trans. Med.
       Imaging 1 (1982).

    Examples
    --------
    >>> first, last = torch.tensor([[-9.0, 0.5]]), torch.tensor([[9.0, 0.5]])
    >>> A = LineIntegrals(first=first, last=last, grid=Grid(shape=(2, 3)))
    >>> A(torch.tensor([[[0.0, 0, 0], [1, 2, 3]]]))
    tensor([[6.]])
    """

    first: Tensor
    last: Tensor
    grid: Grid
    tof: TimeOfFlight | None = None
    tof_bin: Tensor | None = None
    autograd = "adjoint"
    nonnegative = True

    def __post_init__(self) -> None:
        dims = self.grid.ndim
        if self.first.shape != self.last.shape or self.first.ndim < 2 or self.first.shape[-1] != dims:
            raise ShapeError(
                f"LineIntegrals: first and last must both be (..., {dims}) for this grid, got "
                f"{tuple(self.first.shape)} and {tuple(self.last.shape)}"
            )
        if not bool((torch.isfinite(self.first) & torch.isfinite(self.last)).all()):
            raise ParameterError("LineIntegrals: end points must be finite")
        if self.tof_bin is not None:
            if self.tof is None:
                raise ParameterError("LineIntegrals: tof_bin needs tof")
            if self.tof_bin.shape != self.first.shape[:-1] or self.tof_bin.dtype != torch.int64:
                raise ShapeError(
                    f"LineIntegrals: tof_bin must be int64 of shape {tuple(self.first.shape[:-1])}, got "
                    f"{self.tof_bin.dtype} {tuple(self.tof_bin.shape)}"
                )
            if (
                self.tof_bin.numel()
                and not 0 <= int(self.tof_bin.min()) <= int(self.tof_bin.max()) < self.tof.bins
            ):
                raise ParameterError(f"LineIntegrals: tof_bin must be from 0 to {self.tof.bins - 1}")

    @property
    def domain(self) -> Space:
        return Space((1, *self.grid.shape))

    @property
    def range(self) -> Space:
        all_bins = (self.tof.bins,) if self.tof is not None and self.tof_bin is None else ()
        return Space((1, *all_bins, *self.first.shape[:-1]))

    def forward(self, x: Tensor) -> Tensor:
        volume = x.reshape(-1, *self._volume)
        if x.device.type == "cpu":
            out = torch.from_numpy(lines.lines_forward(volume.contiguous().numpy(), *self._placed(x.device)))
        else:
            out = torch_lines.lines_forward(volume, *self._placed(x.device))
        return out.reshape(*x.shape[: x.ndim - len(self.domain.shape)], *self.range.shape)

    def adjoint(self, y: Tensor) -> Tensor:
        bins = 1 if self.tof is None or self.tof_bin is not None else self.tof.bins
        batch = y.shape[: y.ndim - len(self.range.shape)]
        values = y.reshape(batch.numel(), bins, -1)
        if y.device.type == "cpu":
            out = lines.lines_adjoint(self._volume, values.contiguous().numpy(), *self._placed(y.device))
            return torch.from_numpy(out).reshape(*batch, *self.domain.shape)
        out_t = torch_lines.lines_adjoint(self._volume, values, *self._placed(y.device))
        return out_t.reshape(*batch, *self.domain.shape)

    def norm_bound(self) -> Tensor:
        """√(‖A‖₁ ‖A‖_∞), an upper bound because no weight is negative."""
        one = torch.ones(self.domain.shape, dtype=torch.float64, device=self.first.device)
        rows = self.forward(one).amax()
        columns = self.adjoint(torch.ones(self.range.shape, dtype=torch.float64, device=one.device)).amax()
        return (rows * columns).sqrt().to(torch.float32)

    @property
    def _volume(self) -> tuple[int, int, int]:
        return (1, *self.grid.shape)[-3:]  # type: ignore[return-value]

    @cached_property
    def _arguments(self) -> tuple[Any, ...]:
        """Arguments of the kernels, on the CPU: end points in voxels, spacing, bins."""
        ends = []
        for point in (self.first, self.last):
            index = self.grid.to_index(point.detach().to("cpu", torch.float64)).reshape(-1, self.grid.ndim)
            ends.append(torch.nn.functional.pad(index, (0, 3 - self.grid.ndim)).contiguous())
        spacing = torch.tensor((*self.grid.spacing[::-1], 1.0)[:3], dtype=torch.float64)
        edges = self.tof.edges if self.tof else spacing.new_zeros(0)
        only = (
            spacing.new_zeros(0, dtype=torch.int64)
            if self.tof_bin is None
            else self.tof_bin.cpu().reshape(-1)
        )
        return *ends, spacing, edges, self.tof.sigma if self.tof else 1.0, only

    def _placed(self, device: torch.device) -> tuple[Any, ...]:
        """The arguments for the kernel of a device: arrays for the compiled one."""
        if device.type == "cpu":
            return tuple(part.numpy() if isinstance(part, Tensor) else part for part in self._arguments)
        return tuple(part.to(device) if isinstance(part, Tensor) else part for part in self._arguments)
