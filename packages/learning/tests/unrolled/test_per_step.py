"""What has a value for each step, inside the solver and inside its prior."""

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.operators import Mask, Matrix
from invcore.priors import L1, PnP
from invcore.solvers import FISTA, ProximalGradient
from invcore_learning import Equilibrium, NetworkDenoiser, Unrolled

F = torch.float64


def lasso():
    g = torch.Generator().manual_seed(0)
    A = Matrix(torch.randn(6, 8, generator=g, dtype=F))
    return torch.randn(3, 6, generator=g, dtype=F), Physics(A, GaussianNoise(sigma=0.1))


@pytest.mark.parametrize("kind", [FISTA, ProximalGradient])
def test_weights_and_steps_of_each_step_are_those_of_the_solver(kind):
    y, physics = lasso()
    sizes = (0.5, 1.0, 1.4, 1.9)
    solver = kind(prior=L1(), weight=(0.4, 0.3, 0.2, 0.1), step_size=sizes, max_steps=4, rtol=0.0)
    model = Unrolled(solver, steps=4, per_step=("weight", "step_size")).to(F)
    torch.testing.assert_close(model(y, physics), solver(y, physics), rtol=1e-13, atol=1e-14)
    torch.testing.assert_close(model.learned()["step_size"], torch.tensor(sizes, dtype=F))
    model(y, physics).square().sum().backward()
    assert all((p.grad != 0).all() for p in model.parameters())


def test_step_sizes_stay_below_two():
    y, physics = lasso()
    model = Unrolled(ProximalGradient(prior=L1(), weight=0.3), steps=3, per_step=("step_size",))
    with torch.no_grad():
        model.numbers["step_size"].theta += torch.tensor([50.0, -50.0, 3.0])
    high, low, _ = model.learned()["step_size"]
    assert 1.99 < high < 2 and 0 < low < 1e-5
    assert torch.isfinite(model(y.float(), physics.to(torch.float32))).all()
    with pytest.raises(invcore.ParameterError, match="weight must start between 0 and inf"):
        Unrolled(ProximalGradient(prior=L1(), weight=0.0), steps=3, learn=("weight",))


def test_the_fixed_point_of_a_denoiser_depends_on_the_step():
    """T(x) = c (x - t m (x - y)) for D = c: the fixed point and its derivative in closed form."""

    class Shrinking(torch.nn.Module):
        def forward(self, x):
            return 0.8 * x

    y = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]], dtype=F)
    prior = PnP(NetworkDenoiser(Shrinking(), blind=True, value_range=None))
    solver = ProximalGradient(prior=prior, weight=1.0, step_size=0.5, rtol=1e-14)
    model = Equilibrium(solver, learn=("step_size",)).to(F)
    x = model(y, Physics(Mask(torch.ones(1, 2, 2, dtype=F), (1, 2, 2)), GaussianNoise(sigma=1.0)))
    t = torch.tensor(0.5, dtype=F, requires_grad=True)
    exact = 0.8 * t * y / (1 - 0.8 * (1 - t))
    torch.testing.assert_close(x.detach(), exact.detach(), rtol=1e-10, atol=0)
    x.sum().backward()
    (slope,) = torch.autograd.grad(exact.sum(), t)
    own = 0.5 * (1 - 0.5 / 2)  # dt/dθ of the logistic curve between 0 and 2 at its start
    torch.testing.assert_close(model.numbers["step_size"].theta.grad, own * slope, rtol=1e-8, atol=0)
