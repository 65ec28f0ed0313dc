"""Restoration networks as priors (DRP, ShaRP, SNORE, FiRe) with exact restorers, and their solver."""

import dataclasses
import math

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.denoisers import Denoiser, GaussianDenoiser, WaveletDenoiser
from invcore.generators import Joint
from invcore.models import GaussianRestorer
from invcore.noises import GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import Convolution, Differences, GaussianKernel, Identity, Mask, Space
from invcore.priors import L1, RED, SNORE, Cycle, FiRe, Quadratic, Restoration, Tikhonov
from invcore.solvers import Auto, GradientDescent, ProximalGradient, ScaledProximalGradient
from invcore_testsupport import normal

F64 = torch.float64
N = 6
EYE = torch.eye(N, dtype=F64)
SPACE = Space((N,))


def covariance(seed=3):
    root = normal(N, N, seed=seed)
    return root @ root.T / N + 0.1 * EYE


def flat_restorer(mean=None):
    """The conditional mean of signals (1, n)."""
    return GaussianRestorer(
        mean=torch.zeros(1, N, dtype=F64) if mean is None else mean, covariance=covariance()
    )


def degradation(width, sigma, keep=None):
    kernel = torch.tensor([[width, 1 - 2 * width, width]], dtype=F64)
    A = Convolution(kernel=kernel, domain=Space((1, N)), boundary="zero")
    if keep is not None:
        A = Mask(torch.tensor([keep], dtype=F64), Space((1, N))) @ A
    return Physics(A, GaussianNoise(sigma=sigma))


def matrix(physics):
    return physics.operator.dense(dtype=F64).reshape(N, N)


def precision(physics, C):
    """Hᵀ(H C Hᵀ + σ²)⁻¹H."""
    H, s2 = matrix(physics), physics.noise.sigma**2
    return H.T @ torch.linalg.solve(H @ C @ H.T + s2 * EYE, H)


def restored(s, physics):
    """The same as `flat_restorer` for signals of mean zero, by a matrix that is computed once."""
    if id(physics) not in GAINS:
        H, s2 = matrix(physics), physics.noise.sigma**2
        GAINS[id(physics)] = (
            physics,
            torch.linalg.solve(H @ covariance() @ H.T + s2 * EYE, H @ covariance()),
        )
    return s @ GAINS[id(physics)][1]


GAINS = {}
BOTH = (degradation(0.3, 0.4), degradation(0.1, 0.7, keep=[1.0, 0.0, 1.0, 1.0, 0.0, 1.0]))
OTHER = degradation(0.2, 0.3)


def test_sharp_without_draws_is_the_score_of_degraded_images():
    C, mean, x = covariance(), normal(1, N, seed=8), normal(4, 1, N, seed=9)
    g = Restoration(flat_restorer(mean), BOTH, draws="all")
    expected = (x - mean) @ sum(precision(p, C) for p in BOTH) / 2
    assert torch.allclose(g.grad(x, Space((1, N))), expected, atol=1e-12)
    assert not g.stochastic and g.at(3) is g


def test_sharp_draws_operators_and_noise_without_bias():
    C, x = covariance(), normal(1, N, seed=9)
    g, count = Restoration(restored, BOTH, draws=20), 40
    found = torch.stack([g.at(k).grad(x) for k in range(count)])
    expected = x @ sum(precision(p, C) for p in BOTH) / 2
    z = (found.mean(0) - expected) / (found.std(0) / math.sqrt(count))
    assert z.abs().max() < 3.5
    assert found.std(0).min() > 0


def test_draws_depend_on_seed_and_iteration_and_are_shared_by_a_batch():
    x, space = normal(3, 1, N, seed=9), Space((1, N))
    g = Restoration(flat_restorer(), BOTH)
    assert torch.equal(g.at(4).grad(x, space), g.at(4).grad(x, space))
    assert not torch.equal(g.at(4).grad(x, space), g.at(5).grad(x, space))
    assert not torch.equal(g.at(4).grad(x, space), dataclasses.replace(g, seed=1).at(4).grad(x, space))
    assert torch.allclose(g.at(4).grad(x, space)[1], g.at(4).grad(x[1]), atol=1e-12)


