"""SSDU and its kin."""

import numpy as np
import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianNoise, LaplaceNoise, NoNoise
from invcore.operators import Mask
from invcore_learning import FrameMask, WeightedSplitting, artifact2artifact, phase2phase, ssdu
from invcore_learning._losses.wrapped import evaluation
from invcore_testsupport import normal, rng

N = 6000
P = torch.linspace(0.3, 1.0, 12, dtype=torch.float64)[None]
Q = torch.cat([torch.linspace(0.5, 0.8, 11, dtype=torch.float64), torch.ones(1).double()])[None]
SPACE = Space((1, 12), "complex")
X = torch.polar(1 + 0.3 * normal(1, 12), normal(1, 12, seed=1))


class Affine(torch.nn.Module):
    """Fills in what is not seen by what is, and a constant."""

    def forward(self, y, physics):
        return 0.7 * y + 0.3 * y.roll(1, -1) + 0.2


def data(noise):
    masks = (torch.rand(N, 1, 12, dtype=torch.float64, generator=rng(5)) < P).double()
    physics = Physics(Mask(masks, SPACE), noise)
    x = X.expand(N, 1, 12)
    y = physics(x, generator=rng(6)) if noise.random else physics(x)
    return masks, physics, x, masks * y


def standard_errors(gap):
    return float(gap.mean() / gap.std()) * N**0.5


def test_weighted_splitting_is_the_error_in_all_that_the_model_does_not_see():
    masks, physics, x, y = data(NoNoise())
    loss = WeightedSplitting(sampling=P, seen=Q)
    model = loss.wrap(Affine())
    x_hat = model(y, physics)
    unseen = 1 - masks * loss._mask(y, physics)
    expected = (unseen * (x_hat - x).abs().square()).mean((-2, -1))
    value = loss(x_hat, None, y, physics, model)
    assert abs(standard_errors(value - expected)) < 3
    wrong = WeightedSplitting(sampling=torch.ones_like(P), seen=Q)  # as if all were sampled
    wrong_value = wrong(x_hat, None, y, physics, wrong.wrap(Affine()))
    assert abs(standard_errors(wrong_value - expected)) > 6


@pytest.mark.parametrize("alpha", [0.7, 1.5])
def test_robust_splitting_is_the_error_of_the_corrected_result(alpha):
    masks, physics, x, y = data(GaussianNoise(sigma=0.3))
    loss = WeightedSplitting(sampling=P, seen=Q, alpha=alpha)
    model = loss.wrap(Affine())
    x_hat = model(y, physics)
    seen = masks * loss._mask(y, physics)
    noisier, wider = loss._noisier(y, physics, loss.generators("noise", (N,)))
    assert abs(float(wider.noise.sigma) - 0.3 * (1 + alpha**2) ** 0.5) < 1e-12
    corrected = (1 + 1 / alpha**2) * x_hat - noisier / alpha**2
    best = torch.where(seen > 0, corrected, x_hat)
    expected = (best - x).abs().square().mean((-2, -1))
    value = loss(x_hat, None, y, physics, model)
    assert abs(standard_errors(value - expected)) < 3
    louder = Physics(physics.operator, GaussianNoise(sigma=0.4))
    model_value = loss(x_hat, None, y, louder, model)  # a wrong level is a bias
    assert abs(standard_errors(model_value - expected)) > 6
    model.eval()  # after training the correction reaches all that is sampled
    found = model(y, physics)
    noisier, wider = loss._noisier(y, physics, evaluation(loss, 0, (N,)))
    raw = Affine()(noisier, wider)
    assert torch.allclose(found, torch.where(masks > 0, (1 + 1 / alpha**2) * raw - noisier / alpha**2, raw))


