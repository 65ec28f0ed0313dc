"""Solvers against closed forms, dense solves, optimality conditions and finite differences."""

import math
import pickle
import subprocess
import sys

import pytest
import torch
from torch import Tensor
from torch.autograd import gradcheck, gradgradcheck

from invcore import (
    ConvergenceWarning,
    DataError,
    DtypeError,
    ParameterError,
    Physics,
    ShapeError,
    SolverError,
)
from invcore.fidelities import LeastSquares
from invcore.noises import GaussianNoise, NoNoise
from invcore.operators import Identity, LinearOperator, Mask, Matrix, Operator, Space, block_diag, stack
from invcore.priors import L1, Tikhonov, WaveletL1
from invcore.solvers import FISTA, ConjugateGradient, Problem, Status, ridge_solution, ridge_weight

F64, C128 = torch.float64, torch.complex128


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, dtype=F64, seed=0):
    return torch.randn(shape, dtype=dtype, generator=rng(seed))


def physics_of(matrix, sigma=None):
    noise = NoNoise() if sigma is None else GaussianNoise(sigma=sigma)
    return Physics(operator=Matrix(matrix=matrix), noise=noise)


def per_matrix(matrices, y, shift):
    """Dense Tikhonov solutions, one per item."""
    n = matrices.shape[-1]
    gram = matrices.mH @ matrices + torch.as_tensor(shift, dtype=F64).reshape(-1, 1, 1) * torch.eye(
        n, dtype=matrices.dtype
    )
    return torch.linalg.solve(gram, (matrices.mH @ y.unsqueeze(-1)))[..., 0]


def error(a, b):
    return float(torch.linalg.vector_norm(a - b) / torch.linalg.vector_norm(b).clamp_min(1e-300))


# -- conjugate gradient -----------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("shape", [(9, 6), (5, 8)])
def test_cg_is_the_dense_solution(dtype, shape):
    A, y = normal(3, *shape, dtype=dtype), normal(3, shape[0], dtype=dtype, seed=1)
    sigma, weight = torch.tensor([0.5, 1.0, 2.0], dtype=F64), torch.tensor([0.3, 1.0, 4.0], dtype=F64)
    x = ConjugateGradient(weight=weight, rtol=1e-13)(y, physics_of(A, sigma))
    assert error(x, per_matrix(A, y, weight * sigma**2)) < 1e-11


def test_cg_on_stacked_data():
    a, b = normal(5, 4), normal(3, 4, seed=1)
    y = normal(2, 5, seed=2), normal(2, 3, seed=3)
    physics = Physics(operator=stack([Matrix(matrix=a), Matrix(matrix=b)]))
    x = ConjugateGradient(weight=0.7, rtol=1e-13)(y, physics)
    assert error(x, per_matrix(torch.cat([a, b]), torch.cat(y, -1), 0.7)) < 1e-11


def test_cg_on_several_unknowns():
    a, b = normal(5, 4), normal(4, 3, seed=1)
    y = normal(5, seed=2), normal(4, seed=3)
    x = ConjugateGradient(weight=0.7, rtol=1e-13)(
        y, Physics(operator=block_diag([Matrix(matrix=a), Matrix(matrix=b)]))
    )
    assert error(x[0], per_matrix(a, y[0], 0.7)[0]) < 1e-11
    assert error(x[1], per_matrix(b, y[1], 0.7)[0]) < 1e-11


def test_cg_takes_as_many_steps_as_there_are_eigenvalues():
    physics = Physics(operator=Mask(mask=torch.tensor([1.0, 1, 2, 2, 3, 3], dtype=F64), domain=Space((6,))))
    solution = ConjugateGradient(weight=0.1, rtol=1e-12).solve(normal(6), physics)
    assert solution.status is Status.CONVERGED and int(solution.stats["steps"]) == 3


def test_cg_stops_at_the_residual_it_promises():
    A, y = normal(30, 20), normal(30, seed=1)
    for rtol in (1e-2, 1e-5):
        x = ConjugateGradient(weight=0.1, rtol=rtol)(y, physics_of(A))
        residual = A.T @ y - (A.T @ (A @ x) + 0.1 * x)
        assert residual.norm() <= 1.0001 * rtol * (A.T @ y).norm()


def test_cg_from_a_starting_point():
    A, y = normal(9, 6), normal(9, seed=1)
    solver = ConjugateGradient(weight=0.5, rtol=1e-10)
    x = solver(y, physics_of(A))
    again = solver.solve(y, physics_of(A), x0=x)
    assert int(again.stats["steps"]) == 0 and torch.equal(again.value, x)
    far = solver.solve(y, physics_of(A), x0=normal(6, seed=5))
    assert error(far.value, x) < 1e-8


def test_cg_refuses_what_is_not_quadratic():
    with pytest.raises(ParameterError, match=r"Tikhonov\(\), not L1.*fista"):
        ConjugateGradient(prior=L1())

    class Cubic(Operator):
        domain: Space

        @property
        def range(self):
            return self.domain

        def forward(self, x):
            return x**3

    with pytest.raises(ParameterError, match="Cubic is not linear"):
        ConjugateGradient(weight=1.0)(torch.ones(2), Physics(operator=Cubic(domain=Space((2,)))))


