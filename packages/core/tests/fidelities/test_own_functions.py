"""Fidelities, noises and priors of one's own functions, behind operators and for blocks."""

import warnings

import pytest
import torch
from scipy.optimize import minimize

from invcore import ConvergenceWarning, ParameterError, Physics, ShapeError
from invcore.fidelities import (
    L1,
    BlockFidelity,
    Box,
    Composed,
    FunctionFidelity,
    Huber,
    LeastSquares,
    PoissonKL,
)
from invcore.noises import BlockNoise, FunctionNoise, GaussianNoise, LaplaceNoise, NoNoise
from invcore.operators import Identity, Matrix, Space, stack
from invcore.priors import FunctionPrior, Tikhonov
from invcore.solvers import ADMM, LBFGS, ChambollePock, CondatVu
from invcore_testsupport import error, normal, physics_of, rng

F64 = torch.float64


def huber(u, y):
    r = (u - y).abs()
    return torch.where(r <= 0.5, r**2 / 2, 0.5 * r - 0.125).sum()


def quadratic(x):
    return x.abs().square().sum() / 2


def test_function_fidelity_is_the_one_built_in():
    u, y, space = normal(3, 2, 4), normal(3, 2, 4, seed=1), Space((2, 4))
    own, known = FunctionFidelity(huber, rtol=1e-9), Huber(delta=0.5)
    steps = torch.tensor([0.1, 1.0, 30.0], dtype=F64)
    assert error(own.value(u, y, space), known.value(u, y, space)) < 1e-14
    assert error(own.grad(u, y, space), known.grad(u, y, space)) < 1e-14
    assert error(own.prox(u, y, steps, space), known.prox(u, y, steps, space)) < 1e-8


@pytest.mark.parametrize("dtype", [torch.float32, F64, torch.complex128])
def test_function_prior_reaches_its_stated_accuracy(dtype):
    x, g = normal(2, 1, 6, dtype=dtype), FunctionPrior(quadratic, rtol=1e-5)
    assert error(g.prox(x, 3.0, Space((1, 6), "complex" if x.is_complex() else "real")), x / 4) < 2e-5


def test_function_with_kinks_says_that_its_accuracy_is_not_reached():
    with pytest.warns(ConvergenceWarning, match="kinks"):
        FunctionPrior(lambda x: x.abs().sum(), max_steps=20).prox(torch.tensor([3.0, 0.2]), 1.0)


def test_gradient_of_a_function_is_differentiable_again():
    x = normal(5).requires_grad_()
    (second,) = torch.autograd.grad(FunctionPrior(lambda v: (v**3).sum()).grad(x).sum(), x)
    assert error(second, 6 * x.detach()) < 1e-14


def test_prox_of_a_function_refuses_derivatives_and_values_that_are_no_numbers():
    x = normal(5).requires_grad_()
    with pytest.raises(ParameterError, match="no derivatives"):
        FunctionPrior(quadratic).prox(x, 1.0)
    with pytest.raises(ParameterError, match="one real number"):
        FunctionPrior(lambda v: v).value(x)
    with pytest.raises(ParameterError, match="not finite"):
        FunctionPrior(lambda v: v.log().sum()).prox(-torch.ones(2), 1.0)


@pytest.mark.parametrize("solver", [LBFGS, CondatVu, ChambollePock, ADMM])
def test_solvers_take_functions_for_what_they_are(solver):
    M, y = normal(8, 5, seed=1), normal(8, seed=2)
    options = {"weight": 0.7, "rtol": 1e-6}
    own = solver(prior=FunctionPrior(quadratic), fidelity=FunctionFidelity(huber, constant=1.0), **options)(
        y, physics_of(M)
    )
    known = solver(prior=Tikhonov(), fidelity=Huber(delta=0.5), **options)(y, physics_of(M))
    assert error(own, known) < 1e-4