def test_ssdu_leaves_out_by_a_gaussian_density():
    loss = ssdu((48, 65), held_out=0.4, center=4)
    left = 1 - loss.masks.density
    assert abs(float(left.mean()) - 0.4) < 1e-6
    assert float(left[22:26, 30:34].max()) == 0 and float(left[21, 31]) > 0.9
    row = left[24, 36:]
    assert bool((row.diff() <= 1e-12).all())
    a, b = (-torch.log(left[24, c] / left[24, 64]) for c in (56, 60))  # log of a Gaussian: a parabola
    parabola = lambda c: ((64 - 32) ** 2 - (c - 32) ** 2) / (2 * 16**2)
    assert abs(float(a) + parabola(56)) < 1e-9 and abs(float(b) + parabola(60)) < 1e-9


def test_the_distance_of_ssdu_is_that_of_the_paper():
    space = Space((2, 8, 8), "complex")
    physics = Physics(Mask(torch.ones(2, 8, 8).double(), space), NoNoise())
    y = normal(3, 2, 8, 8, dtype=torch.complex128)

    class Half(torch.nn.Module):
        def forward(self, y, physics):
            return 0.5 * y + 0.1

    loss = ssdu((8, 8), center=2)
    model = loss.wrap(Half())
    x_hat = model(y, physics)
    found = loss(x_hat, None, y, physics, model)
    left = (1 - loss.mask(y, physics)).numpy()
    for i in range(3):
        v, u = (left[i] * y[i].numpy()).ravel(), (left[i] * x_hat[i].numpy()).ravel()
        expected = sum(np.linalg.norm(u - v, p) / np.linalg.norm(v, p) for p in (1, 2))
        assert abs(float(found[i]) - expected) < 1e-12
    assert torch.equal(model.eval()(y, physics), Half()(y, physics))  # afterwards it sees all


def test_masks_of_frames():
    draws = FrameMask(5)((200,), generator=rng())[:, 0, :, 0, 0]
    assert {tuple(d.tolist()) for d in draws} == {(1, 0, 1, 0, 1), (0, 1, 0, 1, 0)}
    draws = FrameMask(5, size=2, keep="one")((200,), generator=rng())[:, 0, :, 0, 0]
    assert {tuple(d.tolist()) for d in draws} == {(1, 1, 0, 0, 0), (0, 0, 1, 1, 0), (0, 0, 0, 0, 1)}
    x = normal(2, 1, 6, 3, 3)
    physics = Physics(Mask(torch.ones(1, 6, 3, 3).double(), (1, 6, 3, 3)), NoNoise())

    class Keep(torch.nn.Module):
        def forward(self, y, physics):
            return y

    for loss, share in ((phase2phase(6), 0.5), (artifact2artifact(6), 1 / 3)):
        model = loss.wrap(Keep())
        m = loss.mask(x, physics)
        assert abs(float(m.mean()) - share) < 1e-6
        expected = ((1 - m) * x).square().sum((1, 2, 3, 4)) / (9 * 6 * (1 - share))
        assert torch.allclose(loss(model(x, physics), None, x, physics, model), expected)


def test_wrong_options_are_refused():
    with pytest.raises(invcore.ParameterError, match="always seen must always be sampled"):
        WeightedSplitting(sampling=torch.full((1, 4), 0.5), seen=torch.ones(1, 4))
    with pytest.raises(invcore.ParameterError, match="must be probabilities"):
        WeightedSplitting(sampling=torch.zeros(1, 4), seen=torch.ones(1, 4) / 2)
    with pytest.raises(invcore.ParameterError, match="held_out"):
        ssdu((8, 8), held_out=1.0)
    with pytest.raises(invcore.ParameterError, match="size < frames"):
        FrameMask(2, size=2)
    physics = Physics(Mask(torch.ones(1, 12), SPACE), LaplaceNoise(scale=0.1))
    model = WeightedSplitting(sampling=P, seen=Q, alpha=1.0).wrap(Affine())
    with pytest.raises(invcore.ParameterError, match="the noise must be Gaussian"):
        model(X, physics)