# -- FISTA ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F64, C128])
def test_fista_with_an_orthogonal_operator_is_soft_thresholding(dtype):
    q = torch.linalg.qr(normal(8, 8, dtype=dtype)).Q
    y = 2 * normal(4, 8, dtype=dtype, seed=1)
    sigma, weight = torch.tensor([0.5, 1, 1, 2], dtype=F64), torch.tensor([0.5, 0.1, 2, 0.3], dtype=F64)
    x = FISTA(prior=L1(), weight=weight, rtol=1e-14, max_steps=500)(y, physics_of(q, sigma))
    b, t = (q.mH @ y.unsqueeze(-1))[..., 0], (weight * sigma**2).unsqueeze(-1)
    assert error(x, b / b.abs() * (b.abs() - t).clamp_min(0)) < 1e-10


def test_fista_with_a_diagonal_operator():
    d, y = torch.tensor([0.5, 1.0, 2.0, -3.0], dtype=F64), torch.tensor([4.0, -1.0, 0.2, 3.0], dtype=F64)
    physics = Physics(operator=Mask(mask=d, domain=Space((4,))))
    x = FISTA(prior=L1(), weight=0.8, rtol=1e-15, max_steps=2000)(y, physics)
    b = d * y
    assert torch.allclose(x, b.sign() * (b.abs() - 0.8).clamp_min(0) / d**2, atol=1e-10)


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("restart", [True, False])
def test_fista_meets_the_optimality_conditions(dtype, restart):
    A, y = normal(12, 20, dtype=dtype), normal(12, dtype=dtype, seed=1)
    weight = 2.0
    x = FISTA(prior=L1(), weight=weight, rtol=1e-13, max_steps=20000, restart=restart)(y, physics_of(A))
    dual = A.mH @ (y - A @ x) / weight  # in the subdifferential of the l1 norm at x
    on = x.abs() > 1e-8
    assert 0 < int(on.sum()) < 12
    assert torch.allclose(dual[on], x[on] / x[on].abs(), atol=1e-6)
    assert float(dual[~on].abs().max()) <= 1 + 1e-6


def test_fista_agrees_with_a_general_optimizer():
    optimize = pytest.importorskip("scipy.optimize")
    A, y, weight = normal(12, 8), normal(12, seed=1), 1.5

    def split(z):  # x = p - q with p, q >= 0
        p, q = torch.from_numpy(z).split(8)
        r = A @ (p - q) - y
        g = A.T @ r
        value = 0.5 * r @ r + weight * (p + q).sum()
        return float(value), torch.cat([g + weight, weight - g]).numpy()

    best = optimize.minimize(
        split,
        torch.ones(16, dtype=F64).numpy(),
        jac=True,
        bounds=[(0, None)] * 16,
        options={"ftol": 1e-15, "gtol": 1e-10},
    )
    x = FISTA(prior=L1(), weight=weight, rtol=1e-13, max_steps=5000)(y, physics_of(A))
    assert error(x, torch.from_numpy(best.x[:8] - best.x[8:])) < 1e-5


def test_fista_with_a_quadratic_prior_or_none_agrees_with_dense_solves():
    A, y = normal(9, 6), normal(9, seed=1)
    x = FISTA(prior=Tikhonov(), weight=0.7, rtol=1e-14, max_steps=5000)(y, physics_of(A, 0.5))
    assert error(x, per_matrix(A, y, 0.7 * 0.25)[0]) < 1e-8
    x = FISTA(rtol=1e-14, max_steps=20000)(y, physics_of(A))
    assert error(x, torch.linalg.lstsq(A, y.unsqueeze(-1)).solution[:, 0]) < 1e-7


def test_fista_with_wavelets_denoises_to_the_proximal_operator():
    y, prior = normal(1, 16, 16), WaveletL1(random_shifts=False, levels=2)
    x = FISTA(prior=prior, weight=0.6, rtol=1e-14)(y, Physics(operator=Identity(domain=Space((1, 16, 16)))))
    assert error(x, prior.prox(y, 0.6)) < 1e-12


def test_fista_with_wavelets_meets_the_optimality_conditions():
    """x is a fixed point of the proximal gradient step of any size."""
    mask = (torch.rand(16, 16, generator=rng(2)) > 0.4).to(F64)
    physics = Physics(operator=Mask(mask=mask, domain=Space((1, 16, 16))))
    prior, y = WaveletL1(random_shifts=False, levels=2), mask * normal(1, 16, 16)
    x = FISTA(prior=prior, weight=0.3, rtol=1e-12, max_steps=5000)(y, physics)
    for step in (0.3, 1.7):
        assert error(prior.prox(x - step * (mask * x - y), 0.3 * step), x) < 1e-8


def test_random_shifts_converge_and_are_better_than_none():
    """Inpainting of a disc: the average over shifts has no block artefacts."""
    i = torch.arange(32, dtype=F64) - 15.3
    truth = ((i[:, None] ** 2 + i**2) < 90).to(F64).unsqueeze(0)
    y = truth + 0.3 * normal(1, 32, 32)
    physics = Physics(operator=Identity(domain=Space((1, 32, 32))), noise=GaussianNoise(sigma=0.3))
    errors = {}
    for shifts in (True, False):
        prior = WaveletL1(wavelet="haar", random_shifts=shifts)
        solution = FISTA(prior=prior, weight=6.0, max_steps=200, rtol=5e-3).solve(y, physics)
        assert solution.status is Status.CONVERGED
        errors[shifts] = error(solution.value, truth)
    assert errors[True] < 0.8 * errors[False]


