"""Splitting solvers against closed forms, scipy, an exact TV solver and optimality conditions."""

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.fidelities import L1 as L1Misfit
from invcore.fidelities import Huber, PoissonKL
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Mask, Matrix, Space, block_diag
from invcore.priors import L1, TV, Box, NonNegative, Tikhonov, WaveletL1
from invcore.solvers import (
    ADMM,
    ChambollePock,
    CondatVu,
    DouglasRachford,
    HalfQuadraticSplitting,
    ProximalGradient,
    Status,
)
from invcore_testsupport import error, normal, physics_of, rng

F64, C128 = torch.float64, torch.complex128


EXACT = {
    "pgd": lambda **o: ProximalGradient(**o),
    "pgd backtracking": lambda **o: ProximalGradient(backtracking=True, **o),
    "douglas_rachford": lambda **o: DouglasRachford(**o),
    "douglas_rachford fixed": lambda **o: DouglasRachford(adaptive=False, **o),
    "admm": lambda **o: ADMM(**o),
    "admm fixed": lambda **o: ADMM(adaptive=False, **o),
    "admm linearized": lambda **o: ADMM(linearized=True, **o),
    "chambolle_pock": lambda **o: ChambollePock(**o),
    "chambolle_pock fixed": lambda **o: ChambollePock(adaptive=False, **o),
    "chambolle_pock preconditioned": lambda **o: ChambollePock(precondition=True, **o),
    "condat_vu": lambda **o: CondatVu(**o),
}
DUAL = [n for n in EXACT if n.startswith(("admm", "chambolle", "condat"))]  # priors h(Kx)
QUICK = ["douglas_rachford", "admm", "chambolle_pock", "chambolle_pock preconditioned", "condat_vu"]


def soft(b, t):
    return b / b.abs().clamp_min(1e-300) * (b.abs() - t).clamp_min(0)


def tight(name, prior, weight, **options):
    return EXACT[name](prior=prior, weight=weight, rtol=1e-11, max_steps=20000, **options)


# -- the lasso -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("name", EXACT)
def test_an_orthogonal_operator_gives_soft_thresholding(name, dtype):
    q = torch.linalg.qr(normal(6, 6, dtype=dtype)).Q
    y = 2 * normal(4, 6, dtype=dtype, seed=1)
    sigma, weight = torch.tensor([0.5, 1, 1, 2], dtype=F64), torch.tensor([0.5, 0.1, 2, 0.3], dtype=F64)
    x = tight(name, L1(), weight)(y, physics_of(q, sigma))
    b, t = (q.mH @ y.unsqueeze(-1))[..., 0], (weight * sigma**2).unsqueeze(-1)
    assert error(x, soft(b, t)) < 1e-9


@pytest.mark.parametrize("name", EXACT)
def test_a_diagonal_operator(name):
    d, y = torch.tensor([0.5, 1.0, 2.0, -3.0], dtype=F64), torch.tensor([4.0, -1.0, 0.2, 3.0], dtype=F64)
    physics = Physics(Mask(d, domain=(4,)))
    x = tight(name, L1(), 0.8)(y, physics)
    b = d * y
    assert torch.allclose(x, b.sign() * (b.abs() - 0.8).clamp_min(0) / d**2, atol=1e-8)


# -- total variation -------------------------------------------------------------------------------


def taut(y, weight):
    """argmin ½‖x - y‖² + weight Σ|x_{i+1} - x_i|, exactly: its box-constrained dual by active sets."""
    from scipy.optimize import lsq_linear

    D = torch.diff(torch.eye(len(y), dtype=F64), dim=0)
    u = lsq_linear(D.T.numpy(), y.numpy(), (-weight, weight), method="bvls", tol=1e-15, max_iter=1000).x
    return y - D.T @ torch.as_tensor(u)


