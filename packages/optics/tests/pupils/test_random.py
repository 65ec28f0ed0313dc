"""Random pupils: the statistics of their wavefronts, and fields whose expansion is the blur."""

import pytest
import torch

from invcore import ParameterError
from invcore.generators import Joint
from invcore_optics import Objective, PupilPSF, RandomPupil, RandomPupilField, SpaceVaryingBlur

PUPIL = PupilPSF(objective=Objective(520e-9, 0.85), pixel=130e-9, shape=(21, 21))


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def test_stronger_aberrations_are_less_sharp():
    peaks = [
        float(RandomPupil(PUPIL, rms=r)(batch=(12,), generator=rng()).amax((1, 2, 3)).mean())
        for r in (0.0, 30e-9, 80e-9)
    ]
    assert peaks[0] > 1.1 * peaks[1] > 1.3 * peaks[2]


def test_wavefronts_have_the_rms_over_pupil_and_field():
    field = RandomPupilField(PUPIL, rms=50e-9, shape=(8, 8))
    nodes = torch.rand(2, 4000, generator=rng(), dtype=torch.float64) * 2 - 1
    g = rng(1)
    mean = torch.stack([field.coefficients(g, *nodes).square().sum(-1).mean() for _ in range(200)]).mean()
    assert float(mean) ** 0.5 == pytest.approx(50e-9, rel=0.05)


def test_expansion_is_the_blur():
    """Kernels at any pixel against those of the pupil there."""
    field = RandomPupilField(PUPIL, rms=40e-9, shape=(40, 50), rank=14, points=7)
    drawn = field(generator=rng(3), dtype=torch.float64)
    A = SpaceVaryingBlur(**drawn, domain=(1, 40, 50), boundary="zero")
    for row, column in ((3, 5), (20, 25), (33, 41)):
        y, x = (
            torch.tensor((i + 0.5) * 2 / n - 1, dtype=torch.float64) for i, n in ((row, 40), (column, 50))
        )
        h = PUPIL.to(torch.float64)(field.coefficients(rng(3), y, x))[0]
        h = h / h.sum()
        assert (A.kernel_at(row, column) - h).norm() < 0.05 * h.norm()
        assert float(A.kernel_at(row, column).sum()) == pytest.approx(1, abs=0.02)


def test_parameters_of_a_physics():
    draw = Joint((("kernel", RandomPupil(PUPIL, rms=4e-8)),))
    assert draw(batch=(2,), generator=rng())["kernel"].shape == (2, 1, 21, 21)
    volume = PUPIL.bind(depths=torch.tensor([-1e-6, 0.0, 1e-6]))
    assert RandomPupil(volume, rms=4e-8)(generator=rng()).shape == (1, 3, 21, 21)


def test_wrong_parameters():
    with pytest.raises(ParameterError, match="rms"):
        RandomPupil(PUPIL, rms=-1.0)
    with pytest.raises(ParameterError, match="rank"):
        RandomPupilField(PUPIL, rms=1e-8, shape=(8, 8), rank=40)
    phase = PupilPSF(objective=PUPIL.objective, pixel=130e-9, shape=(9, 9), unknown="phase")
    with pytest.raises(ParameterError, match="zernike"):
        RandomPupil(phase, rms=1e-8)