def test_restart_converges_in_fewer_steps_on_an_ill_conditioned_problem():
    u, v = (torch.linalg.qr(normal(30, 30, seed=s)).Q for s in (0, 1))
    A = u @ torch.diag(torch.logspace(0, -2, 30, dtype=F64)) @ v
    y = A @ normal(30, seed=3)
    steps = {
        restart: int(
            FISTA(rtol=1e-9, max_steps=20000, restart=restart).solve(y, physics_of(A)).stats["steps"]
        )
        for restart in (True, False)
    }
    assert steps[True] < 0.7 * steps[False]


def test_objective_reaches_its_minimum_and_is_recorded():
    A, y = normal(12, 8), normal(2, 12, seed=1)
    solution = FISTA(prior=L1(), weight=1.0, max_steps=50, rtol=0.0).solve(
        y, physics_of(A), record_objective=True
    )
    recorded = solution.stats["objective"]
    assert recorded.shape == (50, 2) and solution.stats["change"].shape == (50, 2)
    x = solution.value
    by_hand = 0.5 * ((x @ A.T - y) ** 2).sum(-1) + x.abs().sum(-1)
    assert torch.allclose(recorded[-1], by_hand, rtol=1e-12)
    assert bool((recorded[0] > recorded[-1]).all())


def test_fista_says_that_it_wants_a_single_image():
    both = block_diag([Matrix(matrix=normal(2, 2)), Matrix(matrix=normal(2, 2))])
    with pytest.raises(ParameterError, match="single image.*2 blocks"):
        FISTA(weight=1.0)((normal(2), normal(2)), Physics(operator=both))


# -- batches ----------------------------------------------------------------------------------------

SOLVERS = {
    "cg": ConjugateGradient(weight=0.2, rtol=1e-6),
    "cg auto": ConjugateGradient(rtol=1e-6),
    "fista": FISTA(prior=L1(), weight=0.5, rtol=1e-6, max_steps=2000),
    "fista auto": FISTA(prior=L1(), rtol=1e-6, max_steps=2000),
    "fista none": FISTA(rtol=1e-5, max_steps=2000),
}


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("batched", ["y", "operator", "both"])
def test_batch_equals_loop(name, batched):
    solver = SOLVERS[name]
    A = normal(4, 10, 6) if batched != "y" else normal(10, 6)
    y = normal(4, 10, seed=1) if batched != "operator" else normal(10, seed=1)
    y, sigma = y * torch.tensor([1.0, 3, 0.1, 2], dtype=F64)[:, None] if batched != "operator" else y, 0.3
    together = solver.solve(y, physics_of(A, sigma))
    assert together.value.shape == (4, 6) and together.stats["steps"].shape == (4,)
    for i in range(4):
        one = solver.solve(
            y[i] if batched != "operator" else y, physics_of(A[i] if batched != "y" else A, sigma)
        )
        assert error(together.value[i], one.value) < 1e-12
        assert int(together.stats["steps"][i]) == int(one.stats["steps"])


@pytest.mark.parametrize("name", SOLVERS)
def test_a_batch_mate_changes_nothing(name):
    A, y = normal(10, 6), normal(3, 10, seed=1)
    other = y.clone()
    other[1] = 1e6 * normal(10, seed=7)
    other[2] = 0
    a, b = (SOLVERS[name].solve(v, physics_of(A, 0.3)) for v in (y, other))
    assert error(b.value[0], a.value[0]) < 1e-12
    assert int(a.stats["steps"][0]) == int(b.stats["steps"][0])
    assert float(b.value[2].abs().max()) == 0


def test_each_sample_stops_by_itself():
    """Eigenvectors need one step; others go on, and what has stopped stays."""
    d = torch.tensor([1.0, 2, 3, 4, 5], dtype=F64)
    physics = Physics(operator=Mask(mask=d, domain=Space((5,))))
    y = torch.stack([torch.eye(5, dtype=F64)[2], torch.ones(5, dtype=F64), torch.zeros(5, dtype=F64)])
    solution = ConjugateGradient(weight=0.0, rtol=1e-10).solve(y, physics)
    assert solution.stats["steps"].tolist() == [1, 5, 0]
    seen = []
    fista = FISTA(prior=L1(), weight=0.1, rtol=1e-6, max_steps=500)
    solution = fista.solve(
        y, physics, callback=lambda k, problem, state: seen.append(state.x[0].clone()) and False
    )
    k = int(solution.stats["steps"][0])
    assert k < int(solution.stats["steps"][1])
    assert all(torch.equal(x, seen[k - 1]) for x in seen[k:])


def test_one_weight_or_noise_level_per_sample():
    A, y = normal(10, 6), normal(10, seed=1)
    weights = torch.tensor([0.1, 1.0, 5.0], dtype=F64)
    for solver in (
        lambda w: ConjugateGradient(weight=w, rtol=1e-12),
        lambda w: FISTA(prior=L1(), weight=w, rtol=1e-12, max_steps=5000),
    ):
        x = solver(weights)(y, physics_of(A))  # y has no batch dimension: the weights bring it
        assert x.shape == (3, 6)
        for i in range(3):
            assert error(x[i], solver(float(weights[i]))(y, physics_of(A))) < 1e-9
        x = solver(1.0)(y, physics_of(A, weights))
        for i in range(3):
            assert error(x[i], solver(1.0)(y, physics_of(A, float(weights[i])))) < 1e-9


