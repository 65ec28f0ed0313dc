"""Neighbor2Neighbor, Noise2Score and UNSURE against closed forms."""

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GammaNoise, GaussianNoise, PoissonNoise
from invcore.operators import Identity, Mask
from invcore_learning import UNSURE, Neighbor2Neighbor, Noise2Score, Ramp
from invcore_testsupport import normal, rng

FLAT = Physics(Identity((1, 6, 6)), GaussianNoise(sigma=0.3))


class Affine(torch.nn.Module):
    def __init__(self, a=0.7, b=0.1):
        super().__init__()
        self.a, self.b = (torch.nn.Parameter(torch.tensor(v, dtype=torch.float64)) for v in (a, b))

    def forward(self, y, physics):
        return self.a * y + self.b


def test_neighbor2neighbor_of_a_flat_image_is_the_error_plus_the_variance():
    n = 4000
    x = torch.full((n, 1, 6, 6), 2.0, dtype=torch.float64)
    y = FLAT(x, generator=rng(1))
    R = Affine()
    value = Neighbor2Neighbor(gamma=0.0)(R(y, FLAT), None, y, FLAT, R).detach()
    expected = (0.7 * 2 + 0.1 - 2) ** 2 + 0.7**2 * 0.09 + 0.09
    assert abs(float(value.mean()) - expected) < 3 * float(value.std()) / n**0.5


def test_the_second_term_of_neighbor2neighbor_corrects_for_differences_of_neighbors():
    """Without noise the identity has R(g₁y) - g₂y = g₁R(y) - g₂R(y): that term is zero, the first is not."""
    y = normal(2, 1, 6, 7)
    physics = Physics(Identity((1, 6, 7)), GaussianNoise(sigma=0.1))
    keep = lambda y, physics: y
    first = Neighbor2Neighbor(gamma=0.0)(y, None, y, physics, keep)
    assert float(first.min()) > 0.1
    assert torch.allclose(Neighbor2Neighbor(gamma=5.0)(y, None, y, physics, keep), first)


def test_tweedie_gives_the_posterior_mean():
    """Conjugate priors: Gaussian; for Gamma noise of ℓ looks the inverse Gamma with shape a and scale b."""
    y = torch.linspace(0.5, 2, 36, dtype=torch.float64).reshape(1, 6, 6)

    class Score(torch.nn.Module):
        def __init__(self, score):
            super().__init__()
            self.score = score

        def forward(self, y, physics):
            return self.score(y)

    mean, variance = 1.0, 0.25
    model = Noise2Score().wrap(Score(lambda y: -(y - mean) / (variance + 0.09))).eval()
    expected = mean + variance / (variance + 0.09) * (y - mean)
    assert torch.allclose(model(y, FLAT), expected)

    looks, a, b = 5.0, 3.0, 2.0  # p(y) ∝ y^(ℓ-1) (b + ℓy)^-(ℓ+a), E[x|y] = (b + ℓy)/(a + ℓ - 1)
    marginal = lambda y: (looks - 1) / y - (looks + a) * looks / (b + looks * y)
    model = Noise2Score().wrap(Score(marginal)).eval()
    # Tweedie's formula gives 1 / E[1/x | y], as the natural parameter of the Gamma law is 1/x
    expected = (b + looks * y) / (a + looks)
    assert torch.allclose(model(y, Physics(Identity((1, 6, 6)), GammaNoise(looks=looks))), expected)

    gain, shape, rate = 0.01, 4.0, 3.0  # counts N ~ negative binomial, E[x|y] = (shape γ + y)/(1 + rate γ)
    log_p = lambda n: (
        torch.lgamma(n + shape)
        - torch.lgamma(n + 1)
        - n * torch.log1p(torch.tensor(rate * gain, dtype=torch.float64))
    )
    score = lambda y: torch.func.grad(lambda v: log_p(v / gain).sum())(y)
    model = Noise2Score().wrap(Score(score)).eval()
    expected = (y + shape * gain) / (1 + rate * gain)
    found = model(y, Physics(Identity((1, 6, 6)), PoissonNoise(gain=gain)))
    assert torch.allclose(found, expected, rtol=1e-4) and not torch.allclose(y, expected, rtol=1e-2)


