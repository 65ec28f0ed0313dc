"""Least squares with a single coil in closed form."""

import pytest
import torch

from invcore import least_squares
from invcore_mri import Fourier


@pytest.mark.parametrize("mask", [(6, 5), (1, 5), (3, 6, 5), (1, 1)])
@pytest.mark.parametrize("shift", [1e-4, (0.1, 2.0, 5.0)])
def test_fourier_needs_no_steps(mask, shift, generator):
    A = Fourier(torch.rand(mask, generator=generator, dtype=torch.float64).round(decimals=1), shape=(6, 5))
    y, z = (torch.randn(3, 1, 6, 5, dtype=torch.complex128, generator=generator) for _ in range(2))
    shift = torch.tensor(shift, dtype=torch.float64)
    got = least_squares(A, y, shift=shift, center=z, max_steps=0)
    matrix, lam = A.dense(dtype=torch.float64), shift.reshape(-1, 1, 1)
    b = matrix.mH @ y.flatten(1).unsqueeze(-1) + lam * z.flatten(1).unsqueeze(-1)
    normal = matrix.mH @ matrix + lam * torch.eye(30, dtype=matrix.dtype)
    torch.testing.assert_close(got.flatten(1), torch.linalg.solve(normal, b).squeeze(-1))
