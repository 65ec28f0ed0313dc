"""Fixtures for the tests of every package: one thread, a seeded generator."""

import pytest


@pytest.fixture(autouse=True)
def one_thread():
    """Compute on one thread, whatever the test before has left; tests of threads ask for more themselves."""
    import torch

    torch.set_num_threads(1)


@pytest.fixture
def generator():
    """Return a generator with seed 0."""
    import torch

    return torch.Generator().manual_seed(0)
