"""The linear estimator of a random operator: two formulas, its risk by simulation, the rate of learning."""

import pytest
import torch

import invcore
from invcore import Physics
from invcore.models import LinearEstimator
from invcore.noises import GaussianMapNoise, GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import AsComplex, FourierTransform, Matrix, Space

F64 = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


class Problem:
    """4 unknowns, 6 data, three equally likely operators."""

    def __init__(self):
        root = normal(4, 4, seed=1)
        self.C, self.m = root @ root.T / 4 + 0.1 * torch.eye(4, dtype=F64), normal(4, seed=2)
        self.matrices = normal(6, 4, seed=3) + 0.5 * normal(3, 6, 4, seed=4)
        self.sigma = 0.3
        self.operators = [Matrix(a) for a in self.matrices]
        self.noise = GaussianNoise(sigma=self.sigma)

    def estimator(self, **other):
        given = {"mean": self.m, "covariance": self.C, "noise": self.noise} | other
        return LinearEstimator.of_operators(self.operators, **given)

    def draws(self, count, seed=5):
        g = seeded(seed)
        x = self.m + torch.randn(count, 4, generator=g, dtype=F64) @ torch.linalg.cholesky(self.C).T
        which = torch.randint(3, (count,), generator=g)
        y = (self.matrices[which] @ x.unsqueeze(-1)).squeeze(-1)
        return x, y + self.sigma * torch.randn(count, 6, generator=g, dtype=F64)

    def risk(self, R, average, S):
        """E |R(y) - x|² of any gain R with the offset that makes it unbiased."""
        away = torch.eye(4, dtype=F64) - R @ average
        return float(torch.trace(away @ self.C @ away.T + R @ S @ R.T))


@pytest.fixture(scope="module")
def problem():
    return Problem()


def effective(problem):
    average = problem.matrices.mean(0)
    second = problem.C + torch.outer(problem.m, problem.m)
    away = problem.matrices - average
    S = problem.sigma**2 * torch.eye(6, dtype=F64) + sum(a @ second @ a.T for a in away) / 3
    return average, S


def test_both_forms_of_the_solution_agree(problem):
    average, S = effective(problem)
    x, y = problem.draws(5)
    R = problem.estimator()
    inverse = torch.linalg.inv(S)
    normal_matrix = average.T @ inverse @ average + torch.linalg.inv(problem.C)
    right = (y - average @ problem.m) @ inverse @ average
    tikhonov = problem.m + torch.linalg.solve(normal_matrix, right.T).T
    found = R(y, Physics(problem.operators[0], problem.noise))
    torch.testing.assert_close(found, tikhonov, rtol=1e-12, atol=1e-12)
    assert found.shape == x.shape


def test_the_stated_error_is_that_of_draws_and_the_least(problem):
    average, S = effective(problem)
    R = problem.estimator()
    stated = float(torch.trace(R.error))
    assert stated == pytest.approx(problem.risk(R.matrix, average, S), rel=1e-10)
    x, y = problem.draws(400_000)
    errors = (R(y, Physics(problem.operators[0])) - x).square().sum(-1)
    assert abs(float(errors.mean()) - stated) < 4 * float(errors.std()) / 400_000**0.5
    white = problem.sigma**2 * torch.eye(6, dtype=F64)
    ignorant = torch.linalg.solve(average @ problem.C @ average.T + white, average @ problem.C).T
    assert problem.risk(ignorant, average, S) > 1.2 * stated
    for seed in range(5):
        other = R.matrix + 0.05 * normal(4, 6, seed=10 + seed)
        assert problem.risk(other, average, S) > stated


def test_learned_from_pairs_the_excess_falls_as_one_over_their_number(problem):
    average, S = effective(problem)
    best = float(torch.trace(problem.estimator().error))
    products = []
    for count in (100, 400, 1600):
        excess = []
        for seed in range(60):
            R = LinearEstimator.fit(*problem.draws(count, seed=100 + seed))
            bias = R.mean_x + R.matrix @ (average @ problem.m - R.mean_y) - problem.m
            excess.append(problem.risk(R.matrix, average, S) + float(bias.square().sum()) - best)
        assert min(excess) > 0
        products.append(count * sum(excess) / len(excess))
    assert max(products) < 1.25 * min(products)


def test_draws_of_the_operator_converge_to_its_moments():
    g = seeded(7)
    errors = []
    for count in (64, 1024):
        found = []
        for _ in range(12):
            draws = torch.eye(2, dtype=F64) + 0.3 * torch.randn(count, 2, 2, generator=g, dtype=F64)
            R = LinearEstimator.of_operators(
                map(Matrix, draws),
                mean=torch.zeros(2, dtype=F64),
                covariance=torch.eye(2, dtype=F64),
                noise=NoNoise(),
            )
            exact = torch.eye(2, dtype=F64) / (1 + 2 * 0.09)  # E (A - Ā)(A - Ā)ᵀ = 2 · 0.3²
            found.append(float((R.matrix - exact).norm()))
        errors.append(sum(found) / len(found))
    assert 2.5 < errors[0] / errors[1] < 6.5  # √16 = 4


def test_without_uncertainty_it_is_the_gaussian_restorer():
    A = FourierTransform(domain=Space((1, 5), "complex"), spatial_dims=1) @ AsComplex(domain=(1, 5))
    noise, m = GaussianNoise(sigma=0.4), normal(1, 5)
    root = normal(5, 5, seed=3)
    C = root @ root.T
    physics = Physics(A, noise)
    y = physics(normal(3, 1, 5, seed=4), generator=seeded(1))
    R = LinearEstimator.of_operators([A], mean=m, covariance=C, noise=noise)
    expected = invcore.models.GaussianRestorer(mean=m, covariance=C)(y, physics)
    torch.testing.assert_close(R(y, physics), expected, rtol=1e-9, atol=1e-9)


def test_what_it_refuses(problem):
    with pytest.raises(invcore.ParameterError, match="at least one"):
        LinearEstimator.of_operators([], mean=problem.m, covariance=problem.C, noise=problem.noise)
    with pytest.raises(invcore.ShapeError, match="covariance"):
        problem.estimator(covariance=torch.eye(3, dtype=F64))
    with pytest.raises(invcore.ParameterError, match="Gaussian"):
        problem.estimator(noise=PoissonNoise(gain=1.0))
    with pytest.raises(invcore.DataError, match="ridge"):
        LinearEstimator.fit(*problem.draws(6))
    with pytest.raises(invcore.ShapeError, match="pair"):
        LinearEstimator.fit(normal(8, 4), normal(7, 6))
    with pytest.raises(invcore.ShapeError, match="data entries"):
        problem.estimator()(normal(3, 5), Physics(Matrix(normal(5, 4))))
    levels = GaussianMapNoise(sigma=torch.linspace(0.1, 0.6, 6, dtype=F64))
    assert torch.isfinite(problem.estimator(noise=levels).matrix).all()
    assert torch.isfinite(LinearEstimator.fit(*problem.draws(6), ridge=0.1).matrix).all()
