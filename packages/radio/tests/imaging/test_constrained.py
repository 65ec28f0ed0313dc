"""Constrained imaging: optimality conditions, and its worth on a simulated observation."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import linprog

import invcore
from invcore.noises import GaussianNoise
from invcore.operators import Matrix, Space
from invcore_radio import Clean, Sara, SaraFrame, constrained, noise_radius, restore, simulate, vla


def stationarity(x, K, A, y, zero):
    """The smallest ‖Kᵀp + μ Aᵀ(Ax - y) - ν‖∞ over multipliers, which vanishes exactly at a minimizer.

    p lies in the subdifferential of the sum of magnitudes at Kx; μ >= 0 belongs to the ball, ν >= 0 to the
    zeros of x.
    """
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


def test_constrained_solution_meets_the_optimality_conditions():
    generator = torch.Generator().manual_seed(5)
    bases = ("dirac", "db1")
    matrix = torch.randn(9, 16, generator=generator, dtype=torch.float64)
    x = torch.zeros(1, 4, 4, dtype=torch.float64)
    x[0, 1, 1:3], x[0, 3, 0] = 1.0, 0.5
    space = Space((1, 4, 4))
    A = Matrix(matrix) @ invcore.LinearOperator.from_function(_flatten, space)
    physics = invcore.Physics(A, GaussianNoise(sigma=0.1))
    y = physics(x, generator=generator)
    prior = Sara(bases=bases)
    found = constrained(y, physics, prior=prior, radius=3.0, rtol=1e-10, feasibility=1e-9, max_steps=50_000)
    K = SaraFrame(space, bases=bases).dense(dtype=torch.float64).numpy()
    assert bool(found.converged) and float(found.value.min()) > -1e-8
    assert float(found.distance) == pytest.approx(3.0, rel=1e-6)  # the bound is active
    best, data = found.value.numpy().ravel(), y.numpy()
    assert stationarity(best, K, matrix.numpy(), data, 1e-5) < 1e-5
    assert stationarity(best + 0.05, K, matrix.numpy(), data, 1e-5) > 0.05  # and does not vanish elsewhere


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
        constrained(vis.values(), invcore.Physics(physics.operator))
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


@pytest.mark.slow
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