def steps(n, seed):
    return torch.repeat_interleave(normal(n // 6, seed=seed), 6) + 0.3 * normal(n, seed=seed + 1)


def test_the_exact_tv_solver_of_these_tests():
    """A step of height 1 with 3 samples a side moves by weight/3 on each side."""
    y = torch.tensor([0, 0, 0, 1, 1, 1], dtype=F64)
    assert torch.allclose(taut(y, 0.3), torch.tensor([0.1, 0.1, 0.1, 0.9, 0.9, 0.9], dtype=F64))


@pytest.mark.parametrize("name", [n for n in DUAL if "fixed" not in n])
def test_tv_denoising(name):
    y = torch.stack([steps(30, 5), 100 * steps(30, 7), torch.zeros(30, dtype=F64)]).unsqueeze(-2)
    weight = torch.tensor([0.4, 60.0, 1.0], dtype=F64)
    physics = Physics(Identity((1, 30)))
    solver = EXACT[name](prior=TV(spatial_dims=1), weight=weight, rtol=1e-9, max_steps=20000)
    x = solver(y, physics)
    for i in range(2):
        assert error(x[i, 0], taut(y[i, 0], float(weight[i]))) < 1e-6
    assert float(x[2].abs().max()) == 0


@pytest.mark.parametrize("name", ["admm", "admm linearized", "chambolle_pock", "condat_vu"])
def test_tv_deblurring_meets_the_optimality_conditions(name):
    """Aᴴ(y - Ax)/λ = Kᴴu with |u| ≤ 1, and u the sign of Kx where that is not zero."""
    n, weight = 24, 0.05
    blur = sum(torch.diag(torch.full((n - abs(k),), 0.2, dtype=F64), k) for k in range(-2, 3))
    y = blur @ steps(n, 3)
    physics = physics_of(blur)
    solver = EXACT[name](prior=TV(spatial_dims=1), weight=weight, rtol=1e-10, max_steps=50000)
    x = solver(y, physics)
    u = -torch.cumsum(blur.T @ (y - blur @ x) / weight, 0)[:-1]  # Kᴴu is minus the divergence
    jump = torch.diff(x)
    on = jump.abs() > 1e-5
    assert 0 < int(on.sum()) < n - 1
    assert float(u.abs().max()) < 1 + 1e-5
    assert torch.allclose(u[on], jump[on].sign(), atol=1e-5)


@pytest.mark.parametrize("name", ["admm", "chambolle_pock", "chambolle_pock preconditioned", "condat_vu"])
def test_tv_defaults_on_an_image_reach_a_small_gap(name):
    """Against TV's own proximal operator, which certifies its duality gap."""
    y = torch.zeros(2, 1, 12, 12, dtype=F64)
    y[..., 3:8, 4:9] = 1
    y = y + 0.1 * normal(2, 1, 12, 12)
    physics = Physics(Identity((1, 12, 12)), GaussianNoise(sigma=0.1))
    solution = EXACT[name](prior=TV(), weight=12.0).solve(y, physics)
    expected = TV(rtol=1e-10, max_steps=20000).prox(y, 12.0 * 0.1**2, Space((1, 12, 12)))
    gap = solution.problem.objective(solution.value) / solution.problem.objective(expected) - 1
    assert solution.status is Status.CONVERGED
    assert float(gap.max()) < 1e-4


# -- constraints -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXACT)
def test_box_constrained_least_squares_is_scipys(name):
    from scipy.optimize import lsq_linear

    A, y = normal(12, 8), 3 * normal(12, seed=1)
    x = tight(name, Box(lower=-0.2, upper=0.3), 1.0)(y, physics_of(A))
    expected = torch.as_tensor(lsq_linear(A.numpy(), y.numpy(), (-0.2, 0.3), method="bvls", tol=1e-15).x)
    assert 0 < int(((expected == 0.3) | (expected == -0.2)).sum()) < 8
    assert error(x, expected) < 1e-8


@pytest.mark.parametrize("name", QUICK)
def test_nonnegative_least_squares_is_scipys(name):
    from scipy.optimize import nnls

    A, y = normal(10, 7), normal(10, seed=1)
    x = tight(name, NonNegative(), 1.0)(y, physics_of(A, 0.3))
    expected = torch.as_tensor(nnls(A.numpy(), y.numpy())[0])
    assert error(x, expected) < 1e-8


def test_images_are_exactly_feasible_and_exactly_sparse():
    A, y = normal(12, 8), 3 * normal(12, seed=1)
    for name in ("pgd", "douglas_rachford", "admm", "chambolle_pock"):
        x = EXACT[name](prior=NonNegative(), weight=1.0)(y, physics_of(A))
        assert float(x.min()) == 0
        assert int((EXACT[name](prior=L1(), weight=8.0)(y, physics_of(A)) == 0).sum()) > 0


# -- other fidelities ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["admm", "admm linearized", "chambolle_pock", "chambolle_pock preconditioned"]
)
def test_least_absolute_deviations_is_the_linear_program(name):
    """min Σ|Ax - y| + λ Σ|x|: neither term is smooth."""
    from scipy.optimize import linprog

    A, y, weight = normal(12, 6), normal(12, seed=1), 0.7
    solver = EXACT[name](fidelity=L1Misfit(), prior=L1(), weight=weight, rtol=1e-9, max_steps=50000)
    solution = solver.solve(y, physics_of(A))
    eye = torch.eye(12, dtype=F64)
    bounds = torch.cat([torch.cat([A, -A, -eye], 1), torch.cat([-A, A, -eye], 1)])
    cost = torch.cat([torch.full((12,), weight, dtype=F64), torch.ones(12, dtype=F64)])  # x⁺, x⁻, |Ax - y|
    least = linprog(cost.numpy(), bounds.numpy(), torch.cat([y, -y]).numpy()).fun
    assert abs(float(solution.problem.objective(solution.value)) / least - 1) < 1e-7


@pytest.mark.parametrize("name", ["pgd", "admm", "admm linearized", "chambolle_pock", "condat_vu"])
def test_a_huber_misfit(name):
    """0 ∈ Aᴴ f'(Ax - y) + λ ∂|x|₁, with f' the clipped residual."""
    A, y, weight = normal(15, 8), 3 * normal(15, seed=1), 1.0
    solver = EXACT[name](fidelity=Huber(delta=1.0), prior=L1(), weight=weight, rtol=1e-12, max_steps=50000)
    x = solver(y, physics_of(A))
    residual = A @ x - y
    dual = -A.T @ residual.clamp(-1, 1) / weight
    on = x.abs() > 1e-7
    assert int(on.sum()) > 0 and int((residual.abs() > 1).sum()) > 0
    assert torch.allclose(dual[on], x[on].sign(), atol=1e-6)
    assert float(dual.abs().max()) < 1 + 1e-6


@pytest.mark.parametrize("name", ["admm", "chambolle_pock"])
def test_poisson_data(name):
    """The Kullback-Leibler misfit has no Lipschitz gradient; its minimizer over x ≥ 0 against scipy."""
    from scipy.optimize import minimize

    A = normal(20, 6).abs()
    y = torch.poisson(30 * (A @ normal(6, seed=1).clamp_min(0)), generator=rng(2))
    f = PoissonKL(background=0.5)
    solver = EXACT[name](fidelity=f, prior=NonNegative(), weight=1.0, rtol=1e-9, max_steps=50000)
    x = solver(y, physics_of(A))

    def objective(v):
        u = A @ torch.as_tensor(v)
        return float(f.value(u, y)), (A.T @ f.grad(u, y)).numpy()

    best = minimize(
        objective,
        10 * torch.ones(6).double().numpy(),
        jac=True,
        bounds=[(0, None)] * 6,
        method="L-BFGS-B",
        options={"ftol": 1e-15, "gtol": 1e-10, "maxiter": 5000},
    )
    assert float(x.min()) >= 0
    assert objective(x.numpy())[0] <= best.fun * (1 + 1e-9)


def test_a_misfit_without_what_a_solver_needs_is_refused_with_advice():
    A, y = normal(4, 3), normal(4, seed=1)
    with pytest.raises(ParameterError, match="no Lipschitz gradient"):
        ProximalGradient(fidelity=L1Misfit(), prior=L1(), weight=1.0)(y, physics_of(A))
    with pytest.raises(ParameterError, match="no Lipschitz gradient"):
        CondatVu(fidelity=L1Misfit(), prior=L1(), weight=1.0)(y, physics_of(A))
    for solver in (DouglasRachford, HalfQuadraticSplitting):
        with pytest.raises(ParameterError, match="only for the identity.*admm"):
            solver(fidelity=L1Misfit(), prior=L1(), weight=1.0)(y, physics_of(A))


def test_douglas_rachford_with_any_misfit_of_the_image_itself():
    """min |x - y|₁ + λ x²/2 is the clipping of y to [-1/λ, 1/λ]."""
    y = 2 * normal(9)
    solver = DouglasRachford(fidelity=L1Misfit(), prior=Tikhonov(), weight=1.5, rtol=1e-12, max_steps=5000)
    x = solver(y, Physics(Identity((9,))))
    assert torch.allclose(x, y.clamp(-1 / 1.5, 1 / 1.5), atol=1e-9)


# -- contracts -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", EXACT)
def test_weights_and_noise_levels_of_each_sample(name):
    """Each sample of a batch, with its own weight, noise level and operator, is solved as if alone."""
    A, y = normal(3, 8, 5), normal(3, 8, seed=1)
    sigma, weight = torch.tensor([0.5, 1.0, 20.0], dtype=F64), torch.tensor([0.3, 3.0, 0.01], dtype=F64)
    together = EXACT[name](prior=L1(), weight=weight, rtol=1e-6)(y, physics_of(A, sigma))
    for i in range(3):
        alone = EXACT[name](prior=L1(), weight=float(weight[i]), rtol=1e-6)(
            y[i], physics_of(A[i], float(sigma[i]))
        )
        assert error(together[i], alone) < (1e-3 if "backtracking" in name else 1e-7)


@pytest.mark.parametrize("name", EXACT)
def test_one_measurement_with_several_weights(name):
    weight = torch.tensor([0.1, 1.0], dtype=F64)
    A, y = normal(8, 5), normal(8, seed=1)
    x = EXACT[name](prior=L1(), weight=weight, rtol=1e-8)(y, physics_of(A))
    assert x.shape == (2, 5)
    assert error(x[1], EXACT[name](prior=L1(), weight=1.0, rtol=1e-8)(y, physics_of(A))) < 1e-9


@pytest.mark.parametrize("name", [*EXACT, "hqs"])
def test_an_operator_that_is_zero_and_data_that_are_zero(name):
    make = EXACT.get(name, HalfQuadraticSplitting)
    solver = make(prior=L1(), weight=1.0)
    assert torch.equal(solver(normal(4), physics_of(torch.zeros(4, 3, dtype=F64))), torch.zeros(3, dtype=F64))
    solution = solver.solve(torch.zeros(4, dtype=F64), physics_of(normal(4, 3)))
    assert torch.equal(solution.value, torch.zeros(3, dtype=F64))
    assert solution.status is Status.CONVERGED


@pytest.mark.parametrize("name", EXACT)
def test_float32(name):
    A, y = normal(12, 6), normal(12, seed=1)
    x = EXACT[name](prior=L1(), weight=1.0, rtol=1e-5)(y.float(), physics_of(A.float()))
    assert x.dtype is torch.float32
    assert error(x.double(), tight(name, L1(), 1.0)(y, physics_of(A))) < 1e-3


@pytest.mark.parametrize("name", [*EXACT, "hqs"])
def test_several_unknown_images_are_refused(name):
    pair = block_diag([Matrix(normal(3, 2)), Matrix(normal(4, 3))])
    with pytest.raises(ParameterError, match="2 blocks"):
        EXACT.get(name, HalfQuadraticSplitting)(prior=L1(), weight=1.0)((normal(3), normal(4)), Physics(pair))


def test_proximal_gradient_never_raises_the_objective():
    A, y = normal(20, 30), normal(20, seed=1)
    for backtracking in (False, True):
        solver = ProximalGradient(prior=L1(), weight=1.0, backtracking=backtracking, max_steps=300)
        values = solver.solve(y, physics_of(A), record_objective=True).stats["objective"]
        assert solver.monotone and bool((values[1:] <= values[:-1] * (1 + 1e-13)).all())


def test_backtracking_serves_a_misfit_without_a_lipschitz_constant():
    A = normal(20, 6).abs() + 0.1
    y = torch.poisson(30 * (A @ torch.ones(6, dtype=F64)), generator=rng(2))
    f = PoissonKL(background=1.0)
    solver = ProximalGradient(
        fidelity=f, prior=NonNegative(), weight=1.0, backtracking=True, rtol=1e-10, max_steps=20000
    )
    x = solver(y, physics_of(A))
    slope = A.T @ f.grad(A @ x, y)
    assert float(slope.min()) > -1e-5 and float((slope * x).abs().max()) < 1e-4 * float(y.sum())


def test_proximal_gradient_averages_over_random_shifts():
    prior = WaveletL1(wavelet="haar", levels=2)
    physics = Physics(Identity((1, 16, 16)), GaussianNoise(sigma=0.1))
    y = torch.zeros(1, 16, 16, dtype=F64)
    y[:, 3:9, 5:12] = 1
    solver = ProximalGradient(prior=prior, weight=10.0, max_steps=200)
    assert not solver.monotone
    x = solver(y, physics)
    assert torch.equal(x, solver(y, physics)) and 0 < error(x, y) < 0.5


@pytest.mark.parametrize("name", ["admm", "chambolle_pock", "condat_vu"])
def test_derivatives_with_total_variation(name):
    """To data and weight, unrolled against central differences and implicit against unrolled."""
    y = steps(12, 3).reshape(1, 12)
    physics = Physics(Identity((1, 12)))
    v = normal(1, 12, seed=9)

    def loss(y, weight, differentiate="unroll"):
        solver = EXACT[name](prior=TV(spatial_dims=1), weight=weight, rtol=1e-10, max_steps=3000)
        return (solver.solve(y, physics, differentiate=differentiate).value * v).sum()

    leaf, weight = y.clone().requires_grad_(), torch.tensor(0.2, dtype=F64, requires_grad=True)
    found = torch.autograd.grad(loss(leaf, weight), [leaf, weight])
    d, h = normal(1, 12, seed=10), 1e-5
    numeric = (loss(y + h * d, 0.2, "none") - loss(y - h * d, 0.2, "none")) / (2 * h)
    assert abs(float((found[0] * d).sum() - numeric)) < 1e-4 * abs(float(numeric))
    numeric = (loss(y, 0.2 + h, "none") - loss(y, 0.2 - h, "none")) / (2 * h)
    assert abs(float(found[1] - numeric)) < 1e-4 * abs(float(numeric))
    for implicit, unrolled in zip(torch.autograd.grad(loss(leaf, weight, "implicit"), [leaf, weight]), found):
        assert error(implicit, unrolled) < 1e-4


@pytest.mark.parametrize("name", [*DUAL, "douglas_rachford", "hqs"])
def test_an_interrupted_solve_resumes_to_the_same_bits(name, tmp_path):
    y = normal(2, 1, 12)
    physics = Physics(Identity((1, 12)), GaussianNoise(sigma=0.5))
    prior = TV(spatial_dims=1) if name in DUAL else L1()
    solver = EXACT.get(name, HalfQuadraticSplitting)(prior=prior, weight=1.0, rtol=0.0, max_steps=25)
    solver.solve(y, physics, checkpoint=tmp_path / "run", callback=lambda k, problem, state: k == 9)
    resumed = solver.solve(y, physics, checkpoint=tmp_path / "run")
    assert torch.equal(resumed.value, solver(y, physics))


@pytest.mark.parametrize("name", ["admm", "chambolle_pock", "condat_vu"])
def test_checkpointed_unrolling_gives_the_same_derivative(name):
    physics = Physics(Identity((1, 12)))
    solver = EXACT[name](prior=TV(spatial_dims=1), weight=0.3, rtol=0.0, max_steps=30)
    found = []
    for mode in ("unroll", "unroll_checkpointed"):
        y = normal(2, 1, 12).requires_grad_()
        x = solver.solve(y, physics, differentiate=mode).value
        found.append(torch.autograd.grad((x * normal(2, 1, 12, seed=1)).sum(), y)[0])
    assert torch.equal(found[0], found[1])


def test_douglas_rachford_finds_its_step_where_the_weight_is_small():
    """Twelve unknowns, condition 100, λ = 1e-4 of the least that gives zero: 5,000 steps were not enough."""
    left, right = torch.linalg.qr(normal(20, 12)).Q, torch.linalg.qr(normal(12, 12, seed=1)).Q
    matrix = left * torch.logspace(0, -2, 12, dtype=F64) @ right.mT
    y = matrix @ normal(12, seed=2) + 0.01 * normal(20, seed=3)
    weight = 1e-4 * float((matrix.mT @ y).abs().max())
    solution = DouglasRachford(prior=L1(), weight=weight, rtol=1e-8).solve(y, Physics(Matrix(matrix)))
    assert solution.status is Status.CONVERGED and int(solution.stats["steps"]) < 400
    slope, x = matrix.mT @ (matrix @ solution.value - y), solution.value
    optimal = torch.where(x != 0, (slope + weight * x.sign()).abs(), (slope.abs() - weight).clamp_min(0))
    assert float(optimal.max()) < 1e-5 * weight
