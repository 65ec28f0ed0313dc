"""Integrators against the flow of Gaussian images, which is known, and by the order of their error."""

import math
from itertools import pairwise

import pytest
import torch

import invcore
from invcore_diffusion import (
    Ancestral,
    Churn,
    Consistency,
    DiffusionSampler,
    Discrete,
    DPMSolver,
    Euler,
    Heun,
    Karras,
    Midpoint,
    PredictorCorrector,
    RungeKutta,
    UniPC,
    VarianceExploding,
    VariancePreserving,
)
from invcore_diffusion._integrators.multistep import weights

VARIANCES = torch.tensor([4.0, 1.0, 0.25], dtype=torch.float64)
MEAN = torch.tensor([0.5, -1.0, 2.0], dtype=torch.float64)
START = torch.tensor([3.0, -2.0, 1.0], dtype=torch.float64)


def estimate(x, sigma):
    """E[clean | x] for N(MEAN, diag(VARIANCES))."""
    return MEAN + VARIANCES / (VARIANCES + sigma**2) * (x - MEAN)


def flowed(x, sigma, following):
    """The probability flow: deviations go with the standard deviation of the noisy image."""
    return MEAN + ((VARIANCES + following**2) / (VARIANCES + sigma**2)).sqrt() * (x - MEAN)


def mixture(x, sigma):
    """E[clean | x] for (δ₋₁ + δ₁) / 2 with noise 0.3, in each component."""
    total = 0.09 + sigma**2
    sign = torch.tanh(x / total)
    return sign + 0.09 / total * (x - sign)


def run(integrator, levels, x, model=estimate, seed=0):
    memory, g = None, torch.Generator().manual_seed(seed)
    for sigma, following in pairwise(levels.tolist()):
        x, memory = integrator.step(model, x, sigma, following, memory, g)
    return x, memory


def order(integrator, steps, model=estimate, exact=None):
    """The slope of the error between some steps and twice as many, from σ = 3 to σ = 0.3."""
    errors = []
    for n in (steps, 2 * steps):
        levels = torch.linspace(math.log(3), math.log(0.3), n + 1, dtype=torch.float64).exp()
        truth = flowed(START, 3.0, 0.3) if exact is None else exact
        errors.append(float((run(integrator, levels, START, model)[0] - truth).abs().max()))
    return math.log2(errors[0] / errors[1])


ORDERS = [
    (Euler(), 1),
    (Ancestral(eta=0.0), 1),
    (DPMSolver(order=1), 1),
    (Heun(), 2),
    (Midpoint(), 2),
    (DPMSolver(order=2), 2),
    (UniPC(order=1), 2),
    (UniPC(order=2), 3),
]


@pytest.mark.parametrize(("integrator", "expected"), ORDERS, ids=lambda v: repr(v))
def test_order_of_convergence(integrator, expected):
    assert order(integrator, 40) == pytest.approx(expected, abs=0.1)


@pytest.mark.parametrize(("integrator", "expected"), ORDERS, ids=lambda v: repr(v))
def test_order_of_convergence_with_a_mixture(integrator, expected):
    levels = torch.linspace(math.log(3), math.log(0.3), 3, dtype=torch.float64).exp()
    exact, _ = run(RungeKutta(rtol=1e-12, atol=1e-12), levels, START, mixture)
    assert order(integrator, 80, mixture, exact) == pytest.approx(expected, abs=0.1)


def with_past(integrator, steps):
    """The error where the estimates before the first step are known."""
    h = math.log(10) / steps
    levels = [3 * math.exp(-h * k) for k in range(-3, steps + 1)]
    memory = tuple((sigma, estimate(flowed(START, 3.0, sigma), sigma)) for sigma in levels[2::-1])
    x = START
    for sigma, following in pairwise(levels[3:]):
        x, memory = integrator.step(estimate, x, sigma, following, memory, torch.Generator())
    return float((x - flowed(START, 3.0, 0.3)).abs().max())


@pytest.mark.parametrize(("integrator", "expected"), [(DPMSolver(order=3), 3), (UniPC(order=3), 4)])
def test_order_of_convergence_after_the_first_steps(integrator, expected):
    assert math.log2(with_past(integrator, 40) / with_past(integrator, 80)) == pytest.approx(
        expected, abs=0.15
    )


