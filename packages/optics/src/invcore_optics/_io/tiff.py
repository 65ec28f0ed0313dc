"""TIFF stacks of microscopes: a specimen to deconvolve, or a bead to find aberrations from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, NearMiss, Reader, is_tiff
from invcore.noises import PoissonNoise
from invcore.operators import Convolution, Space

from .._pupils.fit import bead_problem, estimate
from .._pupils.objective import Objective, StratifiedMedium
from .._pupils.psf import PSF
from .._pupils.pupil_psf import PupilPSF
from .acquire import acquire
from .tiff_output import AberrationOutput, SpecimenOutput
from .tiff_stack import Stack, read_stack

_ANGLES = (".angles.txt", ".tlt", ".rawtlt")
_FINEST = 10e-9  # meters: light microscopes have larger pixels
_DARK = 0.05  # quantile that stands for the background


class MicroscopeReader(Reader):
    """TIFF and OME-TIFF stacks of microscopes, (z, y, x) or (y, x), with the size of a voxel.

    The point spread function is in a file (``psf=``, or ``NAME.psf.tif`` beside ``NAME.tif``), or computed
    from ``wavelength``, ``na`` and ``index``; the stack is then deconvolved. With ``task="pupil"`` it is that
    of a bead, and the aberrations of the microscope are found (`fit_pupil`).

    The voxel size is that of the options, else of OME metadata, of ImageJ metadata, of the resolution of the
    TIFF, in this order; sizes that no microscope has are not used. All of it is said.

    A TIFF is recognized if it has several pages, OME or ImageJ metadata, or a PSF beside it, and no list of
    angles beside it, which makes it a tomogram. Other ones are read with ``--format optics.tiff``.

    Examples
    --------
    >>> MicroscopeReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Options of stacks of microscopes.

        Parameters
        ----------
        task : {"deconvolve", "pupil"}
            Deconvolve a specimen, or find aberrations from a bead.
        psf : str or Path, optional
            TIFF with the point spread function.
        wavelength, na, index : float, optional
            Of emission in meters; numerical aperture; refractive index of the immersion, 1 by default.
        pixel, spacing : float, optional
            Pixel in the object and distance of planes in meters, in place of those of the file.
        model : {"scalar", "vectorial"}, optional
            Of the pupil; by default vectorial beyond NA 0.7, scalar for the fit of a bead.
        sample_index, depth : float, optional
            Refractive index of the sample, and depth in it in meters, for the aberration by a mismatch.
        background : float, optional
            Counts without light; by default the quantile of 5 %.
        boundary : {"valid", "zero", "reflect", "replicate", "circular"}
            "valid": the specimen goes on beyond the stack, unknown.
        channel, frame : int, optional
            Of several, counted from 0.
        window : int, optional
            Pixels on a side around a bead.
        """

        task: Literal["deconvolve", "pupil"] = "deconvolve"
        psf: str | Path | None = None
        wavelength: float | None = None
        na: float | None = None
        index: float = 1.0
        pixel: float | None = None
        spacing: float | None = None
        model: Literal["scalar", "vectorial"] | None = None
        sample_index: float | None = None
        depth: float = 0.0
        background: float | None = None
        boundary: Literal["valid", "zero", "reflect", "replicate", "circular"] = "valid"
        channel: int | None = None
        frame: int | None = None
        window: int | None = None

        def __post_init__(self) -> None:
            if self.task not in ("deconvolve", "pupil"):
                raise ParameterError(f"task= must be 'deconvolve' or 'pupil', got {self.task!r}")
            for name in ("wavelength", "na", "pixel", "spacing"):
                held = getattr(self, name)
                if held is not None and not (isinstance(held, int | float) and 0 < held < math.inf):
                    raise ParameterError(f"{name}= must be a positive number, got {held!r}")
            for name in ("wavelength", "pixel", "spacing"):
                held = getattr(self, name)
                if held is not None and held > 1e-3:
                    raise ParameterError(f"{name}= is in meters, got {held!r}: is it in nanometers?")

        @property
        def objective(self) -> Objective | None:
            """Objective, if wavelength and aperture are given."""
            if self.wavelength is None or self.na is None:
                return None
            return Objective(self.wavelength, self.na, index=self.index)

        @property
        def medium(self) -> StratifiedMedium | None:
            """Layers, if the index of the sample is given."""
            if self.sample_index is None:
                return None
            return StratifiedMedium(
                sample_index=self.sample_index,
                depth=self.depth,
                immersion_index=self.index,
                design_immersion_index=self.index,
            )

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a TIFF stack without a list of angles beside it."""
        path = Path(path)
        try:
            if path.suffix.lower() not in (".tif", ".tiff") or not is_tiff(path):
                return False
            if any(path.with_suffix(ending).exists() for ending in _ANGLES):
                return False
            if _beside(path) is not None or _several(path):
                return True
        except OSError:
            return False
        return NearMiss(
            "a TIFF of one image: --format optics.tiff reads it as that of a microscope, to deconvolve with "
            "--option psf=FILE, or wavelength=, na= and pixel="
        )

    def _read(self, path: Path, options: Options) -> Acquisition:
        stack = read_stack(path, channel=options.channel, frame=options.frame)
        notes = list(stack.notes)
        voxel = _chosen(stack.voxel, options, notes)
        facts: dict[str, Any] = {"format": "optics.tiff", "source": path.name, "notes": notes}
        if options.task == "pupil":
            return _bead(path, stack, voxel, options, facts)
        return _specimen(path, stack, voxel, options, facts)


