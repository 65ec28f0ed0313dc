"""Numerical phantom of a head."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from .fields import RandomFields, axes_of, grid_of

# Semi-axes (z, y, x) of the brain; the head is larger by the shells around it. The unit is half a field of
# view.
_BRAIN = (0.66, 0.72, 0.575)
# T1-weighted brightness of each tissue, relative to fat.
_BRIGHTNESS = {
    "air": 0.0,
    "fat": 1.0,
    "skin": 0.55,
    "bone": 0.05,
    "marrow": 0.42,
    "fluid": 0.13,
    "gray": 0.47,
    "white": 0.74,
    "nucleus": 0.58,  # putamen, caudate
    "pallidum": 0.66,
    "thalamus": 0.55,
    "plexus": 0.45,
    "lesion": 0.30,
    "lesion spread": 0.12,  # what the darkness of a lesion, 0 to 1, adds
}


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
    axes, _ = axes_of(shape)
    random = RandomFields(generator, axes, shape)
    brightness = {name: torch.tensor(v, dtype=torch.float64) for name, v in _BRIGHTNESS.items()}
    image = draw_head(shape, random, brightness)
    shade = 1 + 0.05 * random.field(scale=1.2, waves=12)
    texture = 1 + 0.022 * random.field(scale=0.045, waves=64)
    magnitude = (image * shade * texture).clamp_min(0)
    phase = 0.45 * random.field(scale=1.5, waves=10)
    complete = torch.polar(magnitude, phase).to(torch.complex64)
    return complete.reshape(1, *shape)


def draw_head(shape: tuple[int, ...], random: RandomFields, of: Mapping[str, Tensor]) -> Tensor:
    """Draw the anatomy with these values of each tissue.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)``.
    random : RandomFields
    of : mapping of str to Tensor
        One value, or several properties ``(property, 1, 1)``, ``(property, 1, 1, 1)`` of a volume.

    Returns
    -------
    Tensor, shape (*shape) or (property, *shape), float64
    """
    axes, pixel = axes_of(shape)
    z, y, x = grid_of(axes, shape)

    # depth: about the distance below the surface of the brain, positive inside
    squeeze = 1 + 0.10 * y / _BRAIN[1]  # narrower forehead
    radius = (
        (z / _BRAIN[0]) ** 2 + (y / _BRAIN[1]) ** 2 + (x * (1.05 - 0.07 * squeeze) / _BRAIN[2]) ** 2
    ).sqrt()
    wobble = random.field(scale=1.6, waves=16)
    depth = (1 - radius) * 0.62 + 0.010 * wobble

    def inside(distance: Tensor) -> Tensor:
        return torch.sigmoid(distance / (0.45 * pixel))

    def over(image: Tensor, cover: Tensor, value: Tensor) -> Tensor:
        return image + cover * (value - image)

    # the shells around the brain, from the skin inwards
    image = torch.zeros_like(depth) + of["air"]
    image = over(image, inside(depth + 0.116), of["skin"])
    fat = 0.107 + 0.008 * random.field(scale=0.9, waves=16)
    image = over(image, inside(depth + fat), of["fat"])
    image = over(image, inside(depth + 0.074 + 0.006 * wobble), of["bone"])
    marrow = 0.5 + 0.25 * random.field(scale=0.5, waves=24)
    ring = inside(depth + 0.063) * inside(-depth - 0.040)
    image = image + ring * marrow.clamp(0, 1) * (of["marrow"] - image)
    image = over(image, inside(depth + 0.024), of["fluid"])

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
    image = over(image, inside(depth), of["gray"])
    image = over(image, inside(depth) * inside(to_csf - thickness), of["white"])
    image = over(
        image,
        inside(depth) * inside(0.0085 + 0.03 * (0.05 - depth).clamp_min(0) - brain_csf),
        of["fluid"],
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

    image = over(image, inside(ellipse(0.255, -0.02, 0.052, 0.155, 0.14, -0.22)), of["nucleus"])  # putamen
    image = over(image, inside(ellipse(0.195, 0.01, 0.036, 0.085, 0.10, -0.30)), of["pallidum"])  # pallidum
    image = over(image, inside(ellipse(0.085, 0.085, 0.068, 0.120, 0.12, -0.42)), of["thalamus"])  # thalamus
    image = over(
        image, inside(ellipse(0.118, -0.155, 0.050, 0.088, 0.12, -0.25)), of["nucleus"]
    )  # caudate head
    insula = (side - 0.375 + 0.9 * (y + 0.03) ** 2 + 0.25 * bend).abs()
    reach = (y + 0.03).abs().clamp_min(0.13) - 0.13 + (z.abs() - 0.15).clamp_min(0)
    insula = (insula**2 + reach**2).sqrt()
    image = over(image, inside(0.030 - insula), of["gray"])
    image = over(image, inside(0.008 - insula), of["fluid"])
    horns = union(
        ellipse(0.070, -0.195, 0.030, 0.098, 0.13, -0.50),  # frontal horns
        ellipse(0.035, -0.075, 0.018, 0.100, 0.10, -0.10, 0.05),  # bodies
        ellipse(0.175, 0.255, 0.036, 0.115, 0.12, -0.55),  # atria and occipital horns
        ellipse(0.125, 0.190, 0.028, 0.065, 0.10, -0.90),
        ellipse(0.0, 0.075, 0.011, 0.085, 0.09),  # third ventricle
    )
    image = over(image, inside(horns), of["fluid"])
    plexus = ellipse(0.185, 0.245, 0.014, 0.036, 0.05, -0.5)
    image = over(image, inside(plexus), of["plexus"])

    # lesions in the white matter, darker than it
    for _ in range(4):
        u, v, w, size, dark = random.uniform(5)
        angle, far = 2 * math.pi * u, 0.26 + 0.12 * v
        cy, cx = 1.1 * far * math.sin(angle), 0.95 * far * math.cos(angle)
        blob = ((y - cy) ** 2 + (x - cx) ** 2 + (z - 0.05 * (w - 0.5)) ** 2).sqrt()
        cover = inside(0.012 + 0.014 * size - blob) * inside(to_csf - 0.05)
        image = over(image, 0.8 * cover, of["lesion"] + dark * of["lesion spread"])
    return image