def test_third_order_is_far_below_the_published_weights():
    """The published 3M halves the quadratic term: 5.2e-4 in 20 steps, where the exact weights give 3.9e-5."""
    assert with_past(DPMSolver(order=3), 20) < 5e-5


@pytest.mark.parametrize("integrator", [DPMSolver(), DPMSolver(order=3), UniPC(), UniPC(order=3)])
def test_long_steps_do_not_extrapolate_far(integrator):
    """The last of ten evenly timed steps is nearly three times as long as the one before, in log σ."""
    levels = VariancePreserving().levels(10)
    x = MEAN + START * levels[0] / 3
    exact = flowed(x, float(levels[0]), 0.0)
    error = [float((run(i, levels, x)[0] - exact).abs().max()) for i in (integrator, Euler())]
    assert error[0] < error[1] / 4


def test_weights_are_the_integrals_of_polynomials():
    """The polynomial of each power through the nodes is integrated exactly."""
    for nodes in ((0.0,), (0.0, -0.5), (0.0, -0.5, -1.2), (0.7, 0.0, -0.5, -1.2)):
        for rate in (1.0, 2.0):
            found = weights(nodes, 0.7, rate)
            tau = torch.linspace(0, 0.7, 200_001, dtype=torch.float64)
            for power in range(len(nodes)):
                exact = torch.trapezoid(rate * torch.exp(-rate * (0.7 - tau)) * tau**power, tau)
                assert sum(w * node**power for w, node in zip(found, nodes)) == pytest.approx(
                    float(exact), abs=1e-9
                )


@pytest.mark.parametrize("integrator", [Heun(), Midpoint(), DPMSolver(order=3), UniPC(order=3), RungeKutta()])
def test_last_step_is_the_estimate(integrator):
    x, _ = integrator.step(estimate, START, 0.7, 0.0, None, torch.Generator())
    assert torch.equal(x, estimate(START, 0.7))


def test_correction_survives_what_a_guidance_does_to_the_image():
    """UniPC corrects the image that it is given, and not one that it remembers."""
    g, one = torch.Generator(), torch.ones(3, dtype=torch.float64)
    _, memory = UniPC().step(estimate, START, 3.0, 2.0, None, g)
    a, _ = UniPC().step(lambda x, sigma: MEAN, START, 2.0, 1.5, memory, g)
    b, _ = UniPC().step(lambda x, sigma: MEAN, START + one, 2.0, 1.5, memory, g)
    assert torch.allclose(b - a, 0.75 * one)


# adaptive steps


def test_tolerance_bounds_the_error():
    levels, used = torch.tensor([3.0, 0.3], dtype=torch.float64), []
    for tolerance in (1e-3, 1e-6, 1e-9):
        x, work = run(RungeKutta(rtol=tolerance, atol=tolerance), levels, START)
        assert float((x - flowed(START, 3.0, 0.3)).abs().max()) < 10 * tolerance
        used.append(work.evaluations)
    assert used[0] < used[1] < used[2]


def test_evaluations_are_counted():
    calls = []

    def counted(x, sigma):
        calls.append(sigma)
        return estimate(x, sigma)

    levels = torch.tensor([50.0, 1.0, 0.01, 0.0], dtype=torch.float64)
    _, work = run(RungeKutta(rtol=1e-6), levels, START, counted)
    assert work.evaluations == len(calls)
    assert min(calls) == 0.01 and max(calls) == 50.0


def test_sampler_tells_the_evaluations():
    D = invcore.denoiser("gaussian", mean=torch.zeros(1, 4), spectrum=torch.ones(1, 4))
    physics = invcore.Physics(invcore.operator("identity", (1, 4)), invcore.noise("gaussian", sigma=1.0))
    sampler = DiffusionSampler(D, integrator=RungeKutta(), schedule=Karras(sigma_min=0.01), steps=2)
    chain = sampler.chain(torch.zeros(1, 4), physics, draws=1, generator=torch.Generator().manual_seed(0))
    assert chain.state.memory.evaluations > 14


