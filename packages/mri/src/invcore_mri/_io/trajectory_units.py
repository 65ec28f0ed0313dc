"""The unit of a trajectory: decided from its reach and its steps, or refused."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from invcore import DataError, ParameterError

from .._sampling.units import check_fov, to_cycles

Unit = Literal["cycles/pixel", "cycles/fov", "1/m", "radians"]
UNITS: tuple[str, ...] = ("cycles/pixel", "cycles/fov", "1/m", "radians")
_CHOICES = "unit='cycles/pixel', 'cycles/fov', '1/m' (with fov=) or 'radians' (per pixel)"

_MOST = 4096  # pixels across the field of view that a reach may mean


@dataclass(frozen=True)
class Scaled:
    """A trajectory in cycles per field of view, the image that it resolves, and how that was found.

    Attributes
    ----------
    trajectory : Tensor, shape (shot, sample, d)
    shape : tuple of int
        Pixels of the image.
    unit : str
        Of the file.
    said : str
        A sentence on what was decided and why; empty if it was given.
    """

    trajectory: Tensor
    shape: tuple[int, ...]
    unit: str
    said: str


def in_cycles(
    k: Tensor, *, unit: str | None, shape: tuple[int, ...] | None, fov: float | None, where: str
) -> Scaled:
    """Bring a trajectory to cycles per field of view.

    Parameters
    ----------
    k : Tensor, shape (shot, sample, d)
        In the unit of the file.
    unit : str or None
        One of ``UNITS``; ``None`` decides.
    shape : tuple of int or None
        Pixels of the image; ``None`` takes what the samples of a straight readout cover.
    fov : float or None
        Field of view in meters, for a trajectory in 1/m.
    where : str
        Begins the messages.

    Raises
    ------
    DataError
        If the unit is not clear, or the number of pixels.
    ParameterError
        If an option is out of range.
    """
    if unit is not None and unit not in UNITS:
        raise ParameterError(f"unit= is one of {', '.join(UNITS)}; got {unit!r}")
    check_fov(fov)
    reach = float(k.abs().amax())
    if not 0 < reach < float("inf"):
        raise DataError(f"{where}: the trajectory holds only zeros, or values that are no numbers")
    step, samples = straight_step(k), k.shape[1]
    said = ""
    if unit is None:
        unit, why = _unit(reach, step, samples, where)
        said = f"the trajectory is taken to be in {_NAMES[unit]}, {why}; unit= says otherwise"
    if unit == "cycles/fov":
        scaled = k
    elif unit == "1/m":
        if fov is None:
            raise DataError(f"{where}: a trajectory in 1/m needs the field of view in meters, fov=")
        scaled = to_cycles(k, unit="1/m", fov=(fov,) * k.shape[-1])
    else:
        shape = shape or _pixels(k if unit == "cycles/pixel" else k / (2 * torch.pi), where)
        scaled = to_cycles(k, unit="radians" if unit == "radians" else "cycles/pixel", shape=shape)
    if shape is None:
        shape = tuple(max(2, 2 * round(float(scaled[..., d].abs().amax()))) for d in range(k.shape[-1]))
        shape = (max(shape),) * len(shape) if min(shape) > 0.9 * max(shape) else shape
        if max(shape) > _MOST:
            raise DataError(
                f"{where}: a trajectory in {_NAMES[unit]} as this one resolves {shape} pixels: is the unit "
                f"another? Say it, {_CHOICES}, or the pixels with shape="
            )
    for axis, n in enumerate(shape):
        far = float(scaled[..., axis].abs().amax())
        if far > 0.51 * n + 1:
            raise DataError(
                f"{where}: the trajectory reaches {far:.4g} cycles per field of view along axis {axis}, but "
                f"{n} pixels are sampled up to {n / 2:g}. Say the unit, {_CHOICES}, or the pixels with shape="
            )
    return Scaled(scaled, tuple(shape), unit, said)


_NAMES = {
    "cycles/pixel": "cycles per pixel",
    "cycles/fov": "cycles per field of view",
    "1/m": "1/m",
    "radians": "radians per pixel",
}


def _unit(reach: float, step: float | None, samples: int, where: str) -> tuple[str, str]:
    """Decide the unit where only one is possible."""
    found = f"it reaches {reach:.4g}"
    if 0.4 <= reach <= 0.505:
        return "cycles/pixel", f"since {found}, and pixels are sampled up to 0.5"
    if 0.8 * torch.pi <= reach <= 1.01 * torch.pi and (step is None or step < 0.4):
        return "radians", f"since {found}, and pixels are sampled up to pi"
    if step is not None and 0.45 <= step <= 1.05 and reach >= 8:
        return "cycles/fov", f"since {found} and the samples of a readout are {step:.3g} apart"
    steps = "" if step is None else f", its samples are {step:.3g} apart"
    raise DataError(
        f"{where}: the unit of the trajectory is not clear: {found}{steps} ({samples} samples a readout). "
        f"Say it: {_CHOICES}"
    )


def _pixels(turns: Tensor, where: str) -> tuple[int, ...]:
    """Pixels across the field of view of straight readouts, from cycles per pixel."""
    step, samples, dims = straight_step(turns), turns.shape[1], turns.shape[-1]
    if step is None:
        raise DataError(
            f"{where}: the readouts are no straight lines of equal steps, so the trajectory does not say how "
            "many pixels the image has: say shape=, such as 256 or 256,256"
        )
    covered = 1 / step
    n = samples if abs(covered - samples) < 2 else round(covered)  # -0.5 to 0.5: one step less
    return (n,) * dims


def straight_step(k: Tensor) -> float | None:
    """Distance of neighboring samples if all readouts are straight with equal steps, else None."""
    if k.shape[1] < 3:
        return None
    steps = torch.diff(k, dim=1)
    mean = steps.mean(1, keepdim=True)
    size = torch.linalg.vector_norm(mean, dim=-1)
    step = float(size.mean())
    if step <= 0 or float((size - step).abs().amax()) > 0.02 * step:
        return None
    return step if float((steps - mean).abs().amax()) < 0.02 * step else None
