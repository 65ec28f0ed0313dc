"""MINRES, BiCGStab, LSMR, GMRES, preconditioning and warm starts against dense numpy and scipy."""

import itertools
import warnings

import numpy as np
import pytest
import scipy.sparse.linalg
import torch

from invcore import ConvergenceWarning, ParameterError, ShapeError, least_squares
from invcore._krylov.bicgstab import bicgstab
from invcore._krylov.cg import cg
from invcore._krylov.gmres import gmres
from invcore._krylov.lsmr import lsmr
from invcore._krylov.lsqr import lsqr
from invcore._krylov.minres import minres
from invcore.operators import Mask, Matrix, solve

SCALES = (1e-6, 1e-3, 1.0, 1e3, 1e6)
DTYPES = [torch.float32, torch.float64]
TOLERANCE = {torch.float32: 5e-4, torch.float64: 1e-8}


def rng(seed=0):
    return np.random.default_rng(seed)


def draw(*shape, seed=1, kind="real"):
    g = rng(seed)
    return g.standard_normal(shape) + (1j * g.standard_normal(shape) if kind == "complex" else 0)


def symmetric(n, *, definite, seed=0, kind="real", cond=20.0):
    """Eigenvalues of size 1/cond to 1, every other one negative unless definite."""
    q = np.linalg.qr(draw(n, n, seed=seed, kind=kind))[0]
    values = np.geomspace(1, 1 / cond, n)
    return (q * (values if definite else values * (-1.0) ** np.arange(n))) @ q.conj().T


def square(n, *, seed=0, kind="real", cond=20.0):
    """A non-symmetric matrix with eigenvalues on both sides of the imaginary axis."""
    u, v = (np.linalg.qr(draw(n, n, seed=s, kind=kind))[0] for s in (seed, seed + 1))
    return (u * np.geomspace(1, 1 / cond, n)) @ v.conj().T


def tensor(a, dtype=torch.float64):
    t = torch.from_numpy(np.ascontiguousarray(a))
    return t.to({torch.float32: torch.complex64}.get(dtype, torch.complex128) if t.is_complex() else dtype)


def error(got, expected):
    got = got.detach().resolve_conj().numpy()
    return np.linalg.norm(got - expected) / np.linalg.norm(expected)


