"""Recovery after photobleaching against closed forms, and parameters found again."""

import math

import pytest
import torch
from scipy.special import i0e, i1e

import invcore
from invcore import Physics, cramer_rao
from invcore.noises import GaussianNoise
from invcore_optics import Frap, fit_frap


def seconds(*times):
    return torch.tensor(times, dtype=torch.float64)


def everywhere(*shape):
    return torch.ones(*shape, dtype=torch.bool)


def parameters(**values):
    return Frap.parameters_of(**{"fading": 1e-12, **values}, dtype=torch.float64)


def test_half_of_a_slab():
    """Mean of the bleached half of [0, 1]: ½ (1 - (8/π²) Σ exp(-D m²π² t)/m²) over odd m."""
    n, t = 200, seconds(0.01, 0.02, 0.05, 0.1, 0.2)
    half = (torch.arange(n) < n // 2).double()
    A = Frap(inside=everywhere(n), bleach=half, times=t, pixel=1 / n, substeps=20)
    movie = A(parameters(diffusion_inside=1.0, bleach_depth=40.0))
    m = torch.arange(1, 4000, 2, dtype=torch.float64)
    series = (torch.exp(-((m * math.pi) ** 2) * t[:, None]) / m**2).sum(1)
    exact = 0.5 * (1 - 8 / math.pi**2 * series)
    assert float((movie[:, : n // 2].mean(1) - exact).abs().max()) < 6e-5
    assert torch.allclose(movie.mean(1), torch.full_like(t, 0.5), atol=1e-11)  # mass


def test_a_bleached_disk_in_the_plane():
    """exp(-s) (I₀(s) + I₁(s)), s = w²/2Dt, in a box of radius 15 w: of second order in the cells."""
    t, errors = seconds(0.05, 0.2, 0.5, 1.0, 2.0), []
    exact = torch.from_numpy(i0e(0.5 / t.numpy()) + i1e(0.5 / t.numpy()))
    for n in (300, 600):
        radius = (torch.arange(n, dtype=torch.float64) + 0.5) * 15 / n
        disk = (radius < 1).double()
        A = Frap(inside=everywhere(n), bleach=disk, times=t, pixel=15 / n, radial=1, substeps=20)
        movie = A(parameters(diffusion_inside=1.0, bleach_depth=40.0))
        errors.append(float(((movie * radius * disk).sum(1) / (radius * disk).sum() - exact).abs().max()))
    assert errors[0] < 2e-3
    assert errors[0] / errors[1] > 3


def test_a_barrier_alone_limits_the_exchange():
    """A sphere of fast molecules behind a barrier fills at the rate 3κ/R, outside kept full by its size."""
    n, r, kappa = 120, 10, 0.05
    inside = torch.arange(n) < r
    t = seconds(0.0, 2.0, 4.0)
    A = Frap(inside=inside, bleach=inside.double(), times=t, pixel=1 / r, radial=2, substeps=10)
    movie = A(parameters(diffusion_inside=1e4, diffusion_outside=1e4, permeability=kappa, bleach_depth=40.0))
    full = float(movie[0].new_tensor(1.0))
    dark = full - movie[:, 0]
    rate = float(torch.log(dark[1] / dark[2]) / 2)
    assert rate == pytest.approx(3 * kappa, rel=2e-3)


def test_the_resistances_of_a_droplet_add_up():
    """∫ (1 - f) dt = R²/15 D_in + R/3κ for a droplet emptied of light in a full bath."""
    n, r = 80, 40
    inside = torch.arange(n) < r
    t = torch.linspace(0, 30, 301, dtype=torch.float64)
    A = Frap(inside=inside, bleach=inside.double(), times=t, pixel=1 / r, radial=2, substeps=2)
    edges = torch.arange(n + 1, dtype=torch.float64) ** 3
    volume = edges.diff()
    d_in, kappa = 0.1, 0.2
    # a bath that cannot be emptied: the partition makes it 10⁴ times as full
    x = parameters(
        diffusion_inside=d_in, diffusion_outside=1e4, permeability=kappa, partition=1e-4, bleach_depth=40.0
    )
    content = (A(x) * volume * inside).sum(1) / (1e-4 * volume[:r].sum())
    area = torch.trapezoid(1 - content, t)
    assert float(area) == pytest.approx(1 / (15 * d_in) + 1 / (3 * kappa), rel=5e-3)


def droplet(frames=6, substeps=1):
    inside = torch.zeros(12, 12, dtype=torch.bool)
    inside[3:9, 3:9] = True
    half = torch.zeros(12, 12, dtype=torch.float64)
    half[:, :6] = 1
    t = torch.linspace(0.2, 6, frames, dtype=torch.float64)
    return Frap(inside=inside, bleach=half * inside, times=t, pixel=0.2, substeps=substeps)


TRUTH = {
    "diffusion_inside": 0.1,
    "diffusion_outside": 2.0,
    "permeability": 0.15,
    "partition": 4.0,
    "bleach_depth": 1.5,
    "fading": 0.02,
}
START = {
    "diffusion_inside": 0.2,
    "diffusion_outside": 1.5,
    "permeability": 0.3,
    "partition": 3.0,
    "bleach_depth": 1.0,
    "fading": 0.04,
}


def test_equilibrium_stays():
    A = droplet()
    movie = A(parameters(**{**TRUTH, "bleach_depth": 1e-300, "fading": 1e-300}))
    assert torch.allclose(movie, torch.where(A.inside, 4.0, 1.0).double().expand(movie.shape), rtol=1e-12)


def test_parameters_are_found_again():
    A, x = droplet(), parameters(**TRUTH)
    exact = fit_frap(A(x), A, start=parameters(**START), sigma=1e-3)
    assert all(exact.values[name] == pytest.approx(TRUTH[name], rel=1e-4) for name in TRUTH)


def test_parameters_of_a_noisy_movie_are_within_their_errors():
    A, x = droplet(), parameters(**TRUTH)
    noisy = A(x) + 0.02 * torch.randn(
        A.range.shape, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    found = fit_frap(noisy, A, start=parameters(**START), sigma=0.02)
    assert all(abs(found.values[name] - TRUTH[name]) < 3 * found.errors[name] for name in TRUTH)
    bound = cramer_rao(Physics(A, GaussianNoise(sigma=0.02)), x).sqrt()
    assert found.errors["partition"] == pytest.approx(4.0 * float(bound[3]), rel=0.1)


def test_derivatives_are_those_of_finite_differences():
    A, x = droplet(frames=2, substeps=1), parameters(**TRUTH)
    J = A.linearize(x)
    for k in range(6):
        step = torch.zeros(6, dtype=torch.float64)
        step[k] = 1e-5
        found = (A(x + step) - A(x - step)) / 2e-5
        assert torch.allclose(J(step / 1e-5), found, atol=1e-8)


def test_wrong_input_is_refused():
    good = {"inside": everywhere(3, 3), "bleach": torch.ones(3, 3), "times": torch.ones(1), "pixel": 1.0}
    for wrong, match in (
        ({"inside": torch.ones(3, 3)}, "bool"),
        ({"bleach": torch.ones(2, 3)}, "bleach"),
        ({"times": torch.tensor([1.0, 0.5])}, "times"),
        ({"pixel": -1.0}, "pixel"),
        ({"radial": 1}, "radial"),
    ):
        with pytest.raises(invcore.InvcoreError, match=match):
            Frap(**{**good, **wrong})
