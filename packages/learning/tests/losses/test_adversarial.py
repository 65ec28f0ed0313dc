"""Adversarial losses and the norm of the Jacobian against formulas and dense matrices."""

import pytest
import torch

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianNoise, NoNoise
from invcore.operators import Identity, Mask
from invcore_learning import DiscriminatorLoss, GeneratorLoss, JacobianNorm
from invcore_testsupport import normal, rng


class Critic(torch.nn.Module):
    """Two scores of each image."""

    def __init__(self, channels=1):
        super().__init__()
        self.weight = torch.nn.Parameter(normal(2, 16 * channels) / 4)

    def forward(self, x):
        return x.flatten(1) @ self.weight.mT


PHYSICS = Physics(Identity((1, 4, 4)), NoNoise())


def test_least_squares_gan():
    D = Critic()
    x, x_hat = normal(3, 1, 4, 4), normal(3, 1, 4, 4, seed=1).requires_grad_()
    scores = lambda z: z.flatten(1) @ D.weight.detach().mT
    generator = GeneratorLoss(discriminator=D)(x_hat, None, x, PHYSICS, None)
    assert torch.allclose(generator, (scores(x_hat) - 1).square().mean(1))
    generator.sum().backward()
    assert x_hat.grad.abs().sum() > 0 and D.weight.grad is None  # the discriminator is not trained by it
    x_hat.grad = None
    judge = DiscriminatorLoss(discriminator=D)(x_hat, x, x, PHYSICS, None)
    expected = ((scores(x) - 1).square().mean(1) + scores(x_hat).square().mean(1)) / 2
    assert torch.allclose(judge, expected)
    judge.sum().backward()
    assert x_hat.grad is None and D.weight.grad.abs().sum() > 0
    with pytest.raises(invcore.DataError, match="no reference"):
        DiscriminatorLoss(discriminator=D)(x_hat, None, x, PHYSICS, None)


def test_ambient_gan_measures_the_reconstruction_anew():
    n = 4000
    D = Critic()
    physics = Physics(Mask(torch.ones(1, 4, 4).double(), (1, 4, 4)), GaussianNoise(sigma=0.3))
    x_hat = normal(1, 4, 4).expand(n, 1, 4, 4)
    y = physics(x_hat, generator=rng(4))
    value = GeneratorLoss(discriminator=D, of="data")(x_hat, None, y, physics, None).detach()
    w = D.weight.detach()
    clean = (x_hat[0].flatten() @ w.mT - 1).square() + 0.09 * w.square().sum(1)
    assert abs(float(value.mean()) - float(clean.mean())) < 3 * float(value.std()) / n**0.5
    loss = DiscriminatorLoss(discriminator=D, of="data")
    assert not loss.needs_reference and loss.stochastic
    value = loss(x_hat, None, y, physics, None).detach()
    fake = (x_hat[0].flatten() @ w.mT).square() + 0.09 * w.square().sum(1)
    real = (y.flatten(1) @ w.mT - 1).square().mean()
    assert abs(float(value.mean()) - float(fake.mean() + real) / 2) < 3 * float(value.std()) / n**0.5


def test_uair_reconstructs_the_new_measurement():
    D, y = Critic(), normal(2, 1, 4, 4)
    R = lambda y, physics: 0.5 * y
    plain = GeneratorLoss(discriminator=D, of="data")(R(y, PHYSICS), None, y, PHYSICS, R)
    uair = GeneratorLoss(discriminator=D, of="data", consistency=2.0)(R(y, PHYSICS), None, y, PHYSICS, R)
    assert torch.allclose(uair - plain, 2 * (0.25 * y).square().mean((1, 2, 3)))  # ŷ = y/2, A R(ŷ) = y/4


def test_complex_images_come_as_channels():
    physics = Physics(Identity(Space((1, 4, 4), "complex")), NoNoise())
    x = normal(3, 1, 4, 4, dtype=torch.complex128)
    value = GeneratorLoss(discriminator=Critic(2))(x, None, x, physics, None)
    assert value.shape == (3,) and not value.is_complex()


class Nonlinear(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(normal(16, 16) / 5)

    def forward(self, y, physics):
        flat = y.reshape(*y.shape[:-3], 16)
        return torch.tanh(flat @ self.weight.mT + flat * flat.roll(1, -1) / 4).reshape(y.shape)


@pytest.mark.parametrize("firm", [False, True])
def test_the_norm_of_the_jacobian_is_that_of_the_dense_one(firm):
    R, y = Nonlinear(), normal(3, 1, 4, 4)
    loss = JacobianNorm(firm=firm, steps=1000)
    found = loss(R(y, PHYSICS), None, y, PHYSICS, R)
    for i in range(3):
        J = torch.func.jacrev(lambda v: R(v, PHYSICS))(y[i]).reshape(16, 16)
        J = 2 * J - torch.eye(16) if firm else J
        s = torch.linalg.svdvals(J)
        assert abs(float(found[i].detach() - s[0].detach())) < 1e-6 * float(s[0].detach())
        (expected,) = torch.autograd.grad(s[0], R.weight)
        (gradient,) = torch.autograd.grad(found[i], R.weight, retain_graph=True)
        assert torch.allclose(gradient, expected, atol=1e-3)
    few = JacobianNorm(firm=firm, steps=2)(R(y, PHYSICS), None, y, PHYSICS, R)
    assert bool((few <= found * (1 + 1e-9)).all())  # a lower bound
    bounded = JacobianNorm(firm=firm, bound=100.0)(R(y, PHYSICS), None, y, PHYSICS, R)
    assert torch.equal(bounded, torch.full((3,), 100.0, dtype=torch.float64))


def test_a_penalty_makes_a_filter_firmly_nonexpansive():
    """‖2J - I‖ of a circular filter is the largest |2ĥ - 1|: it falls below 1."""
    taps = torch.nn.Parameter(torch.tensor([-0.4, 1.3, -0.5], dtype=torch.float64))

    class Filter(torch.nn.Module):
        def forward(self, y, physics):
            return taps[0] * y.roll(1, -1) + taps[1] * y + taps[2] * y.roll(-1, -1)

    R, y = Filter(), normal(1, 4, 4)
    loss = JacobianNorm(firm=True, bound=0.9, steps=30)
    optimizer = torch.optim.SGD([taps], lr=0.05)

    def size():
        kernel = torch.cat([taps[1:], taps.new_zeros(1), taps[:1]]).detach()
        return float((2 * torch.fft.fft(kernel) - 1).abs().max())

    assert size() > 1.5
    for k in range(60):
        optimizer.zero_grad()
        loss.at(k)(R(y, PHYSICS), None, y, PHYSICS, R).backward()
        optimizer.step()
    assert size() < 1


def test_wrong_options_are_refused():
    for make in (
        lambda: GeneratorLoss(discriminator=Critic(), of="x"),
        lambda: GeneratorLoss(discriminator=Critic(), consistency=1.0),
        lambda: JacobianNorm(steps=0),
    ):
        with pytest.raises(invcore.ParameterError):
            make()