def test_an_empty_batch():
    for solver in SOLVERS.values():
        assert solver(torch.zeros(0, 10, dtype=F64), physics_of(normal(10, 6), 0.3)).shape == (0, 6)


# -- scale ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex64])
@pytest.mark.parametrize("s", [1e-8, 1e-6, 1e-3, 1e3, 1e6, 1e8])
def test_units_of_operator_and_data_do_not_matter(s, dtype):
    """(sA, sy) has the solution of (A, y) when the weight grows with s²; in single precision."""
    A, y = normal(12, 8, dtype=dtype), normal(12, dtype=dtype, seed=1)
    for make in (
        lambda w: ConjugateGradient(weight=w, rtol=1e-5),
        lambda w: FISTA(prior=L1(), weight=w, rtol=1e-5, max_steps=2000),
        lambda w: FISTA(prior=L1(), rtol=1e-5, max_steps=2000),  # automatic
        lambda w: ConjugateGradient(rtol=1e-5),
    ):
        here = make(0.5)(y, physics_of(A, 0.3))
        there = make(0.5)(s * y, physics_of(s * A, 0.3 * s))  # the noise level carries the scale
        assert error(there, here) < 1e-3
        noiseless = make(0.5 * s**2).solve(s * y, physics_of(s * A))
        assert error(noiseless.value, make(0.5)(y, physics_of(A))) < 1e-3
        assert noiseless.status is Status.CONVERGED


@pytest.mark.parametrize("s", [1e-12, 1e-6, 1e6, 1e12])
def test_units_of_the_data_alone_do_not_matter(s):
    A, y = normal(12, 8, dtype=torch.float32), normal(12, dtype=torch.float32, seed=1)
    solver = ConjugateGradient(weight=0.5, rtol=1e-5)
    assert error(solver(s * y, physics_of(A)) / s, solver(y, physics_of(A))) < 1e-4
    solver = FISTA(rtol=1e-5, max_steps=2000)
    assert error(solver(s * y, physics_of(A)) / s, solver(y, physics_of(A))) < 1e-3


def test_an_operator_that_is_zero_gives_zero():
    physics = Physics(operator=Mask(mask=torch.zeros(4), domain=Space((4,))))
    for solver in (
        FISTA(prior=L1(), weight=1.0),
        FISTA(prior=L1()),
        ConjugateGradient(),
        ConjugateGradient(weight=0.0),
    ):
        for y in (torch.zeros(4), torch.ones(4)):
            assert torch.equal(solver(y, physics), torch.zeros(4))


# -- derivatives ------------------------------------------------------------------------------------


def solve_for(kind, differentiate, y, matrix, weight, sigma):
    physics = physics_of(matrix, sigma)
    if kind == "cg":
        solver = ConjugateGradient(weight=weight, rtol=1e-13, max_steps=60)
    else:
        prior = L1() if kind == "fista l1" else Tikhonov()
        solver = FISTA(prior=prior, weight=weight, rtol=1e-14, max_steps=4000)
    return solver.solve(y, physics, differentiate=differentiate).value


def arguments(dtype=F64):
    weight, sigma = torch.tensor([0.5, 1.0], dtype=F64), torch.tensor([0.7, 1.0], dtype=F64)
    inputs = normal(2, 8, dtype=dtype, seed=1), normal(2, 8, 5, dtype=dtype), weight, sigma
    return [t.requires_grad_() for t in inputs]


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("kind", ["cg", "fista l1", "fista tikhonov"])
def test_implicit_unrolled_and_finite_differences_agree(kind, dtype):
    """The gradient to the data, the operator's parameter, the weight and the noise level, one of each per sample."""
    inputs = arguments(dtype)
    c = normal(2, 5, dtype=dtype, seed=9)

    def loss(differentiate, *values):
        return (solve_for(kind, differentiate, *values) * c).real.sum()

    implicit = torch.autograd.grad(loss("implicit", *inputs), inputs)
    unrolled = torch.autograd.grad(loss("unroll", *inputs), inputs)
    for i, (a, b) in enumerate(zip(implicit, unrolled)):
        assert error(a, b) < 1e-8
        direction = normal(*inputs[i].shape, dtype=inputs[i].dtype, seed=20 + i)
        ends = []
        for sign in (1, -1):
            moved = [t.detach() for t in inputs]
            moved[i] = moved[i] + sign * 1e-5 * direction
            ends.append(loss("none", *moved))
        slope = float(ends[0] - ends[1]) / 2e-5
        assert math.isclose(float((a.conj() * direction).real.sum()), slope, rel_tol=1e-5, abs_tol=1e-7)


@pytest.mark.parametrize("dtype", [F64, C128])
def test_second_derivatives_of_conjugate_gradient(dtype):
    inputs = arguments(dtype)
    assert gradcheck(lambda *a: solve_for("cg", "implicit", *a), inputs, atol=1e-5)
    assert gradgradcheck(lambda *a: solve_for("cg", "implicit", *a), inputs, atol=1e-4)