def _several(path: Path) -> bool:
    """Return whether a TIFF has a second page, or says that it is of OME or ImageJ."""
    with path.open("rb") as file:
        head = file.read(16)
        order: Any = "little" if head[:2] == b"II" else "big"
        big = 43 in (head[2], head[3])
        word, entry = (8, 20) if big else (4, 12)
        at = int.from_bytes(head[word : 2 * word], order)
        file.seek(at)
        count = int.from_bytes(file.read(8 if big else 2), order)
        if not 0 < count < 4096:
            return False
        entries = file.read(count * entry)
        if int.from_bytes(file.read(word), order):
            return True
        for k in range(0, len(entries), entry):
            if int.from_bytes(entries[k : k + 2], order) == 270:  # ImageDescription
                file.seek(int.from_bytes(entries[k + entry - word : k + entry], order))
                text = file.read(2000)
                return text.startswith(b"ImageJ=") or b"<OME" in text
    return False


def _beside(path: Path) -> Path | None:
    found = path.with_suffix(f".psf{path.suffix}")
    return found if found.is_file() and not path.stem.endswith(".psf") else None


def _chosen(
    voxel: tuple[float | None, ...], options: MicroscopeReader.Options, notes: list[str]
) -> tuple[float | None, float | None, float | None]:
    """Return the voxel by the options, else by the file; say where they differ."""
    given = (options.spacing, options.pixel, options.pixel)
    for name, said, held in zip("zyx", given, voxel):
        if said is not None and held is not None and abs(said / held - 1) > 0.02:
            notes.append(f"along {name} the option {said:.4g} m is used, not {held:.4g} m of the file")
    dz, dy, dx = (held if said is None else said for said, held in zip(given, voxel))
    return dz, dy, dx


def _need(path: Path, names: Mapping[str, Any], what: str) -> None:
    missing = [name for name, held in names.items() if held is None]
    if missing:
        options = " ".join(f"--option {name}=..." for name in missing)
        raise ParameterError(f"{path}: {what} needs {', '.join(missing)}, in meters where lengths: {options}")


def _bead(
    path: Path,
    stack: Stack,
    voxel: tuple[float | None, ...],
    options: MicroscopeReader.Options,
    facts: dict[str, Any],
) -> Acquisition:
    dz, _, dx = voxel
    held = {"wavelength": options.wavelength, "na": options.na, "pixel": dx, "spacing": dz}
    _need(path, held, "the fit of a pupil")
    objective = options.objective
    assert objective is not None and dx is not None and dz is not None
    if dx > 2 * objective.pixel:
        facts["notes"].append(
            f"a pixel of {1e9 * dx:.0f} nm is coarser than {1e9 * objective.pixel:.0f} nm: details are lost"
        )
    y, A = bead_problem(
        torch.from_numpy(stack.values),
        objective,
        pixel=dx,
        spacing=dz,
        window=options.window,
        model=options.model or "scalar",
        medium=options.medium,
    )
    if y.shape[-2:] != stack.values.shape[-2:]:
        facts["notes"].append(f"{y.shape[-1]} x {y.shape[-2]} pixels around the brightest are used")
    return acquire(
        y,
        A,
        noise=PoissonNoise(),
        metadata=facts
        | {"wavelength_m": objective.wavelength, "na": objective.na, "pixel_m": dx, "spacing_m": dz},
        solver={"name": "optics.pupil_fit"},
        left_out=tuple(stack.left_out),
        output=AberrationOutput(lambda x: estimate(A, PoissonNoise(), y, x)),
    )


