"""The norm and condition number in any units, against the singular values of a matrix."""

import pytest
import torch

import invcore
from invcore import LinearOperator, Space


class Times(LinearOperator):
    """A matrix without a closed-form norm."""

    matrix: torch.Tensor
    domain: Space
    range: Space
    params = ("matrix",)

    def forward(self, x):
        return (self.matrix.to(x.dtype) @ x.unsqueeze(-1)).squeeze(-1)


def times(matrix):
    kind = "complex" if matrix.is_complex() else "real"
    return Times(
        matrix=matrix, domain=Space((matrix.shape[-1],), kind), range=Space((matrix.shape[-2],), kind)
    )


@pytest.mark.parametrize("c", [1e-30, 1e-20, 1e-15, 1.0, 1e15, 1e18, 1e20, 1e30])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_norm_and_condition_number_are_those_of_the_matrix_in_any_units(c, dtype):
    matrix = torch.randn(20, 12, dtype=dtype, generator=torch.Generator().manual_seed(0))
    values = torch.linalg.svdvals(matrix)
    for A in (times(c * matrix), c * times(matrix)):
        assert abs(float(A.norm()) / (c * float(values[0])) - 1) < 1e-3  # all 12 Lanczos steps: exact
    assert abs(float(times(c * matrix).cond()) / float(values[0] / values[-1]) - 1) < 1e-3


def test_every_operator_of_a_batch_has_its_own_unit():
    c = torch.tensor([1e-25, 1.0, 1e25])
    matrix = torch.randn(9, 7, generator=torch.Generator().manual_seed(1))
    found = times(c[:, None, None] * matrix).norm()
    torch.testing.assert_close(found / c, torch.linalg.matrix_norm(matrix, 2).expand(3), rtol=1e-3, atol=0)


def test_norm_scales_exactly_with_powers_of_two():
    matrix = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    assert times(matrix).norm() * 2.0**20 == times(matrix * 2.0**20).norm()
    assert times(matrix * 2.0**90).norm() * 2.0**-90 == times(matrix * 2.0**-90).norm() * 2.0**90


def test_norm_of_an_operator_with_a_nan_names_the_field():
    matrix = torch.ones(3, 3)
    matrix[1, 2] = torch.nan
    with pytest.raises(invcore.DataError, match=r"Times\.matrix has 1 value that is NaN.*\(1, 2\)"):
        times(matrix).norm()


@pytest.mark.parametrize("c", [1e-30, 1e-22, 1e22, 1e30])
def test_closed_forms_hold_in_any_units(c):
    kernel = torch.rand(1, 3, 3, generator=torch.Generator().manual_seed(0))
    mask = torch.rand(1, 8, 8, generator=torch.Generator().manual_seed(1))
    domain = Space((1, 8, 8))
    for name, parameter in (("convolution", {"kernel": kernel}), ("mask", {"mask": mask})):
        ((field, value),) = parameter.items()
        one = invcore.operator(name, domain=domain, **parameter).norm()
        other = invcore.operator(name, domain=domain, **{field: c * value}).norm()
        assert abs(float(other / c / one) - 1) < 1e-5
    down = invcore.operator("downsample", domain=domain, factor=2, kernel=c * kernel, boundary="circular")
    one = invcore.operator("downsample", domain=domain, factor=2, kernel=kernel, boundary="circular").norm()
    assert abs(float(down.norm() / c / one) - 1) < 1e-5


class Positive(LinearOperator):
    """A matrix without negative entries, which counts its applications."""

    matrix: torch.Tensor
    domain: Space
    range: Space
    nonnegative = True
    applications = []

    def forward(self, x):
        Positive.applications.append(1)
        return (self.matrix.to(x.dtype) @ x.unsqueeze(-1)).squeeze(-1)


@pytest.mark.parametrize("c", [1e-30, 1.0, 1e30])
def test_norm_of_a_nonnegative_operator(c):
    """Within the margin above the largest singular value, from a few applications; a column may be empty."""
    matrix = torch.rand(40, 30, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    matrix[:, 7] = 0
    op = Positive(matrix=c * matrix.float(), domain=Space((30,)), range=Space((40,)))
    Positive.applications.clear()
    found, truth = float(op.norm()), c * float(torch.linalg.matrix_norm(matrix, 2))
    assert truth * (1 - 1e-6) <= found <= 1.06 * truth
    assert len(Positive.applications) <= 12


def test_norm_of_a_reducible_nonnegative_operator():
    """A positive vector converges slowly where blocks do not see each other; Lanczos takes over."""
    matrix = torch.block_diag(*(w * torch.rand(3, 3) for w in (1.0, 0.999, 1e-3)))
    op = Positive(matrix=matrix, domain=Space((9,)), range=Space((9,)))
    assert float(op.norm()) >= float(torch.linalg.matrix_norm(matrix.double(), 2)) * (1 - 1e-6)


@pytest.mark.parametrize("dtype", [torch.float64, torch.complex128])
def test_derivatives_of_the_norm_are_those_of_the_largest_singular_value(dtype):
    matrix = torch.randn(20, 12, dtype=dtype, generator=torch.Generator().manual_seed(0))
    way = torch.randn(20, 12, dtype=dtype, generator=torch.Generator().manual_seed(1))

    def derivatives(norm):
        t = torch.zeros((), dtype=torch.float64, requires_grad=True)
        (first,) = torch.autograd.grad(norm(matrix + t * way), t, create_graph=True)
        return torch.stack([first, *torch.autograd.grad(first, t)]).detach()

    found = derivatives(lambda m: times(m).norm())
    torch.testing.assert_close(
        found, derivatives(lambda m: torch.linalg.matrix_norm(m, 2)), rtol=1e-8, atol=1e-8
    )
    u, _, v = torch.linalg.svd(matrix)
    assert abs(float((u[:, 0].conj() @ way @ v[0].conj()).real - found[0])) < 1e-8


def test_a_norm_without_a_parameter_to_learn_has_no_graph():
    matrix = torch.randn(9, 7, generator=torch.Generator().manual_seed(1))
    assert not times(matrix).norm().requires_grad
    zero = torch.zeros(9, 7, requires_grad=True)
    (slope,) = torch.autograd.grad(times(zero).norm(), zero)
    assert not bool(slope.any())
