"""Readings of single-pixel cameras in MATLAB files."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, ParameterError
from invcore.io import Acquisition, NearMiss, Output, Reader
from invcore.operators import Space

from .._cameras.single_pixel import SinglePixel
from .acquire import acquire, from_file, matrix, naming, text, whole_number
from .mat import load_mat, mat_names, save_mat

_READINGS = {"readings", "patterns", "image_shape"}
_HAAR = {"W", "wav", "J"}


class SinglePixelReader(Reader):
    """Readings of single-pixel cameras in MATLAB files (version 5 to 7.2), in one of two layouts.

    Files of `write_single_pixel` hold ``readings``, (2, m) photons of pairs or (m) differences, the
    ``patterns`` (``'hadamard'``, ``'haar'`` or an array (y, x, m)), ``image_shape``, and optionally
    ``order``, ``levels`` and ``dwell``.

    Files of adaptive basis scans by wavelet prediction [1]_ hold the layout ``W`` of Haar coefficients of an
    n × n image, the number ``J`` of levels and ``wav = 'Haar'``. Coefficients that were not measured are zero
    in it. Their details are second minus first sample, the reverse of
    `invcore.operators.WaveletTransform`: horizontal and vertical ones change sign.

    References
    ----------
    .. [1] F. Rousset, N. Ducros, A. Farina, G. Valentini, C. D'Andrea, F. Peyrin, "Adaptive basis scan by
       wavelet prediction for single-pixel imaging", IEEE Trans. Comput. Imaging 3 (2017).

    Examples
    --------
    >>> SinglePixelReader().sniff("no such file")
    False
    """

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Options of single-pixel cameras.

        Parameters
        ----------
        measurements : int, optional
            Use the first patterns only.
        sigma : float, optional
            Standard deviation of the differences; from the photons of pairs, or from the finest measured
            coefficients, by default.
        """

        measurements: int | None = None
        sigma: float | None = None

        def __post_init__(self) -> None:
            m, sigma = self.measurements, self.sigma
            if m is not None and (isinstance(m, bool) or not isinstance(m, int) or m < 1):
                raise ParameterError(f"measurements= must be a positive integer, got {m!r}")
            if sigma is not None and not (isinstance(sigma, int | float) and 0 < sigma < math.inf):
                raise ParameterError(f"sigma= must be a positive number, got {sigma!r}")

    def sniff(self, path: str | Path) -> bool | NearMiss:
        """Return whether ``path`` is a MATLAB file with the variables of one of the layouts."""
        names = mat_names(path)
        if names >= _READINGS or names >= _HAAR:
            return True
        for wanted, what in ((_READINGS, "readings of a single-pixel camera"), (_HAAR, "Haar coefficients")):
            if len(names & wanted) == 2:
                lacks = ", ".join(sorted(wanted - names))
                return NearMiss(f"it could hold {what}, but lacks the variable {lacks}.")
        return False

    def _read(self, path: Path, options: Options) -> Acquisition:
        with naming(path):
            y, operator, sigma, how = _differences(path, options)
            if options.sigma is not None:
                sigma, how = float(options.sigma), "given"
            pixels = operator.domain.shape[1] * operator.domain.shape[2]
            facts = {
                "format": "optics.single_pixel",
                "source": path.name,
                "patterns": operator.patterns if isinstance(operator.patterns, str) else "of the file",
                "measurements": y.shape[-1],
                "measured_fraction": round(y.shape[-1] / pixels, 4),
                "sigma_from": how,
            }
            left_out: tuple[str, ...] = ()
            if options.measurements is not None:
                left_out = (f"the first {y.shape[-1]} readings used; measurements= chooses",)
            return acquire(
                y,
                operator,
                sigma=sigma,
                metadata=facts,
                left_out=left_out,
                solver={"name": "fista", "rtol": 1e-4, "prior": {"name": "tv", "rtol": 1e-3}},
                output=_InverseOutput(),
            )

    def _reference(self, path: Path, options: Options) -> Tensor:
        with naming(path):
            y, operator, _, _ = _differences(path, options)
            if not isinstance(operator.patterns, str) or len(torch.unique(operator.rows)) < operator._count:
                raise DataError("not all patterns of a basis were measured: no image follows by itself")
            return operator.H(y)


class _InverseOutput(Output):
    """Shows the inverse transform of the measured coefficients beside the image."""

    def first(self, acquisition: Acquisition) -> tuple[str, Tensor] | None:
        operator: Any = acquisition.physics.operator
        if not isinstance(operator.patterns, str):
            return None
        return "Inverse transform of the readings", operator.H(acquisition.y)

    def beside(self, acquisition: Acquisition) -> dict[str, Tensor]:
        found = self.first(acquisition)
        return dict(super().beside(acquisition)) if found is None else dict([found])


def write_single_pixel(path: str | os.PathLike[str], y: Tensor, camera: SinglePixel) -> Path:
    """Write readings atomically as a MATLAB file that `SinglePixelReader` reads without options.

    Parameters
    ----------
    path : path
        Path ending in ``.mat``.
    y : Tensor, shape (1, m) or (1, 2, m)
        An element of ``camera.range``.
    camera : SinglePixel
        With one channel, and ``detection="difference"`` or ``"pairs"``.

    Returns
    -------
    Path

    Raises
    ------
    ParameterError
        If the camera is another one, or the readings are not its.

    Examples
    --------
    >>> import tempfile
    >>> camera = SinglePixel("hadamard", (1, 4, 4), measurements=8)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_single_pixel(Path(folder) / "scan.mat", camera(torch.ones(1, 4, 4)), camera).name
    'scan.mat'
    """
    if tuple(y.shape) != camera.range.shape or y.shape[0] != 1 or camera.detection == "single":
        raise ParameterError(
            "write_single_pixel takes readings of differences or pairs of one channel, "
            f"{camera.range}; got {tuple(y.shape)} of detection={camera.detection!r}"
        )
    held: dict[str, Any] = {
        "readings": y[0].double().cpu().numpy(),
        "image_shape": np.array([camera.domain.shape[1:]], dtype=np.float64),
        "dwell": camera.dwell,
    }
    if isinstance(camera.patterns, Tensor):
        held["patterns"] = camera._dense.movedim(-3, -1).cpu().numpy()
    else:
        held |= {"patterns": camera.patterns, "order": (camera.rows + 1).double().cpu().numpy()}
        if camera.patterns == "haar":
            held["levels"] = float(camera.depth)
    return save_mat(path, held)


