"""The relative difference prior against loops and autograd."""

import math

import pytest
import torch

from invcore import DtypeError, ParameterError
from invcore.priors import RelativeDifference
from invcore_testsupport import normal

C128 = torch.complex128


@pytest.mark.parametrize("dims, shape", [(1, (2, 7)), (2, (1, 5, 4)), (3, (1, 3, 4, 2))])
def test_relative_difference_by_loops(dims, shape):
    x = normal(*shape).abs()
    spacing = (1.0, 2.0, 0.5)[:dims]
    prior = RelativeDifference(gamma=1.5, epsilon=0.01, spatial_dims=dims, spacing=spacing)
    total = 0.0
    for axis in range(dims):
        moved = x.movedim(axis - dims, -1)
        for i in range(moved.shape[-1] - 1):
            for a, b in zip(moved[..., i].flatten().tolist(), moved[..., i + 1].flatten().tolist()):
                total += (a - b) ** 2 / (a + b + 1.5 * abs(a - b) + 0.01) / spacing[axis]
    assert float(prior.value(x)) == pytest.approx(total, rel=1e-12)
    point = x.clone().requires_grad_()
    (expected,) = torch.autograd.grad(prior.value(point), point)
    assert torch.allclose(prior.grad(x), expected)


def test_relative_difference_outside_its_domain():
    x = torch.tensor([[[1.0, -0.5], [2.0, 1.0]]])
    assert math.isinf(float(RelativeDifference().value(x)))
    assert RelativeDifference().grad(torch.zeros(1, 4, 4)).isfinite().all()
    with pytest.raises(DtypeError, match="real"):
        RelativeDifference().value(normal(1, 3, 3, dtype=C128))
    with pytest.raises(ParameterError, match="epsilon"):
        RelativeDifference(epsilon=0.0)