def test_random_estimates_and_nan_end_in_an_error():
    g = torch.Generator().manual_seed(0)
    levels = torch.tensor([3.0, 0.3], dtype=torch.float64)
    with pytest.raises(invcore.SolverError, match="drawn at random"):
        run(RungeKutta(), levels, START, lambda x, sigma: torch.randn(3, generator=g, dtype=torch.float64))
    with pytest.raises(invcore.SolverError, match="NaN"):
        run(RungeKutta(), levels, START, lambda x, sigma: x * math.nan)


# stochastic integrators: exact variances


@pytest.fixture
def variance(monkeypatch):
    """The variance that an integrator gives to images of N(0, diag(VARIANCES)), without drawing any.

    Each draw of noise is a direction of its own, and an image its coefficients in all of them; the variance
    is the sum of their squares, because every step is linear.
    """

    def found(integrator, levels, centered=None):
        drawn = 0

        def direction(x, generator):
            nonlocal drawn
            drawn += 1
            return torch.zeros_like(x).index_fill(0, torch.tensor([drawn]), 1.0)

        monkeypatch.setattr(invcore.Sampler, "noise", staticmethod(direction))
        x = torch.zeros(210 * len(levels), 3, dtype=torch.float64)
        x[0] = (VARIANCES + levels[0] ** 2).sqrt()
        model = centered or (lambda x, sigma: VARIANCES / (VARIANCES + sigma**2) * x)
        memory = None
        for sigma, following in pairwise(levels.tolist()):
            x, memory = integrator.step(model, x, sigma, following, memory, None)
        return x.square().sum(0)

    return found


def karras(steps):
    return Karras(sigma_min=0.02, sigma_max=20.0).levels(steps)


STOCHASTIC = {
    "DDPM": (lambda n: Ancestral(), 1),
    "DDIM(1/2)": (lambda n: Ancestral(eta=0.5), 1),
    "DPM-Solver++ SDE": (lambda n: DPMSolver(order=1, eta=1.0), 1),
    "2M SDE": (lambda n: DPMSolver(order=2, eta=1.0), 2),
    "3M SDE": (lambda n: DPMSolver(order=3, eta=1.0), 2),
    "2M SDE(1/2)": (lambda n: DPMSolver(order=2, eta=0.5), 2),
    "EDM": (lambda n: Churn(Heun(), gamma=8 / n), 2),
    "Euler with churn": (lambda n: Churn(Euler(), gamma=8 / n, high=5.0), 1),
}


@pytest.mark.parametrize(("make", "expected"), STOCHASTIC.values(), ids=STOCHASTIC)
def test_variance_tends_to_that_of_the_images(variance, make, expected):
    def error(n):
        levels = torch.linspace(math.log(20), math.log(0.002), n, dtype=torch.float64).exp()
        end = torch.zeros(1, dtype=torch.float64)
        return float((variance(make(n), torch.cat([levels, end])) / VARIANCES - 1).abs().max())

    few, many = error(80), error(160)
    assert many < 0.1
    assert math.log2(few / many) == pytest.approx(expected, abs=0.35)


def test_corrected_variance_tends_to_that_of_the_images(variance):
    """What Langevin steps add vanishes with the last level, and what the predictor lacks with the steps."""
    for predictor in (Ancestral(), DPMSolver()):
        integrator = PredictorCorrector(predictor=predictor)
        error = [float((variance(integrator, karras(n)) / VARIANCES - 1).abs().max()) for n in (25, 100)]
        assert error[1] < error[0] / 2 and error[1] < 0.06


def test_order_one_with_noise_is_its_affine_recursion(variance):
    levels = karras(12)
    v = VARIANCES + levels[0] ** 2
    for sigma, following in pairwise(levels.tolist()):
        a = (following / sigma) ** 2
        v = (a + (1 - a) * VARIANCES / (VARIANCES + sigma**2)) ** 2 * v + following**2 * (1 - a)
    assert torch.allclose(variance(DPMSolver(order=1, eta=1.0), levels), v, rtol=1e-12)


