"""MLEM, OSEM, SIRT and mirror descent: optimality conditions, scipy, fixed points; operators of any norm."""

import itertools

import numpy as np
import pytest
import scipy.optimize
import torch

from invcore import ParameterError, Physics
from invcore.fidelities import PoissonKL
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Matrix, stack
from invcore.priors import L1, Tikhonov
from invcore.solvers import (
    LBFGS,
    OSEM,
    SART,
    SIRT,
    BoltzmannShannon,
    BurgEntropy,
    Energy,
    GradientDescent,
    MirrorDescent,
    RichardsonLucy,
    Solver,
    Status,
)
from invcore.testing import iter_checks
from invcore_testsupport import error, normal, rng

F64 = torch.float64


def uniform(*shape, seed=0):
    return torch.rand(shape, dtype=F64, generator=rng(seed))


def counts(A, x, background=0.0, seed=9):
    return torch.poisson(A @ x + background, generator=rng(seed))


def kkt(A, y, x, background=0.0):
    """How far x is from a maximum of the Poisson likelihood: x ⊙ ∇f = 0 and ∇f ≥ 0, relative to Aᴴ1."""
    s = A.sum(0)
    g = (s - A.T @ (y / (A @ x + background))) / s
    return float((x * g).abs().max() / x.max()), float((-g).clamp_min(0).max())


def ill_conditioned(seed):
    """Ten nonnegative smooth kernels of condition about 1000, with norms from 1e-4 to 1e4."""
    n = 12
    i = torch.arange(n, dtype=F64)
    kernel = torch.exp(-((i - i[:, None]) ** 2) / 2.5) + 0.02 * uniform(n, n, seed=seed)
    return 10 ** (-4 + 8 * seed / 9) / torch.linalg.matrix_norm(kernel, 2) * kernel


# -- MLEM and OSEM ---------------------------------------------------------------------------------


@pytest.mark.parametrize("background", [0.0, 3.0])
def test_mlem_is_the_poisson_maximum(background):
    A = uniform(30, 8)
    x_true = torch.tensor([5.0, 0, 2, 0, 8, 1, 0, 4], dtype=F64)
    y = counts(A, x_true, background)
    solver = RichardsonLucy(fidelity=PoissonKL(background=background), max_steps=60000, rtol=1e-11)
    x = solver(y, Physics(Matrix(A)))
    complementary, negative = kkt(A, y, x, background)
    assert complementary < 1e-4 and negative < 1e-4

    def objective(v):
        u = A.numpy() @ v + background
        return u.sum() - y.numpy() @ np.log(u), A.numpy().sum(0) - A.numpy().T @ (y.numpy() / u)

    best = scipy.optimize.minimize(
        objective,
        np.ones(8),
        jac=True,
        bounds=[(1e-12, None)] * 8,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-9, "maxiter": 2000},
    )
    assert objective(x.numpy())[0] - best.fun < 1e-4


def test_mlem_raises_the_likelihood_and_keeps_the_counts():
    A, y = uniform(20, 6), torch.floor(20 * uniform(20, seed=1))
    values = []

    def record(k, problem, state):
        u = A @ state.x
        values.append(float(u.sum() - y @ u.log()))
        assert float(u.sum()) == pytest.approx(
            float(y.sum())
        )  # each iterate expects as many counts as there are

    RichardsonLucy(max_steps=50, rtol=0.0).solve(y, Physics(Matrix(A)), callback=record)
    assert all(b <= a + 1e-9 for a, b in itertools.pairwise(values))


@pytest.mark.parametrize("solver", [RichardsonLucy(), OSEM(), SIRT()], ids=["mlem", "osem", "sirt"])
@pytest.mark.parametrize("seed", range(10))
def test_ill_conditioned_operators_of_any_norm(solver, seed):
    A = ill_conditioned(seed)
    y = A @ (1 + uniform(12, seed=seed + 20))
    solution = solver.solve(y, Physics(Matrix(A)))
    assert solution.status is Status.CONVERGED
    assert error(A @ solution.value, y) < 0.01 and bool((solution.value >= 0).all())


