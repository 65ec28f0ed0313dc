"""Sample files of ptychography and its relatives, for the conformance kit."""

from __future__ import annotations

import bz2
import io
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import torch

from invcore.io import write_hdf5
from invcore.noises import PoissonNoise

from .._io.fpm import spiral
from .._io.mat import save_mat
from .._phase.fourier_ptychography import FourierPtychography, led_frequencies
from .phase import scan, thin_object

Writers = dict[str, Callable[[Path], Path]]


def ptychography_npz() -> Writers:
    """Return functions that write archives with a probe, and compressed once more without."""

    def plain(folder: Path) -> Path:
        (folder / "scan.npz").write_bytes(_archive("data", "scan", "probe"))
        return folder / "scan.npz"

    def packed(folder: Path) -> Path:
        (folder / "scan.npz.bz2").write_bytes(bz2.compress(_archive("data", "scan")))
        return folder / "scan.npz.bz2"

    return {"probe": plain, "no probe": packed}


def cxi() -> Writers:
    """Return functions that write CXI files with a probe and links, and with a mask and no probe."""

    def linked(folder: Path) -> Path:
        write_hdf5(folder / "scan.cxi", lambda file: _cxi(file, probe=True))
        return folder / "scan.cxi"

    def bare(folder: Path) -> Path:
        write_hdf5(folder / "bare.cxi", lambda file: _cxi(file, probe=False))
        return folder / "bare.cxi"

    return {"probe": linked, "no probe": bare}


def fpm_mat() -> Writers:
    """Return a function that writes 4 x 4 images of a microscope."""

    def series(folder: Path) -> Path:
        places = spiral(4) * 8e-3 * torch.tensor([-1.0, 1.0])
        lights = led_frequencies(places, height=0.18, wavelength=532e-9, field=(40 * 1.15e-6,) * 2)
        A = FourierPtychography(
            positions=lights, radius=torch.tensor(8.65), shape=(80, 80), detector=(40, 40)
        )
        y = A(thin_object(80, 80).to(torch.complex64))
        save_mat(folder / "series.mat", {"lowSeq": y.permute(1, 2, 0).numpy()})
        return folder / "series.mat"

    return {"series": series}


def _cxi(file: h5py.File, *, probe: bool) -> None:
    """A scan at 8 keV, 1 m from a detector with 8 x 8 pixels of 0.1 mm: pixels of the object of 194 nm."""
    A = scan()
    counts = PoissonNoise()(A(thin_object(*A.shape)), generator=torch.Generator().manual_seed(0))
    energy = 8000 * 1.602176634e-19
    pixel = 1.98644586e-25 / energy / (8 * 1e-4)
    place = torch.zeros(len(A.positions), 3, dtype=torch.float64)
    place[:, 1], place[:, 0] = pixel * (A.positions.T - 5)
    file["cxi_version"] = 160
    entry = file.create_group("entry_1")
    detector = entry.create_group("instrument_1/detector_1")
    detector["distance"], detector["x_pixel_size"], detector["y_pixel_size"] = 1.0, 1e-4, 1e-4
    detector["data"] = counts.float().numpy()
    entry["instrument_1/source_1/energy"] = energy
    entry["sample_1/geometry_1/translation"] = place.numpy()
    if probe:
        entry["data_1/data"] = h5py.SoftLink("/entry_1/instrument_1/detector_1/data")
        entry["data_1/translation"] = h5py.SoftLink("/entry_1/sample_1/geometry_1/translation")
        entry["instrument_1/source_1/illumination"] = A.probe.to(torch.complex64).numpy()
    else:
        flags = np.zeros((8, 8), dtype=np.uint32)
        flags[2, 5] = 512
        detector["mask"] = flags


def _archive(*names: str) -> bytes:
    A = scan()
    counts = PoissonNoise()(A(thin_object(*A.shape)), generator=torch.Generator().manual_seed(0))
    held = {
        "data": torch.fft.ifftshift(counts, (-2, -1))[None].float().numpy(),
        "scan": (A.positions - 7.0)[None].float().numpy(),
        "probe": A.probe[None, None, None].to(torch.complex64).numpy(),
    }
    out = io.BytesIO()
    np.savez(out, **{name: held[name] for name in names})
    return out.getvalue()
