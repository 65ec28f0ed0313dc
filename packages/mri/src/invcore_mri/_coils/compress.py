"""Coil compression: fewer virtual coils, with the same noise, that keep nearly all of the signal."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from invcore import DataError, ParameterError, ShapeError

from .._sampling.center import check_kspace, sampled
from .._sampling.fft import centered_fft, centered_ifft


@dataclass(frozen=True)
class Compression:
    """The mixing of coils that `Compress.fit` found.

    Attributes
    ----------
    matrix : Tensor, shape (virtual, coil), or (place, virtual, coil)
        Orthonormal rows, so that white noise stays white; one matrix, or one for each place along ``axis``.
    lost : float
        Fraction of the energy of k-space that the virtual coils do not have.
    axis : int, optional
        Axis of the image along which the matrix changes.
    spatial_dims : int
    """

    matrix: Tensor
    lost: float
    axis: int | None = None
    spatial_dims: int = 2

    @property
    def coils(self) -> int:
        """Number of virtual coils."""
        return self.matrix.shape[-2]

    def kspace(self, kspace: Tensor) -> Tensor:
        """Compress k-space ``(..., coil, *spatial)`` to ``(..., virtual, *spatial)``."""
        self._check(kspace)
        if self.axis is None:
            return self.maps(kspace)
        return _along(centered_fft, self.maps(_along(centered_ifft, kspace, self.axis)), self.axis)

    def maps(self, maps: Tensor) -> Tensor:
        """Compress what lies in the image domain: coil maps or coil images ``(..., coil, *spatial)``."""
        return self._mix(maps, self.matrix)

    def expand(self, maps: Tensor) -> Tensor:
        """Return what the coils see of virtual maps or images: the adjoint of `maps`."""
        return self._mix(maps, self.matrix.mH)

    def _mix(self, images: Tensor, matrix: Tensor) -> Tensor:
        coil = images.ndim - self.spatial_dims - 1
        if self.axis is None:
            return torch.tensordot(matrix, images, dims=([1], [coil])).movedim(0, coil)
        place = images.ndim + self.axis
        last = images.movedim((place, coil), (-2, -1)).unsqueeze(-1)  # (..., place, coil, 1)
        return (matrix @ last).squeeze(-1).movedim((-2, -1), (place, coil))

    def _check(self, kspace: Tensor) -> None:
        check_kspace(kspace, self.spatial_dims)
        coils = kspace.shape[-self.spatial_dims - 1]
        if coils != self.matrix.shape[-1]:
            raise ShapeError(f"this compression is of {self.matrix.shape[-1]} coils, k-space has {coils}")
        if self.axis is not None and kspace.shape[self.axis] != len(self.matrix):
            raise ShapeError(
                f"this compression has {len(self.matrix)} places along axis {self.axis}, k-space "
                f"{kspace.shape[self.axis]}"
            )


@dataclass(frozen=True, kw_only=True)
class Compress:
    r"""Coil compression by singular vectors: k-space in, k-space of fewer virtual coils out.

    With the data of N samples as the matrix Y (coil, N), its left singular vectors of the r largest singular
    values mix the coils to r virtual ones. What is lost is the energy of the other singular values,
    :math:`\sum_{i > r} s_i^2`; no other r combinations lose less. The ``"geometric"`` method does so at each
    place along a fully sampled axis, where the coils see less of the object and fewer are needed; successive
    mixings are rotated onto each other so that the virtual coils are smooth,

    .. math:: A_x \leftarrow U V^H A_x, \quad A_{x-1} A_x^H = U S V^H.

    All rows are orthonormal. Data of white noise (after `prewhiten`) keep it, and so it should be used.

    Parameters
    ----------
    coils : int, optional
        Number of virtual coils. ``None``: the smallest number that loses no more than ``loss``.
    loss : float
        Fraction of the energy of the signal that may be lost. Of singular values the energy of noise is first
        subtracted.
    sigma : float
        Noise level of k-space (standard deviation of each real component); 1 after `prewhiten`.
    method : {"svd", "geometric"}
    axis : int
        Axis of "geometric", counted from the last: the readout.
    spatial_dims : int
        Number of spatial axes, 2 or 3.

    References
    ----------
    M. Buehrer, K. P. Pruessmann, P. Boesiger, S. Kozerke, "Array compression for MRI with large coil arrays",
    Magn. Reson. Med. 57, 1131 (2007). T. Zhang, J. M. Pauly, S. S. Vasanawala, M. Lustig, "Coil compression
    for accelerated imaging with Cartesian sampling", Magn. Reson. Med. 69, 571 (2013).

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import Compress, simulate
    >>> scan = simulate((48, 48), coils=16, sigma=0.001, generator=torch.Generator().manual_seed(0))
    >>> Compress(coils=6)(scan.kspace).shape
    torch.Size([6, 48, 48])
    >>> found = Compress(sigma=0.001).fit(scan.kspace)
    >>> found.coils < 16, found.lost < 2e-3
    (True, True)
    """

    coils: int | None = None
    loss: float = 1e-3
    sigma: float = 0.0
    method: Literal["svd", "geometric"] = "svd"
    axis: int = -2
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        if self.coils is not None and (not isinstance(self.coils, int) or self.coils < 1):
            raise ParameterError(
                f"coils is a number of virtual coils, 1 or more, or None; got {self.coils!r}"
            )
        if not 0 <= self.loss < 1:
            raise ParameterError(f"loss is a fraction of the energy, from 0 to below 1; got {self.loss}")
        if not 0 <= self.sigma < math.inf:
            raise ParameterError(f"sigma is a standard deviation and must not be negative; got {self.sigma}")
        if self.method not in ("svd", "geometric"):
            raise ParameterError(f"method must be 'svd' or 'geometric', got {self.method!r}")
        if self.spatial_dims not in (2, 3):
            raise ParameterError(
                f"spatial_dims is the number of spatial axes, 2 or 3; got {self.spatial_dims!r}"
            )
        if not -self.spatial_dims <= self.axis < 0:
            raise ParameterError(
                f"axis is counted from the last: -{self.spatial_dims} to -1; got {self.axis}"
            )

    def __call__(self, kspace: Tensor) -> Tensor:
        """Compress k-space ``(..., coil, *spatial)`` to ``(..., virtual, *spatial)``; each scan for itself.

        Raises
        ------
        DataError
            If k-space has NaN or only zeros, or the axis of "geometric" is not fully sampled.
        ShapeError
            If k-space is not complex with a coil axis and ``spatial_dims`` spatial axes.
        ParameterError
            If there are more virtual coils than coils.
        """
        check_kspace(kspace, self.spatial_dims)
        batch, one = kspace.shape[: -self.spatial_dims - 1], kspace.shape[-self.spatial_dims - 1 :]
        scans = kspace.reshape(-1, *one)
        found = [self._spectrum(scan) for scan in scans]
        count = max(
            (self._count(power, samples) for _, power, samples in found), default=self.coils or one[0]
        )
        parts = [self._compression(*f, count).kspace(scan) for f, scan in zip(found, scans)]
        out = torch.stack(parts) if parts else kspace.new_empty(0, count, *one[1:])
        return out.reshape(*batch, *out.shape[1:])

    def fit(self, kspace: Tensor) -> Compression:
        """Find the mixing of one scan ``(coil, *spatial)``, to apply it to k-space and maps."""
        check_kspace(kspace, self.spatial_dims)
        if kspace.ndim != self.spatial_dims + 1:
            raise ShapeError(f"fit takes one scan (coil, *spatial), got {tuple(kspace.shape)}")
        vectors, power, samples = self._spectrum(kspace)
        return self._compression(vectors, power, samples, self._count(power, samples))

    def _spectrum(self, scan: Tensor) -> tuple[Tensor, Tensor, int]:
        """Singular vectors (..., coil, rank), squared singular values, largest first, and samples a coil."""
        d, scan = self.spatial_dims, scan.detach()
        measured = sampled(scan, spatial_dims=d)
        samples = int(measured.sum())
        if not bool(torch.isfinite(torch.view_as_real(scan.resolve_conj()).sum())):
            raise DataError("k-space has NaN or infinite samples; repair or remove them")
        if not samples:
            raise DataError("k-space holds only zeros: there is nothing to compress")
        if self.method == "geometric":
            lines = measured.any(self.axis, keepdim=True)
            if bool((measured != lines).any()):
                raise DataError(
                    f"geometric compression needs fully sampled lines along axis {self.axis}, the readout; "
                    "choose axis=, or method='svd'"
                )
            hybrid = _along(centered_ifft, scan, self.axis).movedim(self.axis, 0)
            data = hybrid.flatten(2)  # (place, coil, sample)
        else:
            data = scan.flatten(1)
        data = data.to(torch.complex128)
        power, vectors = torch.linalg.eigh(data @ data.mH)
        largest = vectors.gather(-2, vectors.abs().argmax(-2, keepdim=True))
        vectors = (vectors * (largest.conj() / largest.abs())).to(scan.dtype)  # the same phase on any device
        return vectors.flip(-1), power.flip(-1).clamp_min(0), samples

    def _count(self, power: Tensor, samples: int) -> int:
        """The number of virtual coils."""
        available = power.shape[-1]
        if self.coils is not None:
            if self.coils > available:
                raise ParameterError(f"cannot make {self.coils} virtual coils of {available}")
            return self.coils
        total = power.reshape(-1, available).sum(0)
        noise = 2 * self.sigma**2 * samples
        signal = (total.sum() - available * noise).clamp_min(0)
        # what is lost by keeping r = 1, 2, ... coils, without the noise expected in it
        beyond = total.sum() - total.cumsum(0)
        expected = noise * (available - 1 - torch.arange(available, device=total.device))
        enough = (beyond - expected) <= self.loss * signal + 1e-12 * total.sum()
        return int(enough.nonzero()[0]) + 1

    def _compression(self, vectors: Tensor, power: Tensor, samples: int, count: int) -> Compression:
        matrix = vectors[..., :count].mH
        if self.method == "geometric":
            matrix = _aligned(matrix)
        lost = float(power[..., count:].sum() / power.sum())
        axis = self.axis if self.method == "geometric" else None
        return Compression(matrix, lost, axis, self.spatial_dims)


def _aligned(matrix: Tensor) -> Tensor:
    """Rotate each (virtual, coil) matrix of a sequence onto its neighbor, from the middle outward."""
    aligned, middle = matrix.clone(), len(matrix) // 2
    for order in (range(middle + 1, len(matrix)), range(middle - 1, -1, -1)):
        before = aligned[middle]
        for place in order:
            u, _, vh = torch.linalg.svd(before @ matrix[place].mH)
            before = aligned[place] = u @ vh @ matrix[place]
    return aligned


def _along(transform: Callable[[Tensor, int], Tensor], x: Tensor, axis: int) -> Tensor:
    """The centered Fourier transform along one axis."""
    return transform(x.movedim(axis, -1), 1).movedim(-1, axis)