SYSTEMS = {
    "cg": lambda kind: symmetric(12, definite=True, kind=kind),
    "minres": lambda kind: symmetric(12, definite=False, kind=kind),
    "bicgstab": lambda kind: np.eye(12) + 0.6 * square(12, kind=kind, cond=5.0),
    "gmres": lambda kind: square(12, kind=kind),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("solver", list(SYSTEMS))
def test_square_systems_are_solved_at_every_scale(solver, kind, dtype):
    a, b = SYSTEMS[solver](kind), draw(3, 12, kind=kind)
    expected = np.linalg.solve(a, b.T).T
    for s in SCALES:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = solve(Matrix(tensor(s * a, dtype)), tensor(b, dtype), solver=solver)
            assert error(s * got, expected) < TOLERANCE[dtype], s
            scaled = solve(Matrix(tensor(a, dtype)), tensor(s * b, dtype), solver=solver)
            assert error(scaled / s, expected) < TOLERANCE[dtype], s


def test_minres_agrees_with_scipy_step_by_step():
    a, b = symmetric(40, definite=False, cond=100), draw(40)
    for steps in (3, 10):
        expected = scipy.sparse.linalg.minres(a, b, rtol=1e-15, maxiter=steps)[0]
        assert error(minres(lambda v: v @ tensor(a), tensor(b), rtol=0.0, max_steps=steps).x, expected) < 1e-9


def test_bicgstab_agrees_with_scipy_step_by_step():
    a, b = np.eye(40) + 0.3 * square(40), draw(40)
    for steps in (2, 4):
        expected = scipy.sparse.linalg.bicgstab(a, b, rtol=1e-15, maxiter=steps)[0]
        got = bicgstab(lambda v: v @ tensor(a.T), tensor(b), rtol=0.0, max_steps=steps)
        assert error(got.x, expected) < 1e-9


@pytest.mark.parametrize("damp", [0.0, 0.3])
def test_lsmr_agrees_with_scipy_step_by_step(damp):
    a, y = draw(30, 20), draw(30, seed=2)
    for steps in (1, 4, 12):
        options = {"damp": damp, "atol": 0, "btol": 0, "conlim": 0, "maxiter": steps}
        expected = scipy.sparse.linalg.lsmr(a, y, **options)
        got = lsmr(
            lambda v: v @ tensor(a.T),
            lambda u: u @ tensor(a),
            tensor(y),
            shift=damp**2,
            rtol=0.0,
            max_steps=steps,
        )
        assert error(got.x, expected[0]) < 1e-9
        norm = np.hypot(np.linalg.norm(y - a @ expected[0]), damp * np.linalg.norm(expected[0]))
        assert abs(float(got.residual) * np.linalg.norm(y) / norm - 1) < 1e-9


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", [(12, 8), (8, 12), (9, 9)], ids=["tall", "wide", "square"])
@pytest.mark.parametrize("kind", ["real", "complex"])
def test_lsmr_is_the_pseudo_inverse_at_every_scale(kind, shape, dtype):
    a, y = draw(*shape, kind=kind), draw(2, shape[0], seed=3, kind=kind)
    a = a / np.linalg.norm(a, 2)
    expected = y @ np.linalg.pinv(a).T
    for s in SCALES:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            got = least_squares(Matrix(tensor(s * a, dtype)), tensor(y, dtype), solver="lsmr")
        assert error(s * got, expected) < 4 * TOLERANCE[dtype], s


def test_lsmr_lowers_the_normal_residual_in_every_step():
    a, y = square(40, cond=1e4), draw(40, seed=2)
    sizes = []
    for steps in range(1, 30):
        x = lsmr(
            lambda v: v @ tensor(a.T), lambda u: u @ tensor(a), tensor(y), rtol=0.0, max_steps=steps
        ).x.numpy()
        sizes.append(np.linalg.norm(a.T @ (y - a @ x)))
    assert all(later <= earlier * (1 + 1e-9) for earlier, later in itertools.pairwise(sizes))


def test_an_inconsistent_singular_system_ends_at_the_least_squares_residual():
    a = symmetric(10, definite=False)
    q = np.linalg.qr(draw(10, 1, seed=5))[0]
    a = a - q @ (q.T @ a)
    a = a - (a @ q) @ q.T
    b = draw(10)
    solved = minres(lambda v: v @ tensor(a), tensor(b), rtol=1e-8, max_steps=100)
    best = np.linalg.norm(b - a @ np.linalg.pinv(a, rcond=1e-10) @ b) / np.linalg.norm(b)
    assert bool(solved.converged) and abs(float(solved.residual) - best) < 1e-6


@pytest.mark.parametrize("solver", list(SYSTEMS))
@pytest.mark.parametrize("dtype", DTYPES)
def test_batch_mates_do_not_matter_and_zero_data_gives_zero(solver, dtype):
    A = Matrix(tensor(SYSTEMS[solver]("real"), dtype))
    b = tensor(draw(3, 12), dtype)
    first = solve(A, b, solver=solver)[0]
    eps = torch.finfo(dtype).eps
    for mates in (1e5 * b[1:], 0 * b[1:], b[1:].flip(0)):
        together = solve(A, torch.cat([b[:1], mates]), solver=solver)
        assert float((together[0] - first).norm() / first.norm()) < 100 * eps
    assert not solve(A, torch.zeros_like(b), solver=solver).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error", ConvergenceWarning)
        from_elsewhere = solve(A, b * tensor(np.array([[0.0], [1], [0]]), dtype), solver=solver, x0=b)
    assert not from_elsewhere[[0, 2]].any() and from_elsewhere[1].any()
    assert solve(A, b[:0], solver=solver).shape == (0, 12)


def test_lsmr_batch_mates_zero_data_and_one_matrix_for_each_sample():
    a = np.stack([draw(9, 6, seed=s) for s in range(3)])
    y = draw(3, 9)
    got = least_squares(Matrix(tensor(a)), tensor(y), solver="lsmr")
    for i in range(3):
        assert error(got[i], np.linalg.lstsq(a[i], y[i], rcond=None)[0]) < 1e-9
    A = Matrix(tensor(a[0]))
    assert not least_squares(A, torch.zeros(2, 9, dtype=torch.float64), solver="lsmr").any()
    assert least_squares(Matrix(tensor(a)), tensor(y[0]), solver="lsmr").shape == (3, 6)


# -- preconditioners and warm starts ----------------------------------------------------------------------


@pytest.mark.parametrize("solver", list(SYSTEMS))
def test_a_preconditioner_saves_steps_and_keeps_the_solution(solver):
    size = np.geomspace(1, 1e4, 60)
    coupling = 0.05 * draw(60, 60)
    coupling = coupling if solver in ("bicgstab", "gmres") else (coupling + coupling.T) / 4
    sign = -1.0 if solver == "minres" else 1.0
    a = np.diag(size * np.where(np.arange(60) % 2, 1, sign)) + coupling
    b, p = draw(2, 60, seed=3), tensor(1 / size)
    run = {"cg": cg, "minres": minres, "bicgstab": bicgstab, "gmres": gmres}[solver]
    apply = lambda v: v @ tensor(a.T)
    plain = run(apply, tensor(b), max_steps=3000, rtol=1e-8)
    helped = run(apply, tensor(b), preconditioner=lambda v: p * v, max_steps=3000, rtol=1e-8)
    expected = np.linalg.solve(a, b.T).T
    assert helped.steps < 0.5 * plain.steps
    assert bool(helped.converged.all()) and error(helped.x, expected) < 1e-6
    Jacobi = Mask(p, domain=(60,))
    got = solve(Matrix(tensor(a)), tensor(b), solver=solver, preconditioner=Jacobi)
    assert error(got, expected) < 1e-7


def test_preconditioned_least_squares():
    a, y = draw(30, 20) * np.geomspace(1, 1e3, 20), draw(2, 30)
    Jacobi = Mask(tensor(1 / (a**2).sum(0)), domain=(20,))
    got = least_squares(Matrix(tensor(a)), tensor(y), preconditioner=Jacobi)
    assert error(got, np.linalg.lstsq(a, y.T, rcond=None)[0].T) < 1e-8


@pytest.mark.parametrize("solver", list(SYSTEMS))
def test_a_warm_start_saves_steps_and_keeps_the_solution(solver):
    a, b = SYSTEMS[solver]("real"), draw(12)
    run = {"cg": cg, "minres": minres, "bicgstab": bicgstab, "gmres": gmres}[solver]
    apply = lambda v: v @ tensor(a.T)
    cold = run(apply, tensor(b), max_steps=200, rtol=1e-10)
    warm = run(apply, tensor(b), x0=cold.x * (1 + 1e-9), max_steps=200, rtol=1e-10)
    assert warm.steps < cold.steps + (solver == "gmres") and error(warm.x, np.linalg.solve(a, b)) < 1e-7
    x = solve(Matrix(tensor(a)), tensor(b), solver=solver, x0=cold.x, rtol=1e-9)
    assert error(x, np.linalg.solve(a, b)) < 1e-7


@pytest.mark.parametrize("solver", ["cg", "lsqr", "lsmr"])
def test_least_squares_starts_anywhere(solver):
    a, y, center, x0 = draw(9, 6), draw(2, 9), draw(2, 6, seed=4), draw(6, seed=5)
    lam = np.array([0.2, 3.0])
    for shift in (lam, np.zeros(2)):
        got = least_squares(
            Matrix(tensor(a)),
            tensor(y),
            shift=tensor(shift),
            center=tensor(center),
            solver=solver,
            x0=tensor(x0),
        )
        for i in range(2):
            normal = a.T @ a + shift[i] * np.eye(6)
            assert error(got[i], np.linalg.solve(normal, a.T @ y[i] + shift[i] * center[i])) < 1e-8


# -- derivatives and messages -----------------------------------------------------------------------------


@pytest.mark.parametrize("solver", list(SYSTEMS))
def test_derivatives_of_square_solves_are_those_of_the_dense_solution(solver):
    a0, b0 = SYSTEMS[solver]("real"), draw(2, 12)
    weight = tensor(draw(2, 12, seed=6))
    symmetric_part = (lambda a: (a + a.mT) / 2) if solver in ("cg", "minres") else (lambda a: a)

    def gradients(function):
        a, b = tensor(a0).requires_grad_(), tensor(b0).requires_grad_()
        x = function(symmetric_part(a), b)
        first = torch.autograd.grad((x * weight).sum(), (a, b), create_graph=True)
        return *first, *torch.autograd.grad(sum((f**2).sum() for f in first), (a, b))

    options = {"solver": solver, "rtol": 1e-13}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        got = gradients(lambda a, b: solve(Matrix(a), b, **options))
    expected = gradients(lambda a, b: torch.linalg.solve(a, b.mT).mT)
    for one, other in zip(got, expected):
        assert error(one, other.detach().numpy()) < 1e-6


def test_wrong_use_is_refused():
    A = Matrix(tensor(square(5)))
    b = torch.ones(5, dtype=torch.float64)
    for solver in ("cg", "minres"):
        with pytest.raises(ParameterError, match="self-adjoint.*use solver='gmres' or 'bicgstab'"):
            solve(A, b, solver=solver)
    with pytest.raises(ParameterError, match="got 'qr'"):
        solve(A, b, solver="qr")
    with pytest.raises(ShapeError, match="domain is its range.*Use least_squares"):
        solve(Matrix(torch.ones(3, 2)), torch.ones(3))
    small = Mask(torch.ones(4), domain=(4,))
    with pytest.raises(ShapeError, match="preconditioner"):
        solve(A, b, preconditioner=small)
    with pytest.raises(ParameterError, match="preconditioner is for solver='cg', not for 'lsmr'"):
        least_squares(A, b, solver="lsmr", preconditioner=A)
    with pytest.warns(ConvergenceWarning, match="BiCGStab stopped after 2 steps"):
        solve(A, b, solver="bicgstab", max_steps=2)


# -- restarts and limits ----------------------------------------------------------------------------------


def test_gmres_agrees_with_scipy_and_restarts():
    a, b = np.eye(40) + 0.5 * square(40), draw(40)
    for steps in (3, 8):
        expected = scipy.sparse.linalg.gmres(a, b, rtol=1e-15, restart=steps, maxiter=1)[0]
        got = gmres(lambda v: v @ tensor(a.T), tensor(b), rtol=0.0, max_steps=steps)
        assert error(got.x, expected) < 1e-9
    solved = gmres(lambda v: v @ tensor(a.T), tensor(b), restart=6, max_steps=500)
    assert bool(solved.converged) and error(solved.x, np.linalg.solve(a, b)) < 1e-9


def test_a_system_out_of_reach_of_bicgstab_is_not_returned_in_silence():
    a = np.roll(np.eye(30), 1, axis=0)  # eigenvalues all round the circle
    b = draw(30)
    with pytest.warns(ConvergenceWarning, match="BiCGStab"):
        solve(Matrix(tensor(a, torch.float32)), tensor(b, torch.float32), solver="bicgstab")
    assert error(solve(Matrix(tensor(a)), tensor(b)), np.linalg.solve(a, b)) < 1e-9


def test_lsqr_still_reports_its_steps():
    a = draw(8, 5)
    solved = lsqr(lambda v: v @ tensor(a.T), lambda u: u @ tensor(a), tensor(draw(8)), max_steps=50)
    assert solved.steps <= 8 and bool(solved.converged)
