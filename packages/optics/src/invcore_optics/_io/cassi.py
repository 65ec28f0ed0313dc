"""Snapshots of coded-aperture spectral cameras in MATLAB files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, NearMiss, Output, Reader
from invcore.operators import Space

from .._cameras.cassi import CASSI
from .._cameras.mask_registration import MaskRegistration, moved, registered
from .acquire import acquire, beside, from_file, matrix, naming, span
from .mat import load_mat, mat_names

_STEP = 2.0
_MEASUREMENTS = ("meas_real", "meas")


class CASSIReader(Reader):
    """Snapshots of single-disperser CASSI cameras in MATLAB files (version 5 to 7.2), with a calibrated mask.

    The snapshot is ``meas_real`` or ``meas``, (y, x + d), the ``mask`` (y, x) a variable of the same file, or
    of ``NAME_mask.mat`` beside a file ``NAME_anything.mat``, or of the file that ``mask`` names. The detector
    is longer than the mask by the dispersion between the first and the last band.

    The mask's pattern is looked for in the snapshot, by local correlation. A file is refused whose snapshot
    shows it displaced as no band is, or shows that of the mirrored mask. A mask a few rows too high or too
    low, of another magnification along y, or sharper than the snapshot shows it, is moved, stretched and
    blurred; notes say by how much.

    References
    ----------
    Z. Meng, J. Ma, X. Yuan, "End-to-end low cost compressive spectral imaging with spatial-spectral
    self-attention", ECCV (2020), whose public measurements have ``meas_real``.

    Examples
    --------
    >>> CASSIReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Options of spectral snapshots.

        Parameters
        ----------
        mask : str, optional
            Path of the file with the mask.
        step : float, optional
            Dispersion from band to band in pixels, to the right. By default 2, that of the public recordings,
            which is said: a file does not hold it.
        rows, columns : str, optional
            The part ``start:stop`` of the mask that is used, to save time; the scene is dark beside it.
        background : float or "darkest"
            Subtracted from the snapshot; ``"darkest"``: what a twentieth of its pixels fall below.
        register : bool
            Compare mask and snapshot as said above; false: take both as they are.
        sigma : float, optional
            Standard deviation of the snapshot; 3 % of its root mean square, which stands for errors of the
            calibration too, by default.
        """

        mask: str | None = None
        step: float | None = None
        rows: str | None = None
        columns: str | None = None
        background: float | str = "darkest"
        register: bool = True
        sigma: float | None = None

        def __post_init__(self) -> None:
            if self.step is not None and not (
                isinstance(self.step, int | float) and 0 < self.step < math.inf
            ):
                raise ParameterError(f"step= must be a positive number of pixels, got {self.step!r}")
            if self.background != "darkest" and not isinstance(self.background, int | float):
                raise ParameterError(f"background= is a number or 'darkest', got {self.background!r}")
            if not isinstance(self.register, bool):
                raise ParameterError(f"register= is true or false, got {self.register!r}")
            if self.sigma is not None and not 0 < self.sigma < math.inf:
                raise ParameterError(f"sigma= must be a positive number, got {self.sigma!r}")

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a MATLAB file with a snapshot, and a mask in it or beside it."""
        names = mat_names(path)
        if not names & set(_MEASUREMENTS):
            return "mask" in names and NearMiss(
                "it holds a mask, which belongs to a snapshot: a file with meas_real or meas."
            )
        if "mask" in names or beside(Path(path), "mask") is not None:
            return True
        return NearMiss(
            "it holds a snapshot without its mask: --format optics.cassi_mat --option mask=FILE "
            "(format=, mask= in Python)."
        )

    def _read(self, path: Path, options: Options) -> Acquisition:
        held = load_mat(path)
        name = next((n for n in _MEASUREMENTS if n in held), None)
        if name is None:
            raise DataError(f"{path} holds {sorted(held)}, not {' or '.join(_MEASUREMENTS)}")
        if options.mask is not None:
            source = Path(options.mask)
        else:
            source = path if "mask" in held else beside(path, "mask") or path
        if source == path and "mask" not in held:
            raise DataError(f"{path} has no mask, and no NAME_mask{path.suffix} is beside it: give mask=")
        with naming(source):
            mask = matrix(load_mat(source, "mask")["mask"], "mask")
        with naming(path):
            y = matrix(held[name], name)
            longer = y.shape[1] - mask.shape[1]
            if y.shape[0] != mask.shape[0] or longer < 0:
                raise DataError(
                    f"{name} is {tuple(y.shape)} and the mask {tuple(mask.shape)}: expected as many rows, "
                    "and at least as many columns of the snapshot"
                )
            step = float(_STEP if options.step is None else options.step)
            bands = math.floor(longer / step + 1e-6) + 1
            notes = []
            if options.step is None:
                notes.append(
                    f"a dispersion of {step:g} pixels a band, hence {bands} bands, is assumed: the file does "
                    "not tell; step= sets it"
                )
            if abs(longer / step - round(longer / step)) > 1e-3:
                notes.append(
                    f"the snapshot is {longer} columns longer than the mask, which is no multiple of "
                    f"{step:g} pixels a band: step= or the mask may be another's"
                )
            rows = span(options.rows, mask.shape[0], "rows")
            columns = span(options.columns, mask.shape[1], "columns")
            background = options.background
            if not isinstance(background, int | float):
                background = float(torch.sort(y.flatten()).values[y.numel() // 20])
            y = y - background
            if options.register:
                mask = _compared(y, mask, step, bands, notes)
            y = y[rows, columns.start : columns.stop + longer]
            mask = mask[rows, columns].contiguous()
            sigma = options.sigma or 0.03 * float(y.square().mean().sqrt()) or 1.0
            used = f"rows {rows.start}:{rows.stop}, columns {columns.start}:{columns.stop} of the mask used"
            part = options.rows is not None or options.columns is not None
            with from_file():
                camera = CASSI(
                    mask=mask[None],
                    dispersion=step * torch.arange(bands, dtype=torch.float32),
                    domain=Space((bands, *mask.shape)),
                    detector=y.shape[1],
                )
            return acquire(
                y[None].contiguous(),
                camera,
                sigma=float(sigma),
                metadata={
                    "format": "optics.cassi_mat",
                    "source": path.name,
                    "mask": source.name,
                    "bands": bands,
                    "step_pixels": step,
                    "background": float(background),
                    "sigma_from": "given" if options.sigma else "3 % of the root mean square",
                    **({"notes": notes} if notes else {}),
                },
                left_out=(f"{used}; rows= and columns= choose",) if part else (),
                solver={
                    "name": "admm",
                    "rtol": 1e-3,
                    "max_steps": 80,
                    "prior": {"name": "tv", "coupling": "joint"},  # a ghost has its edges elsewhere
                },
                output=_BandsOutput(),
            )


def _compared(y: Tensor, mask: Tensor, step: float, bands: int, notes: list[str]) -> Tensor:
    """Return the mask as the snapshot shows it, and note how; refuse what the snapshot contradicts."""
    snapshot, given = y.double().numpy(), mask.double().numpy()
    found = registered(snapshot, given)
    if found is None:
        _check_mirrors(snapshot, given)
        notes.append(
            "the mask's pattern is not found in the snapshot, which is too small or another mask's: the "
            "dispersion and the place of the mask are not checked"
        )
        return mask
    _check_dispersion(found, step, bands)
    edge = np.abs(found.offset + found.stretch * found.center * np.array([-1, 1])).max()
    if edge < 0.1 and not found.blur:
        return mask
    notes.append(
        f"the mask is moved by {found.offset:+.2f} rows at its middle, stretched by "
        f"{100 * found.stretch:+.2f} % along y and blurred by {found.blur:g} pixels, as the snapshot shows "
        "it; register=false keeps it"
    )
    return torch.from_numpy(moved(given, found)).to(mask.dtype)


def _check_dispersion(found: MaskRegistration, step: float, bands: int) -> None:
    seen, places = found.displacements, step * np.arange(bands)
    beside = np.abs(seen[:, None] - places).min(1)
    if beside.max() <= found.grain + 1:
        return
    raise DataError(
        f"the snapshot contradicts {bands} bands at a dispersion of {step:g} pixels a band: it shows the "
        f"mask's pattern displaced by {seen.min():g} to {seen.max():g} pixels, up to {beside.max():g} from "
        f"the nearest band (0 to {places[-1]:g}), while the pattern's grain is {found.grain:g}. Give another "
        "step=, or mask and snapshot with the dispersion to the right; register=false takes them as they are"
    )


def _check_mirrors(snapshot: np.ndarray, mask: np.ndarray) -> None:
    turns = {"left to right": mask[:, ::-1], "top to bottom": mask[::-1]}
    turns["by half a turn"] = mask[::-1, ::-1]
    if mask.shape[0] == mask.shape[1]:
        turns["at its diagonal"] = mask.T
    for name, turned in turns.items():
        if registered(snapshot, turned) is not None:
            raise DataError(
                f"the snapshot shows not the pattern of the mask, but that of the mask turned {name}: turn "
                "it in its file; register=false takes it as it is"
            )


class _BandsOutput(Output):
    """Shows seven bands, and the mean of all."""

    def pictures(self, x: Tensor) -> dict[str, Tensor]:
        count = x.shape[-3]
        shown = sorted({round(i * (count - 1) / 6) for i in range(7)})
        pictures: dict[str, Tensor] = {"Mean of the bands": x.mean(-3, keepdim=True)}
        return pictures | {f"Band {k + 1} of {count}": x[..., k : k + 1, :, :] for k in shown}

    def beside(self, acquisition: Acquisition) -> dict[str, Any]:
        return {"Snapshot": acquisition.y}
