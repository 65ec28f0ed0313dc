"""Gridding and degridding by ducc0: the fast Fourier sums of an interferometer."""

from __future__ import annotations

import math
from threading import Lock
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import threads
from invcore.spaces import broadcast_shapes

from .direct import SPEED_OF_LIGHT

_SMALLEST = 32
"""Minimum size of images for all versions of the w-gridder; sizes must also be even."""

_NARROW = 1e-6
"""Radius in radians within which n − 1 equals −(l² + m²)/2 to a relative error of 1e-12."""

_SINGLE = 1e-4
"""Relative error that sums in single precision reliably reach."""

_PARTS, _PER_PIXEL = 8, 4
"""Most parts in which visibilities are gridded side by side, and the least visibilities a pixel in each."""


class Gridder:
    """Transform images ``(..., planes, y, x)`` to visibilities ``(..., row, frequency)`` and back, on a CPU.

    uvw may have batch dimensions. Coordinates and plans are prepared once and do not follow later changes of
    the tensors.
    """

    def __init__(
        self,
        *,
        uvw: Tensor,
        frequencies: Tensor,
        kept: Tensor | None,
        shape: tuple[int, int],
        pixel: tuple[float, float],
        planes: int,
        w_term: bool,
        accuracy: float,
    ) -> None:
        self.batch = tuple(uvw.shape[:-2])
        self.rows, self.shape, self.pixel, self.planes, self.accuracy = (
            uvw.shape[-2],
            shape,
            pixel,
            planes,
            accuracy,
        )
        # ducc0: exp(-2πi ν/c (u x + v y − w (n − 1))), x along the first axis, whereas m and l decrease
        flat = uvw.detach().double().reshape(math.prod(self.batch), self.rows, 3)
        half = max(n * p for n, p in zip(shape, pixel)) / 2
        # there n − 1 = −(l² + m²)/2 drops below the precision of ducc0's planes: widen the field, scale w
        if half < _NARROW:
            scale = _NARROW / half
            self.pixel = (pixel[0] * scale, pixel[1] * scale)
            flat = flat / torch.tensor([scale, scale, scale**2], dtype=torch.float64, device=flat.device)
        self.uvw = np.ascontiguousarray((-flat[..., [1, 0, 2]]).numpy())
        self.frequencies = frequencies.detach().double().numpy()
        self.planar = not w_term or not bool((flat[..., 2] != 0).any())
        if kept is not None:
            kept = kept.reshape(math.prod(kept.shape[:-2]), *kept.shape[-2:]).any(0)
        self.kept = None if kept is None or bool(kept.all()) else np.ascontiguousarray(kept.numpy())
        # the w-gridder needs frequencies in ascending order
        self.order = None
        if planes == 1 and bool((np.diff(self.frequencies) < 0).any()):
            self.order = torch.from_numpy(np.argsort(self.frequencies, kind="stable"))
            self.frequencies = self.frequencies[self.order.numpy()]
            if self.kept is not None:
                self.kept = np.ascontiguousarray(self.kept[:, self.order.numpy()])
        self._plans: dict[Any, Any] = {}
        self._lock = Lock()

    def forward(self, x: Tensor) -> Tensor:
        real, dtype = self._precision(x.dtype)
        work, batch, order = self._by_scan(x, 3)
        out = np.empty((*work.shape[:2], self.rows, len(self.frequencies)), dtype)
        images = self._padded(work.to(real).contiguous()).numpy()
        for k, j in np.ndindex(*work.shape[:2]):
            for p, which in enumerate(self._frequency_slices()):
                self._degrid(k, which, images[k, j, p], out[k, j, :, which])
        found = torch.from_numpy(out)
        if self.order is not None:
            found = torch.empty_like(found).index_copy_(-1, self.order, found)
        return self._restored(found, batch, order).to(_complex(x.dtype))

    def adjoint(self, y: Tensor) -> Tensor:
        real, dtype = self._precision(y.real.dtype)
        work, batch, order = self._by_scan(y if self.order is None else y[..., self.order], 2)
        values = work.to(_complex(real)).contiguous().numpy()
        size = tuple(n + before + after for n, (before, after) in zip(self.shape, self._padding()))
        out = np.empty((*work.shape[:2], self.planes, *size), _real(dtype))
        for k, j in np.ndindex(*work.shape[:2]):
            for p, which in enumerate(self._frequency_slices()):
                self._grid(k, which, values[k, j, :, which], out[k, j, p])
        image = torch.from_numpy(out)
        if size != self.shape:
            (top, _), (left, _) = self._padding()
            image = image[..., top : top + self.shape[0], left : left + self.shape[1]]
        return self._restored(image.contiguous(), batch, order).to(y.real.dtype)

    # -- one image ------------------------------------------------------------------------------------

    def _degrid(self, k: int, which: slice, image: np.ndarray, out: np.ndarray) -> None:
        import ducc0

        if not self._any(which):
            out[...] = 0
            return
        workers = torch.get_num_threads()
        if not self.planar:
            ducc0.wgridder.dirty2vis(dirty=image, vis=out, **self._settings(k, which, workers))
            return
        plan, index, lock = self._plan(k, which, image.dtype, workers)
        grid = image.astype(out.dtype)
        if index is None and out.flags.c_contiguous:
            with lock:
                plan.u2nu(grid=grid, out=out.reshape(-1), forward=False)
            return
        with lock:
            found = plan.u2nu(grid=grid, forward=False)
        if index is None:
            out[...] = found.reshape(out.shape)
        else:
            out[...] = 0
            out[index] = found

    def _grid(self, k: int, which: slice, values: np.ndarray, out: np.ndarray) -> None:
        """Grid parts of the rows, each on one thread, and add them up in a fixed order.

        Several threads that add to one grid do so in varying order, and round differently each time.
        """
        if not self._any(which):
            out[...] = 0
            return
        parts = self._row_parts(k, which)
        images = [out, *(np.empty_like(out) for _ in parts[1:])]

        def grid(first: int, last: int) -> None:
            for j in range(first, last):
                self._grid_rows(k, which, j, parts[j], values, images[j])

        threads.run(grid, [(j, j + 1) for j in range(len(parts))])
        for image in images[1:]:
            out += image

    def _grid_rows(
        self, k: int, which: slice, part: int, rows: Any, values: np.ndarray, out: np.ndarray
    ) -> None:
        import ducc0

        if not self.planar:
            settings = self._settings(k, which, 1, rows)
            ducc0.wgridder.vis2dirty(vis=np.ascontiguousarray(values[rows]), dirty=out, **settings)
            return
        plan, index, lock = self._plan(k, which, out.dtype, 1, part, rows)
        values = values[rows]
        points = np.ascontiguousarray(values).reshape(-1) if index is None else values[index]
        with lock:
            out[...] = plan.nu2u(points=points, forward=True).real

    def _row_parts(self, k: int, which: slice) -> list[Any]:
        """Rows of each part, in intervals of w; their number depends on the work, not on the threads."""
        count, pixels = self.rows * (which.stop - which.start), math.prod(self.shape)
        number = min(_PARTS, max(1, count // (_PER_PIXEL * pixels)))
        if number == 1:
            return [slice(None)]
        order = np.arange(self.rows) if self.planar else np.argsort(self.uvw[k][:, 2], kind="stable")
        return np.array_split(order, number)

    def _any(self, which: slice) -> bool:
        """Return whether any visibility is not masked."""
        return self.rows > 0 and (self.kept is None or bool(self.kept[:, which].any()))

    def _settings(self, k: int, which: slice, workers: int, rows: Any = slice(None)) -> dict[str, Any]:
        kept = None if self.kept is None else np.ascontiguousarray(self.kept[rows, which]).view(np.uint8)
        return {
            "uvw": self.uvw[k][rows],
            "freq": self.frequencies[which],
            "mask": kept,
            "pixsize_x": self.pixel[0],
            "pixsize_y": self.pixel[1],
            "epsilon": self.accuracy,
            "do_wgridding": True,
            "divide_by_n": False,
            "nthreads": workers,
        }

    def _plan(
        self, k: int, which: slice, dtype: Any, workers: int, part: int = -1, rows: Any = slice(None)
    ) -> tuple[Any, Any, Lock]:
        """Return a plan, its visibilities (None for all), and a lock: a plan serves one caller at a time."""
        import ducc0

        key = (k, which.start, which.stop, np.dtype(dtype).char, workers, part)
        with self._lock:
            if key not in self._plans:
                turns = self.frequencies[which] / SPEED_OF_LIGHT
                scale = np.array(self.pixel)
                coordinates = (self.uvw[k][rows][:, None, :2] * turns[:, None]) * scale  # cycles per pixel
                index = None if self.kept is None else self.kept[rows, which].nonzero()
                coordinates = coordinates.reshape(-1, 2) if index is None else coordinates[index]
                coordinates = 2 * math.pi * (coordinates - np.round(coordinates))
                plan = ducc0.nufft.plan(
                    nu2u=False,
                    coord=np.ascontiguousarray(-coordinates.astype(dtype)),
                    grid_shape=self._grid_shape,
                    epsilon=self.accuracy,
                    nthreads=workers,
                )
                self._plans[key] = plan, index, Lock()
            return self._plans[key]

    # -- shapes and precisions --------------------------------------------------------------------------

    @property
    def _grid_shape(self) -> tuple[int, ...]:
        return tuple(n + before + after for n, (before, after) in zip(self.shape, self._padding()))

    def _frequency_slices(self) -> list[slice]:
        """Frequencies of each plane."""
        n = len(self.frequencies)
        return [slice(0, n)] if self.planes == 1 else [slice(f, f + 1) for f in range(n)]

    def _precision(self, dtype: torch.dtype) -> tuple[torch.dtype, Any]:
        """Return the working precision: single if the image is and it reaches the accuracy, else double."""
        # coordinates round to 6e-8 of the image; many visibilities on one grid point lose 1e-4 of their sum
        reach = max(_SINGLE, 5e-8 * max(self.shape))
        few = self.rows * len(self.frequencies) <= 1_000_000
        single = dtype == torch.float32 and few and self.accuracy >= reach
        return (torch.float32, np.complex64) if single else (torch.float64, np.complex128)

    def _padding(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Padding (before, after) along each axis that keeps pixel n//2 at the center."""
        if self.planar:
            return (0, 0), (0, 0)
        pads = []
        for n in self.shape:
            size = max(_SMALLEST, n + n % 2)
            before = size // 2 - n // 2
            pads.append((before, size - n - before))
        return pads[0], pads[1]

    def _padded(self, x: Tensor) -> Tensor:
        (top, bottom), (left, right) = self._padding()
        return torch.nn.functional.pad(x, (left, right, top, bottom)) if top + bottom + left + right else x

    def _by_scan(self, x: Tensor, ndim: int) -> tuple[Tensor, tuple[int, ...], list[int]]:
        """Reshape a batch to (sets of baselines, items, ...); return it, its batch and axes' order."""
        own = self.batch
        if not own:
            lead = tuple(x.shape[: x.ndim - ndim])
            return x.reshape(1, math.prod(lead), *x.shape[x.ndim - ndim :]), lead, []
        batch = broadcast_shapes(x.shape[: x.ndim - ndim], own)
        sizes = (1,) * (len(batch) - len(own)) + own
        scans = [i for i, n in enumerate(sizes) if n > 1]
        order = [*scans, *(i for i in range(len(batch)) if i not in scans)]
        x = x.expand(*batch, *x.shape[x.ndim - ndim :])
        x = x.permute(*order, *range(len(batch), len(batch) + ndim))
        count = math.prod(batch[i] for i in scans)
        items = math.prod(batch[i] for i in order[len(scans) :])
        return x.reshape(count, items, *x.shape[len(batch) :]), tuple(batch), order

    @staticmethod
    def _restored(x: Tensor, batch: tuple[int, ...], order: list[int]) -> Tensor:
        if not order:
            return x.reshape(*batch, *x.shape[2:])
        x = x.reshape(*(batch[i] for i in order), *x.shape[2:])
        back = [order.index(i) for i in range(len(batch))]
        return x.permute(*back, *range(len(batch), x.ndim))


def _complex(real: torch.dtype) -> torch.dtype:
    return torch.complex64 if real == torch.float32 else torch.complex128


def _real(dtype: Any) -> Any:
    return np.float32 if dtype == np.complex64 else np.float64
