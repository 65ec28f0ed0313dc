"""Simulated scan of a head: anatomy, coil array, k-space."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError

# T1-weighted brightness of each tissue, relative to fat.
_FAT, _SKIN, _BONE, _MARROW, _FLUID, _GRAY, _WHITE, _NUCLEUS = 1.0, 0.55, 0.05, 0.42, 0.13, 0.47, 0.74, 0.58
# Semi-axes (z, y, x) of the brain; the head is larger by the shells around it. The unit is half a field of
# view.
_BRAIN = (0.66, 0.72, 0.575)
_EXTENT = (0.90, 0.755)  # half of the space the head needs along y and x


class Scan(NamedTuple):
    """A simulated scan.

    Attributes
    ----------
    kspace : Tensor
        Shape ``(coil, *spatial)``, complex, zero where not sampled.
    image : Tensor
        The truth, shape ``(1, *spatial)``, complex, magnitude 0 to about 1.
    maps : Tensor
        The coil sensitivities, shape ``(coil, *spatial)``, complex, norm 1 over the coils everywhere.
    mask : Tensor
        Measured positions, shape ``(*spatial)``, float.
    sigma : float
        Standard deviation of the noise in each real component of k-space.
    """

    kspace: Tensor
    image: Tensor
    maps: Tensor
    mask: Tensor
    sigma: float


def head_phantom(shape: tuple[int, ...], *, generator: torch.Generator | None = None) -> Tensor:
    """Draw a head as in a T1-weighted scan.

    Scalp, skull with marrow, a folded cortex over white matter, ventricles, basal ganglia, a few lesions,
    faint texture and a smooth phase. Voxels are isotropic and the head fills the shorter axes. Folds,
    lesions, texture and phase come from ``generator``; the same seed gives the same head at any size.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` for an axial slice, front of the head at the top, or ``(z, y, x)``.
    generator : torch.Generator, optional
        Source of the anatomy's variation; seed 0 if not given.

    Returns
    -------
    Tensor
        complex64, shape ``(1, *shape)``, magnitude between 0 and about 1.

    Raises
    ------
    ShapeError
        If ``shape`` is not two or three positive lengths.

    Examples
    --------
    >>> from invcore_mri import head_phantom
    >>> head = head_phantom((64, 64))
    >>> head.shape, head.dtype
    (torch.Size([1, 64, 64]), torch.complex64)
    """
    axes, pixel = _axes(shape)
    z, y, x = _grid(axes, shape)
    random = _Random(generator, axes, shape)

    # depth: about the distance below the surface of the brain, positive inside
    squeeze = 1 + 0.10 * y / _BRAIN[1]  # narrower forehead
    radius = (
        (z / _BRAIN[0]) ** 2 + (y / _BRAIN[1]) ** 2 + (x * (1.05 - 0.07 * squeeze) / _BRAIN[2]) ** 2
    ).sqrt()
    wobble = random.field(scale=1.6, waves=16)
    depth = (1 - radius) * 0.62 + 0.010 * wobble

    def inside(distance: Tensor) -> Tensor:
        return torch.sigmoid(distance / (0.45 * pixel))

    def over(image: Tensor, cover: Tensor, value: float) -> Tensor:
        return image + cover * (value - image)

    # the shells around the brain, from the skin inwards
    image = torch.zeros_like(depth)
    image = over(image, inside(depth + 0.116), _SKIN)
    fat = 0.107 + 0.008 * random.field(scale=0.9, waves=16)
    image = over(image, inside(depth + fat), _FAT)
    image = over(image, inside(depth + 0.074 + 0.006 * wobble), _BONE)
    marrow = 0.5 + 0.25 * random.field(scale=0.5, waves=24)
    ring = inside(depth + 0.063) * inside(-depth - 0.040)
    image = image + ring * marrow.clamp(0, 1) * (_MARROW - image)
    image = over(image, inside(depth + 0.024), _FLUID)

    # cortex: sulci are the zero lines of a random field, open to the surface, of varying depth
    to_line = random.lines(scale=0.165, waves=96)
    floor = 0.150 + 0.040 * random.field(scale=0.5, waves=24)
    sulcus = (to_line**2 + (depth - floor).clamp_min(0) ** 2).sqrt()
    midline = (x + 0.010 * wobble).abs()
    callosum = (((y + 0.02) / 0.36) ** 2 + ((z - 0.02) / 0.16) ** 2).sqrt()
    fissure = (midline**2 + (0.12 * (1 - callosum).clamp_min(0)) ** 2 * 4).sqrt()
    bend = 0.04 * random.field(scale=0.5, waves=24)
    sylvian = ((y + 0.10 + 0.35 * (x.abs() - 0.42) + bend) ** 2 + (0.38 - x.abs()).clamp_min(0) ** 2).sqrt()
    brain_csf = torch.minimum(torch.minimum(sulcus + 0.003, fissure), sylvian)
    thickness = 0.038 + 0.005 * random.field(scale=0.35, waves=24)
    to_csf = torch.minimum(brain_csf, depth)
    image = over(image, inside(depth), _GRAY)
    image = over(image, inside(depth) * inside(to_csf - thickness), _WHITE)
    image = over(
        image, inside(depth) * inside(0.0085 + 0.03 * (0.05 - depth).clamp_min(0) - brain_csf), _FLUID
    )

    # deep structures, left and right
    side = x.abs()

    def ellipse(
        cx: float, cy: float, ax: float, ay: float, az: float, turn: float = 0.0, cz: float = 0.0
    ) -> Tensor:
        c, s = math.cos(turn), math.sin(turn)
        u, v = c * (side - cx) + s * (y - cy), -s * (side - cx) + c * (y - cy)
        scaled = ((u / ax) ** 2 + (v / ay) ** 2 + ((z - cz) / az) ** 2).sqrt()
        return (1 - scaled) * min(ax, ay)

    def union(*parts: Tensor) -> Tensor:
        total = parts[0]
        for part in parts[1:]:
            total = torch.maximum(total, part)
        return total

    image = over(image, inside(ellipse(0.255, -0.02, 0.052, 0.155, 0.14, -0.22)), _NUCLEUS)  # putamen
    image = over(image, inside(ellipse(0.195, 0.01, 0.036, 0.085, 0.10, -0.30)), 0.66)  # pallidum
    image = over(image, inside(ellipse(0.085, 0.085, 0.068, 0.120, 0.12, -0.42)), 0.55)  # thalamus
    image = over(image, inside(ellipse(0.118, -0.155, 0.050, 0.088, 0.12, -0.25)), _NUCLEUS)  # caudate head
    insula = (side - 0.375 + 0.9 * (y + 0.03) ** 2 + 0.25 * bend).abs()
    reach = (y + 0.03).abs().clamp_min(0.13) - 0.13 + (z.abs() - 0.15).clamp_min(0)
    insula = (insula**2 + reach**2).sqrt()
    image = over(image, inside(0.030 - insula), _GRAY)
    image = over(image, inside(0.008 - insula), _FLUID)
    horns = union(
        ellipse(0.070, -0.195, 0.030, 0.098, 0.13, -0.50),  # frontal horns
        ellipse(0.035, -0.075, 0.018, 0.100, 0.10, -0.10, 0.05),  # bodies
        ellipse(0.175, 0.255, 0.036, 0.115, 0.12, -0.55),  # atria and occipital horns
        ellipse(0.125, 0.190, 0.028, 0.065, 0.10, -0.90),
        ellipse(0.0, 0.075, 0.011, 0.085, 0.09),  # third ventricle
    )
    image = over(image, inside(horns), _FLUID)
    plexus = ellipse(0.185, 0.245, 0.014, 0.036, 0.05, -0.5)
    image = over(image, inside(plexus), 0.45)

    # lesions in the white matter, darker than it
    for _ in range(4):
        u, v, w, size, dark = random.uniform(5)
        angle, far = 2 * math.pi * u, 0.26 + 0.12 * v
        cy, cx = 1.1 * far * math.sin(angle), 0.95 * far * math.cos(angle)
        blob = ((y - cy) ** 2 + (x - cx) ** 2 + (z - 0.05 * (w - 0.5)) ** 2).sqrt()
        cover = inside(0.012 + 0.014 * size - blob) * inside(to_csf - 0.05)
        image = over(image, 0.8 * cover, 0.30 + 0.12 * dark)

    shade = 1 + 0.05 * random.field(scale=1.2, waves=12)
    texture = 1 + 0.022 * random.field(scale=0.045, waves=64)
    magnitude = (image * shade * texture).clamp_min(0)
    phase = 0.45 * random.field(scale=1.5, waves=10)
    complete = torch.polar(magnitude, phase).to(torch.complex64)
    return complete.reshape(1, *shape)


def coil_array(shape: tuple[int, ...], *, coils: int = 8) -> Tensor:
    r"""Compute the sensitivities of surface loops around the head, by the law of Biot and Savart.

    Each coil is a circular loop on a cylinder around the head, its axis pointing at the center. Its
    sensitivity is the transverse field :math:`B_x - i B_y` of a unit current,
    :math:`B(r) = \oint dl \times (r - l) / |r - l|^3`, summed over the segments of a polygon. At every
    voxel the maps are divided by their norm over the coils, so that the coil-combined image is the object.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)``.
    coils : int
        Number of loops; they sit on one ring, or on two from eight coils on in 3-D.

    Returns
    -------
    Tensor
        complex64, shape ``(coils, *shape)``.

    Raises
    ------
    ParameterError
        If ``coils`` is smaller than 1.

    Examples
    --------
    >>> from invcore_mri import coil_array
    >>> maps = coil_array((32, 32), coils=6)
    >>> maps.shape, round(float(maps.abs().square().sum(0).mean()), 5)
    (torch.Size([6, 32, 32]), 1.0)
    """
    if coils < 1:
        raise ParameterError(f"coils must be at least 1, got {coils}")
    z, y, x = _grid(_axes(shape)[0], shape)
    rings = 2 if len(shape) == 3 and coils >= 8 else 1
    per_ring = -(-coils // rings)
    distance = 1.18
    size = min(0.62, 1.25 * math.pi * distance / per_ring)
    segments = 24
    turn = 2 * math.pi * (torch.arange(segments, dtype=torch.float64) + 0.5) / segments
    maps = []
    for coil in range(coils):
        ring, number = divmod(coil, per_ring)
        angle = 2 * math.pi * (number + 0.5 * ring) / per_ring + 0.3
        center_z = 0.0 if rings == 1 else (ring - 0.5) * 0.8
        outward = (math.cos(angle), math.sin(angle))
        along = (-outward[1], outward[0])
        loop_x = distance * outward[0] + size * along[0] * turn.cos()
        loop_y = distance * outward[1] + size * along[1] * turn.cos()
        loop_z = center_z + size * turn.sin()
        real, imag = torch.zeros_like(x), torch.zeros_like(x)
        for lx, ly, lz, t in zip(loop_x.tolist(), loop_y.tolist(), loop_z.tolist(), turn.tolist()):
            dx, dy, dz = -along[0] * math.sin(t), -along[1] * math.sin(t), math.cos(t)
            rx, ry, rz = x - lx, y - ly, z - lz
            falloff = (rx**2 + ry**2 + rz**2 + 0.01).rsqrt() ** 3
            real += (dy * rz - dz * ry) * falloff
            imag -= (dz * rx - dx * rz) * falloff
        maps.append(torch.complex(real, imag))
    stacked = torch.stack(maps)
    norm = torch.linalg.vector_norm(stacked, dim=0).clamp_min(1e-12)
    return (stacked / norm).to(torch.complex64).reshape(coils, *shape)


def simulate(
    shape: tuple[int, ...],
    *,
    coils: int = 8,
    mask: Tensor | None = None,
    sigma: float = 0.01,
    generator: torch.Generator | None = None,
) -> Scan:
    """Simulate a multi-coil scan of :func:`head_phantom` with :func:`coil_array`.

    ``kspace = mask * (F(maps * image) + noise)``, with F the centered orthonormal Fourier transform.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)``.
    coils : int
        Number of coils.
    mask : Tensor, optional
        Sampling mask, broadcastable to ``shape``; all samples if not given.
    sigma : float
        Standard deviation of the noise in each real component of k-space.
    generator : torch.Generator, optional
        Source of anatomy and noise; seed 0 if not given.

    Returns
    -------
    Scan
        ``kspace, image, maps, mask, sigma``.

    Raises
    ------
    ShapeError
        If ``mask`` does not broadcast to ``shape``.
    ParameterError
        If ``sigma`` is negative or ``coils`` is smaller than 1.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import simulate
    >>> scan = simulate((32, 32), coils=4, generator=torch.Generator().manual_seed(1))
    >>> scan.kspace.shape, scan.image.shape
    (torch.Size([4, 32, 32]), torch.Size([1, 32, 32]))
    """
    if sigma < 0:
        raise ParameterError(f"sigma is a standard deviation and cannot be negative; got {sigma}")
    generator = _seeded(generator)
    image = head_phantom(shape, generator=generator)
    maps = coil_array(shape, coils=coils)
    if mask is None:
        mask = torch.ones(shape)
    try:
        mask = (mask.cpu() != 0).float().broadcast_to(shape)
    except RuntimeError as error:
        raise ShapeError(
            f"the mask has shape {tuple(mask.shape)}, which does not broadcast to {shape}"
        ) from error
    axes = tuple(range(-len(shape), 0))
    coil_images = torch.fft.ifftshift(maps * image, dim=axes)
    kspace = torch.fft.fftshift(torch.fft.fftn(coil_images, dim=axes, norm="ortho"), dim=axes)
    noise = torch.randn(*kspace.shape, 2, generator=generator, device=generator.device).cpu()
    kspace = mask * (kspace + sigma * torch.view_as_complex(noise))
    return Scan(kspace, image, maps, mask.contiguous(), float(sigma))


def _axes(shape: tuple[int, ...]) -> tuple[list[Tensor], float]:
    """Voxel coordinates along z, y and x, and the voxel size in the same unit."""
    if len(shape) not in (2, 3) or any(n < 1 for n in shape):
        raise ShapeError(f"expected a shape of two or three positive lengths, got {tuple(shape)}")
    pixel = max(2 * extent / n for n, extent in zip(shape[-2:], _EXTENT))
    axes = [pixel * (torch.arange(n, dtype=torch.float64) - n // 2) for n in shape]
    return [torch.zeros(1, dtype=torch.float64)] * (3 - len(shape)) + axes, pixel


def _grid(axes: list[Tensor], shape: tuple[int, ...]) -> list[Tensor]:
    """Coordinates z, y, x of every voxel, each of shape ``shape``."""
    return [t.reshape(shape) for t in torch.meshgrid(*axes, indexing="ij")]


def _seeded(generator: torch.Generator | None) -> torch.Generator:
    return torch.Generator().manual_seed(0) if generator is None else generator


class _Random:
    """Smooth random fields and numbers drawn from one generator, the same at every resolution."""

    def __init__(self, generator: torch.Generator | None, axes: list[Tensor], shape: tuple[int, ...]) -> None:
        self.generator, self.axes, self.shape = _seeded(generator), axes, shape

    def uniform(self, count: int) -> list[float]:
        draw = torch.rand(count, dtype=torch.float64, generator=self.generator, device=self.generator.device)
        values: list[float] = draw.tolist()
        return values

    def waves(self, scale: float, count: int) -> Tensor:
        """Draw wave vectors (kz, ky, kx) of wavelengths about ``scale``, and phases: ``(count, 4)``."""
        drawn = torch.tensor(self.uniform(4 * count), dtype=torch.float64).reshape(count, 4)
        polar, azimuth = 1.2 * drawn[:, 0] - 0.6, 2 * math.pi * drawn[:, 1]
        length = 2 * math.pi / (scale * (0.85 + 0.45 * drawn[:, 2]))
        flat = (1 - polar**2).sqrt()
        vectors = (length * polar, length * flat * azimuth.sin(), length * flat * azimuth.cos())
        return torch.stack([*vectors, 2 * math.pi * drawn[:, 3]], dim=1)

    def sums(self, waves: Tensor) -> Callable[[Tensor], Tensor]:
        """Return the function of weights w that gives the sum of w exp(i (k.r + phase)) at every voxel."""
        z, y, x = (torch.exp(1j * waves[:, axis, None] * place) for axis, place in enumerate(self.axes))
        planes = ((z * torch.exp(1j * waves[:, 3, None]))[:, :, None] * y[:, None]).flatten(1).T
        return lambda weights: (planes @ (weights[:, None] * x)).reshape(self.shape)

    def field(self, *, scale: float, waves: int) -> Tensor:
        """Return a smooth field of unit variance whose wavelengths are about ``scale``."""
        drawn = self.waves(scale, waves)
        return math.sqrt(2 / waves) * self.sums(drawn)(torch.ones(waves, dtype=torch.float64)).real

    def lines(self, *, scale: float, waves: int) -> Tensor:
        """Return the distance, to first order, to the zero lines of a smooth field."""
        drawn = self.waves(scale, waves)
        total = self.sums(drawn)
        field = total(torch.ones(waves, dtype=torch.float64)).real
        slopes = [total(drawn[:, axis]).imag for axis in range(3)]
        gradient = (slopes[0] ** 2 + slopes[1] ** 2 + slopes[2] ** 2).sqrt()
        typical = math.sqrt(float(drawn[:, :3].square().sum()) / 2)
        return field.abs() / (gradient + 0.15 * typical)
