"""Linear solves in any unit of data and matrix."""

import pytest
import torch

from invcore.operators import Matrix, least_squares


@pytest.mark.parametrize("s", [1e-30, 1e-22, 1e22, 1e30])
def test_pinv_and_least_squares_scale_with_the_data(s):
    g = torch.Generator().manual_seed(0)
    matrix, y = torch.randn(12, 8, generator=g), torch.randn(12, generator=g)
    expected = torch.linalg.lstsq(matrix.double(), y.double()[:, None]).solution[:, 0].float()
    torch.testing.assert_close(Matrix(matrix).pinv(s * y) / s, expected, rtol=1e-3, atol=1e-4)
    for solver in ("cg", "lsqr", "lsmr"):
        x = least_squares(Matrix(matrix), s * y, solver=solver) / s
        torch.testing.assert_close(x, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("s", [1e-22, 1e22])
def test_pinv_of_a_matrix_in_any_unit(s):
    g = torch.Generator().manual_seed(0)
    matrix, y = torch.randn(12, 8, generator=g), torch.randn(12, generator=g)
    expected = torch.linalg.lstsq(matrix.double(), y.double()[:, None]).solution[:, 0].float()
    torch.testing.assert_close(Matrix(s * matrix).pinv(y) * s, expected, rtol=1e-3, atol=1e-4)
