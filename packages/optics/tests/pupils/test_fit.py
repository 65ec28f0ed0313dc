"""Aberrations from bead stacks: simulated ones with known truth, and a measured one."""

import pytest
import torch
from torch.func import jacrev

from invcore import DataError, ParameterError, Physics, ShapeError
from invcore.noises import PoissonNoise
from invcore_optics import BeadStack, Objective, PupilFit, PupilPSF, StratifiedMedium, fit_pupil
from invcore_testsupport import measured

OBJECTIVE = Objective(520e-9, 0.85)
Z = 400e-9 * (torch.arange(9, dtype=torch.float64) - 4)


@pytest.mark.parametrize("medium", [None, StratifiedMedium(sample_index=1.33, depth=3e-6)])
@pytest.mark.parametrize("model", ["scalar", "vectorial"])
def test_dense_jacobian_is_the_derivative(medium, model):
    A = BeadStack(
        PupilPSF(
            objective=Objective(520e-9, 0.85, index=1.0 if medium is None else 1.515),
            pixel=130e-9,
            shape=(9, 8),
            modes=(2, 3, 7, 11),
            depths=Z[2:5],
            samples=20,
            medium=medium,
            oversampling=2,
            model=model,
        )
    )
    c = torch.tensor([1e-8, -2e-8, 3e-8, 2e-8], dtype=torch.float64)
    x = A.assemble(c, depth=1e-7, width=0.7, photons=100.0, background=3.0)
    y, J = A.jacobian(x)
    expected = jacrev(A.forward)(x)[..., 0, 0, :].movedim(-1, 0)
    torch.testing.assert_close(y, A(x), rtol=1e-12, atol=1e-12)
    off = (J - expected).flatten(1).norm(dim=1) / expected.flatten(1).norm(dim=1)
    assert float(off.max()) < 1e-13
    batched = A.jacobian(torch.stack([x, 1.1 * x]))[1]
    torch.testing.assert_close(batched[0], J, rtol=1e-12, atol=1e-12)


TRUTH = {5: 15e-9, 6: -25e-9, 7: 0.0, 8: 40e-9, 11: 50e-9, 22: -20e-9}


def stack(photons=2e5, width=0.8, seed=0):
    A = BeadStack(
        PupilPSF(
            objective=OBJECTIVE, pixel=130e-9, shape=(61, 61), modes=(2, 3, *TRUTH), depths=Z, samples=96
        )
    )
    c = torch.tensor([30e-9, -20e-9, *TRUTH.values()], dtype=torch.float64)
    mean = A(A.assemble(c, depth=120e-9, width=width, photons=photons, background=20.0))
    return torch.poisson(mean, torch.Generator().manual_seed(seed))


def test_finds_the_aberrations_within_their_errors():
    found = fit_pupil(stack(), OBJECTIVE, pixel=130e-9, spacing=400e-9, modes=tuple(TRUTH))
    truth = torch.tensor(list(TRUTH.values()), dtype=torch.float64)
    assert ((found.coefficients - truth).abs() < 4 * found.errors + 0.3e-9).all()
    assert found.errors.max() < 1e-9
    assert found.dispersion == pytest.approx(1, abs=0.1)
    parts = found.operator.parts(found.x)
    assert float(parts.depth) == pytest.approx(120e-9, abs=8e-9)
    assert float(parts.width) == pytest.approx(0.8, abs=0.02)
    assert float(parts.background) == pytest.approx(20, abs=0.5)
    assert "primary spherical" in found.table()


def test_errors_are_those_of_repetitions():
    """Standard errors against the scatter of eight noisy copies."""
    found = [
        fit_pupil(
            stack(3e4, seed=s), OBJECTIVE, pixel=130e-9, spacing=400e-9, modes=(8, 11, 6, 22), window=31
        )
        for s in range(8)
    ]
    scatter = torch.stack([f.coefficients for f in found]).std(0)
    stated = torch.stack([f.errors for f in found]).mean(0)
    assert ((stated / scatter > 0.6) & (stated / scatter < 3)).all()


def test_aberrations_on_both_sides_of_the_axis_and_their_psf():
    """The sign of even modes is found, as planes lie on both sides of the focus."""
    found = fit_pupil(stack().float(), OBJECTIVE, pixel=130e-9, spacing=400e-9, modes=tuple(TRUTH))
    h = found.psf(shape=(41, 41), depths=torch.tensor([-0.8e-6, 0.8e-6]))
    options = {"objective": OBJECTIVE, "pixel": 130e-9, "shape": (41, 41), "modes": tuple(TRUTH)}
    A = PupilPSF(depths=torch.tensor([-0.8e-6, 0.8e-6]), **options)
    expected = A(torch.tensor(list(TRUTH.values())))
    assert (h - expected).norm() < 0.02 * expected.norm()
    assert (h.flip(0) - expected).norm() > 0.3 * expected.norm()


def test_wrong_stacks():
    good = {"pixel": 130e-9, "spacing": 400e-9}
    with pytest.raises(ShapeError, match="plane, y, x"):
        fit_pupil(torch.ones(2, 32, 32), OBJECTIVE, **good)
    with pytest.raises(DataError, match="negative"):
        fit_pupil(-stack(), OBJECTIVE, **good)
    with pytest.raises(ParameterError, match="defocus is the axial position"):
        fit_pupil(stack(), OBJECTIVE, modes=(4, 11), **good)
    with pytest.raises(ParameterError, match="odd number"):
        fit_pupil(stack(), OBJECTIVE, window=16, **good)
    with pytest.raises(DataError, match="from the border"):
        fit_pupil(stack().roll(29, -1), OBJECTIVE, window=31, **good)
    A = PupilPSF(objective=OBJECTIVE, pixel=130e-9, shape=(8, 8))
    with pytest.raises(ParameterError, match="BeadStack"):
        PupilFit()(A(torch.zeros(8)), Physics(A, PoissonNoise()))


@pytest.mark.slow
def test_measured_bead():
    tifffile = pytest.importorskip("tifffile")
    path = measured("optics/bead_psf_wl520_z300_x130_na0.85.tif")
    y = torch.from_numpy(tifffile.imread(path).astype("float32"))
    found = fit_pupil(y, OBJECTIVE, pixel=130e-9, spacing=300e-9, window=49)
    plain = fit_pupil(y, OBJECTIVE, pixel=130e-9, spacing=300e-9, window=49, modes=(11,))
    assert found.residual < 0.12 < 0.17 < plain.residual
    spherical = dict(zip(found.modes, (1e9 * found.coefficients).tolist()))
    assert 10 < spherical[11] < 40
    assert 15 < spherical[22] < 40
    assert -35 < spherical[8] < -10
