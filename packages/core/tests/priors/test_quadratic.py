"""Tikhonov regularization: its rules, and the general form beside dense linear algebra."""

import pytest
import torch

from invcore import ParameterError, Physics, ShapeError
from invcore.noises import GaussianNoise
from invcore.operators import Differences, Identity, Matrix, Space
from invcore.priors import Quadratic, Tikhonov, ridge_weight
from invcore.solvers import ADMM, FISTA, ChambollePock, ConjugateGradient
from invcore_testsupport import normal

F64, C128 = torch.float64, torch.complex128


def operators():
    image = Space((2, 4, 5))
    return {
        "matrix": Matrix(normal(7, 6)),
        "complex matrix": Matrix(normal(7, 6, dtype=C128)),
        "identity": Identity(image),
        "periodic": Differences(image, spatial_dims=2, boundary="periodic", spacing=(0.5, 2.0)),
        "periodic, complex": Differences(Space((1, 6), "complex"), spatial_dims=1, boundary="periodic"),
        "volume": Differences((1, 3, 4, 5), boundary="periodic"),
        "neumann": Differences(image, spatial_dims=2),
    }


@pytest.mark.parametrize("centered", [False, True])
@pytest.mark.parametrize("name", operators())
def test_value_gradient_and_prox_are_those_of_matrices(name, centered):
    L = operators()[name]
    space = L.domain
    dtype = C128 if space.kind == "complex" else F64
    x0 = normal(*space.shape, dtype=dtype, seed=5) if centered else None
    g = Quadratic(L, center=x0, rtol=1e-13)
    x = normal(2, *space.shape, dtype=dtype, seed=6)
    t = torch.tensor([0.3, 4.0], dtype=F64)
    D = L.dense(dtype=F64).to(dtype)
    z = g.prox(x, t, space)
    for i in range(2):
        away = (x[i] if x0 is None else x[i] - x0).flatten()
        assert torch.allclose(g.value(x, space)[i], (D @ away).abs().square().sum() / 2)
        assert torch.allclose(g.grad(x, space)[i].flatten(), D.mH @ D @ away)
        moved = torch.linalg.solve(torch.eye(len(away), dtype=dtype) + float(t[i]) * D.mH @ D, away)
        expected = moved if x0 is None else moved + x0.flatten()
        assert torch.allclose(z[i].flatten(), expected, atol=1e-10)
    assert torch.equal(g.prox(x, 0.0, space), x) or torch.allclose(g.prox(x, 0.0, space), x, atol=1e-14)


@pytest.mark.parametrize("centered", [False, True])
def test_solvers_reach_the_solution_of_the_normal_equations(centered):
    A = Matrix(normal(6, 6, seed=1) + 3 * torch.eye(6, dtype=F64))
    L = Differences((6,), spatial_dims=1)
    x0 = normal(6, seed=2) if centered else torch.zeros(6, dtype=F64)
    g = Quadratic(L, center=x0 if centered else None)
    y = normal(6, seed=3)
    D, M = L.dense(dtype=F64), A.matrix
    exact = torch.linalg.solve(M.T @ M + 0.8 * D.T @ D, M.T @ y + 0.8 * D.T @ D @ x0)
    for solver in (
        FISTA(prior=g, weight=0.8, rtol=1e-10, max_steps=20000),
        ADMM(prior=g, weight=0.8, rtol=1e-10, max_steps=20000),
        ChambollePock(prior=g, weight=0.8, rtol=1e-11, max_steps=50000),
    ):
        assert torch.allclose(solver(y, Physics(A)), exact, atol=1e-6), type(solver).__name__


def test_derivatives_go_through_the_prox():
    L = Differences((5,), spatial_dims=1)
    g = Quadratic(L, center=normal(5, seed=1), rtol=1e-14)
    x = normal(5).requires_grad_()
    t = torch.tensor(0.7, dtype=F64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda v, s: g.prox(v, s, L.domain), (x, t), atol=1e-6)


@pytest.mark.parametrize("rule", ["sure", "gcv", "discrepancy", "lcurve"])
def test_a_rule_can_be_named(rule):
    physics = Physics(Matrix(normal(30, 20, seed=1)), GaussianNoise(sigma=0.5))
    y = physics(normal(20, seed=2), generator=torch.Generator().manual_seed(3))
    expected = ridge_weight(y, physics, rule).weight
    assert torch.equal(Tikhonov(rule=rule).suggested_weight(y, physics).value, expected)
    found = FISTA(prior=Tikhonov(rule=rule), rtol=1e-9, max_steps=5000)(y, physics)
    M = physics.operator.matrix
    exact = torch.linalg.solve(M.T @ M / 0.25 + expected * torch.eye(20, dtype=F64), M.T @ y / 0.25)
    assert torch.allclose(found, exact, atol=1e-5)


def test_errors():
    L = Differences((5,), spatial_dims=1)
    with pytest.raises(ParameterError, match="rule"):
        Tikhonov(rule="best")
    with pytest.raises(ParameterError, match="LinearOperator"):
        Quadratic(3)
    with pytest.raises(ShapeError, match="center"):
        Quadratic(L, center=normal(4))
    with pytest.raises(ShapeError, match="x"):
        Quadratic(L).value(normal(4))
    with pytest.raises(ParameterError, match="finite number >= 0"):
        Quadratic(L).prox(normal(5), -1.0)
    with pytest.raises(ParameterError, match="Tikhonov"):
        ConjugateGradient(prior=Quadratic(L))
