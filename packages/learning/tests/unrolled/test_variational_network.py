"""Variational networks: against gradient descent, and with maps that are refined."""

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianNoise
from invcore.operators import LinearOperator, Mask
from invcore.solvers import ProximalGradient
from invcore_learning import E2EVarNet, UNet, variational_network

F = torch.float64


class Times(torch.nn.Module):
    """A linear network."""

    def __init__(self, factor):
        super().__init__()
        self.factor = torch.nn.Parameter(torch.tensor(factor, dtype=F))

    def forward(self, x):
        return self.factor * x


def problem(kind="real"):
    g = torch.Generator().manual_seed(0)
    mask = torch.rand(1, 4, 5, generator=g, dtype=F)
    physics = Physics(Mask(mask, Space((1, 4, 5), kind)), GaussianNoise(sigma=0.1))
    y = torch.randn(2, 1, 4, 5, generator=g, dtype=torch.complex128 if kind == "complex" else F)
    return mask, physics, y


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("tied", [True, False])
def test_it_is_the_recursion(kind, tied):
    mask, physics, y = problem(kind)
    model = variational_network(Times(0.3), steps=4, step_size=1.5, tied=tied).to(F)
    L = mask.max() ** 2
    x = mask * y / L
    for _ in range(4):
        x = x - 1.5 / L * mask * (mask * x - y) - 0.3 * x
    torch.testing.assert_close(model(y, physics).detach(), x, rtol=1e-6, atol=1e-9)
    assert len(list(model.parameters())) == (2 if tied else 5)


def test_without_a_network_it_is_gradient_descent():
    _, physics, y = problem()
    model = variational_network(Times(0.0), steps=5).to(F)
    start = physics.operator.H(y) / physics.operator.norm() ** 2
    same = ProximalGradient().solve(y, physics, x0=start, steps=5).value
    torch.testing.assert_close(model(y, physics).detach(), same, rtol=1e-10, atol=1e-12)


@pytest.fixture
def coils():
    """Sensitivities of three coils in an operator of their own, and data."""
    g = torch.Generator().manual_seed(1)

    class Coils(LinearOperator):
        maps: torch.Tensor
        params = ("maps",)

        @property
        def domain(self):
            return Space((1, 6, 6), "complex")

        @property
        def range(self):
            return Space((3, 6, 6), "complex")

        def forward(self, x):
            return torch.fft.fft2(self.maps * x, norm="ortho")

    maps = torch.randn(3, 6, 6, generator=g, dtype=torch.complex128)
    maps = maps / maps.abs().square().sum(0).sqrt()
    maps[:, 0, 0] = 0  # outside the body
    physics = Physics(Coils(maps), GaussianNoise(sigma=0.01))
    truth = torch.randn(2, 1, 6, 6, generator=g, dtype=torch.complex128)
    return maps, physics, physics(truth, generator=g)


def test_refined_maps_have_unit_sum_of_squares(coils):
    maps, physics, y = coils
    torch.manual_seed(0)
    refine = torch.nn.Conv2d(2, 2, 3, padding=1).to(F)
    model = E2EVarNet(variational_network(Times(0.1), steps=2).to(F), refine)
    refined = model.refined(physics)
    sums = refined.abs().square().sum(0)
    torch.testing.assert_close(sums.detach(), (maps.abs().sum(0) > 0).to(F))
    model(y, physics).abs().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())
    with torch.no_grad():
        refine.weight.zero_(), refine.bias.zero_()
    torch.testing.assert_close(model.refined(physics), maps)
    torch.testing.assert_close(model(y, physics), model.model(y, physics))


def test_multi_coil_mri(coils):
    mri = pytest.importorskip("invcore_mri")
    maps, _, _ = coils
    mask = torch.zeros(6, 6, dtype=F)
    mask[:, ::2] = 1
    physics = Physics(mri.Sense(maps=maps, mask=mask[None]), GaussianNoise(sigma=0.01))
    truth = torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(2), dtype=torch.complex128)
    y = physics(truth, generator=torch.Generator().manual_seed(3))
    network = UNet(in_channels=2, out_channels=2, features=(4,), blocks=1, residual=False)
    refine = UNet(in_channels=2, out_channels=2, features=(4,))
    model = E2EVarNet(variational_network(network, steps=2), refine).to(F)
    model(y, physics).abs().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_maps_that_are_zero_outside_an_object_have_finite_derivatives(coils):
    mri = pytest.importorskip("invcore_mri")
    maps = coils[0].clone()
    maps[..., :2] = 0
    physics = Physics(mri.Sense(maps=maps, mask=torch.ones(1, 6, 6, dtype=F)), GaussianNoise(sigma=0.01))
    refine = UNet(in_channels=2, out_channels=2, features=(4,))
    start = UNet(in_channels=2, out_channels=2, features=(4,), residual=False)
    model = E2EVarNet(variational_network(start, steps=2), refine).to(F)
    y = physics(torch.ones(1, 6, 6, dtype=torch.complex128), generator=torch.Generator().manual_seed(3))
    assert torch.equal(model.refined(physics) == 0, maps == 0)
    model(y, physics).abs().square().sum().backward()
    assert all(torch.isfinite(p.grad).all() for p in model.parameters())


def test_an_operator_without_maps_is_refused():
    _, physics, y = problem()
    with pytest.raises(invcore.ParameterError, match="has no complex parameter 'maps'"):
        E2EVarNet(torch.nn.Identity(), torch.nn.Identity())(y, physics)
