"""Solvers against closed forms, dense solves and optimality conditions; batches; units."""

import pytest
import torch

from invcore import (
    ParameterError,
    Physics,
)
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Mask, Matrix, Operator, Space, block_diag, stack
from invcore.priors import L1, Tikhonov, WaveletL1
from invcore.solvers import FISTA, ConjugateGradient, Status
from invcore_testsupport import error, normal, physics_of, rng

F64, C128 = torch.float64, torch.complex128


def per_matrix(matrices, y, shift):
    """Dense Tikhonov solutions, one per item."""
    n = matrices.shape[-1]
    gram = matrices.mH @ matrices + torch.as_tensor(shift, dtype=F64).reshape(-1, 1, 1) * torch.eye(
        n, dtype=matrices.dtype
    )
    return torch.linalg.solve(gram, (matrices.mH @ y.unsqueeze(-1)))[..., 0]


# -- conjugate gradient ----------------------------------------------------------------------------


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
    physics = Physics(stack([Matrix(a), Matrix(b)]))
    x = ConjugateGradient(weight=0.7, rtol=1e-13)(y, physics)
    assert error(x, per_matrix(torch.cat([a, b]), torch.cat(y, -1), 0.7)) < 1e-11


def test_cg_on_several_unknowns():
    a, b = normal(5, 4), normal(4, 3, seed=1)
    y = normal(5, seed=2), normal(4, seed=3)
    x = ConjugateGradient(weight=0.7, rtol=1e-13)(y, Physics(block_diag([Matrix(a), Matrix(b)])))
    assert error(x[0], per_matrix(a, y[0], 0.7)[0]) < 1e-11
    assert error(x[1], per_matrix(b, y[1], 0.7)[0]) < 1e-11


def test_cg_takes_as_many_steps_as_there_are_eigenvalues():
    physics = Physics(Mask(torch.tensor([1.0, 1, 2, 2, 3, 3], dtype=F64), domain=(6,)))
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
        ConjugateGradient(weight=1.0)(torch.ones(2), Physics(Cubic(domain=Space((2,)))))


# -- FISTA -----------------------------------------------------------------------------------------


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
    physics = Physics(Mask(d, domain=(4,)))
    x = FISTA(prior=L1(), weight=0.8, rtol=1e-15, max_steps=2000)(y, physics)
    b = d * y
    assert torch.allclose(x, b.sign() * (b.abs() - 0.8).clamp_min(0) / d**2, atol=1e-10)


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("restart", ["gradient", None])
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
    x = FISTA(prior=prior, weight=0.6, rtol=1e-14)(y, Physics(Identity((1, 16, 16))))
    assert error(x, prior.prox(y, 0.6)) < 1e-12


def test_fista_with_wavelets_meets_the_optimality_conditions():
    """x is a fixed point of the proximal gradient step of any size."""
    mask = (torch.rand(16, 16, generator=rng(2)) > 0.4).to(F64)
    physics = Physics(Mask(mask, domain=(1, 16, 16)))
    prior, y = WaveletL1(random_shifts=False, levels=2), mask * normal(1, 16, 16)
    x = FISTA(prior=prior, weight=0.3, rtol=1e-12, max_steps=5000)(y, physics)
    for step in (0.3, 1.7):
        assert error(prior.prox(x - step * (mask * x - y), 0.3 * step), x) < 1e-8


def test_random_shifts_converge_and_are_better_than_none():
    """Inpainting of a disc: the average over shifts has no block artefacts."""
    i = torch.arange(32, dtype=F64) - 15.3
    truth = ((i[:, None] ** 2 + i**2) < 90).to(F64).unsqueeze(0)
    y = truth + 0.3 * normal(1, 32, 32)
    physics = Physics(Identity((1, 32, 32)), GaussianNoise(sigma=0.3))
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
        for restart in ("gradient", None)
    }
    assert steps["gradient"] < 0.7 * steps[None]


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
    both = block_diag([Matrix(normal(2, 2)), Matrix(normal(2, 2))])
    with pytest.raises(ParameterError, match="single image.*2 blocks"):
        FISTA(weight=1.0)((normal(2), normal(2)), Physics(both))


# -- batches ---------------------------------------------------------------------------------------

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


def test_each_sample_stops_by_itself():
    """Eigenvectors need one step; others go on, and what has stopped stays."""
    d = torch.tensor([1.0, 2, 3, 4, 5], dtype=F64)
    physics = Physics(Mask(d, domain=(5,)))
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


# -- scale -----------------------------------------------------------------------------------------


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
    physics = Physics(Mask(torch.zeros(4), domain=(4,)))
    for solver in (
        FISTA(prior=L1(), weight=1.0),
        FISTA(prior=L1()),
        ConjugateGradient(),
        ConjugateGradient(weight=0.0),
    ):
        for y in (torch.zeros(4), torch.ones(4)):
            assert torch.equal(solver(y, physics), torch.zeros(4))
