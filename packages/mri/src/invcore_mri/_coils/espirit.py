"""ESPIRiT: coil sensitivity maps from the fully sampled center of a k-space."""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor

from invcore import DataError, ParameterError

from .._sampling.center import calibration_shape, center_crop, check_kspace, sampled
from .eigenvectors import coil_polynomial, evaluate, interpolate, top_eigen
from .noise import estimate_sigma

_EIGENPROBLEM = 4 * 2**30  # bytes the eigenproblem of the patches may always take


class NoSignalError(DataError):
    """The calibration region shows nothing but noise, by the noise level that was given."""


@dataclass(frozen=True, kw_only=True)
class Espirit:
    r"""ESPIRiT calibration: k-space in, coil maps out.

    Every patch of the calibration region lies in a low-dimensional space :math:`W`, spanned by the right
    singular vectors of the matrix of all patches whose singular value exceeds ``threshold`` times the
    largest. A plane wave through voxel :math:`r` weighted by the coil sensitivities :math:`s(r)` is such a
    patch, so :math:`s(r)` is an eigenvector, with eigenvalue 1, of the matrix

    .. math:: M_{cd}(r) = \frac{1}{k^D} \sum_{\delta} e^{2\pi i \delta \cdot r / n}
              \sum_{i - j = \delta} P_{(c,i),(d,j)},

    with :math:`P` the projector on :math:`W` and :math:`i, j` offsets in the kernel. Voxels without signal
    have no eigenvalue near 1; their maps are zero.

    :math:`M` is a trigonometric polynomial with :math:`(2k-1)^D` coefficients, computed once from the
    kernels, never from full-size images. For one set it is evaluated on a coarse grid, whose eigenvectors are
    rotated to a common phase cell by cell, interpolated, and normalized. For several sets, whose order may
    change between voxels, every voxel has its own eigendecomposition.

    The phase of every map is fixed relative to a virtual coil, the strongest combination of the coils in the
    calibration region: :math:`v^H s(r) \ge 0`. Hence the result does not depend on the device or the batch.

    Parameters
    ----------
    calib : int, tuple of int or None
        Limit of the calibration region on each axis, in samples; ``None`` for no limit. The region is the
        largest fully sampled centered box within it.
    kernel : int
        Kernel width on each axis, in samples.
    threshold : float
        Singular values above ``threshold`` times the largest span the signal.
    crop : float
        Maps are zero where the eigenvalue is below ``crop``.
    soft : float
        Maps are weighted by a smooth step that reaches 1 at the eigenvalue ``crop + soft``; 0 crops hard.
    sets : int or "auto"
        Number of sets of maps. Two or more describe voxels in which the object overlaps itself
        (a field of view smaller than the object): the image of the object, folded as it is, is the root sum
        of squares over the sets. ``"auto"`` takes set j where the eigenvalues j exceed 0.95 in voxels with
        4 % of the energy; sets after the first are then weighted by a smooth step from 0.4 to 0.8.
    spatial_dims : int
        Number of spatial axes, 2 or 3.
    max_bytes : int
        Bound on the temporary memory of one step, in bytes. Not included are the result and the eigenproblem
        of the patches in the calibration region: 48 n² bytes, n the smaller of ``coils *
        kernel**spatial_dims`` and the number of patches (2.1 GiB for a volume from 32 coils), plus the
        patches themselves if they are fewer. More than 4 GiB are refused unless ``max_bytes`` is as large.
    sigma : float
        Noise level of k-space (standard deviation of each real component). Singular values within that of
        noise are not part of the signal; 0 relies on ``threshold`` alone, but for ``sets="auto"``, which
        then takes the level of the outermost samples (`estimate_sigma`).

    Warns
    -----
    UserWarning
        If ``sigma`` is given and more sets are needed than ``sets``.

    References
    ----------
    M. Uecker et al., "ESPIRiT, an eigenvalue approach to autocalibrating parallel MRI: where SENSE meets
    GRAPPA", Magn. Reson. Med. 71, 990 (2014). R. A. Lobos, C.-C. Chan, J. P. Haldar, "New theory and faster
    computations for subspace-based sensitivity map estimation in multichannel MRI", IEEE Trans. Med. Imaging
    43, 286 (2024).

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import Espirit, simulate
    >>> scan = simulate((48, 48), coils=4, sigma=0.001, generator=torch.Generator().manual_seed(0))
    >>> maps = Espirit(calib=20)(scan.kspace)
    >>> maps.shape
    torch.Size([4, 48, 48])
    >>> inside = scan.image.abs()[0] > 0.3
    >>> cosine = (maps.conj() * scan.maps).sum(0).abs() / torch.linalg.vector_norm(scan.maps, dim=0)
    >>> bool(cosine[inside].mean() > 0.999)
    True
    """

    calib: int | tuple[int, ...] | None = 24
    kernel: int = 6
    threshold: float = 0.02
    crop: float = 0.3
    soft: float = 0.3
    sets: int | Literal["auto"] = 1
    spatial_dims: int = 2
    max_bytes: int = 256 * 2**20
    sigma: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.sigma < math.inf:
            raise ParameterError(f"sigma is a standard deviation and must not be negative; got {self.sigma}")
        if self.sets != "auto" and not isinstance(self.sets, int):
            raise ParameterError(f"sets is a whole number or 'auto'; got {self.sets!r}")
        if self.kernel < 1 or (self.sets != "auto" and self.sets < 1) or self.max_bytes < 1:
            raise ParameterError(
                f"kernel, sets and max_bytes must be at least 1, got {self.kernel}, {self.sets}, "
                f"{self.max_bytes}"
            )
        if self.spatial_dims not in (2, 3):
            raise ParameterError(
                f"spatial_dims is the number of spatial axes, 2 or 3; got {self.spatial_dims!r}"
            )
        if not 0 < self.threshold < 1:
            raise ParameterError(f"threshold is relative and lies between 0 and 1; got {self.threshold}")
        if not (0 <= self.crop < 1 and self.soft >= 0 and self.crop + self.soft <= 1):
            raise ParameterError(
                f"need 0 <= crop < 1, soft >= 0 and crop + soft <= 1; got crop={self.crop}, soft={self.soft}"
            )
        if isinstance(self.calib, tuple) and len(self.calib) != self.spatial_dims:
            raise ParameterError(
                f"calib {self.calib} must have {self.spatial_dims} lengths, one per spatial axis"
            )

    def __call__(self, kspace: Tensor) -> Tensor:
        """Compute the maps.

        Parameters
        ----------
        kspace : Tensor
            Complex, shape ``(..., coil, *spatial)``, DC at index ``n//2``; zero where not sampled.

        Returns
        -------
        Tensor
            Maps of shape ``(..., coil, *spatial)``, or ``(..., sets, coil, *spatial)`` for several sets.
            Over the coils, a map has norm 1 inside the support and 0 outside.

        Raises
        ------
        DataError
            If k-space has NaN, or its fully sampled center is empty or smaller than the kernel.
        ShapeError
            If k-space is not complex with a coil axis and ``spatial_dims`` spatial axes.
        ParameterError
            If there are more sets than coils.
        """
        vectors, values, needed = self._calibrate(kspace)
        if needed > vectors.shape[-self.spatial_dims - 2]:
            warnings.warn(overlap_note(needed, vectors.shape[-self.spatial_dims - 2]), stacklevel=2)
        return self._weighted(vectors, values)

    def eigen(self, kspace: Tensor) -> tuple[Tensor, Tensor]:
        """Compute the calibration before the eigenvalues are thresholded.

        Returns
        -------
        vectors : Tensor, shape (..., sets, coil, *spatial)
            Unit eigenvectors.
        values : Tensor, shape (..., sets, *spatial)
            Eigenvalues.
        """
        return self._calibrate(kspace)[:2]

    def maps_and_need(self, kspace: Tensor) -> tuple[Tensor, int]:
        """Compute the maps, and the number of sets that the data need (1 if the noise level is not known)."""
        vectors, values, needed = self._calibrate(kspace)
        return self._weighted(vectors, values), needed

    def _calibrate(self, kspace: Tensor) -> tuple[Tensor, Tensor, int]:
        """Eigenvectors, eigenvalues, and the number of sets that the data need."""
        check_kspace(kspace, self.spatial_dims)
        coils, spatial = kspace.shape[-self.spatial_dims - 1], kspace.shape[-self.spatial_dims :]
        if self.sets != "auto" and self.sets > coils:
            raise ParameterError(f"cannot compute {self.sets} sets of maps from {coils} coils")
        if self.sets == "auto" and self.sigma == 0 and kspace.numel():
            level = estimate_sigma(kspace, spatial_dims=self.spatial_dims)
            return replace(self, sigma=level)._calibrate(kspace)
        batch = kspace.shape[: -self.spatial_dims - 1]
        scans = kspace.detach().reshape(-1, coils, *spatial)
        found = [self._polynomial(scan) for scan in scans]
        needed = 1
        if coils > 1 and self.sigma > 0:
            needed = max((_sets_needed(poly, region, spatial) for poly, region in found), default=1)
        sets = needed if self.sets == "auto" else self.sets
        vectors = scans.new_empty(len(scans), sets, coils, *spatial)
        values = vectors.real.new_empty(len(scans), sets, *spatial)
        for (poly, region), vector, value in zip(found, vectors, values):
            self._one(poly, virtual_coil(region), vector, value)
        vectors = vectors.reshape(*batch, *vectors.shape[1:])
        return vectors, values.reshape(*batch, *values.shape[1:]), needed

    def _weighted(self, vectors: Tensor, values: Tensor) -> Tensor:
        """The maps, without the axis of the sets if there is one."""
        maps = vectors * self._weight(values).unsqueeze(-self.spatial_dims - 1)
        return maps.squeeze(-self.spatial_dims - 2) if maps.shape[-self.spatial_dims - 2] == 1 else maps

    def _weight(self, values: Tensor) -> Tensor:
        """Weights of the maps ``(..., sets, *spatial)``."""
        weight = (
            (values >= self.crop).to(values.dtype)
            if self.soft == 0
            else _step_up(values, self.crop, self.soft)
        )
        if self.sets == "auto":
            beyond = values.narrow(-self.spatial_dims - 1, 1, values.shape[-self.spatial_dims - 1] - 1)
            weight.narrow(-self.spatial_dims - 1, 1, beyond.shape[-self.spatial_dims - 1]).mul_(
                _step_up(beyond, 0.4, 0.4)
            )
        return weight

    def _polynomial(self, scan: Tensor) -> tuple[Tensor, Tensor]:
        """The coefficients of M(r) of one scan ``(coil, *spatial)``, and the calibration region."""
        spatial = tuple(scan.shape[1:])
        kernel = tuple(min(self.kernel, n) for n in spatial)
        match self.calib:
            case None:
                limit = spatial
            case int():
                limit = (self.calib,) * self.spatial_dims
            case _:
                limit = self.calib
        region = _calibration_region(scan, limit, kernel)
        scale = region.abs().amax()
        if not bool(torch.isfinite(scale)):
            raise DataError(
                "k-space has NaN or infinity in its calibration region; repair or remove those samples"
            )
        if not bool(scale > 0):
            raise DataError(
                "the calibration region of k-space holds only zeros: there is nothing to calibrate on"
            )
        region = region.to(torch.complex128) / scale
        kernels = signal_kernels(region, kernel, self.threshold, self.max_bytes, self.sigma / float(scale))
        if not len(kernels):
            raise NoSignalError(
                "no signal in the calibration region exceeds the noise; check the units of the noise level "
                "sigma= or of the noise scan, or pass coil maps"
            )
        return coil_polynomial(kernels).to(scan.dtype), region.to(scan.dtype)

    def _one(self, poly: Tensor, virtual: Tensor, vectors: Tensor, values: Tensor) -> None:
        """Fill ``vectors`` (sets, coil, *spatial) and ``values`` (sets, *spatial) of one scan."""
        sets, coils, *spatial = vectors.shape
        steps = (1,) * self.spatial_dims
        if sets == 1:
            steps = tuple(_step(n, min(self.kernel, n)) for n in spatial)
        nodes = math.prod(_cells(n, h) + (h > 1) for n, h in zip(spatial[1:], steps[1:]))
        cells = _cells(spatial[0], steps[0])
        per_node = (6 * coils**2 + 8 * coils * math.prod(steps)) * poly.element_size()
        rows = max(1, self.max_bytes // (nodes * per_node) - 1)
        for start in range(0, cells, rows):
            stop = min(start + rows, cells)
            vector, value = _slab(poly, tuple(spatial), steps, sets, start, stop)
            phase = torch.tensordot(virtual.conj(), vector, dims=([0], [1]))
            size = phase.abs()
            phase = torch.where(size > 0, phase.conj() / torch.where(size > 0, size, 1), 1)
            first = start * steps[0]
            count = min(stop * steps[0], spatial[0]) - first
            torch.mul(vector, phase[:, None], out=vector)
            vectors.narrow(2, first, count).copy_(vector.narrow(2, 0, count))
            values.narrow(1, first, count).copy_(value.narrow(1, 0, count))


def _slab(
    poly: Tensor, spatial: tuple[int, ...], steps: tuple[int, ...], sets: int, start: int, stop: int
) -> tuple[Tensor, Tensor]:
    """Eigenvectors and values on cells ``start:stop`` of the first axis, all cells of the others."""
    places = []
    for axis, (n, h) in enumerate(zip(spatial, steps)):
        first, last = (start, stop) if axis == 0 else (0, _cells(n, h))
        places.append(h * torch.arange(first, last + (h > 1), device=poly.device))
    matrix = evaluate(poly, spatial, places)
    grid = matrix.shape[:-2]
    vector, value = top_eigen(matrix, sets)
    vector = vector.movedim(0, -1).reshape(sets, poly.shape[0], *grid)
    value = value.T.reshape(sets, *grid)
    if all(h == 1 for h in steps):
        return vector.contiguous(), value
    vector, value = interpolate(vector[0], value[0], steps)
    shape = (vector.shape[1], *spatial[1:])
    for axis, n in enumerate(shape):
        vector, value = vector.narrow(axis + 1, 0, n), value.narrow(axis, 0, n)
    return vector[None].contiguous(), value[None]


def overlap_note(needed: int, sets: int) -> str:
    """Say that the object overlaps itself more often than there are sets of maps."""
    return (
        "the field of view is smaller than the object, which overlaps itself: "
        f"{needed} sets of coil maps are needed, {sets} {'is' if sets == 1 else 'are'} used, "
        'so the image shows the fold and its artifacts; take sets="auto"'
    )


def _sets_needed(poly: Tensor, region: Tensor, spatial: tuple[int, ...]) -> int:
    """The largest j for which j coil vectors describe voxels with 4 % of the energy."""
    count = {2: 32, 3: 12}[len(spatial)]
    places = [torch.arange(0, n, -(-n // count), device=poly.device) for n in spatial]
    _, values = top_eigen(evaluate(poly, spatial, places), len(poly))
    image = region
    for n, place in zip(spatial, places):
        frequency = torch.arange(image.shape[1], device=poly.device) - image.shape[1] // 2
        turns = frequency[:, None] * (place - n // 2) / n
        wave = torch.polar(torch.ones_like(turns), 2 * math.pi * turns).to(image.dtype)
        image = torch.tensordot(image, wave, dims=([1], [0]))  # the transformed axis goes last
    energy = image.abs().square().sum(0).flatten()
    share = (energy[:, None] * (values > 0.95)).sum(0) / energy.sum()
    return max(1, int((share > 0.04).sum()))


def _step_up(values: Tensor, start: float, width: float) -> Tensor:
    """A smooth step from 0 at ``start`` to 1 at ``start + width``."""
    t = ((values - start) / width).clamp(0, 1)
    return t * t * (3 - 2 * t)


def _step(n: int, k: int) -> int:
    """Spacing of the coarse grid on an axis of ``n`` voxels for a kernel of ``k`` samples."""
    return max(1, n // (12 * k))


def _cells(n: int, h: int) -> int:
    """Cells of ``h`` voxels that cover ``n`` voxels."""
    return -(-n // h)


def espirit(
    kspace: Tensor,
    *,
    calib: int | tuple[int, ...] | None = 24,
    kernel: int = 6,
    threshold: float = 0.02,
    crop: float = 0.3,
    soft: float = 0.3,
    sets: int | Literal["auto"] = 1,
    spatial_dims: int = 2,
    max_bytes: int = 256 * 2**20,
    sigma: float = 0.0,
) -> Tensor:
    """Compute ESPIRiT coil maps: a shorthand for :class:`Espirit`, which explains the parameters.

    Parameters
    ----------
    kspace : Tensor
        Complex, shape ``(..., coil, *spatial)``, DC at index ``n//2``; zero where not sampled.
    calib, kernel, threshold, crop, soft, sets, spatial_dims, max_bytes, sigma
        As for :class:`Espirit`.

    Returns
    -------
    Tensor
        Maps of shape ``(..., coil, *spatial)``, or ``(..., sets, coil, *spatial)`` for several sets.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import espirit, simulate
    >>> scan = simulate((40, 32), coils=3, generator=torch.Generator().manual_seed(0))
    >>> espirit(scan.kspace, calib=16, kernel=5, sets=2).shape
    torch.Size([2, 3, 40, 32])
    """
    transform = Espirit(
        calib=calib,
        kernel=kernel,
        threshold=threshold,
        crop=crop,
        soft=soft,
        sets=sets,
        spatial_dims=spatial_dims,
        max_bytes=max_bytes,
        sigma=sigma,
    )
    return transform(kspace)


def _calibration_region(kspace: Tensor, limit: tuple[int, ...], kernel: tuple[int, ...]) -> Tensor:
    """Cut the calibration box of one k-space ``(coil, *spatial)``; raise if it cannot hold the kernel."""
    mask = sampled(kspace, spatial_dims=len(limit))
    shape = calibration_shape(mask, limit)
    if any(c < k for c, k in zip(shape, kernel)):
        raise DataError(
            f"the largest fully sampled box at the center of k-space measures {shape}, smaller than the "
            f"kernel {kernel}: ESPIRiT cannot calibrate on it. Pass a fully sampled calibration scan, "
            "a smaller kernel=, or coil maps of your own"
        )
    return center_crop(kspace, shape)


def signal_kernels(
    region: Tensor, kernel: tuple[int, ...], threshold: float, max_bytes: int, sigma: float = 0.0
) -> Tensor:
    """Orthonormal kernels ``(r, coil, *kernel)`` that span the patches of ``region`` ``(coil, *calib)``.

    An m x n matrix of complex noise with standard deviation σ in each real component has a largest singular
    value of about √2 σ (√m + √n); the overlap of patches raises it by a few percent.
    """
    coils, spatial_dims = len(region), len(kernel)
    patches = region
    for axis, k in enumerate(kernel):
        patches = patches.unfold(axis + 1, k, 1)  # (coil, *positions, *kernel), a view
    patches = patches.movedim(0, spatial_dims)
    positions = tuple(patches.shape[:spatial_dims])
    count, width = math.prod(positions), coils * math.prod(kernel)
    _check_memory(count, coils, kernel, max_bytes)
    noise = 1.1 * math.sqrt(2) * sigma * (math.sqrt(count) + math.sqrt(width))
    if count <= width:
        matrix = patches.reshape(count, width)
        power, left = torch.linalg.eigh(matrix @ matrix.mH)
        keep = power > max(threshold**2 * float(power[-1]), noise**2)
        kernels = (left[:, keep].mH @ matrix) / power[keep].sqrt()[:, None]
    else:
        gram = region.new_zeros(width, width)
        rows = max(1, max_bytes // (width * math.prod(positions[1:]) * region.element_size()))
        for piece in patches.split(rows):
            matrix = piece.reshape(-1, width)
            gram.addmm_(matrix.mH, matrix)
        power, right = torch.linalg.eigh(gram)
        kernels = right[:, power > max(threshold**2 * float(power[-1]), noise**2)].mH
    return kernels.reshape(-1, coils, *kernel)


def _check_memory(count: int, coils: int, kernel: tuple[int, ...], max_bytes: int) -> None:
    """Refuse an eigenproblem (matrix, vectors, workspace in complex128) that would exhaust the memory."""
    width = coils * math.prod(kernel)
    side = min(count, width)
    needed = 16 * (3 * side**2 + (count * width if count <= width else 0))
    if needed > max(max_bytes, _EIGENPROBLEM):
        raise ParameterError(
            f"ESPIRiT of {coils} coils with a kernel of {' x '.join(map(str, kernel))} is an eigenproblem of "
            f"side {side}, which needs about {needed / 2**30:.1f} GiB. Take a smaller kernel= or calib=, or "
            f"fewer coils; or, if there is the memory, max_bytes={needed}."
        )


def virtual_coil(region: Tensor) -> Tensor:
    """Return the weights ``(coil,)`` of the strongest coil combination, its DC sample real and positive."""
    flat = region.flatten(1)
    weights = torch.linalg.eigh(flat @ flat.mH).eigenvectors[:, -1]
    dc = center_crop(region, (1,) * (region.ndim - 1)).flatten()
    reference = torch.vdot(weights, dc)
    if bool(reference.abs() > 0):
        weights = weights * (reference / reference.abs())
    return weights
