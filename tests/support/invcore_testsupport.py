"""What tests of every package share: random tensors, relative errors, the folder of measured data."""

import os
from pathlib import Path

import pytest
import torch

from invcore import Physics
from invcore.noises import GaussianNoise, NoNoise
from invcore.operators import Matrix

DATA = Path(os.environ.get("INVCORE_DATA", Path(__file__).parents[3] / "shared" / "data"))
"""Measured data, which are never committed; tests that need them skip without."""


def measured(name):
    """Path of a measured file or folder, such as ``radio/gravity.oifits``; the test skips where it is
    missing."""
    if not (DATA / name).exists():
        pytest.skip(f"no measured data: {DATA} has no {name}; set INVCORE_DATA to the data folder")
    return DATA / name


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, dtype=torch.float64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=rng(seed))


def error(a, b):
    """Relative distance in the Euclidean norm."""
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b).clamp_min(1e-300))


def physics_of(matrix, sigma=None):
    """A matrix as the operator, with Gaussian noise if there is a ``sigma``."""
    return Physics(Matrix(matrix), NoNoise() if sigma is None else GaussianNoise(sigma=sigma))