def _specimen(
    path: Path,
    stack: Stack,
    voxel: tuple[float | None, ...],
    options: MicroscopeReader.Options,
    facts: dict[str, Any],
) -> Acquisition:
    kernel = _kernel(path, stack.values.shape, voxel, options, facts["notes"])
    y = torch.from_numpy(stack.values)
    flat = len(y) == 1
    y = y if flat else y[None]
    background = float(np.quantile(stack.values, _DARK)) if options.background is None else options.background
    if options.background is None:
        facts["notes"].append(f"background {background:.4g} counts: the quantile of 5 %; background= sets it")
    if background < 0 or float(y.min()) < 0:
        raise DataError(f"{path} holds negative numbers, down to {float(y.min()):.4g}; expected counts")
    taps, spatial = kernel.shape[1:], y.shape[1:]
    valid = options.boundary == "valid"
    size = tuple(n + k - 1 for n, k in zip(spatial, taps)) if valid else tuple(spatial)
    operator = Convolution(kernel, domain=Space((1, *size)), boundary=options.boundary)
    known = voxel[1:] if flat else voxel
    if all(known):
        facts["voxel_m"] = [float(h) for h in known if h is not None]
    window = tuple(
        slice(k - 1 - k // 2, k - 1 - k // 2 + n) if valid else slice(None) for n, k in zip(spatial, taps)
    )
    return acquire(
        y,
        operator,
        noise=PoissonNoise(background=background),
        metadata=facts | {"background": background, "psf_shape": list(taps)},
        solver={"name": "richardson_lucy", "max_steps": 60},
        left_out=tuple(stack.left_out),
        output=SpecimenOutput(window, background),
    )


def _kernel(
    path: Path,
    shape: tuple[int, ...],
    voxel: tuple[float | None, ...],
    options: MicroscopeReader.Options,
    notes: list[str],
) -> Tensor:
    """Return the kernel (1, z, y, x) or (1, y, x), of sum 1."""
    file = Path(options.psf) if options.psf is not None else _beside(path)
    if file is not None:
        return _kernel_of_file(file, shape, voxel, notes)
    held = {"wavelength": options.wavelength, "na": options.na, "pixel": voxel[2]}
    held |= {"spacing": voxel[0]} if shape[0] > 1 else {}
    if options.wavelength is None or options.na is None:
        size = voxel[2]
        tilts = "If the planes are views of a tomogram: --format tomography.tiff --option angles=FILE"
        if size is not None and size < _FINEST:
            tilts = f"A pixel of {1e9 * size:.3g} nm is one of electron microscopes. {tilts}"
        raise ParameterError(
            f"{path}: deconvolution needs the point spread function: --option psf=FILE, or wavelength= and "
            f"na= (meters); task=pupil finds aberrations from the stack of a bead instead. {tilts}"
        )
    _need(path, held, "a computed point spread function")
    objective = options.objective
    assert objective is not None and voxel[2] is not None
    planes = shape[0] | 1 if shape[0] > 1 else 1
    side = (max(shape[1:]) // 2) | 1
    depths = (voxel[0] or 0.0) * (torch.arange(planes, dtype=torch.float64) - planes // 2)
    A = PupilPSF(
        objective=objective,
        pixel=voxel[2],
        shape=(side, side),
        depths=depths,
        model=options.model or ("vectorial" if objective.na > 0.7 else "scalar"),
        medium=options.medium,
        oversampling=2,
    )
    h = A(torch.zeros(len(A.modes), dtype=torch.float64)).float()
    share = float(h.sum((-2, -1)).min())
    notes.append(f"computed PSF: each plane holds {share:.0%} of the light or more")
    return PSF(h, (voxel[0] or 1.0, voxel[2], voxel[2])).kernel()


def _kernel_of_file(
    file: Path, shape: tuple[int, ...], voxel: tuple[float | None, ...], notes: list[str]
) -> Tensor:
    held = read_stack(file)
    values = held.values
    if (len(values) == 1) != (shape[0] == 1):
        raise DataError(
            f"{file} has {len(values)} planes, the stack {shape[0]}: both must be images or volumes"
        )
    floor = float(np.quantile(values, 0.01))
    if floor > 1e-6 * float(values.max()):
        notes.append(f"{file.name}: background {floor:.4g} (quantile of 1 %) subtracted from the PSF")
        values = values - floor
    values = values.clip(0)
    if not values.sum() > 0:
        raise DataError(f"{file} is empty: its values do not exceed their background")
    values = _centered(values, file.name, notes)
    sizes = [h if h is not None else v for h, v in zip(held.voxel, voxel)]
    psf = PSF(torch.from_numpy(values), tuple(1.0 if h is None else h for h in sizes))  # type: ignore[arg-type]
    differ = [
        abs(a / b - 1) > 0.02
        for a, b, n in zip(held.voxel, voxel, shape)
        if n > 1 and a is not None and b is not None
    ]
    if any(differ):
        new = tuple(a if b is None else b for a, b in zip(psf.voxel, voxel))
        notes.append(f"{file.name}: resampled from voxels {psf.voxel} to {new} m")
        psf = psf.resample(new)  # type: ignore[arg-type]
    return psf.kernel()


def _centered(values: np.ndarray, name: str, notes: list[str]) -> np.ndarray:
    """Crop so that the brightest voxel is at n // 2."""
    peak = np.unravel_index(int(values.argmax()), values.shape)
    if all(p == n // 2 for p, n in zip(peak, values.shape)):
        return values
    window = []
    for p, n in zip(peak, values.shape):
        half = min(p, n - 1 - p)
        window.append(slice(p - half, p + half + 1))
    notes.append(f"{name}: cropped so that the brightest voxel {tuple(map(int, peak))} is in the center")
    return values[tuple(window)]
