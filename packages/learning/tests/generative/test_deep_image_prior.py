"""Networks fitted to one measurement: gradients, Adam, closed form, stopping, units, samples."""

import pytest
import torch
from torch.func import functional_call

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import Downsample, Identity, Mask
from invcore.solvers import Status
from invcore_learning import ConvDecoder, DeepImagePrior, DnCNN, NeuralField, Siren, UNet
from invcore_testsupport import error, normal, rng


def drawn(network, scale=1.0):
    for i, p in enumerate(network.parameters()):
        p.data = (scale * normal(*p.shape, seed=i) / max(p[0].numel(), 1) ** 0.5).float()
    return network


def test_steps_are_those_of_adam_on_the_data_fidelity():
    network, space = drawn(UNet(features=(3, 4), blocks=1)).double(), Space((1, 6, 8))
    physics = Physics(Mask((normal(1, 6, 8) > 0).double(), space), GaussianNoise(sigma=0.1))
    y = physics.operator(normal(1, 6, 8, seed=5))
    x = DeepImagePrior(network, seed=3, step_size=0.01, discrepancy=0, max_steps=7)(y, physics)
    u = torch.rand(1, 6, 8, generator=rng(3), dtype=torch.float64)
    weights = {n: p.detach().clone().requires_grad_() for n, p in network.named_parameters()}
    unit = y.norm() / physics.operator(network(u)).norm().detach()
    optimizer = torch.optim.Adam(list(weights.values()), lr=0.01)
    for _ in range(7):
        optimizer.zero_grad()
        # Adam does not see the factor of the objective, but for the number that it adds to the root
        image = unit * functional_call(network, weights, (u,))
        (1e3 * (physics.operator(image) - y).square().sum()).backward()
        optimizer.step()
    assert error(x, (unit * functional_call(network, weights, (u,))).detach()) < 1e-4


def test_it_stops_where_the_residual_is_the_noise():
    network = drawn(UNet(features=(4, 6), blocks=1))
    physics = Physics(Identity(Space((1, 12, 12))), GaussianNoise(sigma=0.2))
    t = torch.linspace(0, 3, 12)
    clean = torch.sin(t[:, None] + t)[None]
    y = physics(clean.expand(2, -1, -1, -1), generator=rng(4))
    solution = DeepImagePrior(network, max_steps=400).solve(y, physics)
    assert solution.status is Status.CONVERGED
    residual = (solution.value - y).square().mean((-3, -2, -1)).sqrt()
    assert bool((residual <= 0.2).all()) and bool((residual > 0.15).all())
    assert bool(((solution.value - clean).square().mean((-3, -2, -1)).sqrt() < 0.2).all())


def test_samples_are_fitted_one_by_one_and_the_network_stays():
    network = drawn(UNet(features=(3, 4), blocks=1))
    kept = {n: t.clone() for n, t in network.state_dict().items()}
    space = Space((1, 8, 8))
    physics = Physics(Mask((normal(1, 8, 8) > 0).double(), space), PoissonNoise(gain=0.1))
    y = physics.operator(normal(3, 1, 8, 8, seed=1).abs())
    solver = DeepImagePrior(network, max_steps=10)
    together = solver(y, physics)
    assert error(together[1], solver(y[1], physics)) < 1e-8
    assert all(torch.equal(t, kept[n]) for n, t in network.state_dict().items())
    assert not torch.equal(DeepImagePrior(network, max_steps=10, seed=1)(y[1], physics), together[1])


@pytest.mark.parametrize("unit", [1e-3, 1e4])
def test_data_have_no_unit(unit):
    network = drawn(UNet(features=(3, 4), blocks=1))
    A, y = Identity(Space((1, 8, 8))), normal(1, 8, 8)
    solver = DeepImagePrior(network, max_steps=15)
    x = solver(y, Physics(A, GaussianNoise(sigma=0.3)))
    assert error(solver(unit * y, Physics(A, GaussianNoise(sigma=0.3 * unit))) / unit, x) < 1e-6


@pytest.mark.parametrize("shape", [(2, 21), (1, 13, 30), (1, 9, 8, 7)])
def test_conv_decoder_makes_images_of_any_size(shape):
    network = drawn(ConvDecoder(shape, features=5, layers=3))
    u = network.latent(Space(shape), generator=rng(0))
    assert network(u).shape == shape
    assert torch.equal(u, network.latent(Space(shape), generator=rng(0)))


def test_a_neural_field_enlarges_a_coarse_image():
    torch.manual_seed(0)
    fine = Space((1, 16, 16))
    A = Downsample(fine, factor=2)
    t = torch.linspace(-1, 1, 16, dtype=torch.float64)
    clean = torch.cos(2 * t[:, None] + t)[None]
    field = NeuralField(Siren(2, 1, hidden=24, layers=2, omega=3.0))
    x = DeepImagePrior(field, step_size=3e-3, max_steps=300)(A(clean), Physics(A, NoNoise()))
    nearest = A(clean).repeat_interleave(2, -1).repeat_interleave(2, -2)
    assert error(x, clean) < 0.3 * error(nearest, clean)


def test_what_it_cannot_fit_is_refused():
    A, y = Identity(Space((1, 8, 8))), torch.ones(1, 8, 8)
    physics = Physics(A, NoNoise())
    for network, words in (
        (DnCNN(out_channels=2, depth=2, features=2), "makes images \\(2, 8, 8\\)"),
        (DnCNN(depth=2, features=2, spatial_dims=3), "3 spatial dimensions"),
        (UNet(features=(2, 3), blocks=1, noise_level=True), "what goes into UNet"),
        (torch.nn.Identity(), "what goes into Identity"),
    ):
        with pytest.raises(invcore.ParameterError, match=words):
            DeepImagePrior(network, max_steps=1)(y, physics)
    solver = DeepImagePrior(DnCNN(depth=2, features=2), max_steps=2)
    with pytest.raises(invcore.ParameterError, match="not from x0"):
        solver.solve(y, physics, x0=y)
    with pytest.raises(invcore.SolverError, match="no derivative"):
        solver.solve(y.requires_grad_(), physics, differentiate="unroll")
    with pytest.raises(invcore.ParameterError):
        DeepImagePrior(DnCNN(depth=2, features=2), step_size=0.0)
