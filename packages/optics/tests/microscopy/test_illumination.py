"""Structured illumination against direct sums, and the resolution that it gains."""

import math

import pytest
import torch

import invcore
from invcore import least_squares
from invcore.operators import Convolution
from invcore_optics import Objective, Patterns, StructuredIllumination, otf

OBJECTIVE, PIXEL = Objective(520e-9, 1.19, index=1.33), 65e-9
CUTOFF = OBJECTIVE.cutoff * PIXEL  # 0.2975 cycles per pixel


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def fringes(size, length, *, on_grid, modulation=0.8):
    angles = 0.3 + math.pi / 3 * torch.arange(3, dtype=torch.float64)
    waves = length * torch.stack((angles.sin(), angles.cos()), -1)
    waves = torch.round(size * waves) / size if on_grid else waves
    phases = (2 * math.pi / 3 * torch.arange(3, dtype=torch.float64)).expand(3, 3)
    return Patterns(waves, phases, torch.full((3, 1), modulation, dtype=torch.float64), torch.zeros(3))


def model(size, patterns):
    return StructuredIllumination.of(patterns, objective=OBJECTIVE, pixel=PIXEL, shape=(size, size))


@pytest.mark.parametrize(
    ("zoom", "shape", "taps"), [(1, (4, 4), (1, 1)), (2, (6, 5), (3, 4)), (3, (3, 4), (20, 5))]
)
def test_equals_multiplication_blur_and_mean(zoom, shape, taps):
    psf, k, phases, a = normal(*taps), normal(2, 2, seed=1), normal(2, 3, seed=2), normal(2, 3, seed=3)
    A = StructuredIllumination(psf=psf, wave_vectors=k, phases=phases, modulation=a, shape=shape, zoom=zoom)
    x = normal(1, zoom * shape[0], zoom * shape[1], seed=4)
    rows, columns = ((torch.arange(zoom * n, dtype=torch.float64) + 0.5) / zoom - 0.5 for n in shape)
    frames = []
    for o in range(2):
        for p in range(3):
            turn = 2 * math.pi * (k[o, 0] * rows[:, None] + k[o, 1] * columns) + phases[o, p]
            lit = (1 + a[o, p] * torch.cos(turn)) * x
            blurred = Convolution(psf[None], lit.shape)(lit)[0]
            frames.append(blurred.unflatten(0, (-1, zoom)).unflatten(2, (-1, zoom)).mean((1, 3)))
    assert torch.allclose(A(x), torch.stack(frames), atol=1e-12)


def test_a_point_shows_the_fringe_times_the_psf():
    patterns = fringes(16, 0.25, on_grid=False)
    psf = normal(5, 5)
    A = StructuredIllumination(
        psf=psf,
        wave_vectors=patterns.wave_vectors,
        phases=patterns.phases,
        modulation=patterns.modulation,
        shape=(16, 16),
        zoom=1,
    )
    x = torch.zeros(1, 16, 16, dtype=torch.float64)
    x[0, 7, 9] = 1
    turn = 2 * math.pi * patterns.wave_vectors @ torch.tensor([7.0, 9.0], dtype=torch.float64)
    w = 1 + 0.8 * torch.cos(turn[:, None] + patterns.phases).flatten()
    assert torch.allclose(A(x)[:, 5:10, 7:12], w[:, None, None] * psf, atol=1e-12)


def test_frames_without_fringes_are_the_widefield_image():
    A = model(16, fringes(16, 0.25, on_grid=True, modulation=0.0))
    x = normal(1, 32, 32)
    transfer = otf(OBJECTIVE, pixel=PIXEL / 2, shape=(32, 32), dtype=torch.float64)
    blurred = torch.fft.ifft2(torch.fft.fft2(x) * transfer).real
    assert torch.allclose(A(x), torch.nn.functional.avg_pool2d(blurred, 2).expand(9, 16, 16), atol=1e-12)


def test_resolution_reaches_the_cutoff_plus_the_fringe_and_ends_there(spectrum_correlation):
    """Least squares restores the spectrum up to 1.85 cutoffs and nothing beyond; widefield stops at 1."""
    n, x = 48, torch.rand(1, 96, 96, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found, wide = (
        least_squares(A, A(x), shift=1e-6, max_steps=800, rtol=2e-6)
        for A in (model(n, fringes(n, 0.85 * CUTOFF, on_grid=True, modulation=a)) for a in (0.8, 0.0))
    )
    rings = [(low * CUTOFF / 2, high * CUTOFF / 2) for low, high in ((0, 1), (1, 1.5), (1.5, 1.8), (1.9, 3))]
    gained = [spectrum_correlation(found, x, *ring) for ring in rings]
    assert gained[0] > 0.999
    assert gained[1] > 0.995
    assert gained[2] > 0.85
    assert abs(gained[3]) < 0.05
    assert spectrum_correlation(wide, x, 0, 0.8 * CUTOFF / 2) > 0.99
    f = torch.fft.fftfreq(2 * n, dtype=torch.float64)
    beyond = torch.fft.fft2(wide)[..., torch.hypot(f[:, None], f) > CUTOFF / 2]
    assert float(beyond.norm() / torch.fft.fft2(wide).norm()) < 1e-10


def test_patterns_are_refined_by_their_gradient():
    """The derivative to the wave vectors is that of finite differences."""
    A, x = model(8, fringes(8, 0.25, on_grid=False)), normal(1, 16, 16)
    y = normal(*A.range.shape, seed=5)

    def loss(k):
        return (A.bind(wave_vectors=k)(x) - y).square().sum()

    k = A.wave_vectors.clone().requires_grad_()
    (slope,) = torch.autograd.grad(loss(k), k)
    step = torch.zeros_like(slope)
    step[1, 0] = 1e-6
    found = (loss(A.wave_vectors + step) - loss(A.wave_vectors - step)) / 2e-6
    assert float(found) == pytest.approx(float(slope[1, 0]), rel=1e-6)


def test_wrong_patterns_are_refused():
    good = {
        "psf": torch.ones(3, 3),
        "wave_vectors": torch.zeros(3, 2),
        "phases": torch.zeros(3, 3),
        "modulation": torch.ones(3, 1),
        "shape": (4, 4),
    }
    for name, wrong, error in (
        ("wave_vectors", torch.zeros(2, 2), invcore.ShapeError),
        ("modulation", torch.ones(3, 2), invcore.ShapeError),
        ("phases", torch.zeros(3), invcore.ShapeError),
        ("psf", torch.ones(3, 3, dtype=torch.int64), invcore.DtypeError),
        ("shape", (0, 4), invcore.ShapeError),
    ):
        with pytest.raises(error, match=name):
            StructuredIllumination(**{**good, name: wrong})
