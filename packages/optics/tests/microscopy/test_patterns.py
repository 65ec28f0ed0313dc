"""The estimate of fringes from images of thin lines: a hard sample, its spectrum has strong streaks."""

import math

import pytest
import torch

import invcore
from invcore_optics import Objective, Patterns, SimPatterns, StructuredIllumination

OBJECTIVE, PIXEL = Objective(520e-9, 1.19, index=1.33), 65e-9
SIZE = 128


def images(filaments, seed, contrast=0.8):
    g = torch.Generator().manual_seed(seed)
    draw = torch.rand(3, 3, generator=g, dtype=torch.float64)
    angles = seed + math.pi / 3 * torch.arange(3, dtype=torch.float64)
    waves = 0.85 * OBJECTIVE.cutoff * PIXEL * torch.stack((angles.sin(), angles.cos()), -1)
    waves = torch.where(waves[:, :1] < 0, -waves, waves) + (draw[:, :2] - 0.5) / SIZE
    phases = 6 * draw[:, 2:] + 2 * math.pi / 3 * torch.arange(3, dtype=torch.float64)
    truth = Patterns(waves, phases, torch.full((3, 1), contrast, dtype=torch.float64), torch.zeros(3))
    A = StructuredIllumination.of(truth, objective=OBJECTIVE, pixel=PIXEL, shape=(SIZE, SIZE))
    y = A(filaments(2 * SIZE, g)[None])
    return truth, y * 77 / y.max(), g


def turned(found, truth):
    return float((torch.remainder(found - truth + math.pi, 2 * math.pi) - math.pi).abs().max())


@pytest.mark.parametrize("noisy", [False, True])
def test_patterns_of_simulated_images(filaments, noisy):
    truth, y, g = images(filaments, seed=0)
    y = torch.poisson(y, generator=g) if noisy else y
    found = SimPatterns(OBJECTIVE, PIXEL)(y)
    apart = SIZE * (found.wave_vectors - truth.wave_vectors).norm(dim=-1)
    assert float(apart.max()) < 0.1  # samples of the spectrum
    assert turned(found.phases, truth.phases) < (0.25 if noisy else 0.15)
    assert 0.65 < float(found.modulation.min()) <= float(found.modulation.max()) < 0.9
    even = SimPatterns(OBJECTIVE, PIXEL, orientations=1, candidates=1, evenly_spaced=True)(y[:3])
    assert turned(even.phases, truth.phases[0]) < 0.2
    assert float((even.phases.diff(dim=-1) - 2 * math.pi / 3).abs().max()) < 1e-12


def test_the_misfit_tells_images_without_fringes(filaments):
    _, y, g = images(filaments, seed=1, contrast=0.0)
    found = SimPatterns(OBJECTIVE, PIXEL, orientations=1, candidates=1)(torch.poisson(y, generator=g)[:3])
    assert float(found.misfit) > 0.9


def test_wrong_images_are_refused():
    estimate = SimPatterns(OBJECTIVE, PIXEL)
    with pytest.raises(invcore.ShapeError, match="9 frames"):
        estimate(torch.ones(8, 16, 16))
    with pytest.raises(invcore.DataError, match="not finite"):
        estimate(torch.full((9, 16, 16), math.nan))
    with pytest.raises(invcore.DataError, match="no light"):
        estimate(torch.zeros(9, 16, 16))
    with pytest.raises(invcore.ParameterError, match="pixel"):
        SimPatterns(OBJECTIVE, pixel=1e-6)
    with pytest.raises(invcore.ParameterError, match="phases"):
        SimPatterns(OBJECTIVE, PIXEL, phases=2)