def test_accelerated_mlem_is_the_poisson_maximum_in_fewer_steps():
    A, x_true = uniform(30, 8), torch.tensor([5.0, 0, 2, 0, 8, 1, 0, 4], dtype=F64)
    y = counts(A, x_true)
    solution = RichardsonLucy(accelerated=True, max_steps=4000, rtol=1e-9).solve(y, Physics(Matrix(A)))
    complementary, negative = kkt(A, y, solution.value)
    assert solution.status is Status.CONVERGED and complementary < 1e-4 and negative < 1e-4
    plain = RichardsonLucy(max_steps=4000, rtol=1e-9).solve(y, Physics(Matrix(A)), record_objective=True)
    fast = RichardsonLucy(accelerated=True, max_steps=40, rtol=0.0)
    reached = fast.solve(y, Physics(Matrix(A)), record_objective=True).stats["objective"][-1]
    assert int((plain.stats["objective"] > reached).sum()) > 120


def test_accelerated_mlem_begins_as_the_formula():
    A, y = uniform(20, 6), torch.floor(20 * uniform(20, seed=1))
    step = lambda v: v / A.sum(0) * (A.T @ (y / (A @ v)))
    x0 = torch.ones(6, dtype=F64)
    x1 = step(x0)
    x2 = step(x1)  # nothing is known of the direction yet
    gains = x1 - x0, x2 - x1
    length = ((gains[0] @ gains[1]) / (gains[0] @ gains[0])).clamp(0, 1)
    v = torch.maximum(x2 + length * (x2 - x1), x2 / 10)
    x3 = RichardsonLucy(accelerated=True, max_steps=3, rtol=0.0).solve(y, Physics(Matrix(A)), x0=x0).value
    assert error(x3, step(v)) < 1e-12 and float(length) > 0


def test_one_step_late_mlem_is_the_penalized_maximum():
    A, y, weight = uniform(20, 6), torch.floor(20 * uniform(20, seed=1)), 0.05
    solver = RichardsonLucy(prior=Tikhonov(), weight=weight, max_steps=20000, rtol=1e-12)
    x = solver(y, Physics(Matrix(A)))
    g = A.sum(0) - A.T @ (y / (A @ x)) + weight * x
    assert float((x * g).abs().max()) < 1e-6 * float(x.max() * A.sum(0).max())


def test_osem_on_consistent_blocks_is_fast():
    A, x = uniform(40, 6), 1 + uniform(6, seed=1)
    parts = [Matrix(a) for a in A.split(10)]
    y = A @ x
    em = RichardsonLucy(rtol=1e-10, max_steps=50000).solve(y, Physics(Matrix(A)))
    os = OSEM(rtol=1e-10, max_steps=50000).solve(tuple(y.split(10)), Physics(stack(parts)))
    assert error(em.value, x) < 1e-6 and error(os.value, x) < 1e-6
    assert 2 * int(os.stats["steps"]) < int(em.stats["steps"])


def test_sart_is_fast_on_consistent_blocks_and_sirt_on_one():
    A, x = uniform(40, 6), 1 + uniform(6, seed=1)
    y = A @ x
    plain = SIRT(rtol=1e-10, max_steps=50000).solve(y, Physics(Matrix(A)))
    one = SART(rtol=1e-10, max_steps=50000).solve(y, Physics(Matrix(A)))
    stacked = Physics(stack([Matrix(a) for a in A.split(5)]))
    many = SART(rtol=1e-10, max_steps=50000).solve(tuple(y.split(5)), stacked)
    assert torch.allclose(plain.value, one.value, rtol=1e-8)
    assert error(many.value, x) < 1e-6
    assert 3 * int(many.stats["steps"]) < int(plain.stats["steps"])


