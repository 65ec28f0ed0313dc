"""Multi-coil MRI along any trajectory through k-space."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, ShapeError, Space
from invcore.operators import NUFFT, under_transform

from .segments import Segments, segments


class NUFFTSense(LinearOperator):
    r"""Multi-coil MRI along a trajectory (non-Cartesian SENSE; Pruessmann et al., 2001).

    .. math:: y_{cm} = \frac{w_m}{\sqrt N} \sum_n S_{cn} x_n \, e^{-2 \pi i \sum_j k_{mj} r_{nj}}

    over all N pixels, at positions r from -1/2 to 1/2 of the field of view with the origin at index n // 2 of
    each axis. At integer k it is `Sense`. With a map f of the off-resonance each term is multiplied by
    :math:`e^{2 \pi i f_n t_m}`. Derivatives of any order reach the image, the maps, the trajectory, the
    weights and the field.

    Parameters
    ----------
    maps : Tensor, shape (..., coil, *spatial), or (..., set, coil, *spatial) if ``sets > 1``
        Complex coil sensitivities. Leading dimensions are batch.
    trajectory : Tensor, shape (..., sample, d)
        k in cycles per field of view, axes in the order of the image: an image of n pixels is resolved from
        -n / 2 to n / 2. Leading dimensions are batch. Flatten spokes or interleaves into samples.
    weights : Tensor, shape (..., sample), optional
        Real factors w of the data, as the root of `radial_density` or of an inverse variance.
    field : Tensor, shape (..., *spatial), optional
        Off-resonance f in Hz, as of `GradientEcho`.
    times : Tensor, shape (..., sample), optional
        When each sample is taken, in seconds from where the phase is zero (the pulse, or the echo); with a
        field.
    spatial_dims : int
        2 or 3, the d of the trajectory.
    sets : int
        Number of sets of maps (ESPIRiT), each with its own image; the data are their sum.
    eps : float
        Relative accuracy of the transform, and of the phase of off-resonance.
    method : {"auto", "finufft", "direct"}
        As of `invcore.operators.NUFFT`.

    Raises
    ------
    ShapeError, DtypeError, ParameterError, MissingDependencyError

    Notes
    -----
    Domain ``(sets, *spatial)``, range ``(coil, sample)``, both complex. AᴴA is a convolution of each coil
    image on a grid twice as large, whatever the number of samples, unless there is a field. Off-resonance is
    a sum of time segments between which least squares interpolate [2]_, with a transform for each: about 1.3
    for each turn of the phase in a readout and one for each digit; `off_resonance_segments` tells. In three
    dimensions coils are transformed one after the other, so that without derivatives the memory needed beside
    maps and data does not grow with their number.

    References
    ----------
    .. [1] K. Pruessmann, M. Weiger, P. Börnert, P. Boesiger, "Advances in sensitivity encoding with arbitrary
       k-space trajectories", Magn. Reson. Med. 46 (2001).
    .. [2] B. Sutton, D. Noll, J. Fessler, "Fast, iterative image reconstruction for MRI in the presence of
       field inhomogeneities", IEEE Trans. Med. Imaging 22 (2003).

    Examples
    --------
    >>> maps = torch.ones(2, 4, 4, dtype=torch.complex64) / 2**0.5
    >>> A = NUFFTSense(maps, torch.tensor([[0.0, 0.0], [1.0, 0.0]]), method="direct")
    >>> A.range.shape
    (2, 2)
    >>> A(torch.ones(1, 4, 4) + 0j).abs().round(decimals=4)
    tensor([[2.8284, 0.0000],
            [2.8284, 0.0000]])
    """

    maps: Tensor
    trajectory: Tensor
    weights: Tensor | None = None
    field: Tensor | None = None
    times: Tensor | None = None
    spatial_dims: int = 2
    sets: int = 1
    eps: float = 1e-6
    method: Literal["auto", "finufft", "direct"] = "auto"
    params = ("maps", "trajectory", "weights", "field")

    def __post_init__(self) -> None:
        d, k = self.spatial_dims, self.trajectory
        needed = d + 1 + (self.sets > 1)
        if d not in (2, 3):
            raise ShapeError(f"NUFFTSense: spatial_dims must be 2 or 3, got {d}")
        if not self.maps.is_complex():
            raise DtypeError(f"NUFFTSense: maps must be complex, got {self.maps.dtype}")
        if self.maps.ndim < needed or (self.sets > 1 and self.maps.shape[-needed] != self.sets):
            layout = "(..., set, coil, *spatial)" if self.sets > 1 else "(..., coil, *spatial)"
            raise ShapeError(
                f"NUFFTSense: maps must be {layout} with {d} spatial dimensions and sets={self.sets}, "
                f"got {tuple(self.maps.shape)}"
            )
        if k.is_complex():
            raise DtypeError(
                "NUFFTSense: the trajectory must be real, (..., sample, 2); give a complex one as "
                "torch.view_as_real(k), in cycles per field of view"
            )
        if k.ndim < 2 or k.shape[-1] != d:
            raise ShapeError(f"NUFFTSense: the trajectory must be (..., sample, {d}), got {tuple(k.shape)}")
        self._check_field()
        if not under_transform():
            self._check_extent()
        self._transform()  # which checks the rest

    def _check_extent(self) -> None:
        if not self.trajectory.numel():
            return
        for axis, n in enumerate(self.shape):
            reach = float(self.trajectory[..., axis].detach().abs().amax())
            if reach > n:
                raise ParameterError(
                    f"NUFFTSense: the trajectory reaches {reach:.4g} along axis {axis}, but {n} pixels are "
                    f"sampled up to {n / 2:g} cycles per field of view. Is the unit another? "
                    "to_cycles converts 1/m, radians and cycles per pixel"
                )

    def _check_field(self) -> None:
        field, times = self.field, self.times
        if (field is None) != (times is None):
            raise ParameterError("NUFFTSense: a field needs times=, and times need a field=")
        if field is None or times is None:
            return
        if not field.is_floating_point() or not times.is_floating_point():
            raise DtypeError("NUFFTSense: the field (Hz) and the times (s) must be real and floating")
        if tuple(field.shape[-self.spatial_dims :]) != self.shape:
            raise ShapeError(f"NUFFTSense: the field must be (..., *{self.shape}), got {tuple(field.shape)}")
        if times.shape[-1:] != self.trajectory.shape[-2:-1]:
            raise ShapeError(
                f"NUFFTSense: times must be (..., {self.trajectory.shape[-2]}), got {tuple(times.shape)}"
            )

    @property
    def shape(self) -> tuple[int, ...]:
        """Spatial dimensions."""
        return tuple(self.maps.shape[-self.spatial_dims :])

    @property
    def coils(self) -> int:
        """Number of coils."""
        return self.maps.shape[-self.spatial_dims - 1]

    @property
    def domain(self) -> Space:
        return Space((self.sets, *self.shape), "complex")

    @property
    def range(self) -> Space:
        return Space((self.coils, self.trajectory.shape[-2]), "complex")

    def forward(self, x: Tensor) -> Tensor:
        if self.field is None:
            return self._on_resonance(x)
        return _total(w * self._on_resonance(phase * x) for phase, w in self._segments(x))

    def adjoint(self, y: Tensor) -> Tensor:
        if self.field is None:
            return self._adjoint_on_resonance(y)
        return _total(
            phase.conj() * self._adjoint_on_resonance(w.conj() * y) for phase, w in self._segments(y)
        )

    def _on_resonance(self, x: Tensor) -> Tensor:
        return torch.cat([self._nufft(self._spread(c, x)) for c in self._chunks], dim=-2)

    def _adjoint_on_resonance(self, y: Tensor) -> Tensor:
        return _total(self._gather(c, self._nufft.H(y[..., c, :])) for c in self._chunks)

    def _gram(self, x: Tensor) -> Tensor:
        if self.field is not None:
            return self.adjoint(self.forward(x))
        return _total(self._gather(c, self._nufft.gram(self._spread(c, x))) for c in self._chunks)

    # -- off-resonance -------------------------------------------------------------------------------

    @property
    def off_resonance_segments(self) -> int:
        """Number of transforms that off-resonance takes; 1 without a field."""
        return 1 if self.field is None else len(self._interpolators.times)

    @cached_property
    def _interpolators(self) -> Segments:
        assert self.field is not None and self.times is not None
        f = self.field.detach()
        return segments(float(f.amin()), float(f.amax()), self.times, self.eps)

    def _segments(self, like: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
        """Phases (..., 1, *spatial) and interpolators (..., 1, sample) of each segment."""
        assert self.field is not None
        for tau, weight in zip(self._interpolators.times, self._interpolators.weights):
            angle = 2 * math.pi * tau * self.field.double()
            phase = torch.complex(angle.cos(), angle.sin()).to(like.dtype)
            yield phase.unsqueeze(-self.spatial_dims - 1), weight.to(like.dtype).unsqueeze(-2)

    # -- parts ---------------------------------------------------------------------------------------

    @property
    def _together(self) -> int:
        """Number of coils that are transformed at once."""
        return self.coils if self.spatial_dims == 2 else 1

    @property
    def _chunks(self) -> list[slice]:
        return [slice(c, c + self._together) for c in range(0, self.coils, self._together)]

    @cached_property
    def _kept_transform(self) -> NUFFT:
        return self._transform()

    @property
    def _nufft(self) -> NUFFT:
        """The transform, with its plans; its graph is not kept, as it can be backpropagated only once."""
        learned = any(p is not None and p.requires_grad for p in (self.trajectory, self.weights))
        return self._transform() if learned or under_transform() else self._kept_transform

    def _transform(self) -> NUFFT:
        pixels = torch.tensor(self.shape, dtype=self.trajectory.dtype, device=self.trajectory.device)
        return NUFFT(
            self.trajectory / pixels,
            Space((self._together, *self.shape), "complex"),
            unit="cycles",
            weights=self.weights,
            eps=self.eps,
            method=self.method,
        )

    def _coil_maps(self, chunk: slice) -> Tensor:
        """Maps of some coils, (..., set, coil, *spatial)."""
        maps = self.maps if self.sets > 1 else self.maps.unsqueeze(-self.spatial_dims - 2)
        return maps.narrow(-self.spatial_dims - 1, chunk.start, self._together)

    def _spread(self, chunk: slice, x: Tensor) -> Tensor:
        """Σ_set S x: images of some coils, (..., coil, *spatial)."""
        return (self._coil_maps(chunk) * x.unsqueeze(-self.spatial_dims - 1)).sum(-self.spatial_dims - 2)

    def _gather(self, chunk: slice, images: Tensor) -> Tensor:
        """Sᴴ of the images of some coils, (..., set, *spatial)."""
        products = self._coil_maps(chunk).conj() * images.unsqueeze(-self.spatial_dims - 2)
        return products.sum(-self.spatial_dims - 1)


def _total(parts: Iterator[Tensor]) -> Tensor:
    """The sum, holding one part at a time."""
    total = next(parts)
    for part in parts:
        total = total + part
    return total
