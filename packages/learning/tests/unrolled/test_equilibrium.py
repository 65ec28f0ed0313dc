"""`Equilibrium`: the fixed point of a solver as a module."""

import dataclasses
import math

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Mask, Matrix
from invcore.priors import L1, PnP, Tikhonov
from invcore.solvers import ADMM, FISTA, Anderson, BurgEntropy, MirrorDescent, ProximalGradient
from invcore_learning import Equilibrium, NetworkDenoiser, Unrolled, poisson_equilibrium

F = torch.float64


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


class Contraction(torch.nn.Module):
    """x ↦ 0.5 tanh(K * x), of Lipschitz constant below 1."""

    def __init__(self):
        super().__init__()
        kernel = torch.randn(1, 1, 3, 3, generator=seeded(1), dtype=F)
        self.kernel = torch.nn.Parameter(kernel / kernel.abs().sum())

    def forward(self, x):
        return 0.5 * torch.tanh(torch.nn.functional.conv2d(x, self.kernel, padding=1)) + 0.1 * x


def problem():
    mask = (torch.rand(1, 6, 5, generator=seeded(2)) > 0.4).to(F)
    physics = Physics(Mask(mask, (1, 6, 5)), GaussianNoise(sigma=1.0))
    prior = PnP(NetworkDenoiser(Contraction(), blind=True))
    solver = ProximalGradient(prior=prior, weight=1.0, rtol=1e-13, max_steps=2000)
    return solver, torch.rand(2, 1, 6, 5, generator=seeded(3), dtype=F), physics


def test_implicit_gradient_equals_the_unrolled_one():
    found = []
    for make in (
        lambda s: Equilibrium(s),
        lambda s: Equilibrium(Anderson(solver=s, rtol=1e-12)),
        lambda s: Unrolled(s, steps=200),
    ):
        solver, y, physics = problem()
        model = make(solver)
        model(y, physics).square().sum().backward()
        (p,) = model.parameters()
        found.append(p.grad)
    for other in found[:2]:
        torch.testing.assert_close(other, found[2], rtol=1e-6, atol=1e-10)


def test_jacobian_free_is_a_direction_of_descent():
    grads = {}
    for backward in ("implicit", "jacobian_free"):
        solver, y, physics = problem()
        model = Equilibrium(solver, backward=backward)
        model(y, physics).square().sum().backward()
        (grads[backward],) = (p.grad.flatten() for p in model.parameters())
    a, b = grads.values()
    assert (a - b).abs().max() > 1e-3 * a.abs().max()
    assert torch.nn.functional.cosine_similarity(a, b, dim=0) > 0.5


def saved(forward):
    """The numbers that the graph of ``forward()`` holds."""
    sizes = []
    with torch.autograd.graph.saved_tensors_hooks(lambda t: sizes.append(t.numel()) or t, lambda t: t):
        forward()
    return sum(sizes)


def test_memory_does_not_grow_with_the_steps():
    solver, y, physics = problem()
    held = []
    for steps, rtol in ((5, 1e-3), (500, 1e-15)):
        longer = dataclasses.replace(solver, max_steps=steps, rtol=rtol)
        model = Equilibrium(longer, backward="jacobian_free")
        held.append(saved(lambda model=model: model(y, physics)))
    assert held[0] == held[1] > 0