def test_langevin_steps_are_their_affine_recursion(variance):
    """Many corrections at one level tend to the variance of unadjusted Langevin steps."""
    levels, r = torch.tensor([2.0, 1.5], dtype=torch.float64), 0.5
    found = variance(PredictorCorrector(predictor=Euler(), snr=r, corrections=200), levels)
    assert torch.allclose(found, (VARIANCES + 2.25) / (1 - r**2 * 2.25 / (VARIANCES + 2.25)), rtol=1e-10)


def test_consistency_steps_with_the_exact_map(variance):
    """The map of the flow to its end, renoised, keeps the law of the images."""
    for sigma_min in (0.0, 0.5):
        levels = torch.tensor([20.0, 3.0, 1.0, sigma_min], dtype=torch.float64)
        found = variance(
            Consistency(sigma_min=sigma_min),
            levels,
            lambda x, sigma, end=sigma_min: flowed(x + MEAN, sigma, end) - MEAN,
        )
        assert torch.allclose(found, VARIANCES + sigma_min**2, rtol=1e-12)


@pytest.mark.parametrize("integrator", [Ancestral(), DPMSolver(eta=1.0), Churn(Heun()), PredictorCorrector()])
def test_noise_is_new_in_each_step_and_image(integrator, variance, monkeypatch):
    """Drawn images have the exact variance, so that what is drawn is white."""
    n, levels = 20_000, karras(20)
    exact = variance(integrator, levels)
    monkeypatch.undo()
    x = torch.randn(n, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x, _ = run(integrator, levels, MEAN + (VARIANCES + levels[0] ** 2).sqrt() * x)
    assert float((x.mean(0) - MEAN).abs().max()) < 0.1
    assert torch.allclose(torch.cov(x.T), torch.diag(x.var(0)), atol=0.1)
    assert torch.allclose(x.var(0), exact, rtol=0.05)


def test_churn_reaches_the_next_level_from_above():
    seen = []

    def watched(x, sigma):
        seen.append(sigma)
        return estimate(x, sigma)

    integrator = Churn(Euler(), gamma=0.25, low=1.0, high=3.0)
    run(integrator, torch.tensor([4.0, 2.0, 0.5, 0.0], dtype=torch.float64), START, watched)
    assert seen == [4.0, 2.5, 0.5]


def test_churn_refuses_memory():
    with pytest.raises(invcore.ParameterError, match="without memory"):
        run(Churn(DPMSolver()), torch.tensor([2.0, 1.0], dtype=torch.float64), START)


def test_mixture_is_recovered_without_data():
    D = invcore.denoiser(
        "gaussian_mixture",
        means=torch.tensor([[[-2.0, 1.0]], [[2.0, -1.0]]], dtype=torch.float64),
        covariances=torch.tensor([0.04, 0.04], dtype=torch.float64)[:, None, None]
        * torch.eye(2, dtype=torch.float64),
        weights=torch.tensor([0.3, 0.7], dtype=torch.float64),
    )
    for integrator in (UniPC(), DPMSolver(order=2, eta=1.0), Churn(Heun())):
        sampler = DiffusionSampler(
            D, integrator=integrator, schedule=VarianceExploding(sigma_max=20.0), steps=40
        )
        x = sampler.unconditional(
            (1, 2), batch=(4000,), generator=torch.Generator().manual_seed(3), dtype=torch.float64
        )
        right = x[:, 0, 0] > 0
        assert float(right.double().mean()) == pytest.approx(0.7, abs=0.03)
        assert float(x[right].std(0).mean()) == pytest.approx(0.2, abs=0.02)


# transitions of the literature, in its own coordinates


BETAS = torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64)
ALPHAS = torch.cumprod(1 - BETAS, 0)


def in_vp(integrator, k, j, z, past=None):
    """One step from the image z of a variance-preserving process at step k to step j, and back to z."""
    process = Discrete(ALPHAS)
    level = lambda i: float(process.sigma(torch.tensor(float(i), dtype=torch.float64)))
    memory = None if past is None else ((level(past[0]), past[1]),)
    x, _ = integrator.step(
        estimate, z / ALPHAS[k].sqrt(), level(k), level(j), memory, torch.Generator().manual_seed(5)
    )
    return x * ALPHAS[j].sqrt()


