"""Thinned counts are independent Poisson variables; their agreement holds down the noise."""

import pytest
import torch

from invcore import DataError, DtypeError, ParameterError, Physics, ShapeError, block_diag
from invcore.noises import BlockNoise, PoissonNoise, Thinning
from invcore.operators import Convolution, Space, gaussian_kernel
from invcore.priors import IndependentRealizations
from invcore.solvers import ChambollePock, RichardsonLucy
from invcore_testsupport import error, normal, rng


def counts(*shape, mean=20.0, seed=0):
    return torch.poisson(torch.full(shape, mean, dtype=torch.float64), generator=rng(seed))


def test_moments_of_halves():
    y = counts(200_000)
    first, second = Thinning()(y, generator=rng(1))
    assert torch.equal(first + second, y)
    assert float(first.mean()) == pytest.approx(10, abs=0.03) and float(first.var()) == pytest.approx(
        10, rel=0.02
    )
    assert abs(float(torch.cov(torch.stack((first, second)))[0, 1])) < 0.1
    assert float((first - second).square().mean()) == pytest.approx(20, rel=0.02)


def test_shares_and_gain():
    y = 0.5 * counts(100_000)
    parts = Thinning(shares=(0.2, 0.3, 0.5), gain=0.5)(y, generator=rng(1))
    assert torch.allclose(sum(parts), y)
    covariance = (
        torch.cov(torch.stack(parts)) / 0.25
    )  # in counts: that of Poisson variables of means 4, 6, 10
    assert torch.allclose(covariance, torch.diag(torch.tensor([4.0, 6.0, 10.0]).double()), atol=0.15)


def test_the_same_parts_however_a_batch_is_split():
    y, space, thin = counts(4, 1, 5), Space((1, 5)), Thinning(shares=(0.2, 0.3, 0.5))
    together = thin(y, generator=rng(3), space=space)
    generator = rng(3)
    pieces = [thin(part, generator=generator, space=space) for part in (y[:1], y[1:])]
    assert all(torch.equal(whole, torch.cat(parts)) for whole, parts in zip(together, zip(*pieces)))


def test_single_precision_and_bright_counts():
    y = torch.tensor([[3.0e7, 5.0, 0.0]])
    first, second = Thinning()(y, generator=rng())
    assert first.dtype == torch.float32 and torch.equal(first + second, y)
    assert abs(float(first[0, 0]) - 1.5e7) < 6 * (3e7 / 4) ** 0.5


def test_what_is_no_count_is_refused():
    thin, g = Thinning(), rng()
    with pytest.raises(DataError, match="such as 0.5"):
        thin(torch.tensor([1.0, 0.5]), generator=g)
    with pytest.raises(DataError, match="whole numbers"):
        thin(torch.tensor([-1.0]), generator=g)
    with pytest.raises(DtypeError, match="real"):
        thin(torch.ones(2) + 0j, generator=g)
    with pytest.raises(ShapeError):
        thin(torch.ones(2), generator=g, space=Space((3,)))
    with pytest.raises(ParameterError, match="sum one"):
        Thinning(shares=(0.5, 0.6))


@pytest.mark.parametrize("count", [2, 3])
def test_the_prior_is_the_quadratic_form_of_the_deviations(count):
    g, n = IndependentRealizations(count), 4
    x, space = normal(2, count, n), Space((count, n))
    center = torch.kron(torch.eye(count).double() - 1 / count, torch.eye(n).double())
    v = x.flatten(1)
    assert torch.allclose(g.value(x, space), 0.5 * (v @ center * v).sum(-1))
    assert error(g.grad(x, space).flatten(1), v @ center) < 1e-14
    steps = torch.tensor([0.5, 3.0], dtype=torch.float64)
    for i, t in enumerate(steps):
        solved = torch.linalg.solve(torch.eye(count * n).double() + t * center, v[i])
        assert error(g.prox(x, steps, space)[i].flatten(), solved) < 1e-14
    blocks = tuple(x.unsqueeze(2).unbind(1))
    spaces = (Space((1, n)),) * count
    assert torch.allclose(g.value(blocks, spaces), g.value(x, space))
    assert error(torch.cat(g.prox(blocks, steps, spaces), 1), g.prox(x, steps, space)) < 1e-14
    u = v @ center  # deviations of themselves: ‖u‖²/(2w)
    assert torch.allclose(g.conjugate(u.reshape(2, count, n), space, weight=2.0), u.square().sum(-1) / 4)
    assert torch.isinf(g.conjugate(x, space)).all()


def blurred(n, sigma, channels=1, scale=1.0):
    kernel = scale * gaussian_kernel(sigma, dtype=torch.float64)
    return Convolution(kernel, domain=Space((channels, n, n)), boundary="circular")


def lines(n):
    x = torch.zeros(1, n, n, dtype=torch.float64)
    x[0, :, n // 4] = x[0, :, n // 2] = x[0, 2 * n // 3, :] = 200.0
    return x


def expectation_maximization(y, K, background, weight, steps):
    """Steps of EM with De Pierro's surrogate of weight ‖x₁ - x₂‖²/2."""
    s = K.H(torch.ones_like(y[0]))
    xs = [torch.full_like(part, float(part.mean())) for part in y]
    for _ in range(steps):
        b = 2 * weight * sum(xs) / 2 - s / 2
        es = [0.5 * x * K.H(part / (0.5 * (K(x) + background))) for x, part in zip(xs, y)]
        roots = [(b * b + 8 * weight * e).sqrt() for e in es]
        xs = [torch.where(b > 0, (b + r) / (4 * weight), 2 * e / (r - b)) for e, r in zip(es, roots)]
    return xs


def test_expectation_maximization_ends_where_our_objective_is_stationary():
    n, weight = 8, 0.05
    x, K = lines(n), blurred(n, 0.7)
    y = Thinning()(torch.poisson(K(x) + 2.0, generator=rng()), generator=rng(1))
    z = tuple(expectation_maximization(y, K, 2.0, weight, 3000))
    A, half, prior = 0.5 * K, PoissonNoise(background=1.0), IndependentRealizations(2)
    physics = Physics(block_diag([A, A]), BlockNoise((half, half)))
    problem = ChambollePock(prior=prior, weight=2 * weight).problem(y, physics)
    slope = torch.cat(problem.gradient(z)) + 2 * weight * torch.cat(prior.grad(z, physics.domain))
    inside = torch.cat(z) > 1.0
    assert float(slope[inside].abs().max()) < 2e-3 and float(slope.min()) > -2e-3
    assert inside.any() and not inside.all()


def test_semiconvergence_is_cured():
    """Richardson-Lucy passes its best image; with the weight on the spread, as many steps do not harm it."""
    n = 32
    x, K = lines(n), blurred(n, 1.5)
    y = torch.poisson(K(x) + 2.5, generator=rng())
    parts = Thinning()(y, generator=rng(1))
    plain = [
        error(RichardsonLucy(max_steps=k, rtol=0.0)(y, Physics(K, PoissonNoise(background=2.5))), x)
        for k in (300, 800)
    ]
    assert plain[1] > 1.2 * plain[0]
    held = [error(sum(expectation_maximization(parts, K, 2.5, 5e-3, k)) / 2, x) for k in (300, 800)]
    assert held[1] < 0.8 * plain[1]
