"""Small instances of every registered component, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from ._coils.espirit import Espirit
from ._io.cfl import write_cfl
from ._io.fastmri import write_fastmri
from ._phantom import coil_array, simulate
from ._sampling.masks import MaskEquispaced, MaskGaussian, MaskPoisson, MaskRandom
from ._sampling.operators import Fourier, Sense

_HEADER = """<?xml version="1.0" encoding="utf-8"?>
<ismrmrdHeader xmlns="http://www.ismrm.org/ISMRMRD">
  <acquisitionSystemInformation><systemVendor>none</systemVendor></acquisitionSystemInformation>
  <encoding>
    <encodedSpace>
      <matrixSize><x>{y}</x><y>{x}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>220</x><y>220</y><z>5</z></fieldOfView_mm>
    </encodedSpace>
    <reconSpace>
      <matrixSize><x>{y}</x><y>{x}</y><z>1</z></matrixSize>
      <fieldOfView_mm><x>220</x><y>220</y><z>5</z></fieldOfView_mm>
    </reconSpace>
    <trajectory>cartesian</trajectory>
  </encoding>
</ismrmrdHeader>
"""


def fourier() -> dict[str, object]:
    """Return sampled Fourier transforms: 2-D with a 2-D and a 1-D mask, odd sizes, channels, 3-D."""
    generator = torch.Generator().manual_seed(0)
    return {
        "tiny": Fourier(mask=_weights((4, 6), generator), shape=(4, 6)),
        "odd, lines": Fourier(mask=_weights((1, 9), generator), shape=(7, 9)),
        "two channels": Fourier(mask=_weights((8, 6), generator), shape=(8, 6), channels=2),
        "3-D": Fourier(mask=_weights((4, 1, 5), generator), shape=(4, 6, 5)),
    }


def sense() -> dict[str, object]:
    """Return SENSE operators: 2-D with a 2-D and a 1-D mask, several sets of maps, 3-D."""
    generator = torch.Generator().manual_seed(0)
    return {
        "tiny": Sense(maps=coil_array((4, 6), coils=3), mask=_weights((4, 6), generator)),
        "odd, lines": Sense(maps=coil_array((9, 7), coils=4), mask=_weights((1, 7), generator)),
        "two sets": Sense(
            maps=torch.stack([coil_array((6, 8), coils=3), coil_array((6, 8), coils=3).flip(-1) / 2]),
            mask=_weights((6, 8), generator),
            sets=2,
        ),
        "3-D": Sense(
            maps=coil_array((4, 6, 5), coils=3), mask=_weights((4, 6, 1), generator), spatial_dims=3
        ),
    }


def espirit() -> dict[str, object]:
    """Return ESPIRiT calibrations: one set, two sets, hard cropping."""
    return {
        "tiny": Espirit(calib=8, kernel=3),
        "two sets": Espirit(calib=12, kernel=4, sets=2),
        "hard crop": Espirit(calib=12, kernel=4, crop=0.8, soft=0.0),
    }


def mask_random() -> dict[str, object]:
    """Return uniformly random masks: lines and points."""
    return {
        "tiny": MaskRandom(shape=(4, 16), acceleration=2.0, calib=4),
        "points": MaskRandom(shape=(48, 40), acceleration=5.0, calib=8, axes=(-2, -1)),
    }


def mask_gaussian() -> dict[str, object]:
    """Return Gaussian masks: lines and points."""
    return {
        "tiny": MaskGaussian(shape=(4, 16), acceleration=2.0, calib=4),
        "points": MaskGaussian(shape=(48, 40), acceleration=5.0, calib=8, axes=(-2, -1)),
    }


def mask_equispaced() -> dict[str, object]:
    """Return equispaced masks: lines, a strictly regular grid, and two axes of a volume."""
    return {
        "tiny": MaskEquispaced(shape=(4, 16), acceleration=2.0, calib=4),
        "regular": MaskEquispaced(shape=(16, 64), acceleration=4, calib=0, net=False),
        "volume": MaskEquispaced(shape=(24, 8, 30), acceleration=4.0, calib=6, axes=(-3, -1)),
    }


def mask_poisson() -> dict[str, object]:
    """Return Poisson-disc masks: a slice, and two axes of a volume."""
    return {
        "tiny": MaskPoisson(shape=(24, 24), acceleration=3.0, calib=6, tolerance=0.1),
        "volume": MaskPoisson(shape=(32, 8, 40), acceleration=4.0, calib=8, axes=(-3, -1), tolerance=0.1),
    }


def cfl() -> dict[str, Callable[[Path], Path]]:
    """Return functions that write BART files into a folder: a slice, an undersampled slice, a volume."""

    def slice_(folder: Path) -> Path:
        write_cfl(folder / "slice", _kspace((48, 40)).movedim(0, -1)[None])
        return folder / "slice.cfl"

    def lines(folder: Path) -> Path:
        mask = MaskEquispaced(shape=(48, 40), acceleration=2.0, calib=16)()
        write_cfl(folder / "lines", (mask * _kspace((48, 40))).movedim(0, -1)[None])
        return folder / "lines.cfl"

    def volume(folder: Path) -> Path:
        write_cfl(folder / "volume", _kspace((16, 24, 20)).movedim(0, -1))
        return folder / "volume.cfl"

    return {"slice": slice_, "lines": lines, "volume": volume}


def fastmri() -> dict[str, Callable[[Path], Path]]:
    """Return functions that write fastMRI files into a folder: several coils with a reference, test data."""

    def several(folder: Path) -> Path:
        kspace = torch.stack([_kspace((48, 40), seed) for seed in (0, 1)])
        reference = torch.linalg.vector_norm(_images(kspace), dim=-3)
        write_fastmri(folder / "multicoil.h5", kspace, reference=reference, header=_HEADER.format(y=48, x=40))
        return folder / "multicoil.h5"

    def masked(folder: Path) -> Path:
        mask = MaskRandom(shape=(48, 40), acceleration=2.0, calib=16)()
        write_fastmri(folder / "test.h5", mask * _kspace((48, 40))[None], mask=mask)
        return folder / "test.h5"

    return {"several coils": several, "with its mask": masked}


def _weights(shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """Weights of k-space samples, some of them zero."""
    weights = torch.rand(shape, generator=generator)
    return torch.where(weights < 0.4, 0.0, weights)


def _kspace(shape: tuple[int, ...], seed: int = 0) -> Tensor:
    return simulate(shape, coils=4, sigma=0.02, generator=torch.Generator().manual_seed(seed)).kspace


def _images(kspace: Tensor) -> Tensor:
    """Centered inverse FFT of the last two axes."""
    axes = (-2, -1)
    return torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=axes), norm="ortho"), dim=axes)


def phantom() -> dict[str, object]:
    """Instances of ``mri.phantom``."""
    from ._demo import PhantomScan

    return {"tiny": PhantomScan(shape=(64, 64), coils=4)}
