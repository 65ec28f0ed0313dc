"""Two sensors of one scene: the operator against slices, Brovey's formula, and the exact Gaussian fusion."""

import pytest
import torch

from invcore import ParameterError, Physics
from invcore.models import Brovey, GaussianRestorer
from invcore.noises import BlockNoise, GaussianNoise, NoNoise
from invcore.operators import Identity, Space, Upsample, pansharpen
from invcore_testsupport import error, normal, rng

LEVELS = BlockNoise((GaussianNoise(sigma=0.1), GaussianNoise(sigma=0.3)))


def test_the_operator_by_slices():
    x, w = normal(2, 3, 8, 12), (0.2, 0.5, 0.3)
    coarse, sharp = pansharpen(domain=Space((3, 8, 12)), factor=4, weights=w, kernel="box")(x)
    assert error(coarse, x.unflatten(-1, (3, 4)).unflatten(-3, (2, 4)).mean((-1, -3))) < 1e-6
    assert error(sharp, (x * torch.tensor(w)[:, None, None]).sum(1, keepdim=True)) < 1e-6


def test_each_sensor_has_its_own_noise():
    physics = Physics(pansharpen(domain=Space((3, 8, 8)), factor=2), LEVELS)
    coarse, sharp = physics(torch.zeros(400, 3, 8, 8), generator=rng())
    assert float(coarse.std()) == pytest.approx(0.1, rel=0.02)
    assert float(sharp.std()) == pytest.approx(0.3, rel=0.02)


def test_brovey_keeps_ratios_and_fits_the_sharp_image():
    physics = Physics(pansharpen(domain=Space((3, 8, 8)), factor=2))
    y = physics(1 + normal(2, 3, 8, 8).abs())
    x = Brovey()(y, physics)
    up = Upsample(Space((3, 4, 4)), factor=2)(y[0])
    assert error(physics.operator(x)[1], y[1]) < 1e-6
    assert error(x[:, 0] * up[:, 1], x[:, 1] * up[:, 0]) < 1e-6
    with pytest.raises(ParameterError, match="pansharpen"):
        Brovey()(torch.ones(2), Physics(Identity((2,))))


@pytest.mark.parametrize("noise", [LEVELS, BlockNoise((GaussianNoise(sigma=0.2), NoNoise()))])
def test_the_exact_fusion_of_a_gaussian_scene(noise):
    n = 3 * 16
    root = torch.eye(n, dtype=torch.float64) + 0.3 * normal(n, n)
    C, mean = root @ root.T, normal(3, 4, 4, seed=1)
    A = pansharpen(domain=Space((3, 4, 4)), factor=2).to(torch.float64)
    M = A.dense(dtype=torch.float64)
    first, second = (getattr(part, "sigma", 0.0) for part in noise.parts)
    sigma = torch.tensor([first] * 12 + [second] * 16, dtype=torch.float64)
    y = (normal(3, 2, 2, seed=2), normal(1, 4, 4, seed=3))
    rest = torch.cat([y[0].flatten(), y[1].flatten()]) - M @ mean.flatten()
    exact = mean.flatten() + C @ M.T @ torch.linalg.solve(M @ C @ M.T + torch.diag(sigma**2), rest)
    found = GaussianRestorer(mean=mean, covariance=C)(y, Physics(A, noise))
    assert error(found.flatten(), exact) < 1e-6
