"""Examples of optical interferometry for the conformance kit: operators, source models and OIFITS files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from invcore.operators import Space

from .._data.closure_sets import closure_triangles
from .._operators.source_model import SourceModel
from .._operators.squared import Amplitudes, Bispectra, SquaredVisibilities, UnitFlux


def amplitudes() -> dict[str, object]:
    """Return operators on all visibilities, and on some."""
    domain = Space((3, 2), "complex")
    return {
        "tiny": Amplitudes(domain=domain),
        "chosen": Amplitudes(domain=domain, index=torch.tensor([0, 3, 4])),
    }


def squared_visibilities() -> dict[str, object]:
    """Return operators on all visibilities, and on some."""
    domain = Space((3, 2), "complex")
    return {
        "tiny": SquaredVisibilities(domain=domain),
        "chosen": SquaredVisibilities(domain=domain, index=torch.tensor([0, 3, 4])),
    }


def bispectra() -> dict[str, object]:
    """Return bispectra of four telescopes, with one reversed baseline."""
    a, b = torch.triu_indices(4, 4, 1)
    a[2], b[2] = b[2].clone(), a[2].clone()
    return {"tiny": Bispectra(closures=closure_triangles(a, b, torch.zeros(6)))}


def unit_flux() -> dict[str, object]:
    """Return operators for one channel, and for two."""
    return {"tiny": UnitFlux(domain=Space((1, 2, 3))), "channels": UnitFlux(domain=Space((2, 3, 2)))}


def source_model() -> dict[str, object]:
    """Return a disk, a binary of limb-darkened stars, and a model with all other kinds of parts."""
    baselines = torch.tensor([[30.0, 0.0], [-20.0, 50.0], [5.0, 90.0]])
    wavelengths = torch.tensor([1.6e-6, 2.2e-6])
    free = {
        ("disk",): ("0.diameter",),
        ("limb_darkened", "disk"): ("0.diameter", "0.coefficient", "1.flux", "1.east", "1.north"),
        ("point", "ring", "gaussian", "background"): (
            "1.flux",
            "1.diameter",
            "1.ratio",
            "1.angle",
            "2.fwhm",
            "2.slope",
            "3.flux",
        ),
    }
    names = ("tiny", "binary", "everything")
    return {
        name: SourceModel(parts=parts, free=own, baselines=baselines, wavelengths=wavelengths)
        for name, (parts, own) in zip(names, free.items())
    }


def oifits() -> dict[str, Callable[[Path], Path]]:
    """Return functions that write OIFITS files into a folder."""

    def binary(folder: Path) -> Path:
        model = SourceModel(
            parts=("disk", "point"),
            free=("0.diameter", "1.flux", "1.east", "1.north"),
            baselines=torch.from_numpy(np.concatenate([_UV, _legs()])),
            wavelengths=torch.from_numpy(_WAVELENGTHS),
        )
        clean = model(torch.tensor([2.0, 0.1, 3.0, -4.0], dtype=torch.float64)).numpy()
        three = clean[len(_UV) :].reshape(-1, 3, len(_WAVELENGTHS))
        phase = np.degrees(np.angle(three[:, 0] * three[:, 1] * three[:, 2].conj()))
        write_sample(folder / "binary.oifits", abs(clean[: len(_UV)]) ** 2, phase)
        return folder / "binary.oifits"

    return {"binary star": binary}


_STATIONS = np.array([[0.0, 0.0], [40.0, 10.0], [-15.0, 60.0], [70.0, -50.0]])
_PAIRS = [(i, j) for i in range(4) for j in range(i + 1, 4)]
_TRIPLES = [(i, j, k) for i in range(4) for j in range(i + 1, 4) for k in range(j + 1, 4)]
_UV = np.array([_STATIONS[j] - _STATIONS[i] for i, j in _PAIRS])
_WAVELENGTHS = np.linspace(2.0e-6, 2.4e-6, 5).astype(np.float32).astype(float)


def _legs() -> np.ndarray:
    edges = [(i, j) for i, j, k in _TRIPLES for i, j in ((i, j), (j, k), (i, k))]
    return np.array([_STATIONS[j] - _STATIONS[i] for i, j in edges])


def write_sample(
    path: Path, vis2: np.ndarray, phase: np.ndarray, *, sigma: float = 0.01, degrees: float = 0.5
) -> None:
    """Write squared visibilities (6, 5) and closure phases (4, 5; degrees) of four telescopes as OIFITS."""
    from astropy.io import fits

    def table(name: str, columns: dict[str, tuple[str, object]], **header: object) -> fits.BinTableHDU:
        hdu = fits.BinTableHDU.from_columns(
            [fits.Column(n, f, array=v) for n, (f, v) in columns.items()], name=name
        )
        hdu.header["OI_REVN"] = 2
        for key, value in header.items():
            hdu.header[key] = value
        return hdu

    n = len(_WAVELENGTHS)
    legs = _legs().reshape(-1, 3, 2)

    def times(count: int) -> dict[str, tuple[str, object]]:
        return {
            "TARGET_ID": ("I", np.ones(count)),
            "TIME": ("D", np.zeros(count)),
            "MJD": ("D", np.full(count, 58000.25)),
            "INT_TIME": ("D", np.full(count, 60.0)),
        }

    refers = {"DATE-OBS": "2017-09-04", "ARRNAME": "TEST", "INSNAME": "SPECTRO"}
    hdus = [
        fits.PrimaryHDU(),
        table(
            "OI_ARRAY",
            {
                "TEL_NAME": ("2A", ["T1", "T2", "T3", "T4"]),
                "STA_NAME": ("2A", list("ABCD")),
                "STA_INDEX": ("I", [1, 2, 3, 4]),
            },
            ARRNAME="TEST",
        ),
        table(
            "OI_TARGET",
            {
                "TARGET_ID": ("I", [1]),
                "TARGET": ("8A", ["STAR"]),
                "RAEP0": ("D", [80.0]),
                "DECEP0": ("D", [10.0]),
            },
        ),
        table(
            "OI_WAVELENGTH",
            {"EFF_WAVE": ("E", _WAVELENGTHS), "EFF_BAND": ("E", np.full(n, 1e-8))},
            INSNAME="SPECTRO",
        ),
        table(
            "OI_VIS2",
            {
                **times(6),
                "VIS2DATA": (f"{n}D", vis2),
                "VIS2ERR": (f"{n}D", np.full((6, n), sigma)),
                "UCOORD": ("D", _UV[:, 0]),
                "VCOORD": ("D", _UV[:, 1]),
                "STA_INDEX": ("2I", np.array(_PAIRS) + 1),
                "FLAG": (f"{n}L", np.zeros((6, n), bool)),
            },
            **refers,
        ),
        table(
            "OI_T3",
            {
                **times(4),
                "T3AMP": (f"{n}D", np.ones((4, n))),
                "T3AMPERR": (f"{n}D", np.full((4, n), 0.1)),
                "T3PHI": (f"{n}D", phase),
                "T3PHIERR": (f"{n}D", np.full((4, n), degrees)),
                "U1COORD": ("D", legs[:, 0, 0]),
                "V1COORD": ("D", legs[:, 0, 1]),
                "U2COORD": ("D", legs[:, 1, 0]),
                "V2COORD": ("D", legs[:, 1, 1]),
                "STA_INDEX": ("3I", np.array(_TRIPLES) + 1),
                "FLAG": (f"{n}L", np.zeros((4, n), bool)),
            },
            **refers,
        ),
    ]
    fits.HDUList(hdus).writeto(path)
