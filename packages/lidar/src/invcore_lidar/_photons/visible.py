"""Tests of whether a pixel sees a surface."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def visible(light: Tensor, share: float = 0.05) -> Tensor:
    """Which pixels (K, y, x) see a surface: about them (3 x 3) there is a share of the reflectivity that the bright ones have.

    A single pixel without photons among others that see a surface sees it too.
    """
    mean = torch.nn.functional.avg_pool2d(light[:, None].double(), 3, 1, 1, count_include_pad=False)[:, 0]
    bright = torch.quantile(light.double().reshape(-1)[:: max(1, light.numel() // 2**20)], 0.98)
    return mean > share * bright


def agreeing(depth: Tensor, tolerance: float) -> Tensor:
    """Which pixels (K, y, x) have about the depth of most of their neighbors; what is found in background alone has not."""
    ny, nx = depth.shape[-2:]
    around = torch.nn.functional.pad(depth[:, None].double(), (1, 1, 1, 1), value=math.nan)[:, 0]
    near = [(around[:, i : i + ny, j : j + nx] - depth).abs() < tolerance for i in range(3) for j in range(3)]
    inside = torch.nn.functional.avg_pool2d(torch.ones(1, 1, ny, nx), 3, 1, 1, divisor_override=1)[0]
    return torch.stack(near).sum(0) > inside / 2  # with the pixel itself


def significant(light: Tensor, background: Tensor, bins: int, window: float) -> Tensor:
    """Which pixels (K, y, x) have more signal photons than background bunches to by chance, anywhere in the gate, in one of 100.

    ``window``, in bins, is how long the response is. The chance is that of a Poisson number in one of the windows of the gate,
    half overlapping.
    """
    mean = (background * window).clamp_min(1e-9).expand_as(light)
    chance = torch.special.gammainc((light + mean).clamp_min(1e-3), mean)  # P(count >= light + mean)
    return (light > 0) & (chance * (2 * bins / window) < 0.01)