def test_noise2score_is_smallest_at_the_score():
    """y ~ N(0, 1): the best linear S is -y/(1 + δ²)."""
    y = normal(20000, 1, 1, 1)
    physics = Physics(Identity((1, 1, 1)), GaussianNoise(sigma=0.3))
    loss = Noise2Score(delta=(1.0, 1.0))  # δ = 0.3
    slope = torch.tensor(-0.5, dtype=torch.float64, requires_grad=True)

    class Linear(torch.nn.Module):
        def forward(self, y, physics):
            return slope * y

    model = loss.wrap(Linear())
    value = loss(model(y, physics), None, y, physics, model).mean()
    (g,) = torch.autograd.grad(value, slope, create_graph=True)
    (h,) = torch.autograd.grad(g, slope)
    best = float((slope - g / h).detach())  # the loss is quadratic
    assert abs(best + 1 / 1.09) < 0.07  # three standard errors


@pytest.mark.parametrize(
    ("noise", "level"),
    [(GaussianNoise(sigma=0.3), 0.3), (PoissonNoise(gain=0.5), 1.0), (GammaNoise(looks=4.0), 1.0)],
)
def test_the_perturbation_of_noise2score_falls(noise, level):
    """Relative to the noise, whose variance for y = 2 is 0.3², 0.5 · 2 and 2²/4."""
    loss, physics = Noise2Score(delta=(0.1, 0.001), steps=100), Physics(Identity((1, 6, 6)), noise)
    found = [float(loss.at(k)._delta(torch.full((1, 6, 6), 2.0), physics)) for k in (0, 50, 100, 500)]
    assert found == pytest.approx([0.1 * level, 0.01 * level, 0.001 * level, 0.001 * level])


def test_the_weight_of_neighbor2neighbor_may_rise():
    y = normal(2, 1, 6, 6)
    half = lambda y, physics: 0.5 * y
    value = lambda gamma, k: Neighbor2Neighbor(gamma=gamma).at(k)(half(y, None), None, y, FLAT, half)
    rising = Ramp(start=0.0, stop=2.0, steps=10)
    for k, gamma in ((0, 0.0), (5, 1.0), (99, 2.0)):
        assert torch.equal(value(rising, k), value(gamma, k))
    assert not torch.allclose(value(0.0, 5), value(1.0, 5))


def near(y):
    return (y.roll(1, -1) + y.roll(-1, -1) + y.roll(1, -2) + y.roll(-1, -2)) / 4


class Filters(torch.nn.Module):
    """θ₁ identity + θ₂ mean of neighbors, of divergence m θ₁."""

    def __init__(self):
        super().__init__()
        self.theta = torch.nn.Parameter(torch.tensor([0.5, 0.5], dtype=torch.float64))

    def forward(self, y, physics):
        return self.theta[0] * y + self.theta[1] * near(y)


def test_unsure_finds_the_noise_level_and_the_filter_of_least_divergence():
    """At the saddle point θ₁ = 0, θ₂ is that of least squares, and η what makes the derivative by θ₁ zero."""
    n = 200
    x = 1 + 0.2 * torch.randn(n, 1, 1, 1, dtype=torch.float64, generator=rng(2)).expand(n, 1, 6, 6)
    y = FLAT(x, generator=rng(1))
    loss = UNSURE(sigma=0.5, rate=1.0)
    model = loss.wrap(Filters()).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.02, betas=(0.5, 0.9))
    found = []
    for k in range(1000):
        own = loss.at(k)
        optimizer.zero_grad()
        own(model(y, FLAT), None, y, FLAT, model).mean().backward()
        optimizer.step()
        found.append([*model.model.theta.tolist(), model.variance.item()])
    first, second, variance = torch.tensor(found[300:]).mean(0).tolist()  # the steps circle the saddle
    a, b, c = (float((p * q).mean()) for p, q in ((near(y), near(y)), (near(y), y), (y, y)))
    slope = b / a
    assert abs(first) < 0.03 and abs(second - slope) < 0.03
    assert abs(variance - (c - b * slope)) < 0.01 and abs(variance - 0.09) < 0.03


def test_what_is_refused():
    masked = Physics(Mask(torch.ones(1, 6, 6), (1, 6, 6)), GaussianNoise(sigma=0.1))
    y = torch.ones(1, 6, 6, dtype=torch.float64)
    with pytest.raises(invcore.ParameterError, match="the operator is the identity"):
        Neighbor2Neighbor()(y, None, y, masked, Affine())
    line = Physics(Identity((1, 1, 6)), GaussianNoise(sigma=0.1))
    with pytest.raises(invcore.ShapeError, match="2 x 2 pixels or more"):
        Neighbor2Neighbor()(y[:, :1], None, y[:, :1], line, Affine())
    with pytest.raises(invcore.ParameterError, match=r"model = loss.wrap\(model\)"):
        UNSURE(sigma=0.1)(y, None, y, FLAT, Affine())
    with pytest.raises(invcore.ParameterError, match="sigma must be > 0 and rate"):
        UNSURE(sigma=0.0)