def test_sart_ends_at_weighted_least_squares_with_less_relaxation():
    A, x = uniform(40, 6), 1 + uniform(6, seed=1)
    y = A @ x + 0.1 * normal(40, seed=2)
    physics = Physics(stack([Matrix(a) for a in A.split(5)]))
    root = A.sum(1).rsqrt()
    best = torch.linalg.lstsq(root[:, None] * A, root * y).solution
    far, near = (
        error(SART(relaxation=r, rtol=1e-11, max_steps=100000)(tuple(y.split(5)), physics), best)
        for r in (1.0, 0.1)
    )
    assert near < 0.2 * far


def test_sart_solves_equations_that_come_one_at_a_time():
    """With weights of its own for each block all steps would go along (1, …, 1) here."""
    A, x = 0.1 + uniform(6, 4), 1 + uniform(4, seed=1)
    physics = Physics(stack([Matrix(a[None]) for a in A]))
    found = SART(rtol=1e-12, max_steps=100000)(tuple((A @ x).split(1)), physics)
    assert error(found, x) < 1e-5


@pytest.mark.parametrize("solver", [RichardsonLucy(), SIRT(), SART()], ids=["mlem", "sirt", "sart"])
def test_small_negative_lobes_are_taken_and_large_ones_are_not(solver):
    """An interpolation with negative lobes, as of projectors, has a few small negative sums at the border."""
    A, x = uniform(30, 6), 1 + uniform(6, seed=1)
    A[0], A[1, :3] = 0.0, 0.0
    A[0, 0] = -0.02
    y = (A @ x).clamp_min(0)
    y[0] = 0.0
    found = solver(y, Physics(Matrix(A)))
    assert error(found, x) < 2e-2
    A[0, 0] = -1.0
    with pytest.raises(ParameterError, match="needs a nonnegative operator"):
        solver(y, Physics(Matrix(A)))


def test_osem_with_a_background_and_batch():
    A, x = uniform(12, 4), 1 + uniform(3, 4, seed=1)
    y = x @ A.T + 2.0
    physics = Physics(stack([Matrix(a) for a in A.split(6)]))
    got = OSEM(fidelity=PoissonKL(background=2.0), rtol=1e-10, max_steps=50000)(
        tuple(y.split(6, dim=-1)), physics
    )
    assert error(got, x) < 1e-5


def test_unseen_pixels_and_empty_data_stay_finite():
    A = uniform(5, 4)
    A[:, 2] = 0
    A[3] = 0
    y = A @ torch.ones(4, dtype=F64)
    for solver in (RichardsonLucy(), OSEM(), SIRT()):
        assert bool(torch.isfinite(solver(y, Physics(Matrix(A)))).all())
        assert float(solver(0 * y, Physics(Matrix(A))).abs().max()) == 0


@pytest.mark.parametrize("solver", [RichardsonLucy(), OSEM()])
def test_what_is_not_a_counting_problem_is_refused(solver):
    y = uniform(5)
    with pytest.raises(ParameterError, match="negative entries: do not subtract"):
        solver(-y, Physics(Matrix(uniform(5, 3))))
    with pytest.raises(ParameterError, match="needs a nonnegative operator"):
        solver(y, Physics(Matrix(-uniform(5, 3))))
    with pytest.raises(ParameterError, match="single real image"):
        solver(y + 0j, Physics(Matrix(uniform(5, 3) + 0j)))
    with pytest.raises(ParameterError, match="starting point x0 has negative"):
        solver.solve(y, Physics(Matrix(uniform(5, 3))), x0=-torch.ones(3, dtype=F64))


# -- SIRT ------------------------------------------------------------------------------------------