def test_poisson_mirror_descent_has_the_derivative_of_its_optimality_conditions():
    """d x/d w = -(AᵀDiag(y/(Ax)²)A + wI)⁻¹ x at the minimizer of KL(Ax; y) + w‖x‖²/2."""
    A = torch.tensor([[2.0, 1.0, 0.0], [0.0, 1.0, 3.0], [1.0, 1.0, 1.0], [1.0, 0.0, 2.0]], dtype=F)
    y, w = torch.tensor([5.0, 7.0, 4.0, 3.0], dtype=F), 0.7
    solver = MirrorDescent(potential=BurgEntropy(), prior=Tikhonov(), weight=w, rtol=1e-13, max_steps=20000)
    slopes = {}
    for backward in ("implicit", "jacobian_free"):
        model = Equilibrium(solver, learn=("weight",), backward=backward).to(F)
        x = model(y, Physics(Matrix(A), PoissonNoise()))
        x.sum().backward()
        slopes[backward] = model.numbers["weight"].theta.grad / w  # λ = w exp(θ)
    x = x.detach()
    assert (A.T @ (1 - y / (A @ x)) + w * x).abs().max() < 1e-9
    exact = -torch.linalg.solve(A.T @ torch.diag(y / (A @ x) ** 2) @ A + w * torch.eye(3, dtype=F), x).sum()
    torch.testing.assert_close(slopes["implicit"], exact, rtol=1e-7, atol=0)
    assert slopes["jacobian_free"] * exact > 0


def test_poisson_equilibrium_with_a_network():
    torch.manual_seed(0)
    layers = [torch.nn.Conv2d(1, 4, 3, padding=1, padding_mode="circular"), torch.nn.Softplus()]
    network = torch.nn.Sequential(*layers, torch.nn.Conv2d(4, 1, 3, padding=1, padding_mode="circular")).to(F)
    A = invcore.operator("convolution", kernel=torch.full((1, 3, 3), 1 / 9, dtype=F), domain=(1, 8, 8))
    physics = Physics(A, PoissonNoise())
    truth = 20 + 10 * torch.rand(1, 8, 8, generator=seeded(2), dtype=F)
    y = physics(truth, generator=seeded(3))
    model = poisson_equilibrium(network, weight=0.01, backward="implicit", max_steps=20000, rtol=1e-11)
    x = model(y, physics)
    assert x.min() > 0
    weights = torch.randn(x.shape, generator=seeded(4), dtype=F)
    (weights * x).sum().backward()
    p = network[2].bias
    found = p.grad.clone()
    with torch.no_grad():
        values = []
        for h in (1e-3, -1e-3):
            p += h
            values.append((weights * model(y, physics)).sum())
            p -= h
    torch.testing.assert_close(found.squeeze(), (values[0] - values[1]) / 2e-3, rtol=1e-4, atol=1e-7)


def test_poisson_equilibrium_without_a_residual_is_the_maximum_of_the_likelihood():
    gain = 0.5 + torch.rand(1, 3, 4, generator=seeded(5), dtype=F)
    y = torch.randint(1, 9, (1, 3, 4), generator=seeded(6)).to(F)
    physics = Physics(Mask(gain, (1, 3, 4)), PoissonNoise())
    model = poisson_equilibrium(torch.nn.Identity(), rtol=1e-12, max_steps=5000).to(F)
    with torch.no_grad():
        torch.testing.assert_close(model(y, physics), y / gain, rtol=1e-8, atol=0)


def test_the_weight_of_a_ridge_has_its_closed_derivative():
    A = torch.randn(6, 4, generator=seeded(), dtype=F)
    y = torch.randn(6, generator=seeded(1), dtype=F)
    model = Equilibrium(FISTA(prior=Tikhonov(), weight=0.5, rtol=1e-14), learn=("weight",)).to(F)
    model(y, Physics(Matrix(A))).sum().backward()
    H = A.T @ A + 0.5 * torch.eye(4, dtype=F)
    slope = -0.5 * torch.linalg.solve(H, torch.linalg.solve(H, A.T @ y)).sum()
    torch.testing.assert_close(model.numbers["weight"].theta.grad, slope, rtol=1e-7, atol=0)


def test_a_solver_without_a_fixed_point_is_refused():
    class NoFixedPoint(invcore.Solver):
        def init(self, problem):
            return None

        def step(self, problem, state):
            return state

        def converged(self, problem, state):
            return True

    with pytest.raises(invcore.ParameterError, match="states no fixed point"):
        Equilibrium(NoFixedPoint())
    with pytest.raises(invcore.ParameterError, match="'implicit' or 'jacobian_free'"):
        Equilibrium(ADMM(prior=L1(), weight=math.pi), backward="unroll")