def test_implicit_derivatives_of_stacked_data():
    a, b = normal(5, 4).requires_grad_(), normal(3, 4, seed=1)
    y = normal(5, seed=2).requires_grad_(), normal(3, seed=3).requires_grad_()

    def solve(differentiate):
        physics = Physics(operator=stack([Matrix(matrix=a), Matrix(matrix=b)]))
        solver = ConjugateGradient(weight=0.7, rtol=1e-13)
        return solver.solve(y, physics, differentiate=differentiate).value.square().sum()

    for implicit, unrolled in zip(
        torch.autograd.grad(solve("implicit"), (a, *y)), torch.autograd.grad(solve("unroll"), (a, *y))
    ):
        assert error(implicit, unrolled) < 1e-9


def test_fista_derivatives_reach_all_blocks_of_the_data():
    a, b = normal(5, 4), normal(3, 4, seed=1)
    y = normal(5, seed=2).requires_grad_(), normal(3, seed=3).requires_grad_()
    physics = Physics(operator=stack([Matrix(matrix=a), Matrix(matrix=b)]))
    solver = FISTA(prior=L1(), weight=0.1, rtol=1e-14, max_steps=4000)
    gradients = {
        how: torch.autograd.grad(solver.solve(y, physics, differentiate=how).value.square().sum(), y)
        for how in ("implicit", "unroll")
    }
    for implicit, unrolled in zip(*gradients.values()):
        assert error(implicit, unrolled) < 1e-8


def test_implicit_derivative_needs_a_fixed_point():
    physics = Physics(operator=Identity(domain=Space((1, 8, 8))))
    y = normal(1, 8, 8).requires_grad_()
    solver = FISTA(prior=WaveletL1(wavelet="haar"), weight=0.1, rtol=0.05)
    with pytest.raises(SolverError, match="unroll.*random_shifts=False"):
        solver.solve(y, physics, differentiate="implicit").value.sum().backward()
    solver.solve(y, physics, differentiate="unroll").value.sum().backward()
    assert bool(torch.isfinite(y.grad).all())


def test_implicit_derivative_of_an_unconverged_solve_warns():
    y = normal(8).requires_grad_()
    with pytest.warns(ConvergenceWarning, match="FISTA did not converge.*raise max_steps"):
        FISTA(weight=0.0, max_steps=2, rtol=1e-9).solve(y, physics_of(normal(8, 5)), differentiate="implicit")


def saved_bytes(solver, y, physics, differentiate):
    """Bytes that autograd keeps for the backward pass, and the steps that were taken."""
    kept = {}

    def pack(t):
        kept[t.data_ptr(), t.shape] = t.numel() * t.element_size()
        return t

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        solution = solver.solve(y, physics, differentiate=differentiate)
    return sum(kept.values()), int(solution.stats["steps"].max())


@pytest.mark.parametrize(
    "make",
    [
        lambda rtol: ConjugateGradient(weight=1e-6, rtol=rtol, max_steps=500),
        lambda rtol: FISTA(prior=L1(), weight=1e-2, rtol=rtol, max_steps=5000),
    ],
    ids=["cg", "fista"],
)
def test_memory_of_implicit_derivatives_does_not_grow_with_the_steps(make):
    A, y = normal(40, 30).requires_grad_(), normal(40, seed=1).requires_grad_()
    physics = physics_of(A)
    few, few_steps = saved_bytes(make(1e-2), y, physics, "implicit")
    many, many_steps = saved_bytes(make(1e-8), y, physics, "implicit")
    assert many_steps > 2 * few_steps
    assert many == few
    unrolled = [saved_bytes(make(rtol), y, physics, "unroll")[0] for rtol in (1e-2, 1e-8)]
    assert unrolled[1] > 1.3 * unrolled[0] and unrolled[1] > 2 * many


def test_no_graph_unless_asked():
    y = normal(8).requires_grad_()
    for solver in SOLVERS.values():
        assert not solver(y, physics_of(normal(8, 5), 0.1)).requires_grad
    with pytest.raises(ParameterError, match="'none', 'unroll' or 'implicit', got 'yes'"):
        ConjugateGradient().solve(y, physics_of(normal(8, 5)), differentiate="yes")


# -- automatic weight -------------------------------------------------------------------------------


def ill_posed(dtype=F64, sigma=0.05, seed=0):
    n = 40
    u, v = (torch.linalg.qr(normal(n, n, dtype=dtype, seed=seed + s)).Q for s in (1, 2))
    A = u @ torch.diag(torch.logspace(0, -3, n, dtype=F64).to(dtype)) @ v.mH
    clean = A @ (v @ (torch.linspace(2, 0.1, n, dtype=F64) * normal(n, dtype=dtype, seed=seed + 3)))
    noise = GaussianNoise(sigma=sigma)
    return A, noise(clean, generator=rng(seed + 4))