def test_sirt_is_weighted_least_squares():
    A, y = uniform(15, 6), normal(15, seed=1)
    x = SIRT(rtol=1e-12, max_steps=20000)(y, Physics(Matrix(A)))
    root = A.sum(1).rsqrt()
    expected = torch.linalg.lstsq(root[:, None] * A, (root * y).unsqueeze(-1)).solution[:, 0]
    assert error(x, expected) < 1e-8


def test_projected_sirt_is_scipy_nnls():
    A, y = uniform(15, 6), normal(15, seed=1)
    x = SIRT(nonnegative_image=True, rtol=1e-13, max_steps=20000)(y, Physics(Matrix(A)))
    root = A.sum(1).rsqrt()
    expected, _ = scipy.optimize.nnls((root[:, None] * A).numpy(), (root * y).numpy())
    assert np.abs(x.numpy() - expected).max() < 1e-8 and (expected == 0).any()


def test_sirt_stops_at_the_noise_level():
    A = ill_conditioned(5)
    clean = A @ (1 + uniform(12, seed=1))
    sigma = 0.05 * float(clean.mean())
    y = clean + sigma * normal(12, seed=2)
    solution = SIRT(discrepancy=1.0, max_steps=10000).solve(y, Physics(Matrix(A), GaussianNoise(sigma=sigma)))
    misfit = torch.linalg.vector_norm(A @ solution.value - y)
    before = SIRT(max_steps=int(solution.stats["steps"]) - 1, rtol=0.0)(y, Physics(Matrix(A)))
    assert solution.status is Status.CONVERGED
    assert float(misfit) <= sigma * 12**0.5 < float(torch.linalg.vector_norm(A @ before - y))


def test_sirt_on_stacked_data():
    A, y = uniform(12, 5), normal(12, seed=1)
    whole = SIRT(rtol=1e-10)(y, Physics(Matrix(A)))
    parts = SIRT(rtol=1e-10)(tuple(y.split(6)), Physics(stack([Matrix(a) for a in A.split(6)])))
    assert error(parts, whole) < 1e-10


# -- mirror descent --------------------------------------------------------------------------------

ENTROPIES = [BurgEntropy(), BoltzmannShannon()]


