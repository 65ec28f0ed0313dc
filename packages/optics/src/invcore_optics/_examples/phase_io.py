"""Sample files of ptychography and its relatives, for the conformance kit."""

from __future__ import annotations

import bz2
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from invcore.noises import PoissonNoise

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


def _archive(*names: str) -> bytes:
    A = scan()
    counts = PoissonNoise()(A(thin_object(*A.shape)), generator=torch.Generator().manual_seed(0))
    held = {
        "data": torch.fft.ifftshift(counts, (-2, -1))[None].float().numpy(),
        "scan": (A.positions - 7.0)[None].float().numpy(),
        "probe": A.probe[None, None, None].to(torch.complex64).numpy(),
    }
    out = io.BytesIO()
    np.savez(out, **{name: held[name] for name in names})  # type: ignore[arg-type]
    return out.getvalue()