def scores(A, y, shifts, sigma=None, probe=None):
    """SURE, or GCV without a noise level, and the variance that goes with GCV, by the singular value decomposition.

    All in real degrees of freedom. With ``probe`` the trace is that of the quadratic form at the probe.
    """
    u, s, v = torch.linalg.svd(A, full_matrices=False)
    inside = u.mH @ y
    outside = (y.abs() ** 2).sum() - (inside.abs() ** 2).sum()
    per_entry = 2 if A.is_complex() else 1
    weight = torch.ones_like(s) if probe is None else (v @ probe).abs() ** 2 / probe.abs().square().mean()
    out, variance = [], []
    for shift in shifts:
        residual = ((shift / (s**2 + shift)) ** 2 * inside.abs() ** 2).sum() + outside
        freedom = per_entry * (weight * s**2 / (s**2 + shift)).sum()
        variance.append(residual / (per_entry * len(y) - freedom))
        out.append(
            residual + 2 * sigma**2 * freedom if sigma else residual / (per_entry * len(y) - freedom) ** 2
        )
    return torch.stack(out), torch.stack(variance)


@pytest.mark.parametrize("dtype", [F64, C128, torch.float32, torch.complex64])
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("seed", [0, 10, 20])
def test_automatic_weight_minimises_the_risk_estimate(dtype, known, seed):
    A, y = ill_posed(C128 if dtype.is_complex else F64, seed=seed)
    sigma = 0.05 if known else None
    found = ridge_weight(ConjugateGradient().problem(y.to(dtype), physics_of(A.to(dtype), sigma)))
    grid = torch.logspace(-7, 0.5, 76, dtype=F64) * float(torch.linalg.matrix_norm(A, 2)) ** 2
    n = A.shape[1]
    draw = torch.randn(2 * n if dtype.is_complex else n, generator=rng()).double()
    probe = torch.view_as_complex(draw.reshape(n, 2)) if dtype.is_complex else draw
    brute, _ = scores(A, y, grid, sigma, probe)
    here, spread = scores(A, y, found.shift.double().reshape(1), sigma, probe)
    single = dtype in (torch.float32, torch.complex64)
    # forty Lanczos steps do not resolve the smallest singular values, on which the cross-validation leans
    assert float(here[0] / brute.min()) < ((1.05 if single else 1.001) if known else 1.25)
    if known and not single:
        assert float(found.shift) == pytest.approx(
            float(grid[brute.argmin()]), rel=0.6
        )  # 2 cells of the grid
    assert float(found.weight) == pytest.approx(float(found.shift) * (400 if known else 1), rel=1e-5)
    assert float(found.variance) == pytest.approx(
        0.0025 if known else float(spread[0]), rel=1e-6 if known else 0.15
    )
    # one probe stands for the trace: little is lost
    exact = scores(A, y, found.shift.double().reshape(1), sigma)[0] / scores(A, y, grid, sigma)[0].min()
    assert float(exact[0]) < (1.15 if known else 1.3)


def test_automatic_weight_is_close_to_the_best_there_is():
    A, y = ill_posed()
    truth = torch.linalg.solve(A, ill_posed(sigma=0.0)[1])
    auto = error(A @ ConjugateGradient(rtol=1e-10, max_steps=1000)(y, physics_of(A, 0.05)), A @ truth)
    best = min(error(A @ per_matrix(A, y, s)[0], A @ truth) for s in torch.logspace(-7, 1, 60, dtype=F64))
    assert auto < 1.25 * best


def test_automatic_weight_belongs_to_the_noise_of_the_physics():
    """A fidelity of another scale changes the weight by that scale, and so not the solution."""
    A, y = normal(20, 10), normal(20, seed=1)
    own = FISTA(prior=L1(), rtol=1e-10, max_steps=5000)(y, physics_of(A, 0.2))
    scaled = FISTA(prior=L1(), fidelity=LeastSquares(sigma=3.0), rtol=1e-10, max_steps=5000)(
        y, physics_of(A, 0.2)
    )
    assert error(scaled, own) < 1e-6


def test_data_without_noise_are_treated_as_of_unknown_noise():
    A, y = ill_posed(sigma=0.0)
    small = 1e-3 * y
    zero = ridge_weight(ConjugateGradient().problem(small, physics_of(A, 0.0)))
    none = ridge_weight(ConjugateGradient().problem(small, physics_of(A)))
    assert torch.equal(zero.shift, none.shift)
    assert float(zero.variance) < 1e-6
    mixed = ridge_weight(
        ConjugateGradient().problem(
            torch.stack([small, small]), physics_of(A, torch.tensor([0.0, 0.1], dtype=F64))
        )
    )
    assert torch.allclose(mixed.shift[0], zero.shift) and float(mixed.variance[1]) == pytest.approx(0.01)


def test_laplace_weight_is_the_noise_over_the_mean_magnitude():
    A, y = normal(20, 10), normal(20, seed=1)
    problem = FISTA(prior=L1()).problem(y, physics_of(A, 0.2))
    x, factor = ridge_solution(problem)
    assert float(factor) == pytest.approx(1)
    assert float(problem.weight) == pytest.approx(1 / float(x.abs().mean()))
    assert torch.equal(problem.x0, x)


def test_automatic_weight_where_there_is_no_rule():
    class Poissonlike(LeastSquares.__mro__[1]):
        def value(self, u, y, space=None):
            return u.sum()

        def grad(self, u, y, space=None):
            return u

        def prox(self, u, y, step, space=None):
            return u

    with pytest.raises(ParameterError, match="least squares, not Poissonlike: pass weight=<number>"):
        FISTA(prior=L1(), fidelity=Poissonlike())(normal(8), physics_of(normal(8, 5)))
    with pytest.raises(ParameterError, match="no Lipschitz gradient"):
        FISTA(prior=L1(), fidelity=Poissonlike(), weight=1.0)(normal(8), physics_of(normal(8, 5)))


