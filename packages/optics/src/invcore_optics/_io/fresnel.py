"""Microwave scattering data of the Fresnel Institute in MATLAB files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, NearMiss, Reader
from invcore.operators import Mask, Space

from .._scattering.scattering import Scattering
from .._scattering.waves import line_sources, near_receivers
from .acquire import acquire, check_finite, naming
from .mat import load_mat, mat_names

_VARIABLES = {"SP", "simP", "uM", "uin"}


class FresnelReader(Reader):
    """Scattered microwaves of the Fresnel Institute [1]_ in MATLAB files (version 5 to 7.2), one frequency.

    The file has the positions of the receivers ``SP.x``, ``SP.z`` (emitter by emitter, in meters), of the
    emitters ``simP.EmitterPos`` (x, z), the wavelength ``simP.lambda0``, the total field ``uM.GT`` and the
    incident one ``uin``, both (receiver, emitter). Data are the differences of the two at all places where a
    receiver stood. Emitters are taken for line sources, of the strength and phase that the incident field has
    at the receiver farthest from each: horns do not shine evenly. Fields whose phase runs backward, those of
    the time factor e^{iωt}, are conjugated, and this is said.

    References
    ----------
    .. [1] J.-M. Geffrin, P. Sabouroux, C. Eyraud, "Free space experimental scattering database continuation:
       experimental set-up and measurement precision", Inverse Problems 21 (2005).

    Examples
    --------
    >>> FresnelReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Options of scattering data.

        Parameters
        ----------
        pixels : int
            Of the square image along each side.
        size : float, optional
            Side of the square in meters, its middle at the origin; ``simP.Lx`` of the file by default.
        sigma : float, optional
            Standard deviation of the field; by default a tenth of the root mean square of the scattered one,
            which stands for errors of the model and of the calibration too.
        """

        pixels: int = 48
        size: float | None = None
        sigma: float | None = None

        def __post_init__(self) -> None:
            if isinstance(self.pixels, bool) or not isinstance(self.pixels, int) or self.pixels < 2:
                raise ParameterError(f"pixels= must be a whole number of at least 2, got {self.pixels!r}")
            for name in ("size", "sigma"):
                value = getattr(self, name)
                if value is not None and not (isinstance(value, int | float) and 0 < value < math.inf):
                    raise ParameterError(f"{name}= must be a positive number, got {value!r}")

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a MATLAB file with these variables."""
        names = mat_names(path)
        if names >= _VARIABLES:
            return True
        lacks = ", ".join(sorted(_VARIABLES - names))
        return len(names & _VARIABLES) >= 3 and NearMiss(
            f"it could hold scattered microwaves, but lacks the variable {lacks}."
        )

    def _read(self, path: Path, options: Options) -> Acquisition:
        with naming(path):
            scan = _scan(load_mat(path, *_VARIABLES))
            side = options.size or scan.size
            if side is None:
                raise DataError("it does not say how large the scene is: give size= in meters")
            where: dict[str, Any] = {"spacing": side / options.pixels, "wavelength": scan.wavelength}
            shape = (options.pixels, options.pixels)
            if float(torch.cat([scan.emitters, *scan.receivers]).norm(dim=-1).min()) < side / math.sqrt(2):
                raise DataError(
                    f"an antenna is within a scene of {side:g} m: its size must be smaller, and positions in "
                    "meters"
                )
            strength, backward = _strengths(scan)
            total, incident = (t.conj() if backward else t for t in (scan.total, scan.incident))
            places, which = torch.unique(scan.receivers.reshape(-1, 2), dim=0, return_inverse=True)
            data = torch.zeros(len(scan.emitters), len(places), dtype=torch.complex128)
            data.scatter_(1, which.reshape(total.shape), total - incident)
            seen = torch.zeros_like(data).scatter_(1, which.reshape(total.shape), torch.ones_like(total))
            waves = strength[:, None, None] * line_sources(scan.emitters, shape, **where)
            A = Scattering(
                incident=waves.to(torch.complex64),
                greens=near_receivers(places, shape, **where).to(torch.complex64),
                rtol=1e-4,
                **where,
            )
            spread = float((total - incident).abs().square().mean().sqrt())
            return acquire(
                data.to(torch.complex64),
                Mask(seen.to(torch.complex64), Space(tuple(data.shape), "complex")) @ A,
                sigma=options.sigma or 0.1 * spread or 1.0,
                metadata={
                    "format": "optics.fresnel_mat",
                    "source": path.name,
                    "emitters": len(scan.emitters),
                    "receivers_of_each": total.shape[1],
                    "wavelength_m": scan.wavelength,
                    "pixel_m": where["spacing"],
                    "time_factor": "exp(i w t), conjugated" if backward else "exp(-i w t)",
                    "sigma_from": "given" if options.sigma else "a tenth of the scattered field",
                },
                solver={
                    "name": "lbfgs",
                    "rtol": 1e-3,
                    "max_steps": 80,
                    "prior": {"name": "tv", "smoothing": 0.02},
                    "weight": 40.0,
                },
            )


