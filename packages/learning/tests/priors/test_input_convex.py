"""Convexity for any weights, and the proximal operator of a network."""

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore_learning import InputConvexNetwork, input_convex
from invcore_testsupport import error, normal, rng

SPACE = Space((1, 6, 6))


def network(**options):
    """Large weights, positive and negative: convexity must not depend on them."""
    g = InputConvexNetwork(**({"features": 3, "depth": 4, "size": 3} | options)).double()
    for i, p in enumerate(g.parameters()):
        p.data = normal(*p.shape, seed=i) / max(p[0].numel(), 1) ** 0.5
    return g


@pytest.mark.parametrize("mu", [0.0, 0.7])
def test_values_on_lines_are_convex(mu):
    g = network(strong_convexity=mu)
    x, z = 3 * normal(200, 1, 6, 6), 3 * normal(200, 1, 6, 6, seed=1)
    t = torch.rand(200, dtype=torch.float64, generator=rng(2))
    s = t[:, None, None, None]
    bound = t * g(x) + (1 - t) * g(z) - mu / 2 * t * (1 - t) * (x - z).square().flatten(1).sum(1)
    assert bool((g(s * x + (1 - s) * z) <= bound + 1e-10).all())


def test_the_hessian_is_positive_and_not_constant():
    g = network(strong_convexity=0.7)
    for i in range(3):
        H = torch.autograd.functional.hessian(g, 2 * normal(1, 6, 6, seed=i)).reshape(36, 36)
        low, high = torch.linalg.eigvalsh(H)[[0, -1]]
        assert low >= 0.7 - 1e-10 and high > 0.71


def test_prox_is_the_resolvent_of_the_gradient_and_nonexpansive():
    g = input_convex(network(), rtol=1e-10)
    x, z, steps = normal(2, 1, 6, 6), normal(2, 1, 6, 6, seed=1), torch.tensor([0.2, 3.0]).double()
    p, q = g.prox(x, steps, SPACE).detach(), g.prox(z, steps, SPACE).detach()
    assert error(p + steps[:, None, None, None] * g.grad(p, SPACE).detach(), x) < 1e-8
    inner = ((p - q) * (x - z)).flatten(1).sum(1)
    assert bool(((p - q).square().flatten(1).sum(1) <= inner).all())  # firmly


def test_it_is_equivariant_to_shifts_inside():
    g, x = network(depth=2), torch.zeros(1, 20, 20, dtype=torch.float64)
    x[0, 8:11, 7:12] = normal(3, 5)
    assert error(g(x.roll((2, -1), (1, 2))), g(x)) < 1e-13


def test_solvers_find_one_minimizer():
    physics = Physics(Mask((normal(1, 6, 6, seed=4) > 0).double(), SPACE), GaussianNoise(sigma=0.3))
    g, y = input_convex(network(strong_convexity=0.1)), physics.operator(normal(1, 6, 6))
    solve = {"lbfgs": {"rtol": 1e-8}, "fista": {"rtol": 1e-4}}
    a, b = (invcore.solver(n, prior=g, weight=0.5, **o)(y, physics) for n, o in solve.items())
    assert error(a, b) < 2e-3


def test_the_file_of_a_solver_with_it_opens(tmp_path):
    solver = invcore.solver("fista", prior=input_convex(network()), weight=0.5)
    other = invcore.model(invcore.models.save(solver, tmp_path / "m.safetensors")).to(torch.float64)
    x = normal(1, 6, 6)
    assert error(other.prior.value(x, SPACE), solver.prior.value(x, SPACE)) < 1e-6  # weights in float32


def test_what_is_not_convex_is_refused():
    with pytest.raises(invcore.ParameterError, match="FunctionPrior"):
        input_convex(torch.nn.Linear(2, 1))
    for options in ({"size": 4}, {"strong_convexity": -1.0}, {"depth": 0}, {"spatial_dims": 4}):
        with pytest.raises(invcore.ParameterError):
            InputConvexNetwork(**options)
    with pytest.raises(invcore.ShapeError, match="1, \\*spatial"):
        network()(normal(2, 6, 6))
    with pytest.raises(invcore.DtypeError):
        network()(normal(1, 6, 6, dtype=torch.complex128))