# -- the driver -------------------------------------------------------------------------------------


def test_statuses_and_their_messages():
    A, y = normal(30, 20), normal(30, seed=1)
    assert ConjugateGradient(weight=1.0).solve(y, physics_of(A)).status is Status.CONVERGED
    short = ConjugateGradient(weight=0.0, max_steps=2, rtol=1e-10).solve(y, physics_of(A))
    assert short.status is Status.MAX_STEPS and int(short.stats["steps"]) == 2
    assert "raise max_steps" in short.status.value
    assert repr(short) == "Solution(MAX_STEPS, steps=2)"
    none = ConjugateGradient(weight=0.0, max_steps=0).solve(y, physics_of(A))
    assert none.status is Status.MAX_STEPS and not none.value.any()
    for status in Status:
        assert status.value.endswith((".", ").")) and len(status.value) > 20


def test_a_callback_sees_every_step_and_stops():
    seen = []

    def callback(k, problem, state):
        assert isinstance(problem, Problem)
        seen.append((k, state))
        return k == 3

    solution = FISTA(prior=L1(), weight=0.1, rtol=0.0).solve(
        normal(8), physics_of(normal(8, 5)), callback=callback
    )
    assert [k for k, _ in seen] == [0, 1, 2, 3]
    assert solution.status is Status.STOPPED and int(solution.stats["steps"]) == 4
    assert torch.equal(solution.value, seen[-1][1].x)


@pytest.mark.parametrize("differentiate", ["none", "unroll"])
def test_progress_goes_to_standard_error_only(differentiate, capfd, recwarn):
    y = normal(2, 8).requires_grad_()
    for solver in (FISTA(prior=L1(), weight=0.1), ConjugateGradient(weight=0.1)):
        solver.solve(y, physics_of(normal(8, 5)), progress=True, differentiate=differentiate)
        out, err = capfd.readouterr()
        assert out == "" and type(solver).__name__ in err
    assert not recwarn
    FISTA(prior=L1(), weight=0.1).solve(normal(8), physics_of(normal(8, 5)))
    assert capfd.readouterr() == ("", "")


def test_nothing_global_is_touched():
    torch.manual_seed(1)
    before = torch.get_rng_state()
    FISTA(prior=WaveletL1(wavelet="haar"), max_steps=3)(
        normal(1, 8, 8), Physics(operator=Identity(domain=Space((1, 8, 8))))
    )
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.is_grad_enabled()


def test_same_seed_same_result():
    physics = Physics(operator=Identity(domain=Space((1, 16, 16))))
    solve = lambda seed: FISTA(prior=WaveletL1(seed=seed), weight=1.0, max_steps=10)(
        normal(1, 16, 16), physics
    )
    assert torch.equal(solve(3), solve(3))
    assert not torch.equal(solve(3), solve(4))


def test_data_that_are_not_finite_are_counted_and_located():
    y = normal(3, 8)
    y[1, 2] = math.nan
    y[2, 5] = -math.inf
    with pytest.raises(
        DataError, match=r"2 values that are NaN or infinite, of 24; the first is at index \(1, 2\)"
    ):
        ConjugateGradient(weight=1.0)(y, physics_of(normal(8, 5)))
    stacked = Physics(operator=stack([Matrix(matrix=normal(2, 3)), Matrix(matrix=normal(3, 3))]))
    with pytest.raises(DataError, match=r"1 values .* of 3; the first is at index \(0,\)"):
        FISTA(weight=1.0)((normal(2), torch.tensor([math.inf, 0, 0], dtype=F64)), stacked)
    with pytest.raises(DataError):
        ConjugateGradient(weight=1.0)(
            torch.tensor(complex(0, math.nan)).expand(3), physics_of(normal(3, 2, dtype=torch.complex64))
        )


class Overstated(LinearOperator):
    """Its norm bound is too small by a factor of four: gradient steps diverge."""

    domain: Space

    @property
    def range(self):
        return self.domain

    def forward(self, x):
        return 4 * x

    def adjoint(self, y):
        return 4 * y

    def norm_bound(self):
        return torch.ones(())


def test_divergence_is_an_error_that_names_the_cause():
    physics = Physics(operator=Overstated(domain=Space((3,))))
    with pytest.raises(SolverError, match=r"FISTA failed after \d+ steps.*norm_bound.*testing\.check"):
        FISTA(prior=L1(), weight=0.1, max_steps=1000)(torch.ones(3), physics)
    solution = FISTA(prior=L1(), weight=0.1, max_steps=1000).solve(torch.ones(3), physics, throw=False)
    assert solution.status is Status.NONFINITE
    assert int(solution.stats["steps"]) < 200