def test_varying_parameters_are_drawn():
    plane = Space((1, 8, 8))
    blur = Convolution(kernel=torch.ones(1, 3, 3, dtype=F64) / 9, domain=plane)
    f = torch.fft.fftfreq(8, dtype=F64)
    R = GaussianRestorer(mean=torch.zeros(1, 8, 8, dtype=F64), spectrum=0.1 / (0.2 + f[:, None] ** 2 + f**2))
    kernels = Joint((("kernel", GaussianKernel(3)),))
    g = Restoration(R, Physics(blur, GaussianNoise(sigma=1.0)), varying=kernels, form="drp")
    x = normal(1, 8, 8)
    (physics, s), (other, _) = (next(iter(g.at(k)._degraded(x))) for k in (0, 1))
    assert not torch.equal(physics.operator.kernel, other.operator.kernel)
    assert torch.allclose(g.at(0).grad(x), physics.operator.H(s - physics.operator(R(s, physics))))
    with pytest.raises(ParameterError, match="curvature"):
        ScaledProximalGradient(prior=g, weight=1.0).solve(x, Physics(Identity(plane)))


@pytest.mark.parametrize("keep", [None, [1.0, 1.0, 0.0, 1.0, 1.0, 1.0]])
def test_drp_is_minimized_in_its_metric(keep):
    C, H = covariance(), degradation(0.3, 0.4, keep)
    y, weight = normal(1, N, seed=5), 0.7
    prior = Restoration(flat_restorer(), H, form="drp")
    A = matrix(OTHER)
    expected = torch.linalg.solve(A.T @ A / 0.09 + weight * 0.16 * precision(H, C), y[0] @ A / 0.09)
    solution = ScaledProximalGradient(prior=prior, weight=weight, rtol=1e-13).solve(y, OTHER)
    assert int(solution.stats["steps"]) < 60
    assert torch.allclose(solution.value[0], expected, atol=1e-10)


def test_sharp_without_draws_is_minimized():
    C, y = covariance(), normal(2, 1, N, seed=5)
    A = matrix(OTHER)
    weights = torch.tensor([0.5, 2.0], dtype=F64)
    prior = Restoration(flat_restorer(), BOTH, draws="all")
    found = ScaledProximalGradient(prior=prior, weight=weights, rtol=1e-13)(y, OTHER)
    for w, data, x in zip(weights, y, found):
        bend = A.T @ A / 0.09 + w * sum(precision(p, C) for p in BOTH) / 2
        assert torch.allclose(x[0], torch.linalg.solve(bend, data[0] @ A / 0.09), atol=1e-10)


def test_averaged_iterates_of_random_draws_approach_the_minimizer():
    y = normal(1, N, seed=5)
    exact = Restoration(flat_restorer(), BOTH, draws="all")
    wanted = ScaledProximalGradient(prior=exact, weight=1.0, rtol=1e-12)(y, OTHER)
    random = ScaledProximalGradient(prior=Restoration(restored, BOTH), weight=1.0)
    found = [random.solve(y, OTHER, steps=n).value for n in (10, 400)]
    errors = [float((x - wanted).norm() / wanted.norm()) for x in found]
    assert errors[1] < 0.05 and errors[1] < errors[0]


def test_snore_is_the_case_of_no_operator():
    D = GaussianDenoiser(mean=torch.zeros(1, N, dtype=F64), covariance=covariance())
    x, space = normal(2, 1, N), Space((1, N))
    snore = SNORE(D, sigma=0.4, draws=3, seed=7)
    same = Restoration(flat_restorer(), Physics(Identity(space), GaussianNoise(sigma=0.4)), draws=3, seed=7)
    assert torch.allclose(snore.at(2).grad(x, space), same.at(2).grad(x, space), atol=1e-10)
    assert torch.allclose(snore.at(2).value(x, space), same.at(2).value(x, space), atol=1e-10)
    many = dataclasses.replace(snore, draws=4000).grad(x, space)
    expected = torch.linalg.solve(covariance() + 0.16 * EYE, x[:, 0].T).T
    assert torch.allclose(many[:, 0], expected, atol=0.2)


def test_snore_anneals():
    D = GaussianDenoiser(mean=torch.zeros(1, N, dtype=F64), covariance=covariance())
    falling, x = SNORE(D, sigma=(0.5, 0.1)), normal(1, N)
    for k, sigma in ((0, 0.5), (1, 0.1), (9, 0.1)):
        assert torch.equal(falling.at(k).grad(x), SNORE(D, sigma=sigma).at(k).grad(x))
        assert falling.at(k).majorizer(Space((1, N))) == pytest.approx(1 / sigma**2)