def _differences(path: Path, options: SinglePixelReader.Options) -> tuple[Tensor, SinglePixel, float, str]:
    """Return differences (1, m), their camera, their standard deviation, and how that was found."""
    held = load_mat(path)
    if held.keys() >= _READINGS:
        return _readings(held, options.measurements)
    if held.keys() >= _HAAR:
        return _haar(held, options.measurements)
    raise DataError(f"it holds {sorted(held)}, not {sorted(_READINGS)} or {sorted(_HAAR)}")


def _readings(held: dict[str, Any], first: int | None) -> tuple[Tensor, SinglePixel, float, str]:
    y = matrix(held["readings"], "readings")
    if y.shape[0] != 2 and y.shape[1] == 1:
        y = y.T
    sizes = matrix(held["image_shape"], "image_shape").flatten().tolist()
    if len(sizes) != 2 or y.shape[0] not in (1, 2) or min(sizes) < 1:
        raise DataError(
            f"readings are {tuple(y.shape)}, expected (2, m) or (1, m), and image_shape is {sizes}"
        )
    m = y.shape[1]
    domain = Space((1, int(sizes[0]), int(sizes[1])))
    patterns: Any = held["patterns"]
    options: dict[str, Any] = {}
    if np.asarray(patterns).dtype.kind in "US":
        patterns = text(patterns, "patterns")
        if "order" in held:
            order = np.asarray(held["order"])
            named = order.dtype.kind in "US"
            options["order"] = text(order, "order") if named else _numbers(order)
        if "levels" in held:
            options["levels"] = whole_number(held["levels"], "levels")
    else:
        patterns = matrix(patterns, "patterns", ndim=3).movedim(-1, 0)
    if "dwell" in held:
        options["dwell"] = float(matrix(held["dwell"], "dwell").flatten()[0])
    detection: Any = "pairs" if y.shape[0] == 2 else "difference"
    with from_file():
        camera = SinglePixel(
            patterns, domain, measurements=min(m, first or m), detection=detection, **options
        )
        if isinstance(camera.order, Tensor) and len(camera.order) != m:
            raise DataError(f"there are {m} readings and an order of {len(camera.order)} patterns")
        single = SinglePixel(
            patterns,
            domain,
            measurements=camera.measurements,
            order=camera.order,
            levels=camera.levels,
        )
    y = y[:, : first or m]
    if detection == "difference":
        return y, single, _spread(y), "spread of the last readings"
    if float(y.min()) < -1e-5 * float(y.max()):  # rounding aside
        raise DataError("readings of pairs are numbers of photons, but some are negative")
    variance = y.sum(0) / (camera.dwell * camera.gain) ** 2
    return (
        camera.difference(y[None]),
        single,
        max(float(variance.mean()) ** 0.5, 1e-6),
        "photons of the pairs",
    )


def _haar(held: dict[str, Any], first: int | None) -> tuple[Tensor, SinglePixel, float, str]:
    if text(held["wav"], "wav").lower() != "haar":
        raise DataError(f"wav is {text(held['wav'], 'wav')!r}: only Haar coefficients are known")
    layout, levels = matrix(held["W"], "W"), whole_number(held["J"], "J")
    ny, nx = layout.shape
    if not 0 <= levels <= 20 or ny % 2**levels or nx % 2**levels:
        raise DataError(f"W is {ny} x {nx}, which has no {levels} levels")
    layout = layout.clone()
    finest = None
    for level in range(levels, 0, -1):
        y, x = ny >> level, nx >> level
        layout[:y, x : 2 * x].neg_()
        layout[y : 2 * y, :x].neg_()
        diagonal = layout[y : 2 * y, x : 2 * x]
        if bool((diagonal != 0).any()):
            finest = diagonal
    camera = SinglePixel("haar", Space((1, ny, nx)), order="scale", levels=levels)
    flat = layout.flatten()[camera.rows]
    rows = camera.rows[flat != 0][:first]
    if not len(rows):
        raise DataError("all Haar coefficients are zero: nothing was measured")
    camera = SinglePixel("haar", Space((1, ny, nx)), order=rows, levels=levels)
    spread = _spread(finest if finest is not None else layout)
    return layout.flatten()[rows][None], camera, spread, "spread of the finest diagonal coefficients"


def _spread(values: Tensor) -> float:
    """Standard deviation of noise among few large values: the median magnitude of those that are not zero."""
    last = values.flatten()[-max(16, values.numel() // 4) :]
    held = last[last != 0].abs()
    spread = float(held.median()) / 0.6745 if len(held) else 0.0
    return spread or 1e-3 * float(values.abs().max()) or 1.0


def _numbers(order: np.ndarray) -> Tensor:
    """Return numbers of patterns that MATLAB counts from 1."""
    values = matrix(order, "order").flatten()
    if bool((values != values.round()).any()):
        raise DataError("order must hold numbers of patterns, counted from 1")
    return values.long() - 1
