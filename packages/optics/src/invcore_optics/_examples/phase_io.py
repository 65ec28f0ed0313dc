"""Sample files of ptychography and its relatives, for the conformance kit."""

from __future__ import annotations

import bz2
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from invcore.noises import PoissonNoise

from .._io.acquire import save_mat
from .._io.fpm import spiral
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