def noise(seed=5):
    return torch.randn(3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_ancestral_is_ddpm():
    """q(z_{k-1} | z_k, clean) of Ho et al., eq. 6 and 7."""
    k, z = 400, torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)
    clean = estimate(z / ALPHAS[k].sqrt(), float(((1 - ALPHAS[k]) / ALPHAS[k]).sqrt()))
    beta, a, before = BETAS[k], ALPHAS[k], ALPHAS[k - 1]
    mean = before.sqrt() * beta / (1 - a) * clean + (1 - beta).sqrt() * (1 - before) / (1 - a) * z
    expected = mean + (beta * (1 - before) / (1 - a)).sqrt() * noise()
    assert torch.allclose(in_vp(Ancestral(), k, k - 1, z), expected, rtol=1e-10)


@pytest.mark.parametrize("eta", [0.0, 0.6, 1.0])
def test_ancestral_is_ddim(eta):
    """Song et al., eq. 12 and 16, in terms of the predicted noise, over forty steps at once."""
    k, j, z = 400, 360, torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)
    a, b = ALPHAS[k], ALPHAS[j]
    clean = estimate(z / a.sqrt(), float(((1 - a) / a).sqrt()))
    epsilon = (z - a.sqrt() * clean) / (1 - a).sqrt()
    new = eta * ((1 - b) / (1 - a)).sqrt() * (1 - a / b).sqrt()
    expected = b.sqrt() * clean + (1 - b - new**2).sqrt() * epsilon + new * noise()
    assert torch.allclose(in_vp(Ancestral(eta=eta), k, j, z), expected, rtol=1e-10)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_second_order_is_dpm_solver(eta):
    """Lu et al. in terms of α and σ of variance preservation, with the exact integral of the slope."""
    i, k, j, z = 440, 400, 365, torch.tensor([0.3, -1.0, 0.7], dtype=torch.float64)
    alpha, sigma = ALPHAS.sqrt(), (1 - ALPHAS).sqrt()
    logsnr = (alpha / sigma).log()
    before = torch.tensor([0.2, 0.1, -0.4], dtype=torch.float64)
    clean = estimate(z / alpha[k], float(sigma[k] / alpha[k]))
    h, r = logsnr[j] - logsnr[k], (logsnr[k] - logsnr[i]) / (logsnr[j] - logsnr[k])
    slope, whole = (clean - before) / r, (1 + eta) * h
    expected = sigma[j] / sigma[k] * torch.exp(-eta * h) * z + alpha[j] * (1 - torch.exp(-whole)) * clean
    expected = expected + alpha[j] * (1 - (1 - torch.exp(-whole)) / whole) * slope
    expected = expected + sigma[j] * (1 - torch.exp(-2 * eta * h)).sqrt() * noise()
    found = in_vp(DPMSolver(order=2, eta=eta), k, j, z, past=(i, before))
    assert torch.allclose(found, expected, rtol=1e-9)


# contract


@pytest.mark.parametrize(
    "integrator",
    [*(i for i, _ in ORDERS), *(make(20) for make, _ in STOCHASTIC.values()), Consistency()],
    ids=lambda v: repr(v),
)
def test_complex_images_and_repeated_seeds(integrator):
    levels = karras(5)
    x = torch.complex(START, START.flip(0)).expand(2, 3)
    shrink = lambda x, sigma: x / (1 + sigma**2)
    a, _ = run(integrator, levels, x, shrink)
    b, _ = run(integrator, levels, x, shrink)
    assert torch.equal(a, b) and a.dtype == torch.complex128
    assert a.shape == x.shape


@pytest.mark.parametrize(
    "make",
    [
        lambda: DPMSolver(order=4),
        lambda: DPMSolver(eta=-1.0),
        lambda: UniPC(order=0),
        lambda: Churn(Heun(), gamma=0.5),
        lambda: Churn(Heun(), low=2.0, high=1.0),
        lambda: PredictorCorrector(snr=1.0),
        lambda: PredictorCorrector(corrections=0),
        lambda: RungeKutta(atol=0.0),
        lambda: Consistency(sigma_min=-1.0),
    ],
)
def test_nonsense_is_refused(make):
    with pytest.raises(invcore.ParameterError):
        make()
