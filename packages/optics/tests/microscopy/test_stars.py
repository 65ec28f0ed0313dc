"""Wavefront fields from stars in focus: the twin, and a fit."""

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.solvers import LevenbergMarquardt
from invcore_optics import FieldPSF, Objective, PupilPSF


def field(stars=10, modes=(4, 5, 7, 11), degree=1):
    pupils = tuple(
        PupilPSF(objective=Objective(w * 1e-9, 0.5), pixel=250e-9, shape=(12, 12), modes=modes, samples=24)
        for w in (550, 650)
    )
    g = torch.Generator().manual_seed(0)
    positions = 2 * torch.rand(stars, 2, generator=g, dtype=torch.float64) - 1
    share = torch.rand(stars, 1, generator=g, dtype=torch.float64)
    return FieldPSF(
        pupils=pupils, positions=positions, spectra=torch.cat((share, 1 - share), 1), degree=degree
    )


def truth(A, size=4e-8):
    return size * torch.randn(A.domain.shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_each_star_is_its_own_pupil():
    A = field(stars=3)
    c = truth(A)
    y = A(c)
    for i, (eta, xi) in enumerate(A.positions):
        w = c[:, 0] + c[:, 1] * eta + c[:, 2] * xi
        own = sum(share * pupil(w)[0] for share, pupil in zip(A.spectra[i], A.pupils))
        assert torch.allclose(y[i], own, atol=1e-14)


def test_even_modes_have_a_twin_and_odd_ones_have_not():
    A = field()
    c = truth(A)
    assert float((A(A.twin(c)) - A(c)).abs().max()) < 1e-12
    turned = c.clone()
    turned[2] = -c[2]  # coma
    assert float((A(turned) - A(c)).abs().max()) > 1e-3


def test_the_wavefront_is_found_up_to_its_twin():
    A = field()
    c = truth(A)
    noise = 1e-4 * torch.randn(A.range.shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    scaled = invcore.Operator.from_function(lambda x: A(1e-8 * x), A.domain.shape)
    start = 0.5 * c / 1e-8 + 0.5
    solver = LevenbergMarquardt(max_steps=60, rtol=1e-6)
    found = 1e-8 * solver.solve(A(c) + noise, Physics(scaled, GaussianNoise(sigma=1e-4)), x0=start).value
    errors = [float((found - other).norm() / c.norm()) for other in (c, A.twin(c))]
    assert min(errors) < 0.02


def test_wrong_input_is_refused():
    pupil = PupilPSF(objective=Objective(5e-7, 0.5), pixel=2e-7, shape=(4, 4), modes=(4,), samples=8)
    with pytest.raises(invcore.ShapeError, match="spectra"):
        FieldPSF(pupils=(pupil,), positions=torch.zeros(3, 2), spectra=torch.ones(2, 1))
    with pytest.raises(invcore.ShapeError, match="positions"):
        FieldPSF(pupils=(pupil,), positions=torch.zeros(3), spectra=torch.ones(1, 1))
    with pytest.raises(invcore.ParameterError, match="PupilPSF"):
        FieldPSF(pupils=(), positions=torch.zeros(3, 2), spectra=torch.ones(1, 1))
