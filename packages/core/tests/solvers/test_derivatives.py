"""Derivatives through solvers: implicit, unrolled and finite differences; memory."""

import math

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from invcore import (
    ConvergenceWarning,
    ParameterError,
    Physics,
    SolverError,
)
from invcore.operators import Identity, Matrix, stack
from invcore.priors import L1, Tikhonov, WaveletL1
from invcore.solvers import FISTA, ConjugateGradient
from invcore_testsupport import error, normal, physics_of

F64, C128 = torch.float64, torch.complex128


SOLVERS = {
    "cg": ConjugateGradient(weight=0.2, rtol=1e-6),
    "cg auto": ConjugateGradient(rtol=1e-6),
    "fista": FISTA(prior=L1(), weight=0.5, rtol=1e-6, max_steps=2000),
    "fista auto": FISTA(prior=L1(), rtol=1e-6, max_steps=2000),
    "fista none": FISTA(rtol=1e-5, max_steps=2000),
}


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
    """Gradients to data, the operator's parameter, weight and noise level, one of each per sample."""
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
    assert gradgradcheck(lambda *a: solve_for("cg", "implicit", *a), inputs, atol=1e-4, fast_mode=True)


def test_implicit_derivatives_of_stacked_data():
    a, b = normal(5, 4).requires_grad_(), normal(3, 4, seed=1)
    y = normal(5, seed=2).requires_grad_(), normal(3, seed=3).requires_grad_()

    def solve(differentiate):
        physics = Physics(stack([Matrix(a), Matrix(b)]))
        solver = ConjugateGradient(weight=0.7, rtol=1e-13)
        return solver.solve(y, physics, differentiate=differentiate).value.square().sum()

    for implicit, unrolled in zip(
        torch.autograd.grad(solve("implicit"), (a, *y)), torch.autograd.grad(solve("unroll"), (a, *y))
    ):
        assert error(implicit, unrolled) < 1e-9


def test_fista_derivatives_reach_all_blocks_of_the_data():
    a, b = normal(5, 4), normal(3, 4, seed=1)
    y = normal(5, seed=2).requires_grad_(), normal(3, seed=3).requires_grad_()
    physics = Physics(stack([Matrix(a), Matrix(b)]))
    solver = FISTA(prior=L1(), weight=0.1, rtol=1e-14, max_steps=4000)
    gradients = {
        how: torch.autograd.grad(solver.solve(y, physics, differentiate=how).value.square().sum(), y)
        for how in ("implicit", "unroll")
    }
    for implicit, unrolled in zip(*gradients.values()):
        assert error(implicit, unrolled) < 1e-8


def test_implicit_derivative_needs_a_fixed_point():
    physics = Physics(Identity((1, 8, 8)))
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
    with pytest.raises(ParameterError, match="'implicit', 'jacobian_free', got 'yes'"):
        ConjugateGradient().solve(y, physics_of(normal(8, 5)), differentiate="yes")
