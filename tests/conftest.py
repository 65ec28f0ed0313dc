"""Small simulated scans on disk, for the tests that go through `invcore.reconstruct`."""

import shutil

import pytest
import torch

SIZE, COILS = 48, 4


def bart(kspace):
    """(coil, y, x) in BART's order."""
    return kspace.movedim(0, -1).unsqueeze(0)


@pytest.fixture(scope="session")
def originals(tmp_path_factory):
    from invcore_mri import simulate, write_cfl, write_fastmri

    folder = tmp_path_factory.mktemp("originals")
    g = torch.Generator().manual_seed(0)
    slices = torch.stack(
        [simulate((SIZE, SIZE), coils=COILS, sigma=0.01, generator=g).kspace for _ in range(3)]
    )
    mask = torch.zeros(SIZE)
    mask[::2] = 1
    mask[14:34] = 1
    write_cfl(folder / "scan", bart(slices[0] * mask))
    write_cfl(folder / "full", bart(slices[0]))
    write_fastmri(folder / "slices.h5", slices * mask)
    write_fastmri(folder / "slices_full.h5", slices)
    return folder


@pytest.fixture
def scans(originals, tmp_path):
    """A fresh copy of the sound files, and results of an earlier run in ``out``."""
    for file in originals.iterdir():
        shutil.copy(file, tmp_path)
    (tmp_path / "out").mkdir()
    for name in ("reconstruction.h5", "report.html", "magnitude.png", "phase.png"):
        (tmp_path / "out" / name).write_text(f"earlier {name}")
    return tmp_path