@pytest.mark.parametrize("potential", [Energy(), *ENTROPIES])
def test_potentials_are_consistent(potential):
    x, z = (0.1 + uniform(50, seed=s) for s in (1, 2))
    x = x.requires_grad_()
    (slope,) = torch.autograd.grad(potential.value(x).sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(slope.sum(), x)
    x, slope = x.detach(), slope.detach()
    assert torch.allclose(potential.grad(x), slope)
    assert torch.allclose(potential.grad_conjugate(potential.grad(x)), x)
    assert torch.allclose(potential.inverse_hessian(x) * second, torch.ones_like(x))
    move = 0.3 * uniform(50, seed=3)
    assert torch.allclose(potential.step(x, move), potential.grad_conjugate(potential.grad(x) - move))
    both = potential.divergence(x, z) + potential.divergence(z, x)
    assert torch.allclose(potential.slope_change(x, z), both) and bool(
        (potential.divergence(x, z) >= 0).all()
    )


def test_burg_step_outside_its_domain_is_not_a_number():
    assert bool(BurgEntropy().step(torch.tensor(2.0), torch.tensor(-1.0)).isnan())


@pytest.mark.parametrize(
    ("potential", "background", "zeros"),
    [(BurgEntropy(), 0.0, False), (BoltzmannShannon(), 0.0, False), (BoltzmannShannon(), 3.0, True)],
)
def test_mirror_descent_is_the_poisson_maximum(potential, background, zeros):
    A = uniform(30, 8)
    x_true = torch.tensor([5.0, 0, 2, 0, 8, 1, 0, 4], dtype=F64) if zeros else 100 * (1 + uniform(8, seed=1))
    y = counts(A, x_true, background)
    fidelity = PoissonKL(background=background)
    solution = MirrorDescent(potential=potential, fidelity=fidelity, max_steps=3000, rtol=1e-10).solve(
        y, Physics(Matrix(A)), record_objective=True
    )
    complementary, negative = kkt(A, y, solution.value, background)
    assert complementary < 1e-4 and negative < 1e-4
    assert bool((solution.stats["objective"].diff() <= 1e-9).all())


@pytest.mark.parametrize("potential", [Energy(), *ENTROPIES])
@pytest.mark.parametrize("seed", range(10))
def test_mirror_descent_on_operators_of_any_norm(potential, seed):
    A = ill_conditioned(seed)
    y = A @ (1 + uniform(12, seed=seed + 20))
    solution = MirrorDescent(potential=potential).solve(y, Physics(Matrix(A)))
    assert solution.status is Status.CONVERGED
    assert error(A @ solution.value, y) < 0.01


def test_entropic_descent_is_scipy_nnls():
    A, y = normal(15, 6), normal(15, seed=1)
    expected, _ = scipy.optimize.nnls(A.numpy(), y.numpy())
    x = MirrorDescent(potential=BoltzmannShannon(), rtol=1e-12, max_steps=20000)(y, Physics(Matrix(A)))
    assert np.abs(x.numpy() - expected).max() < 1e-6 and (expected == 0).any()


@pytest.mark.parametrize("potential", ENTROPIES)
def test_l1_on_positive_images_is_linear(potential):
    """λ Σ x on x ≥ 0: the KKT conditions of the penalized problem."""
    A, weight = uniform(20, 6), 0.5
    y = torch.floor(A @ (50 + 50 * uniform(6, seed=1)))
    x = MirrorDescent(
        potential=potential, prior=L1(), weight=weight, fidelity=PoissonKL(), rtol=1e-11, max_steps=3000
    )(y, Physics(Matrix(A)))
    g = A.sum(0) - A.T @ (y / (A @ x)) + weight
    assert float((x * g).abs().max() / x.max()) < 1e-4 and float(g.min()) > -1e-4


def test_mirror_descent_refuses_what_it_cannot_do():
    y = uniform(5)
    solver = MirrorDescent(potential=BurgEntropy())
    with pytest.raises(ParameterError, match="is for real images"):
        solver(y + 0j, Physics(Matrix(uniform(5, 3) + 0j)))
    with pytest.raises(ParameterError, match="x0 has negative"):
        solver.solve(y, Physics(Matrix(uniform(5, 3))), x0=-torch.ones(3, dtype=F64))


@pytest.mark.parametrize("solver", [LBFGS(rtol=1e-7), GradientDescent(rtol=1e-7)])
def test_descent_on_counts_needs_a_positive_start(solver):
    A = uniform(30, 8)
    y = counts(A, 100 * (1 + uniform(8, seed=1)))
    physics = Physics(Matrix(A), PoissonNoise(gain=1.0))
    with pytest.raises(ParameterError, match="not finite and smooth at the starting point: pass an x0"):
        solver(y, physics)
    solution = solver.solve(y, physics, x0=100 * torch.ones(8, dtype=F64))
    complementary, negative = kkt(A, y, solution.value)
    assert solution.status is Status.CONVERGED and complementary < 1e-5 and negative < 1e-5


def test_the_kit_finds_a_multiplicative_solver_that_is_biased():
    class Biased(Solver):
        max_steps: int = 2000
        rtol: float = 1e-6

        @property
        def requires_nonnegative(self):
            return True

        def init(self, problem):
            return RichardsonLucy().init(problem)

        def step(self, problem, state):
            moved = RichardsonLucy().step(problem.replace(fidelity=PoissonKL()), state)
            return moved._replace(x=0.999 * moved.x)

        def converged(self, problem, state):
            return state.change <= self.rtol

    checks = {check.name: check for check in iter_checks(Biased())}
    status, message = checks["known_solution"].result()
    assert status == "failed"
    assert "differs from the dense one" in message
    assert checks["result_is_an_image"].result()[0] == "passed"
