"""Numerical phantom of a beating heart."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError

_EDGE = 0.5  # width of an edge in pixels


def heart_phantom(
    shape: tuple[int, int], frames: int, *, beats: float = 1.0, breathing: float = 0.0
) -> Tensor:
    r"""Draw a cine of a heart in short axis, as balanced steady-state sequences show it.

    Left ventricle with papillary muscles and right ventricle, in a chest with lungs, ribs, spine and fat. The
    radius of the left cavity shrinks to 60 % in systole, within two fifths of the cycle, and its wall keeps
    its area, as muscle does.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)``; the chest fills it.
    frames : int
        Number of frames, at equal times.
    beats : float
        Cycles in the series; the first frame is at the end of diastole.
    breathing : float
        Amplitude of a shift of the heart along y, in parts of the field of view; one breath in the series.

    Returns
    -------
    Tensor
        complex64, shape ``(1, frames, y, x)``, magnitude between 0 and 1, with a smooth phase.

    Raises
    ------
    ShapeError, ParameterError

    Examples
    --------
    >>> cine = heart_phantom((32, 32), 8)
    >>> cine.shape, cine.dtype
    (torch.Size([1, 8, 32, 32]), torch.complex64)
    """
    if len(shape) != 2 or any(int(n) != n or n < 1 for n in shape):
        raise ShapeError(f"heart_phantom: shape must be (y, x), got {shape!r}")
    if int(frames) != frames or frames < 1:
        raise ParameterError(f"heart_phantom: frames must be a positive whole number, got {frames!r}")
    ny, nx = shape
    ys = (2 * torch.arange(ny, dtype=torch.float64) + 1 - ny) / ny
    xs = (2 * torch.arange(nx, dtype=torch.float64) + 1 - nx) / nx
    y, x = torch.meshgrid(ys, xs, indexing="ij")
    edge = _EDGE * 2 / min(shape)
    times = torch.arange(frames, dtype=torch.float64) / frames
    images = [
        _frame(y, x, edge, contraction(float(beats * t)), breathing * 2 * math.sin(2 * math.pi * float(t)))
        for t in times
    ]
    phase = 0.5 * x - 0.3 * y + 0.4 * x * y
    return torch.polar(torch.stack(images), phase.expand(frames, ny, nx)).to(torch.complex64).unsqueeze(0)


def contraction(time: float) -> float:
    """How far the ventricle has contracted, 0 to 1, at a time in cycles."""
    t = time % 1.0
    if t < 0.4:  # systole
        return 0.5 - 0.5 * math.cos(math.pi * t / 0.4)
    if t < 0.65:  # early filling
        return 0.15 + 0.85 * (0.5 + 0.5 * math.cos(math.pi * (t - 0.4) / 0.25))
    if t < 0.85:  # diastasis
        return 0.15
    return 0.15 * (0.5 + 0.5 * math.cos(math.pi * (t - 0.85) / 0.15))  # atrial kick


def _frame(y: Tensor, x: Tensor, edge: float, contracted: float, shift: float) -> Tensor:
    """One frame, from the skin inwards."""
    image = torch.zeros_like(x)

    def ellipse(cy: float, cx: float, ry: float, rx: float, turn: float = 0.0) -> Tensor:
        c, s = math.cos(turn), math.sin(turn)
        v, u = c * (y - cy) - s * (x - cx), s * (y - cy) + c * (x - cx)
        r = ((v / ry) ** 2 + (u / rx) ** 2).sqrt()
        return torch.sigmoid((1 - r) * min(ry, rx) / (0.5 * edge))

    def over(cover: Tensor, value: float) -> None:
        nonlocal image
        image = image + cover * (value - image)

    over(ellipse(0.0, 0.0, 0.78, 0.93), 0.95)  # subcutaneous fat
    over(ellipse(0.0, 0.0, 0.71, 0.86), 0.35)  # muscle
    over(ellipse(-0.02, -0.45, 0.55, 0.34, 0.15), 0.06)  # lungs
    over(ellipse(-0.02, 0.47, 0.55, 0.33, -0.15), 0.06)
    for side in (-1, 1):
        for k in range(5):  # ribs
            angle = (0.25 + 0.5 * k / 4) * math.pi
            over(ellipse(0.63 * math.cos(2 * angle), side * 0.78 * math.sin(angle), 0.035, 0.055), 0.55)
    over(ellipse(0.50, 0.0, 0.15, 0.15), 0.60)  # vertebra
    over(ellipse(0.44, 0.0, 0.045, 0.05), 0.80)  # spinal canal
    over(ellipse(0.27, -0.10, 0.075, 0.075), 0.92)  # descending aorta
    over(ellipse(-0.05, 0.02, 0.42, 0.20), 0.40)  # mediastinum

    cy, cx = -0.04 + shift, 0.14 - 0.01 * contracted
    rest, wall = 0.19, 0.30
    inner = rest * (1 - 0.4 * contracted)
    outer = math.sqrt(wall**2 - rest**2 + inner**2)  # the wall keeps its area
    squeeze = 1 - 0.30 * contracted
    over(ellipse(cy - 0.03, cx - 0.27, 0.27 * (1 - 0.1 * contracted), 0.24 * squeeze + 0.03), 0.38)
    over(
        ellipse(cy - 0.03, cx - 0.27, 0.24 * (1 - 0.1 * contracted), 0.21 * squeeze), 0.90
    )  # right ventricle
    over(ellipse(cy, cx, outer, outer), 0.33)  # myocardium
    over(ellipse(cy, cx, inner, inner), 0.97)  # left ventricle
    for angle in (0.9, 2.4):  # papillary muscles
        over(
            ellipse(cy + 0.68 * inner * math.sin(angle), cx + 0.68 * inner * math.cos(angle), 0.035, 0.035),
            0.35,
        )
    return image.clamp(0, 1)
