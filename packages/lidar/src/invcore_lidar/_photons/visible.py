"""Masks of the pixels that see a surface."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def visible(light: Tensor, share: float = 0.05) -> Tensor:
    """Return the pixels (K, y, x) whose 3 x 3 mean reflectivity exceeds a share of that of bright pixels.

    The mean keeps a single pixel without photons among others that see the surface.
    """
    mean = torch.nn.functional.avg_pool2d(light[:, None].double(), 3, 1, 1, count_include_pad=False)[:, 0]
    bright = torch.quantile(light.double().reshape(-1)[:: max(1, light.numel() // 2**20)], 0.98)
    return mean > share * bright


def agreeing(depth: Tensor, tolerance: float) -> Tensor:
    """Return the pixels (K, y, x) whose depth agrees with most neighbors, as background does not."""
    ny, nx = depth.shape[-2:]
    around = torch.nn.functional.pad(depth[:, None].double(), (1, 1, 1, 1), value=math.nan)[:, 0]
    near = [(around[:, i : i + ny, j : j + nx] - depth).abs() < tolerance for i in range(3) for j in range(3)]
    inside = torch.nn.functional.avg_pool2d(torch.ones(1, 1, ny, nx), 3, 1, 1, divisor_override=1)[0]
    return torch.stack(near).sum(0) > inside / 2  # with the pixel itself


def significant(light: Tensor, background: Tensor, bins: int, window: float) -> Tensor:
    """Return the pixels (K, y, x) whose signal exceeds the largest background cluster with 1 % false alarms.

    ``window`` is the length of the response in bins. Clusters are Poisson counts in the half-overlapping
    windows of the gate.
    """
    mean = (background * window).clamp_min(1e-9).expand_as(light)
    chance = torch.special.gammainc((light + mean).clamp_min(1e-3), mean)  # P(count >= light + mean)
    return (light > 0) & (chance * (2 * bins / window) < 0.01)
