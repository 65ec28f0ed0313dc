"""The Cramér-Rao bound against closed forms and the variance of unbiased estimates."""

import math

import pytest
import torch

import invcore
from invcore import Physics, cramer_rao
from invcore.noises import (
    BlockNoise,
    GaussianMapNoise,
    GaussianNoise,
    NoNoise,
    PoissonGaussianNoise,
    PoissonNoise,
)
from invcore.operators import (
    AsComplex,
    Convolution,
    FourierTransform,
    Identity,
    Mask,
    Matrix,
    Operator,
    block_diag,
    stack,
)

F64 = torch.float64
ONE = {"probes": 1, "generator": torch.Generator().manual_seed(0), "rtol": 1e-6}


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def normal(*shape, seed=0, dtype=F64):
    return torch.randn(*shape, generator=seeded(seed), dtype=dtype)


def test_diagonal_operators():
    x, m = torch.rand(2, 1, 2, 3, generator=seeded()) + 0.5, torch.rand(1, 2, 3, generator=seeded(1)) + 0.5
    A = Mask(m, (1, 2, 3))
    levels = torch.rand(1, 2, 3, generator=seeded(2)) + 0.1
    for noise, variance in (
        (GaussianNoise(sigma=0.3), torch.full_like(x, 0.09)),
        (
            GaussianNoise(sigma=torch.tensor([0.3, 0.6])),
            torch.tensor([0.09, 0.36]).view(2, 1, 1, 1).expand_as(x),
        ),
        (GaussianMapNoise(sigma=levels), (levels**2).expand_as(x)),
        (PoissonNoise(gain=0.2, background=0.1), 0.2 * (m * x + 0.1)),
    ):
        found = cramer_rao(Physics(A, noise), x)
        assert found.dtype == x.dtype
        torch.testing.assert_close(found, variance / m**2)
        torch.testing.assert_close(cramer_rao(Physics(A, noise), x, **ONE), found)


def test_counts_are_their_own_best_estimate():
    x = torch.full((1, 4), 3.0)
    physics = Physics(Identity((1, 4)), PoissonNoise(gain=0.5))
    y = physics(x.expand(40000, 1, 4), generator=seeded())
    assert torch.allclose(y.var(0), cramer_rao(physics, x), rtol=0.05)


def test_least_squares_attains_it():
    A = Matrix(normal(5, 3))
    physics = Physics(A, GaussianNoise(sigma=0.2))
    x = normal(3, seed=1)
    bound = cramer_rao(physics, x)
    expected = 0.04 * torch.linalg.inv(A.matrix.mT @ A.matrix).diagonal()
    torch.testing.assert_close(bound, expected, rtol=1e-10, atol=0)
    found = A.pinv(physics(x.expand(20000, 3), generator=seeded(2))).var(0)
    assert torch.allclose(found, bound, rtol=0.05)


def test_weighted_least_squares_of_counts_comes_near():
    A = Matrix(torch.rand(6, 3, generator=seeded(), dtype=F64))
    x = torch.full((3,), 2e4, dtype=F64)
    physics = Physics(A, PoissonNoise())
    y = physics(x.expand(20000, 3), generator=seeded(1))
    W = (1 / A(x)).diag()  # at the truth: linear, unbiased, and efficient
    estimates = (torch.linalg.solve(A.matrix.mT @ W @ A.matrix, A.matrix.mT @ W) @ y.mT).mT
    assert torch.allclose(estimates.var(0), cramer_rao(physics, x), rtol=0.05)


def test_nonlinear_operators():
    square = Operator.from_function(torch.square, (1, 3))
    x = torch.tensor([[[1.0, 2.0, 3.0]], [[4.0, 5.0, 6.0]]], dtype=F64)
    bound = cramer_rao(Physics(square, GaussianNoise(sigma=0.1)), x)
    torch.testing.assert_close(bound, 0.01 / (4 * x**2))
    counts = cramer_rao(Physics(square, PoissonNoise()), x)  # the root stabilizes the variance
    torch.testing.assert_close(counts, torch.full_like(x, 0.25))


def test_complex_images_and_data_in_blocks():
    domain = invcore.Space((1, 4), "complex")
    m = torch.tensor([[1.0, 2.0, 1j, 0.5]], dtype=torch.complex128)
    x = normal(1, 4, dtype=torch.complex128)
    noise = GaussianNoise(sigma=0.5)
    expected = 2 * 0.25 / m.abs() ** 2  # E |x̂ - x|²
    torch.testing.assert_close(cramer_rao(Physics(Mask(m, domain), noise), x), expected)
    F = FourierTransform(domain=domain, spatial_dims=1)
    real = F @ AsComplex(domain=(1, 4))
    torch.testing.assert_close(cramer_rao(Physics(real, noise), x.real), torch.full((1, 4), 0.25, dtype=F64))
    both = stack([real, Identity((1, 4))])
    torch.testing.assert_close(cramer_rao(Physics(both, noise), x.real), torch.full((1, 4), 0.125, dtype=F64))


