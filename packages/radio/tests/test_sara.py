"""Averaged sparsity: the frame against dense matrices, the prior against a generic solver, constrained imaging against its optimality
conditions, and what it is worth on a simulated observation with known truth."""

import math

import numpy as np
import pytest
import pywt
import torch
from scipy.optimize import linprog, minimize

import invcore
from invcore.noises import GaussianNoise
from invcore.operators import Matrix, Space
from invcore_radio import Clean, Sara, SaraFrame, constrained, noise_radius, restore, simulate, vla
from invcore_radio._imaging.sara import DICTIONARY, Coefficients


def test_the_frame_is_parseval_entry_by_entry():
    frame = SaraFrame(domain=Space((1, 16, 16)))
    dense = frame.dense(dtype=torch.float64)
    assert dense.shape == (9 * 256, 256)
    torch.testing.assert_close(dense.T @ dense, torch.eye(256, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(frame.H.dense(dtype=torch.float64), dense.T, atol=1e-12, rtol=0)


@pytest.mark.filterwarnings("ignore:Level value")
def test_the_bases_are_those_of_pywavelets():
    frame = SaraFrame(domain=Space((1, 32, 32)), levels=2)
    x = torch.randn(1, 32, 32, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    coefficients = 3 * frame(x)
    torch.testing.assert_close(coefficients[0], x)
    for plane, name in zip(coefficients[1:], DICTIONARY[1:], strict=True):
        expected = pywt.wavedec2(x[0].numpy(), name, mode="periodization", level=2)
        values = np.sort(np.concatenate([expected[0].ravel(), *(b.ravel() for d in expected[1:] for b in d)]))
        np.testing.assert_allclose(np.sort(plane.numpy().ravel()), values, atol=1e-10)


def penalized_program(v, K, weights):
    """argmin over x >= 0 of Σ w|Kx| + ‖x - v‖²/2 by a generic solver, with a bound s for each |Kx|."""
    n, m = K.shape[1], K.shape[0]
    constraints = [
        {"type": "ineq", "fun": lambda z: z[n:] - K @ z[:n], "jac": lambda z: np.hstack([-K, np.eye(m)])},
        {"type": "ineq", "fun": lambda z: z[n:] + K @ z[:n], "jac": lambda z: np.hstack([K, np.eye(m)])},
    ]
    found = minimize(
        lambda z: weights @ z[n:] + ((z[:n] - v) ** 2).sum() / 2,
        np.concatenate([np.full(n, 0.5), np.full(m, 2.0)]),
        jac=lambda z: np.concatenate([z[:n] - v, weights]),
        bounds=[(0, None)] * n + [(None, None)] * m,
        constraints=constraints,
        method="SLSQP",
        options={"maxiter": 500, "ftol": 1e-14},
    )
    assert found.success, found.message
    return found.x[:n]


def stationarity(x, K, A, y, zero):
    """The smallest ‖Kᵀp + μ Aᵀ(Ax - y) - ν‖∞ over multipliers: p in the subdifferential of the sum of magnitudes at Kx, μ >= 0
    of the ball, ν >= 0 of those entries that are 0. It vanishes at a minimizer, and nowhere else."""
    c, n = K @ x, len(x)
    sides = [(-1, 1) if abs(v) < zero else (np.sign(v),) * 2 for v in c]
    matrix = np.hstack([K.T, (A.T @ (A @ x - y))[:, None], -np.eye(n)])
    ones = np.ones((n, 1))
    found = linprog(
        np.concatenate([np.zeros(matrix.shape[1]), [1.0]]),
        A_ub=np.vstack([np.hstack([matrix, -ones]), np.hstack([-matrix, -ones])]),
        b_ub=np.zeros(2 * n),
        bounds=[*sides, (0, None), *((0, None) if v < zero else (0, 0) for v in x), (0, None)],
    )
    assert found.success, found.message
    return found.fun


@pytest.mark.parametrize("weighted", [False, True])
def test_prox_is_that_of_a_generic_solver(weighted):
    generator = torch.Generator().manual_seed(3)
    v = torch.randn(1, 4, 4, generator=generator, dtype=torch.float64)
    bases = ("dirac", "db1", "db2")
    weights = torch.rand(3, 1, 4, 4, generator=generator, dtype=torch.float64) if weighted else None
    prior = Sara(bases=bases, weights=weights, rtol=1e-12, max_steps=5000)
    K = SaraFrame(domain=Space((1, 4, 4)), bases=bases).dense(dtype=torch.float64).numpy()
    w = np.ones(48) if weights is None else weights.numpy().ravel()
    expected = penalized_program(v.numpy().ravel(), K, 0.2 * w)
    np.testing.assert_allclose(prior.prox(v, 0.2).numpy().ravel(), expected, atol=1e-5)


def test_the_conjugate_proximal_operator_obeys_moreau():
    generator = torch.Generator().manual_seed(0)
    c = torch.randn(2, 3, 1, 4, 5, generator=generator, dtype=torch.float64)
    space = Space((3, 1, 4, 5))
    weights = torch.rand(3, 1, 4, 5, generator=generator, dtype=torch.float64)
    for h in (Coefficients(), Coefficients(nonnegative=1), Coefficients(weights=weights, nonnegative=0)):
        step = torch.tensor([0.3, 2.0], dtype=torch.float64)
        s = step.reshape(2, 1, 1, 1, 1)
        expected = c - s * h.prox(c / s, 0.7 / step, space)
        projected = h.prox_conjugate(c, step, space, weight=0.7)
        torch.testing.assert_close(projected, expected)
        assert h.conjugate(projected, space, weight=0.7).tolist() == [0, 0]
        assert h.conjugate(projected + 1, space, weight=0.7).tolist() == [math.inf, math.inf]


def test_constrained_solution_meets_the_optimality_conditions():
    generator = torch.Generator().manual_seed(5)
    bases = ("dirac", "db1")
    matrix = torch.randn(9, 16, generator=generator, dtype=torch.float64)
    x = torch.zeros(1, 4, 4, dtype=torch.float64)
    x[0, 1, 1:3], x[0, 3, 0] = 1.0, 0.5
    space = Space((1, 4, 4))
    A = Matrix(matrix=matrix) @ invcore.LinearOperator.from_function(_flatten, space)
    physics = invcore.Physics(operator=A, noise=GaussianNoise(sigma=0.1))
    y = physics(x, generator=generator)
    prior = Sara(bases=bases)
    found = constrained(y, physics, prior=prior, radius=3.0, rtol=1e-10, feasibility=1e-9, max_steps=50_000)
    K = SaraFrame(domain=space, bases=bases).dense(dtype=torch.float64).numpy()
    assert bool(found.converged) and float(found.value.min()) > -1e-8
    assert float(found.distance) == pytest.approx(3.0, rel=1e-6)  # the bound is active
    best, data = found.value.numpy().ravel(), y.numpy()
    assert stationarity(best, K, matrix.numpy(), data, 1e-5) < 1e-5
    assert stationarity(best + 0.05, K, matrix.numpy(), data, 1e-5) > 0.05  # the test can tell


def _flatten(x):
    return x.flatten(-3)


def test_the_radius_counts_what_is_not_flagged():
    vis = vla("D", antennas=6).observe(hour_angles=(0.0, 0.5), interval=600.0, sigma=0.1)
    flag = torch.zeros_like(vis.flag)
    flag[:20] = True
    for data in (vis, vis.replace(flag=flag)):
        n = 2 * int(data.mask.sum())
        physics = data.physics(shape=(8, 8), pixel=1e-4)
        radius = float(noise_radius(physics, data.values(), deviations=0.0))
        assert radius == pytest.approx(math.sqrt(n), rel=1e-6)
    with pytest.raises(invcore.ParameterError, match="known level"):
        constrained(vis.values(), invcore.Physics(operator=physics.operator))
    with pytest.raises(invcore.ParameterError, match="dirac"):
        Sara(bases=("db1",))


def galaxy(n):
    """A core, two lobes with structure, and a few points."""
    at = (torch.arange(float(n)) - n // 2) / n
    y, x = at[:, None], at
    generator = torch.Generator().manual_seed(3)
    k = torch.fft.rfft2(torch.randn(n, n, generator=generator))
    power = (torch.fft.fftfreq(n)[:, None] * n) ** 2 + (torch.fft.rfftfreq(n) * n) ** 2
    texture = torch.fft.irfft2(k * (1 + power / 25) ** -0.9, s=(n, n))
    lobes = torch.exp(-(((x - 0.18) / 0.08) ** 2 + ((y + 0.12) / 0.06) ** 2))
    lobes = lobes + torch.exp(-(((x + 0.17) / 0.07) ** 2 + ((y - 0.1) / 0.08) ** 2))
    image = lobes * (0.7 * texture / texture.std()).exp() * (lobes > 0.15)
    image[n // 2, n // 2] += 15.0
    image[n // 5, n // 4], image[4 * n // 5, 7 * n // 10] = 5.0, 2.0
    return (10 * image / image.sum())[None]


def snr(x, truth):
    return 20 * math.log10(float(truth.norm() / (x - truth).norm()))


def test_averaged_sparsity_beats_clean_on_a_known_sky():
    n = 64
    vis = vla("B").observe(hour_angles=(-4.0, 4.0), interval=600.0, sigma=0.05)
    pixel = vis.resolution() / 3
    truth = galaxy(n)
    vis = simulate(vis, truth, pixel=pixel, generator=torch.Generator().manual_seed(0), w_term=False)
    physics, y = vis.physics(shape=(n, n), pixel=pixel, w_term=False), vis.values()
    sparse = constrained(y, physics, reweights=3)
    assert bool(sparse.converged) and float(sparse.distance) <= 1.011 * float(sparse.radius)
    assert float(sparse.value.min()) > -0.01 * float(sparse.value.max())
    beam = restore(truth, y, physics).beam
    blurred = beam.blur(truth, pixel)
    for algorithm in ("hogbom", "clark", "multiscale"):
        model = Clean(algorithm=algorithm)(y, physics)
        assert snr(sparse.value, truth) > snr(model, truth) + 3
        assert snr(beam.blur(sparse.value, pixel), blurred) > snr(restore(model, y, physics).image, blurred)
