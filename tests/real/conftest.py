"""Measured data: where they are, and the tests that need them skipped where they are missing."""

import os
from pathlib import Path

import pytest
import torch

FOLDER = Path(os.environ.get("INVCORE_DATA", Path(__file__).parents[2].parent / "shared" / "data"))


@pytest.fixture(scope="session")
def measured():
    """Paths of measured files, by name in the data folder, such as ``radio/gravity.oifits``."""

    def path(name):
        if not (FOLDER / name).exists():
            pytest.skip(f"no measured data: {FOLDER} has no {name}; set INVCORE_DATA to the data folder")
        return FOLDER / name

    return path


@pytest.fixture(scope="module")
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