def test_images_of_several_blocks():
    m = torch.tensor([[1.0, 2.0, 0.5]], dtype=F64)
    both = block_diag([Mask(m.to(torch.complex128), invcore.Space((1, 3), "complex")), Mask(2 * m, (1, 3))])
    x = normal(1, 3, dtype=torch.complex128), normal(1, 3, dtype=F64)
    noise = BlockNoise((GaussianNoise(sigma=0.5), GaussianNoise(sigma=0.3)))
    bounds = cramer_rao(Physics(both, noise), x)
    torch.testing.assert_close(bounds[0], 2 * 0.25 / m**2)
    torch.testing.assert_close(bounds[1], 0.09 / (2 * m) ** 2)


def test_what_is_not_seen_has_no_bound():
    A = Matrix(torch.tensor([[1.0, 1.0, 0.0, 0.0], [0.0, 0.0, 2.0, 0.0]]))
    physics = Physics(A, GaussianNoise(sigma=1.0))
    bound = cramer_rao(physics, torch.ones(4))
    torch.testing.assert_close(bound, torch.tensor([math.inf, math.inf, 0.25, math.inf]))
    with pytest.raises(invcore.SolverError, match="the information is singular or nearly so"):
        cramer_rao(physics, torch.ones(4), probes=3, generator=seeded())


def test_units_of_the_pixels_do_not_matter():
    scales = torch.tensor([1e-6, 1.0, 1e6], dtype=F64)
    A = normal(4, 3)
    plain = cramer_rao(Physics(Matrix(A), GaussianNoise(sigma=1.0)), torch.ones(3, dtype=F64))
    scaled = cramer_rao(Physics(Matrix(A * scales), GaussianNoise(sigma=1.0)), torch.ones(3, dtype=F64))
    torch.testing.assert_close(scaled * scales**2, plain, rtol=1e-9, atol=0)


def test_probes_estimate_the_diagonal():
    kernel = torch.tensor([[0.2, 1.0, 0.2]], dtype=F64)
    physics = Physics(Convolution(kernel=kernel, domain=(1, 12), boundary="zero"), PoissonNoise())
    x = torch.linspace(1, 4, 12, dtype=F64)[None]
    exact = cramer_rao(physics, x)
    inverse = inverse_information(physics, x)
    probes = 400
    found = cramer_rao(physics, x, probes=probes, generator=seeded(3), rtol=1e-8)
    error = ((inverse**2).sum(1) - inverse.diagonal() ** 2).sqrt() / math.sqrt(probes)
    torch.testing.assert_close(exact.flatten(), inverse.diagonal(), rtol=1e-9, atol=0)
    assert float(((found - exact).flatten() / error).abs().max()) < 4
    again = cramer_rao(physics, x, probes=probes, generator=seeded(3), rtol=1e-8)
    assert torch.equal(found, again)


def inverse_information(physics, x):
    H = physics.operator.dense(dtype=F64)
    return torch.linalg.inv(H.mT @ torch.diag(1 / physics.operator(x).flatten()) @ H)


def test_with_a_prior_it_is_the_posterior_covariance():
    c, A = torch.tensor([[1.0, 0.6, 0.3], [0.6, 1.0, 0.6], [0.3, 0.6, 1.0]], dtype=F64), normal(2, 3)
    P = Matrix(torch.linalg.inv(c))
    physics = Physics(Matrix(A), GaussianNoise(sigma=0.5))
    expected = torch.linalg.inv(A.mT @ A / 0.25 + P.matrix).diagonal()
    x = torch.zeros(3, dtype=F64)
    torch.testing.assert_close(cramer_rao(physics, x, precision=P), expected, rtol=1e-10, atol=0)
    many = cramer_rao(physics, x, precision=P, probes=2000, generator=seeded())
    assert torch.allclose(many, expected, rtol=0.1)


def test_it_differentiates_to_the_design():
    mask = torch.tensor([[1.0, 2.0]], dtype=F64, requires_grad=True)
    design = lambda m: cramer_rao(
        Physics(Mask(m, (1, 2)), GaussianNoise(sigma=1.0)), torch.ones(1, 2, dtype=F64)
    )
    assert torch.autograd.gradcheck(design, mask)
    (g,) = torch.autograd.grad(design(mask).sum(), mask)
    torch.testing.assert_close(g, torch.tensor([[-2.0, -0.25]], dtype=F64))


def test_it_refuses():
    A, x = Identity((1, 4)), torch.ones(1, 4)
    with pytest.raises(invcore.ParameterError, match="NoNoise states no Fisher information"):
        cramer_rao(Physics(A, NoNoise()), x)
    with pytest.raises(invcore.DataError, match="mean number of counts"):
        cramer_rao(Physics(A, PoissonNoise()), 0 * x)
    with pytest.raises(invcore.DataError, match="noise level is zero"):
        cramer_rao(Physics(A, GaussianNoise(sigma=0.0)), x)
    with pytest.raises(invcore.ParameterError, match="4096 unknowns are too many"):
        cramer_rao(Physics(Identity((1, 64, 64)), GaussianNoise(sigma=1.0)), torch.ones(1, 64, 64))
    with pytest.raises(invcore.ParameterError, match="generator"):
        cramer_rao(Physics(A, GaussianNoise(sigma=1.0)), x, probes=10)
    with pytest.raises(invcore.ParameterError, match="averaged over it"):
        cramer_rao(Physics(A, PoissonGaussianNoise(sigma=1.0)), x, precision=A)
    with pytest.raises(invcore.ShapeError, match="precision maps"):
        cramer_rao(Physics(A, GaussianNoise(sigma=1.0)), x, precision=Identity((1, 3)))