def test_wrong_data_are_refused():
    physics = physics_of(normal(8, 5))
    solver = ConjugateGradient(weight=1.0)
    with pytest.raises(
        ShapeError, match=r"ConjugateGradient: data y: expected shape \(batch..., 8\), got \(7,\)"
    ):
        solver(normal(7), physics)
    with pytest.raises(DtypeError, match="expected a real"):
        solver(normal(8, dtype=C128), physics)
    with pytest.raises(DtypeError, match="expected a real"):
        solver(torch.ones(8, dtype=torch.int64), physics)
    with pytest.raises(DtypeError, match="torch.as_tensor"):
        solver([1.0] * 8, physics)
    with pytest.raises(ShapeError, match="starting point x0"):
        solver.solve(normal(8), physics, x0=normal(4))
    with pytest.raises(ShapeError, match="tuple of 2 tensors"):
        solver(normal(8), Physics(operator=stack([physics.operator, physics.operator])))


def test_batches_that_do_not_fit():
    A, y = normal(8, 5), normal(4, 8)
    for solver, physics, x0 in (
        (ConjugateGradient(weight=torch.ones(3, dtype=F64)), physics_of(A), None),
        (FISTA(prior=L1(), weight=torch.ones(3, dtype=F64)), physics_of(A), None),
        (FISTA(prior=L1()), physics_of(A, torch.ones(3, dtype=F64)), None),
        (FISTA(prior=L1(), weight=1.0), physics_of(A.expand(3, 8, 5)), None),
        (FISTA(prior=L1(), weight=1.0), physics_of(A), normal(3, 5)),
        (ConjugateGradient(weight=1.0), physics_of(A), normal(3, 5)),
    ):
        with pytest.raises(ShapeError, match=r"batch dimensions do not broadcast: y \(4,\).*3"):
            solver.solve(y, physics, x0=x0)


def test_data_of_another_precision():
    physics = physics_of(normal(8, 5))
    for solver in (ConjugateGradient(), FISTA(prior=L1(), weight=1.0)):
        with pytest.raises(
            DtypeError, match=r"data is torch.float32, the physics torch.float64.*physics.to\(torch.float32"
        ):
            solver(normal(8).float(), physics)


def test_starting_points_bring_their_batch():
    A, y, x0 = normal(8, 5), normal(8), normal(3, 5, seed=2)
    for solver in (ConjugateGradient(weight=1.0, rtol=1e-10), FISTA(weight=1.0, rtol=1e-10, max_steps=5000)):
        x = solver.solve(y, physics_of(A), x0=x0).value
        assert x.shape == (3, 5)
        assert error(x, solver(y, physics_of(A)).expand(3, 5)) < 1e-6


def test_data_on_another_device():
    from invcore.testing._device import pretended_device

    physics = physics_of(normal(8, 5))
    with pretended_device() as far:
        y = normal(8).to(far)
        with pytest.raises(DataError, match=r"The data is on .*, the physics on cpu.*physics.to\("):
            ConjugateGradient(weight=1.0)(y, physics)
        assert ConjugateGradient(weight=1.0)(y, physics.to(far)).device == y.device


@pytest.mark.parametrize(
    "options, message",
    [
        ({"weight": "best"}, "weight must be 'auto' or finite and not negative, got 'best'"),
        ({"weight": -1.0}, "weight .* got -1.0"),
        ({"weight": math.nan}, "weight .* got nan"),
        ({"weight": math.inf}, "weight .* got inf"),
        ({"weight": torch.tensor([1.0, -1.0])}, "weight"),
        ({"max_steps": -1}, "max_steps must be a whole number >= 0, got -1"),
        ({"max_steps": 1.5}, "max_steps"),
        ({"rtol": -1e-3}, "rtol must be a finite number >= 0"),
        ({"rtol": math.nan}, "rtol"),
    ],
)
@pytest.mark.parametrize("make", [ConjugateGradient, FISTA])
def test_options_that_make_no_sense(make, options, message):
    with pytest.raises(ParameterError, match=f"{make.__name__}: {message}"):
        make(**options)(normal(8), physics_of(normal(8, 5)))


def test_solvers_are_values():
    solver = FISTA(prior=WaveletL1(seed=3), weight=torch.tensor([0.1, 0.2]))
    again = pickle.loads(pickle.dumps(solver))
    assert torch.equal(again.weight, solver.weight) and again.prior.seed == 3
    assert solver.bind(weight=0.5).weight == 0.5 and isinstance(solver.weight, Tensor)
    assert repr(ConjugateGradient(weight=1.0)).startswith(
        "ConjugateGradient(weight=1.0, max_steps=100, rtol=0.0001"
    )


def test_the_result_does_not_depend_on_the_number_of_threads():
    code = """if True:
        import sys, torch
        torch.set_num_threads(int(sys.argv[1]))
        from invcore import Physics
        from invcore.operators import Mask, Space
        from invcore.priors import WaveletL1
        from invcore.solvers import FISTA
        g = torch.Generator().manual_seed(0)
        mask = (torch.rand(64, 64, generator=g) > 0.5).float()
        y = mask * torch.randn(1, 64, 64, generator=g)
        x = FISTA(prior=WaveletL1(), weight=0.1, max_steps=20)(y, Physics(operator=Mask(mask=mask, domain=Space((1, 64, 64)))))
        torch.save(x, sys.argv[2])
    """
    import tempfile
    from pathlib import Path

    with tempfile.TemporaryDirectory() as folder:
        results = []
        for threads in (1, 2):
            path = Path(folder) / f"{threads}.pt"
            subprocess.run([sys.executable, "-c", code, str(threads), str(path)], check=True)
            results.append(torch.load(path))
    assert error(*results) < 1e-5