class Shrink(Denoiser):
    """A denoiser without a density."""

    channels, value_range, sigma_range = None, None, (0.0, math.inf)
    spatial_dims: int = 1

    def denoise(self, x, sigma):
        return x / (1 + sigma**2)


def test_scaled_proximal_gradient_runs_what_has_no_value():
    y, A = normal(1, N, seed=5), matrix(OTHER)
    red = RED(Shrink(), sigma=0.5)
    with pytest.raises(ParameterError, match="no value"):
        GradientDescent(prior=red, weight=1.0)(y, OTHER)
    found = ScaledProximalGradient(prior=red, weight=2.0, rtol=1e-12)(y, OTHER)
    with pytest.raises(ParameterError, match="draws another one in each: use 'scaled_pgd'"):
        GradientDescent(prior=SNORE(Shrink(), sigma=0.5), weight=1.0)
    assert Auto(prior=red, weight=2.0).choose(OTHER).why.startswith("scaled_pgd")
    bend = A.T @ A / 0.09 + 2.0 * (1 - 1 / 1.25) * EYE
    assert torch.allclose(found[0], torch.linalg.solve(bend, y[0] @ A / 0.09), atol=1e-9)


def test_scaled_proximal_gradient_with_one_step_is_the_exact_solve_in_the_metric_of_the_prior():
    y = normal(1, N, seed=5)
    slopes = Differences(Space((1, N)), spatial_dims=1)
    A, L = matrix(OTHER), slopes.dense(dtype=F64).reshape(-1, N)
    prior = Quadratic(slopes) + 0.5 * Tikhonov()
    solution = ScaledProximalGradient(prior=prior, weight=2.0, rtol=1e-12).solve(y, OTHER)
    expected = torch.linalg.solve(A.T @ A / 0.09 + 2 * L.T @ L + EYE, y[0] @ A / 0.09)
    assert int(solution.stats["steps"]) <= 8  # one, were the inner solve exact
    assert torch.allclose(solution.value[0], expected, atol=1e-10)
    assert (Tikhonov() + L1()).majorizer(SPACE) is None


def test_unusable_options_are_refused():
    R, H = flat_restorer(), BOTH[0]
    still = Physics(H.operator, NoNoise())
    for options, match in (
        ({"form": "red"}, "form must be"),
        ({"draws": 0}, "draws must be"),
        ({"physics": ()}, "must be a Physics"),
        ({"physics": still}, "needs Gaussian noise"),
        ({"physics": (H, Physics(Identity(Space((1, 4))), H.noise))}, "same images"),
        ({"varying": GaussianKernel(3), "draws": "all"}, "no last one"),
    ):
        with pytest.raises(ParameterError, match=match):
            Restoration(R, **{"physics": H, **options})
    with pytest.raises(ParameterError, match="draws a dict"):
        Restoration(R, H, varying=lambda batch, *, generator: torch.ones(1, 3)).grad(normal(1, N))
    with pytest.raises(ParameterError, match="log_evidence"):
        Restoration(lambda s, physics: s, H).value(normal(1, N))
    with pytest.raises(ParameterError, match="takes Gaussian noise"):
        Restoration(R, still, form="drp").value(normal(1, N))
    with pytest.raises(ParameterError, match="RED"):
        SNORE(Shrink(), sigma=0.1, draws="all")
    with pytest.raises(ParameterError, match="log_density"):
        SNORE(WaveletDenoiser(), sigma=0.1).value(normal(1, 8, 8))
    with pytest.raises(ParameterError, match="gamma"):
        Cycle(R, H, gamma=0.0)
    with pytest.raises(ParameterError, match="residual"):
        FiRe(Cycle(R, H)).value(normal(1, N))
    with pytest.raises(ParameterError, match="no gradient"):
        ScaledProximalGradient(prior=L1(), weight=1.0)


# -- FiRe --------------------------------------------------------------------------------------------

GAMMA = 0.8


def fire(**options):
    return FiRe(tuple(Cycle(restored, p, gamma=GAMMA) for p in BOTH), shifts=0.0, **options)


