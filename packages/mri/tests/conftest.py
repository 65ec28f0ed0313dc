import os
from pathlib import Path

import pytest
import torch

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def mri_data() -> Path:
    """Folder of measured scans; tests that need it skip where it is absent."""
    folder = Path(os.environ.get("INVCORE_DATA", REPOSITORY.parent / "shared" / "data")) / "mri"
    if not folder.is_dir():
        pytest.skip(f"no measured scans: {folder} is absent; set INVCORE_DATA to the data folder")
    return folder


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def one_thread():
    """The problems are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
