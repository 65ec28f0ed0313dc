"""Weighted least squares for counts against the Poisson likelihood."""

import numpy as np
import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Convolution, Identity, LinearOperator
from invcore.priors import L1
from invcore_learning import PoissonMean, weighted_unrolled
from invcore_learning._unrolled.weighted import WeightedSteps

F = torch.float64


class Columns(LinearOperator):
    """A matrix for one line."""

    matrix: torch.Tensor
    domain = Space((1, 20))
    range = Space((1, 30))

    def forward(self, x):
        return x @ self.matrix.T

    def adjoint(self, y):
        return y @ self.matrix


@pytest.fixture(scope="module", params=[(1.0, 0.5), (2.0, 1.0)], ids=["unit gain", "gain and background"])
def counts(request):
    """Data, physics and the minimizer of KL + 0.05 Σx over x >= 0 by SciPy."""
    optimize = pytest.importorskip("scipy.optimize")
    gain, background = request.param
    g = torch.Generator().manual_seed(3)
    M = torch.cat([torch.eye(20, dtype=F), 0.3 * torch.rand(10, 20, generator=g, dtype=F)])
    truth = 20 * torch.rand(1, 20, generator=g, dtype=F)
    A = Columns(M)
    physics = Physics(A, PoissonNoise(gain=gain, background=background))
    y = physics(truth, generator=g)
    m, counted = M.numpy(), y.numpy().ravel()

    def objective(x):
        t = m @ x + background
        return (
            (t - counted * np.log(t)).sum() / gain + 0.05 * x.sum(),
            m.T @ (1 - counted / t) / gain + 0.05,
        )

    options = {"maxiter": 50000, "maxfun": 100000, "ftol": 1e-16, "gtol": 1e-11}
    found = optimize.minimize(
        objective, np.ones(20), jac=True, bounds=[(0, None)] * 20, method="L-BFGS-B", options=options
    )
    return y, physics, torch.as_tensor(found.x)


def distance(rule, counts):
    y, physics, exact = counts
    solver = WeightedSteps(weights=rule, prior=L1(), weight=0.05, step_size=1.8)
    return float(
        (solver.solve(y, physics, steps=1000 if rule == "pearson" else 300).value.flatten() - exact).norm()
        / exact.norm()
    )


def test_pearson_weights_give_the_maximum_of_the_poisson_likelihood(counts):
    assert distance("pearson", counts) < 1e-4


def test_neyman_weights_give_another_point(counts):
    assert distance("neyman", counts) > 1e-3


def blurred():
    g = torch.Generator().manual_seed(0)
    A = Convolution(torch.full((1, 3, 3), 1 / 9, dtype=F), domain=Space((1, 16, 16)))
    ramp = torch.linspace(0, 4, 16, dtype=F)
    truth = (60 * (1.2 + torch.sin(ramp[:, None]) * torch.cos(ramp)))[None]
    physics = Physics(A, PoissonNoise())
    return truth, physics, physics(truth, generator=g)


def test_gradients_are_those_of_finite_differences():
    truth, physics, y = blurred()
    torch.manual_seed(0)
    model = weighted_unrolled(PoissonMean(features=4), steps=4, weight=0.05).to(F)
    last = model.networks["weights"].correction[-1]
    torch.nn.init.normal_(last.weight, std=0.1)
    loss = lambda: (model(y, physics) - truth).square().mean()
    loss().backward()
    for p in (model.numbers["step_size"].theta, last.bias, last.weight):
        direction = torch.randn(p.shape, generator=torch.Generator().manual_seed(1), dtype=F)
        with torch.no_grad():
            p += 1e-6 * direction
            above = loss()
            p -= 2e-6 * direction
            below = loss()
            p += 1e-6 * direction
        torch.testing.assert_close((p.grad * direction).sum(), (above - below) / 2e-6, rtol=1e-5, atol=1e-7)


def test_training_lowers_the_error_on_other_data():
    truth, physics, _ = blurred()
    torch.manual_seed(0)
    model = weighted_unrolled(PoissonMean(features=4), steps=5, weight=0.05).to(F)
    draws = [physics(truth.expand(4, 1, 16, 16), generator=torch.Generator().manual_seed(i)) for i in (1, 2)]
    error = lambda y: (model(y, physics) - truth).square().mean()
    before = error(draws[1]).item()
    optimizer = torch.optim.Adam(model.parameters(), lr=2e-2)
    for _ in range(25):
        optimizer.zero_grad()
        error(draws[0]).backward()
        optimizer.step()
    assert error(draws[1]).item() < 0.9 * before


def test_the_mean_starts_as_the_local_average():
    y = torch.arange(81.0, dtype=F).reshape(1, 9, 9)
    found = PoissonMean().to(F)(y).detach()
    assert found[0, 4, 4].item() == pytest.approx(y[0, 2:7, 2:7].mean().item() + 1e-3 * y.mean().item())


def test_noise_that_is_not_poisson_is_refused():
    noisy = Physics(Identity((1, 8, 8)), GaussianNoise(sigma=1.0))
    with pytest.raises(invcore.ParameterError, match="weighted_unrolled is for counts"):
        weighted_unrolled("pearson")(torch.ones(1, 8, 8), noisy)
    with pytest.raises(invcore.ParameterError, match="'pearson', 'neyman' or a module"):
        weighted_unrolled("poisson")
