"""Dead leaves against the law of the model."""

import itertools
import math

import pytest
import torch
from scipy import integrate

import invcore
from invcore.datasets import DeadLeaves, dead_leaves


def correlation(t, exponent, r_min, r_max):
    """γ(t)/(2γ(0) - γ(t)), γ the mean area of the intersection of two discs (a lens)."""

    def lens(r):
        if t >= 2 * r:
            return 0.0
        return 2 * r**2 * math.acos(t / (2 * r)) - t / 2 * math.sqrt(4 * r**2 - t**2)

    kinks = [t / 2] if r_min < t / 2 < r_max else None
    mean = lambda f: integrate.quad(lambda r: f(r) * r**-exponent, r_min, r_max, points=kinks, limit=200)[0]
    shared = mean(lens)
    return shared / (2 * mean(lambda r: math.pi * r**2) - shared)


@pytest.mark.parametrize("law", [(3.0, 1.0, 64.0), (2.0, 3.0, 12.0), (1.0, 2.0, 30.0)])
def test_mean_variance_and_correlation(law):
    exponent, r_min, r_max = law
    made = DeadLeaves(
        length=100, size=(20, 24), exponent=exponent, r_min=r_min, r_max=r_max, values=(-1.0, 2.0)
    )
    images = torch.stack([made[i] for i in range(len(made))])[:, 0].double()
    centered = images - 0.5  # the mean of the values, whose variance is 9/12

    def agree(samples, expected):
        each = samples.flatten(1).mean(1)  # one for each image, as its pixels are not independent
        assert abs(float(each.mean()) - expected) < 4 * float(each.std()) / math.sqrt(len(each))

    agree(centered, 0.0)
    agree(centered.square(), 0.75)
    for t in (1, 2, 5, 12):
        expected = 0.75 * correlation(t, *law)
        agree(centered[..., t:] * centered[..., :-t], expected)
        agree(centered[:, t:] * centered[:, :-t], expected)
    agree(centered[:, 3:, 4:] * centered[:, :-3, :-4], 0.75 * correlation(5, *law))


def test_the_power_spectrum_falls_as_one_over_the_frequency_squared():
    made = DeadLeaves(length=12, size=(96, 96), seed=1)
    window = torch.hann_window(96)
    images = torch.stack([made[i][0] - 0.5 for i in range(len(made))]) * window[:, None] * window
    power = torch.fft.fft2(images).abs().square().mean(0)
    f = torch.fft.fftfreq(96)
    radius = (f[:, None] ** 2 + f**2).sqrt()
    edges = torch.logspace(math.log10(4 / 96), math.log10(0.25), 10)
    rings = [(radius >= a) & (radius < b) for a, b in itertools.pairwise(edges)]
    x = torch.stack([radius[ring].log().mean() for ring in rings])
    y = torch.stack([power[ring].mean().log() for ring in rings])
    slope = float(((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum())
    assert -2.3 < slope < -1.7, slope


def test_every_pixel_is_covered_and_channels_are_independent():
    x = dead_leaves((20, 30), channels=3, values=(1.0, 2.0), generator=torch.Generator().manual_seed(0))
    assert bool(((x >= 1) & (x < 2)).all())
    edges = [(a.diff(dim=-1) != 0) for a in x]
    assert torch.equal(edges[0], edges[1]) and torch.equal(edges[0], edges[2])  # one disc, three values
    assert not torch.equal(x[0], x[1])


def test_it_refuses():
    g = torch.Generator()
    with pytest.raises(invcore.ParameterError, match=r"size is \(y, x\)"):
        dead_leaves((8,), generator=g)
    with pytest.raises(invcore.ParameterError, match="0 < r_min < r_max"):
        DeadLeaves(r_min=0.0)
    with pytest.raises(invcore.ParameterError, match="smallest and the largest"):
        DeadLeaves(values=(1.0, 0.0))
    with pytest.raises(invcore.ParameterError, match="length"):
        DeadLeaves(length=0)