class _Scan(NamedTuple):
    emitters: Tensor
    receivers: Tensor
    total: Tensor
    incident: Tensor
    wavelength: float
    size: float | None


def _scan(held: dict[str, Any]) -> _Scan:
    """The arrays of a file, positions (y, x) with y = z; receivers and fields emitter by emitter."""
    if missing := sorted(_VARIABLES - held.keys()):
        raise DataError(f"it lacks {', '.join(missing)}")
    emitters = torch.from_numpy(_numbers(_member(held, "simP", "EmitterPos"), "simP.EmitterPos", 2))
    if emitters.shape[1] != 2:
        raise DataError(f"simP.EmitterPos must be (emitter, 2), got {tuple(emitters.shape)}")
    total = _fields(_member(held, "uM", "GT"), "uM.GT", len(emitters))
    incident = _fields(held["uin"], "uin", len(emitters))
    if total.shape != incident.shape:
        raise DataError(f"uM.GT is {tuple(total.shape)} and uin {tuple(incident.shape)}")
    x, z = (_numbers(_member(held, "SP", name), f"SP.{name}", 1) for name in ("x", "z"))
    if not x.size == z.size == total.numel():
        raise DataError(f"there are {x.size} and {z.size} coordinates of receivers for {total.numel()} data")
    receivers = torch.from_numpy(np.stack([z, x], -1)).reshape(*total.shape, 2)
    size = None
    if "Lx" in (held["simP"].dtype.names or ()):
        size = float(_numbers(_member(held, "simP", "Lx"), "simP.Lx", 1)[0])
    wavelength = float(_numbers(_member(held, "simP", "lambda0"), "simP.lambda0", 1)[0])
    if not 0 < wavelength < math.inf:
        raise DataError(f"simP.lambda0 must be a positive length, got {wavelength!r}")
    return _Scan(emitters.flip(-1), receivers.round(decimals=9), total, incident, wavelength, size)


def _strengths(scan: _Scan) -> tuple[Tensor, bool]:
    """Strength and phase of each emitter at its farthest receiver, and whether phases run backward."""
    from scipy.special import hankel1

    k = 2 * math.pi / scan.wavelength
    far = torch.linalg.vector_norm(scan.receivers - scan.emitters[:, None], dim=-1)
    wave = 0.25j * torch.from_numpy(hankel1(0, k * far.numpy()))
    near = far > 0.95 * far.amax(1, keepdim=True)  # off the axis the horn turns the phase
    forward, backward = ((near * w.conj() * scan.incident).sum(1).abs().sum() for w in (wave, wave.conj()))
    conjugated = bool(backward > forward)
    at = far.argmax(1, keepdim=True)
    seen = scan.incident.conj() if conjugated else scan.incident
    if float(seen.gather(1, at).abs().min()) == 0:
        raise DataError("the incident field is zero at the receiver farthest from an emitter")
    return (seen.gather(1, at) / wave.gather(1, at)).squeeze(1), conjugated


def _member(held: dict[str, Any], name: str, field: str) -> Any:
    """A field of a MATLAB structure."""
    structure = held[name]
    if not isinstance(structure, np.ndarray) or structure.size != 1 or not structure.dtype.names:
        raise DataError(f"{name} must be one structure")
    if field not in structure.dtype.names:
        raise DataError(f"{name} has no field {field}: only {', '.join(structure.dtype.names)}")
    return structure.flat[0][field]


def _numbers(value: Any, what: str, ndim: int) -> np.ndarray:
    array = np.asarray(value)
    if array.dtype.kind not in "fiu" or array.size == 0 or (ndim == 2 and array.ndim != 2):
        raise DataError(f"{what} must be real numbers, got {array.dtype} {array.shape}")
    numbers = np.array(array, dtype=np.float64)
    check_finite(torch.from_numpy(numbers), what)
    return numbers if ndim == 2 else numbers.flatten()


def _fields(value: Any, what: str, emitters: int) -> Tensor:
    """Complex fields (receiver, emitter) as (emitter, receiver)."""
    array = np.asarray(value)
    if array.dtype.kind not in "cf" or array.ndim != 2 or array.shape[1] != emitters or not array.size:
        raise DataError(
            f"{what} must be complex, (receiver, {emitters} emitters), got {array.dtype} {array.shape}"
        )
    fields = torch.from_numpy(np.array(array.T, dtype=np.complex128))
    check_finite(fields, what)
    return fields
