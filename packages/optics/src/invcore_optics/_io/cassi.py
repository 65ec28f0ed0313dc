"""Snapshots of coded-aperture spectral cameras in MATLAB files."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, NearMiss, Output, Reader
from invcore.operators import Space

from .._cameras.cassi import CASSI
from .acquire import acquire, beside, from_file, matrix, naming, span
from .mat import load_mat, mat_names

_STEP = 2.0
_MEASUREMENTS = ("meas_real", "meas")


class CASSIReader(Reader):
    """Snapshots of single-disperser CASSI cameras in MATLAB files (version 5 to 7.2), with a calibrated mask.

    The snapshot is ``meas_real`` or ``meas``, (y, x + d), the ``mask`` (y, x) a variable of the same file, or
    of ``NAME_mask.mat`` beside a file ``NAME_anything.mat``, or of the file that ``mask`` names. The detector
    is longer than the mask by the dispersion between the first and the last band.

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
        sigma : float, optional
            Standard deviation of the snapshot; 3 % of its root mean square, which stands for errors of the
            calibration too, by default.
        """

        mask: str | None = None
        step: float | None = None
        rows: str | None = None
        columns: str | None = None
        background: float | str = "darkest"
        sigma: float | None = None

        def __post_init__(self) -> None:
            if self.step is not None and not (
                isinstance(self.step, int | float) and 0 < self.step < math.inf
            ):
                raise ParameterError(f"step= must be a positive number of pixels, got {self.step!r}")
            if self.background != "darkest" and not isinstance(self.background, int | float):
                raise ParameterError(f"background= is a number or 'darkest', got {self.background!r}")
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
            y = (y - background)[rows, columns.start : columns.stop + longer]
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
                    "name": "fista",
                    "rtol": 1e-3,
                    "max_steps": 60,
                    "prior": {"name": "tv", "spatial_dims": 3, "rtol": 3e-2, "max_steps": 10},
                },
                output=_BandsOutput(),
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
