"""Denoising score matching: what its loss is on average, and that training draws its own noise."""

import torch

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Identity
from invcore_diffusion import ScoreMatching
from invcore_learning import Files, Logging, Optimization, train
from invcore_testsupport import normal

SPREAD = 0.3


def shrink(x, sigma):
    """The posterior mean of pixels of N(0, SPREAD²)."""
    return x / (1 + (sigma / SPREAD).reshape(-1, 1, 1, 1) ** 2)


def test_the_loss_of_the_exact_denoiser_is_the_weighted_posterior_variance():
    x = SPREAD * normal(4000, 1, 2, 2)
    for s in (0.0, 0.7):
        values = ScoreMatching(log_mean=-1.0, log_deviation=s, sigma_data=0.5)(None, x, None, None, shrink)
        z = torch.linspace(-6, 6, 4001, dtype=torch.float64)
        sigma = torch.exp(-1.0 + s * z)
        weight = (sigma**2 + 0.25) / (0.5 * sigma) ** 2
        variance = 1 / (1 / sigma**2 + 1 / SPREAD**2)
        density = torch.exp(-(z**2) / 2)
        expected = (density * weight * variance).sum() / density.sum()
        assert (values.mean() - expected).abs() < 4 * values.std() / len(x) ** 0.5


def test_a_spread_equal_to_sigma_data_makes_all_levels_alike():
    x = SPREAD * normal(2000, 1, 2, 2)
    small, large = (
        ScoreMatching(log_mean=m, log_deviation=0.0, sigma_data=SPREAD)(None, x, None, None, shrink).mean()
        for m in (-5.0, 3.0)
    )
    assert abs(small - 1) < 0.05 and abs(large - 1) < 0.05


def test_other_denoisers_have_a_larger_loss():
    x = SPREAD * normal(500, 1, 2, 2)
    loss = ScoreMatching()
    best = loss(None, x, None, None, shrink).mean()
    for worse in (
        lambda z, t: 1.1 * shrink(z, t),
        lambda z, t: shrink(z, 1.2 * t),
        lambda z, t: shrink(z, t) + 0.1,
    ):
        assert loss(None, x, None, None, worse).mean() > best


class Shrink(torch.nn.Module):
    """``shrink`` with an unknown spread; it cannot be called with data and physics."""

    def __init__(self):
        super().__init__()
        self.log = torch.nn.Parameter(torch.zeros(()))

    def forward(self, x, sigma):
        assert isinstance(sigma, torch.Tensor)
        return x / (1 + (sigma * torch.exp(-self.log)).reshape(-1, 1, 1, 1) ** 2)


def test_training_computes_no_reconstruction_and_finds_the_spread(tmp_path):
    images = list((SPREAD * normal(64, 1, 4, 4)).float())
    model = Shrink()
    train(
        model,
        Physics(Identity((1, 4, 4)), GaussianNoise(sigma=0.1)),
        images,
        loss=ScoreMatching(log_mean=-1.0),
        optimization=Optimization(steps=60, lr=0.1),
        files=Files(tmp_path),
        logging=Logging(progress=False),
    )
    assert abs(float(model.log.detach().exp()) - SPREAD) < 0.05
