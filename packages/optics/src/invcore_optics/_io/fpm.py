"""Image series of Fourier ptychographic microscopes in MATLAB files."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import grid_sample

from invcore import DataError, ParameterError, Physics
from invcore.io import Acquisition, Output, Reader
from invcore.noises import NoNoise
from invcore.solvers import Solution

from .._phase.epry import EPRY
from .._phase.fourier_ptychography import FourierPtychography, led_frequencies
from .acquire import acquire, from_file, matrix, naming
from .mat import load_mat, mat_names
from .ptychography import phase_above

_GEOMETRY = ("wavelength", "aperture", "pixel", "pitch", "height")
_DARK = 0.25  # of the brightest image: a darker one is taken for one in the dark field
_SPAN, _POINTS = 2, 240  # pixels on both sides of the rim of the pupil; points along it


class FPMReader(Reader):
    """Series of images under a square array of LEDs, ``lowSeq`` (y, x, led) in MATLAB files.

    The array is lit in a spiral from its middle. The defaults are those of the public recordings of a USAF
    target by Zhang et al. [1]_: 8 × 8 LEDs 8 mm apart, 180 mm below the object, 532 nm, an aperture of 0.1,
    pixels of 3.45 µm behind a magnification of 3. Rows of the array run along y of the images, mirrored. What
    the published geometry leaves open, the size of the pattern of lights and the place of its middle, is
    estimated from the rim of the pupil in the spectra of the bright images, and said. Cameras are
    not dark without light: their offset, taken for light from high angles, would be a grain all over.

    References
    ----------
    .. [1] S. Zhang, A. Wang, J. Xu, T. Feng, J. Zhou, A. Pan, "FPM-WSI: Fourier ptychographic whole slide
       imaging via feature-domain backdiffraction", Optica 11 (2024), and the program "elfpie" of S. Zhang,
       which comes with these images.

    Examples
    --------
    >>> FPMReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Options of a Fourier ptychographic microscope.

        Parameters
        ----------
        wavelength : float
            In meters.
        aperture : float
            Numerical aperture of the objective.
        pixel : float
            Pixel at the object in meters.
        pitch, height : float
            Distances of neighboring LEDs, and of the array from the object, in meters.
        zoom : float
            Pixels of the object for one of the images, along each axis.
        calibrate : bool
            Estimate size and middle of the pattern of lights.
        background : float or "darkest"
            Subtracted from all images; ``"darkest"``: the median of the image where it is lowest.
        """

        wavelength: float = 532e-9
        aperture: float = 0.1
        pixel: float = 1.15e-6
        pitch: float = 8e-3
        height: float = 0.18
        zoom: float = 2.0
        calibrate: bool = True
        background: float | str = "darkest"

        def __post_init__(self) -> None:
            for name in _GEOMETRY:
                held = getattr(self, name)
                if isinstance(held, bool) or not isinstance(held, int | float) or not 0 < held < math.inf:
                    raise ParameterError(f"{name}= must be a positive number, got {held!r}")
            if self.background != "darkest" and not isinstance(self.background, int | float):
                raise ParameterError(f"background= is a number or 'darkest', got {self.background!r}")
            if not self.zoom >= 1:
                raise ParameterError(f"zoom= must be 1 or more, got {self.zoom!r}")

    def sniff(self, path: str | Path) -> bool:
        """Return whether ``path`` is a MATLAB file with a variable ``lowSeq``."""
        return "lowSeq" in mat_names(path)

    def _read(self, path: Path, options: Options) -> Acquisition:
        with naming(path):
            y = matrix(load_mat(path, "lowSeq")["lowSeq"], "lowSeq", ndim=3).permute(2, 0, 1).contiguous()
            side = math.isqrt(len(y))
            if side**2 != len(y) or side < 2:
                raise DataError(f"lowSeq has {len(y)} images, which is not a square array of LEDs")
            if bool((y < 0).any()):
                raise DataError("lowSeq has negative intensities")
            left_out: tuple[str, ...] = ()
            if y.shape[-2] != y.shape[-1]:
                left_out = (
                    f"images of {y.shape[-2]} x {y.shape[-1]} pixels are cut to the square in their middle, "
                    "on which the pupil is a disk",
                )
                y = _square(y)
            size = (y.shape[-2], y.shape[-1])
            field = (size[0] * options.pixel, size[1] * options.pixel)
            places = spiral(side) * options.pitch * torch.tensor([-1.0, 1.0])
            lights = led_frequencies(
                places, height=options.height, wavelength=options.wavelength, field=field
            )
            radius = options.aperture * min(field) / options.wavelength
            background: float | str = options.background
            notes: list[str] = []
            if not isinstance(background, int | float):
                medians = y.flatten(1).median(1).values
                background, lit = float(medians.min()), float(medians.max())
                if background > _DARK * lit:
                    said = (
                        "no offset of the camera is subtracted: the darkest image has a median of "
                        f"{background:.3g}, "
                        f"the brightest {lit:.3g}, so that none is in the dark field; background= sets it"
                    )
                    background = 0.0
                else:
                    said = (
                        f"background {background:.3g}, the median of the darkest image, is subtracted from "
                        "all; background= sets it"
                    )
                notes.append(said)
            y = (y - background).clamp_min(0)
            if bool((y == y[0, 0, 0]).all()):
                raise DataError("lowSeq is constant, or nowhere above the background")
            facts: dict[str, object] = {
                "format": "optics.fpm_mat",
                "source": path.name,
                "leds": len(y),
                "wavelength_m": options.wavelength,
                "aperture": options.aperture,
                "background": background,
            }
            usual = type(options)()
            if all(getattr(options, name) == getattr(usual, name) for name in _GEOMETRY):
                notes.append(
                    "the geometry is that of the public USAF recordings (532 nm, NA 0.1, 1.15 µm, 8 mm, 180 "
                    "mm): for another microscope give wavelength=, aperture=, pixel=, pitch= and height="
                )
            shape = (round(options.zoom * size[0]), round(options.zoom * size[1]))
            if options.calibrate:
                trials = [calibrated(y, lights, radius, logarithm=log) for log in (True, False)]
                with from_file():
                    models = [_microscope(found, radius, shape, size) for found, _ in trials]
                misfits = [_misfit(y, A) for A in models]
                lights, said = trials[misfits.index(min(misfits))]
                notes.append(said)
            notes.append(
                "the phase of the pupil, and the brightness of each light within a factor of two, are "
                "estimated with the object: estimated/pupil and estimated/brightness of the result"
            )
            facts["notes"] = notes
            facts["voxel_m"] = [f / n for f, n in zip(field, shape)]
            with from_file():
                A = _microscope(lights, radius, shape, size)
            return acquire(
                y,
                A,
                noise=NoNoise(),  # the file does not say
                metadata=facts,
                solver={"name": "optics.epry", "max_steps": 40, "rtol": 5e-3},
                left_out=left_out,
                output=_Target(),
            )


class _Target(Output):
    """Shows intensity and phase beside the image under the first light."""

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        return {"Intensity of the object": x.abs().square(), "Phase of the object": phase_above(x)}

    def estimated(self, solution: Solution) -> Mapping[str, Tensor]:
        operator: Any = solution.physics.operator
        if operator.pupil is None:
            return {}
        phase = phase_above(operator.pupil.unsqueeze(-3))
        return {"Phase of the pupil": phase * (operator.field.disks()[..., :1, :, :].abs() > 0.5)}

    def beside(self, acquisition: Acquisition) -> dict[str, Tensor]:
        return {"Image under the first light": acquisition.y[..., :1, :, :]}


def spiral(side: int) -> Tensor:
    """Places of the LEDs of a square array in pitches from its middle, in the order of a spiral: (led, 2).

    Examples
    --------
    >>> spiral(2)
    tensor([[-0.5000,  0.5000],
            [-0.5000, -0.5000],
            [ 0.5000, -0.5000],
            [ 0.5000,  0.5000]])
    """
    turns = [(0, -1), (1, 0), (0, 1), (-1, 0)]
    places, arm = [np.array([side // 2, side // 2 + 1])], 0
    while len(places) < side**2:
        for _ in range(arm // 2 + 1):
            places.append(places[-1] + turns[arm % 4])
        arm += 1
    return torch.from_numpy(np.stack(places[: side**2])).float() - (side + 1) / 2


def _microscope(
    lights: Tensor, radius: float, shape: tuple[int, int], size: tuple[int, int]
) -> FourierPtychography:
    return FourierPtychography(positions=lights, radius=torch.tensor(radius), shape=shape, detector=size)


@torch.no_grad()
def _misfit(y: Tensor, A: FourierPtychography) -> float:
    """What amplitudes lack after three visits of the lights: it grows fast with the error of the lights."""
    solution = EPRY(max_steps=3, rtol=0).solve(y, Physics(A))
    found: Any = solution.physics.operator
    return float((found(solution.value).sqrt() - y.sqrt()).norm())


def calibrated(y: Tensor, lights: Tensor, radius: float, *, logarithm: bool) -> tuple[Tensor, str]:
    """Scale and shift the lights so that the rim of the pupil lies where the spectra of bright images drop.

    Parameters
    ----------
    y : Tensor, shape (led, y, x)
    lights : Tensor, shape (led, 2)
        Positions as of `FourierPtychography`.
    radius : float
        Of the pupil.
    logarithm : bool
        The drop of logarithms, which stands out of any spectrum, but lies a pixel too far out where the
        object scatters much; else of the spectra times the frequency, outside the other rim. The caller
        compares.

    Returns
    -------
    Tensor, shape (led, 2)
    str
        What was found, in a sentence.
    """
    bright = y.mean((-2, -1)) > 0.5 * y.mean((-2, -1)).amax()
    window = torch.hann_window(y.shape[-2])[:, None] * torch.hann_window(y.shape[-1])
    spectra = torch.fft.fft2((y[bright] - y[bright].mean((-2, -1), keepdim=True)) * window)
    levels = torch.fft.fftshift(spectra, (-2, -1)).abs()
    if logarithm:
        levels = levels.add(1e-3).log()
    else:
        rows, columns = (torch.arange(n) - n // 2 for n in y.shape[-2:])
        levels = levels * (rows[:, None].square() + columns.square()).sqrt()
        levels = levels / levels.mean((-2, -1), keepdim=True)
    at = lights[bright]
    best = torch.tensor([1.0, 0.0, 0.0])
    for reach in (1.0, 0.3, 0.1):
        steps = torch.linspace(-1, 1, 7) * reach
        trials = best + torch.cartesian_prod(0.15 * steps, 6 * steps, 6 * steps)
        best = trials[
            _drop(levels, trials[:, None, :1] * at + trials[:, None, 1:], radius, not logarithm).argmax()
        ]
    scale, dy, dx = best.tolist()
    said = (
        f"the pattern of lights is {scale:.3f} times as large as stated and its middle is off by ({dy:.1f}, "
        f"{dx:.1f}) pixels of the spectrum along (y, x), by the rim of the pupil in {int(bright.sum())} "
        "images"
    )
    if abs(scale - 1) > 0.15 or max(abs(dy), abs(dx)) > 6:
        said += (
            ". This is at the end of what was searched: check aperture=, pixel=, pitch= and height=, or use "
            "calibrate=false"
        )
    return scale * lights + best[1:], said


def _square(y: Tensor) -> Tensor:
    """The square in the middle of images."""
    side = min(y.shape[-2:])
    top, left = ((n - side) // 2 for n in y.shape[-2:])
    return y[..., top : top + side, left : left + side].contiguous()


def _drop(levels: Tensor, at: Tensor, radius: float, outer: bool) -> Tensor:
    """How much the log spectra drop across the two rims of the pupil, away from the axes.

    For lights (trial, led, 2), of shape (trial).
    """
    total = torch.zeros(len(at))
    turn = 2 * math.pi * torch.arange(_POINTS) / _POINTS
    ny, nx = levels.shape[-2:]
    for sign in (1, -1):
        values, masks = [], []
        for r in (radius - _SPAN, radius + _SPAN):
            dy = sign * at[..., :1] + r * turn.sin()
            dx = sign * at[..., 1:] + r * turn.cos()
            grid = torch.stack([(dx + nx // 2) * 2 / (nx - 1) - 1, (dy + ny // 2) * 2 / (ny - 1) - 1], -1)
            found = grid_sample(levels[:, None], grid.movedim(0, 1), align_corners=True)
            values.append(found[:, 0].movedim(0, 1))
            mask = (dy.abs() > 10) & (dx.abs() > 10)  # edges along the axes are bright there
            if outer:
                other = ((dy + sign * at[..., :1]).square() + (dx + sign * at[..., 1:]).square()).sqrt()
                mask = mask & (other > radius + _SPAN)
            masks.append(mask)
        both = (masks[0] & masks[1]).float()
        total = total + ((values[0] - values[1]) * both).sum((1, 2)) / both.sum((1, 2)).clamp_min(1)
    return total