@pytest.mark.parametrize(
    "f", [LeastSquares(sigma=0.5), L1(scale=2.0), Huber(delta=0.4), FunctionFidelity(huber)]
)
def test_prox_behind_an_operator_is_the_minimizer(f):
    A, y, u, t = normal(4, 6, seed=1), normal(4, seed=2), normal(6, seed=3), 0.7
    z = Composed(f, Matrix(A), rtol=1e-12).prox(u, y, t)
    if isinstance(f, L1):
        p = torch.linalg.lstsq(A.T, (u - z)[:, None]).solution[:, 0] / t  # z = u - t Aᵀp, p ∈ ∂f(Az)
        r = A @ z - y
        assert error(z, u - t * A.T @ p) < 1e-9 and float(p.abs().max()) <= 0.5 + 1e-6
        assert torch.allclose(p[r.abs() > 1e-6], 0.5 * r.sign()[r.abs() > 1e-6], atol=1e-6)
        return

    def objective(v):
        v = torch.as_tensor(v).requires_grad_()
        value = f.value(A @ v, y) + (v - u).square().sum() / (2 * t)
        return float(value.detach()), torch.autograd.grad(value, v)[0].numpy()

    found = minimize(objective, u.numpy(), jac=True, method="BFGS", options={"gtol": 1e-10})
    assert error(z, torch.as_tensor(found.x)) < 1e-6


def test_composed_has_value_gradient_and_a_reason_where_it_has_no_prox():
    A, y, u = normal(4, 6, seed=1), normal(4, seed=2), normal(6, seed=3)
    f = Composed(Huber(delta=0.4), Matrix(A))
    assert error(f.grad(u, y), A.T @ Huber(delta=0.4).grad(A @ u, y)) < 1e-14
    with pytest.raises(ParameterError, match="'chambolle_pock' or 'admm'"):
        Composed(Box(radius=1.0), Matrix(A)).prox(u, y, 1.0)


def test_blocks_add_up_and_have_their_own_noise():
    u, y = (normal(2), normal(3, seed=1).abs()), (normal(2, seed=2), normal(3, seed=3).abs())
    f = BlockFidelity((LeastSquares(sigma=0.5), PoissonKL()))
    assert (
        error(f.value(u, y), LeastSquares(sigma=0.5).value(u[0], y[0]) + PoissonKL().value(u[1], y[1]))
        < 1e-14
    )
    for name, args in (("grad", ()), ("prox", (0.3,)), ("prox_conjugate", (0.3,))):
        parts = [getattr(p, name)(a, b, *args) for p, a, b in zip(f.parts, u, y)]
        assert all(torch.equal(a, b) for a, b in zip(getattr(f, name)(u, y, *args), parts))
    assert (
        BlockFidelity((LeastSquares(sigma=0.5), Huber(delta=1.0))).lipschitz() == 4 and f.lipschitz() is None
    )


def test_noise_of_blocks_is_that_of_each_however_the_batch_is_split():
    A = stack([Identity((200,)), Identity((200,))])
    physics = Physics(A, BlockNoise((GaussianNoise(sigma=0.1), LaplaceNoise(scale=2.0))))
    x = torch.zeros(3, 200, dtype=F64)
    together, g = physics(x, generator=rng(1)), rng(1)
    apart = [torch.cat(parts) for parts in zip(*(physics(x[i : i + 1], generator=g) for i in range(3)))]
    assert all(torch.equal(a, b) for a, b in zip(together, apart))
    assert abs(float(together[0].std()) - 0.1) < 0.01 and abs(float(together[1].abs().mean()) - 2) < 0.3
    assert not BlockNoise((NoNoise(),)).random
    with pytest.raises(ShapeError, match="as many blocks"):
        Physics(Identity((2,)), physics.noise)(torch.ones(2), generator=rng())


def test_noise_from_a_function_has_a_likelihood_if_it_is_told():
    def doubled(y, generator):
        return y + 2 * torch.randn(y.shape, generator=generator, dtype=y.dtype)

    space, g = Space((4,)), rng(3)
    y = FunctionNoise(doubled)(torch.zeros(2, 4), space=space, generator=rng(3))
    assert torch.equal(y, torch.stack([doubled(torch.zeros(4), g) for _ in range(2)]))
    assert isinstance(FunctionNoise(doubled, LeastSquares(sigma=2.0)).likelihood(), LeastSquares)
    with pytest.raises(ParameterError, match="pass a fidelity"):
        FunctionNoise(doubled).likelihood()
    with pytest.raises(ParameterError, match="must return data of shape"):
        FunctionNoise(lambda y, generator: y[1:])(torch.zeros(4), generator=rng())


def test_a_solver_with_a_function_reaches_the_end_without_warnings():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = ChambollePock(prior=FunctionPrior(quadratic), weight=1.0)(torch.ones(3), Physics(Identity((3,))))
    assert error(x, torch.full((3,), 0.5)) < 1e-4
