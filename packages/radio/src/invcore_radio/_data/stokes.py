"""Stokes parameters from the correlations of two feeds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import torch
from torch import Tensor

from invcore import ParameterError

if TYPE_CHECKING:
    from .visibilities import Visibilities

StokesName = Literal["I", "Q", "U", "V"]

# parameter = (first + sign second) * factor
_COMBINATIONS: dict[str, tuple[tuple[str, str, float, complex], ...]] = {
    "I": (("RR", "LL", 1, 0.5), ("XX", "YY", 1, 0.5)),
    "Q": (("RL", "LR", 1, 0.5), ("XX", "YY", -1, 0.5)),
    "U": (("RL", "LR", -1, -0.5j), ("XY", "YX", 1, 0.5)),
    "V": (("RR", "LL", -1, 0.5), ("XY", "YX", -1, -0.5j)),
}


def combined(vis: Visibilities, name: str, *, single_hand: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Return data, weight and mask of a Stokes parameter, each (row, frequency)."""
    if name not in _COMBINATIONS:
        raise ParameterError(f"stokes: name must be one of {', '.join(_COMBINATIONS)}, got {name!r}")
    if single_hand and name != "I":
        raise ParameterError(f"stokes: a single hand gives I, not {name}")
    have = vis.polarizations
    mask = vis.mask
    if name in have:
        k = have.index(name)
        good = mask[..., k]
        return torch.where(good, vis.data[..., k], 0), torch.where(good, vis.weight[..., k], 0), good
    for first, second, sign, factor in _COMBINATIONS[name]:
        if first in have and second in have:
            a, b = have.index(first), have.index(second)
            good = mask[..., a] & mask[..., b]
            data = factor * (vis.data[..., a] + sign * vis.data[..., b])
            wa, wb = vis.weight[..., a], vis.weight[..., b]
            weight = 4 / (1 / torch.where(good, wa, 1) + 1 / torch.where(good, wb, 1))
            if single_hand:
                for k, other in ((a, b), (b, a)):
                    alone = mask[..., k] & ~mask[..., other]
                    data = torch.where(alone, vis.data[..., k], data)
                    weight = torch.where(alone, vis.weight[..., k], weight)
                good = mask[..., a] | mask[..., b]
            return torch.where(good, data, 0), torch.where(good, weight, 0), good
    if single_hand:
        for hand in ("RR", "LL", "XX", "YY"):
            if hand in have:
                k = have.index(hand)
                good = mask[..., k]
                return torch.where(good, vis.data[..., k], 0), torch.where(good, vis.weight[..., k], 0), good
    needed = " or ".join(f"{a} and {b}" for a, b, _, _ in _COMBINATIONS[name])
    hint = "; a single hand is taken with single_hand=True" if name == "I" and not single_hand else ""
    raise ParameterError(f"stokes {name} needs {needed}; there are {', '.join(have)}{hint}")
