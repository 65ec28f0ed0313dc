"""Deep linear networks with weight decay: singular values and the part off the subspace in closed form."""

import numpy as np
import pytest
import torch

import invcore
from invcore import Physics
from invcore.operators import Matrix
from invcore_learning import DeepLinear
from invcore_testsupport import error, normal

DECAY, STEP = 0.02, 0.2


def trained(steps, decay=DECAY):
    """Data YYᵀ = UUᵀ on a subspace of 3 of 8 dimensions; images B y with singular values 1.5, 1, 0.8."""
    U = torch.linalg.qr(normal(8, 3)).Q
    B = torch.linalg.qr(normal(6, 3, seed=1)).Q @ torch.diag(torch.tensor([1.5, 1.0, 0.8]).double())
    R = DeepLinear(8, 6, width=20).double()
    for i, w in enumerate(R.factors):
        w.data = normal(*w.shape, seed=i) / w.shape[1] ** 0.5
    off = torch.eye(8, dtype=torch.float64) - U @ U.mT
    first, before = R.factors[0].detach().clone() @ off, R.product().detach() @ off
    physics = Physics(Matrix(normal(8, 6, seed=3)))
    for _ in range(steps):
        loss = 0.5 * (R(U.mT, physics) - B.mT).square().sum()
        loss = loss + decay / 2 * sum(w.square().sum() for w in R.factors)
        gradients = torch.autograd.grad(loss, list(R.factors))
        for w, g in zip(R.factors, gradients):
            w.data -= STEP * g
    return R, U, off, first, before


def test_singular_values_solve_the_scalar_equation():
    R, U, *_ = trained(1500)
    found = torch.linalg.svdvals(R.product().detach() @ U)
    for s, c in zip(found, (1.5, 1.0, 0.8)):
        root = max(t.real**3 for t in np.roots([1, 0, 0, -c, DECAY]))  # s - c + λ s^(-1/3) = 0 for s = t³
        assert abs(float(s) - root) < 1e-6


def test_off_the_subspace_every_step_shrinks_the_first_factor_by_the_decay():
    R, _, off, first, before = trained(300)
    assert error(R.factors[0].detach() @ off, (1 - STEP * DECAY) ** 300 * first) < 1e-10
    assert (R.product().detach() @ off).norm() < 0.5 * before.norm()
    free, _, off, first, _ = trained(300, decay=0.0)
    assert error(free.factors[0].detach() @ off, first) < 1e-10
    assert (free.product().detach() @ off).norm() > 2 * (R.product().detach() @ off).norm()


def test_sizes_are_checked():
    with pytest.raises(invcore.ShapeError, match="8 numbers to 6, this physics needs 3 to 5"):
        DeepLinear(8, 6, width=4)(torch.ones(3), Physics(Matrix(torch.ones(3, 5))))
    assert DeepLinear(8, 6, width=4).product().shape == (6, 8)