def fire_map():
    """(1 - γ) + γ M̄, M̄ the mean of C Hᵀ(H C Hᵀ + σ²)⁻¹H."""
    return (1 - GAMMA) * EYE + GAMMA * covariance() @ sum(precision(p, covariance()) for p in BOTH) / 2


def test_fixed_point_of_fire_with_a_proximal_step_on_the_data():
    y, A = normal(1, N, seed=5), matrix(OTHER)
    P = torch.linalg.inv(EYE + A.T @ A)
    expected = torch.linalg.solve(EYE - P @ fire_map(), P @ A.T @ y[0])
    solver = ScaledProximalGradient(prior=fire(draws="all"), rtol=1e-14)
    assert float(solver.problem(y, OTHER).weight) == pytest.approx(1 / 0.09)  # that is λ = 1
    found = solver.solve(y, OTHER, steps=200).value
    assert torch.allclose(found[0], expected, rtol=0, atol=1e-12)
    weighted = dataclasses.replace(solver, weight=1 / (0.09 * 3.0)).solve(y, OTHER, steps=200).value
    P = torch.linalg.inv(EYE + 3 * A.T @ A)
    assert torch.allclose(
        weighted[0], torch.linalg.solve(EYE - P @ fire_map(), 3 * P @ A.T @ y[0]), atol=1e-12
    )


def test_fixed_point_of_fire_with_a_gradient_step_on_the_data():
    y, A = normal(1, N, seed=5), matrix(OTHER)
    solver = ProximalGradient(prior=fire(draws="all"), rtol=1e-14)
    t = 0.09 / float(OTHER.operator.norm()) ** 2
    M = fire_map()
    expected = torch.linalg.solve(EYE - M @ (EYE - t / 0.09 * A.T @ A), M @ (t / 0.09 * A.T @ y[0]))
    assert torch.allclose(solver.solve(y, OTHER, steps=400).value[0], expected, atol=1e-11)


def test_random_cycles_average_to_the_fixed_point():
    y = normal(1, N, seed=5)
    wanted = ScaledProximalGradient(prior=fire(draws="all"), rtol=1e-10)(y, OTHER)
    found = ScaledProximalGradient(prior=fire()).solve(y, OTHER, steps=500).value
    assert (found - wanted).norm() < 0.1 * wanted.norm()


def test_shifts_are_undone():
    circular = Physics(Convolution(kernel=normal(1, 3, 3), domain=Space((1, 12, 9))), NoNoise())
    cycle = Cycle(lambda s, physics: physics.operator.H(s) / 2, circular)
    x = normal(2, 1, 12, 9)
    plain = FiRe(cycle, shifts=0.0).prox(x, 1.0, Space((1, 12, 9)))
    shifted = FiRe(cycle, shifts=0.4)
    assert torch.allclose(shifted.at(3).prox(x, 1.0, Space((1, 12, 9))), plain, atol=1e-12)
    offsets = {tuple(shifted._shift(Space((1, 12, 9)), shifted.at(k)._generator())[0]) for k in range(40)}
    assert len(offsets) > 20 and all(abs(a) <= 4 and abs(b) <= 3 for a, b in offsets)


def test_residual_is_what_a_cycle_moves():
    C, x, count = covariance(), normal(1, N), 300
    prior = FiRe(Cycle(restored, BOTH[0]))
    generator = torch.Generator().manual_seed(0)
    found = torch.stack([prior.residual(x, generator=generator) for _ in range(count)])
    H = matrix(BOTH[0])
    G = torch.linalg.solve(H @ C @ H.T + 0.16 * EYE, H @ C).T
    still = x[0] - G @ H @ x[0]
    expected = (still.square().sum() + 0.16 * G.square().sum()) / 2
    assert (found.mean() - expected).abs() < 4 * found.std() / math.sqrt(count)
    assert prior.residual(x.expand(3, 1, N), Space((1, N)), generator=generator).shape == (3,)


def test_any_noise_degrades():
    counts = Physics(Identity(Space((1, N))), PoissonNoise(gain=0.5))
    prior = FiRe(Cycle(lambda s, physics: s, counts), shifts=0.0)
    x = 3 + normal(4, 1, N).abs()
    moved = prior.at(2).prox(x, 1.0, Space((1, N)))
    assert torch.allclose(moved / 0.5, (moved / 0.5).round())
    assert torch.equal(moved[2], prior.at(2).prox(x[2], 1.0))
