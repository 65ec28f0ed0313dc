"""Equivariant and multi-operator imaging, equivariant splitting and augmentation."""

import math

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import Convolution, Identity, Mask, RandomMask
from invcore_learning import (
    AddNoise,
    AugmentConsistency,
    EquivariantImaging,
    EquivariantSplitting,
    MeasurementConsistency,
    MultiOperator,
    Reflect,
    Shift,
)
from invcore_testsupport import error, normal, rng

T = Shift(spatial_dims=1)
MASK = torch.tensor([[1.0, 1, 0, 0, 1, 1, 0, 1]], dtype=torch.float64)
SPACE = (1, 8)


class Matrix(torch.nn.Module):
    """x̂ = W Aᴴ y."""

    def __init__(self, weight=None):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.eye(8, dtype=torch.float64) if weight is None else weight)

    def forward(self, y, physics):
        return physics.operator.H(y) @ self.weight.mT


def test_equivariant_imaging_is_its_formula():
    R = Matrix(normal(8, 8))
    physics = Physics(Mask(MASK, SPACE), NoNoise())
    y = physics(normal(5, 1, 8, seed=1))
    loss = EquivariantImaging(transform=T, seed=3).at(2)
    found = loss(R(y, physics), None, y, physics, R)
    shifts = [int(T.draw(generator=g)[0]) for g in loss.generators("transform", (5,))]
    for i, s in enumerate(shifts):
        P = torch.eye(8, dtype=torch.float64).roll(s, 0)  # (P x) = roll of x
        A, W = torch.diag(MASK[0]), R.weight
        target = P @ W @ A @ y[i, 0]
        expected = (W @ A @ A @ target - target).square().mean()
        assert torch.allclose(found[i], expected)


def waves(n, seed):
    """Waves of one frequency and any phase: a shift-invariant set of two dimensions."""
    phase = 2 * math.pi * torch.rand(n, 1, 1, dtype=torch.float64, generator=rng(seed))
    size = 0.5 + torch.rand(n, 1, 1, dtype=torch.float64, generator=rng(seed + 1))
    return size * torch.cos(2 * math.pi * torch.arange(8) / 8 + phase)


def trained(loss, physics, y):
    R = Matrix(torch.eye(8, dtype=torch.float64) + 0.1 * normal(8, 8))
    optimizer = torch.optim.LBFGS(R.parameters(), lr=0.5, max_iter=5, line_search_fn="strong_wolfe")

    def total(k):
        optimizer.zero_grad()
        value = loss.at(k)(R(y, physics), None, y, physics, R).mean()
        value.backward()
        return value

    for k in range(40):
        optimizer.step(lambda k=k: total(k))
    return R


def test_equivariance_finds_what_the_operator_does_not_see():
    physics = Physics(Mask(MASK, SPACE), NoNoise())
    y = physics(waves(64, 1))
    x = waves(50, 7)
    consistency = MeasurementConsistency()
    alone = trained(consistency, physics, y)
    both = trained(consistency + EquivariantImaging(transform=T), physics, y)
    with torch.no_grad():
        assert error(alone(physics(x), physics), x) > 0.5
        assert error(both(physics(x), physics), x) < 1e-2


def test_several_operators_find_what_one_does_not_see():
    """Each sample has one of two masks of 6 entries: as many as 8/2 and the dimension of the waves, 2 [3]."""
    masks = torch.ones(2, 1, 8, dtype=torch.float64)
    masks[0, 0, :2] = masks[1, 0, 4:6] = 0
    both = tuple(Physics(Mask(m, SPACE), NoNoise()) for m in masks)
    physics = Physics(Mask(masks.repeat(32, 1, 1), SPACE), NoNoise())
    y = physics(waves(64, 1))
    consistency = MeasurementConsistency()
    alone = trained(consistency, physics, y)
    several = trained(consistency + MultiOperator(physics=both), physics, y)
    x = waves(50, 7)
    with torch.no_grad():
        for p in both:
            assert error(alone(p(x), p), x) > 0.3
            assert error(several(p(x), p), x) < 1e-2


def test_drawn_masks_are_those_of_the_samples():
    physics = Physics(Mask(torch.ones(1, 8), SPACE), NoNoise())
    y = normal(4, 1, 8)
    loss = MultiOperator(generate=RandomMask((8,), keep=0.5))
    R = Matrix()
    found = loss(y, None, y, physics, R)
    draw = RandomMask((8,), keep=0.5)
    masks = torch.stack([draw(generator=g) for g in loss.generators("parameters", (4,))])
    assert torch.allclose(found, (y * (1 - masks)).square().mean((-2, -1)))


@pytest.mark.parametrize("noise", [GaussianNoise(sigma=0.3), PoissonNoise(gain=0.2)])
def test_the_second_measurement_has_the_noise_of_the_physics(noise):
    """R = 0 but for what is measured anew: the mean of ‖T x̂ + n - T x̂‖² is the variance."""
    n = 3000
    physics = Physics(Identity(SPACE), noise)
    x_hat = torch.full((n, 1, 8), 2.0, dtype=torch.float64)
    R = Matrix()
    value = EquivariantImaging(transform=T)(x_hat, None, x_hat, physics, R).detach()
    expected = 0.09 if isinstance(noise, GaussianNoise) else 0.2 * 2
    assert abs(float(value.mean()) - expected) < 3 * float(value.std()) / n**0.5
    quiet = EquivariantImaging(transform=T, noise=False)(x_hat, None, x_hat, physics, R)
    assert float(quiet.detach().max()) < 1e-20


def test_equivariant_splitting_shows_the_virtual_operator():
    seen = []

    class Spy(Matrix):
        def forward(self, y, physics):
            seen.append((y, physics))
            return super().forward(y, physics)

    physics = Physics(Mask(MASK, SPACE), GaussianNoise(sigma=0.1))
    y = normal(3, 1, 8)
    loss = EquivariantSplitting(transform=T, keep=0.5, consistency=0.25)
    model = loss.wrap(Spy(normal(8, 8, seed=4)))
    x_hat = model(y, physics)
    (y1, physics1), m = seen[0], loss._mask(y, physics)
    g = torch.stack([T.draw(generator=g) for g in loss.generators("transform", (3,))])
    x = normal(3, 1, 8, seed=2)
    assert torch.allclose(physics1.operator(x), m * MASK * T.apply(x, g))
    assert torch.equal(y1, m * y)
    raw = physics1.operator.H(y1) @ model.model.weight.mT
    assert torch.allclose(x_hat, T.apply(raw, g))
    r = (MASK * (x_hat - y)).square()
    expected = ((1 - m) * r + 0.25 * m * r).sum((-2, -1)) / 5
    assert torch.allclose(loss(x_hat, None, y, physics, model), expected)
    model.eval()
    assert model(y, physics).shape == x_hat.shape and len(seen) == 6


def test_augmentation_is_consistent_for_the_inverse():
    """R(y, A) = A⁻¹y: A T⁻¹ gives T A⁻¹ y exactly; a reconstruction that ignores the operator does not."""
    kernel = torch.tensor([[0.2, 0.6, 0.1]], dtype=torch.float64)
    physics = Physics(Convolution(kernel, SPACE, boundary="circular"), NoNoise())
    y = normal(3, 1, 8)
    inverse = lambda y, physics: physics.operator.pinv(y)
    for loss in (
        AugmentConsistency(transform=T),
        AugmentConsistency(transform=Reflect(axes=(-1,), spatial_dims=1)),
    ):
        assert float(loss.at(1)(inverse(y, physics), None, y, physics, inverse).max()) < 1e-12
        fixed = lambda y, p: physics.operator.H(y)
        values = [loss.at(k)(fixed(y, physics), None, y, physics, fixed) for k in range(4)]
        assert float(torch.stack(values).max()) > 1e-2
    noise = AugmentConsistency(perturbation=AddNoise(sigma=0.1, spatial_dims=1))
    found = noise(y, None, y.expand(3, 1, 8), Physics(Identity(SPACE)), lambda y, p: y)
    assert 0 < float(found.mean()) < 0.05


def test_wrong_options_are_refused():
    for make in (
        lambda: MultiOperator(),
        lambda: MultiOperator(physics=(3,)),
        lambda: AugmentConsistency(),
        lambda: EquivariantImaging(transform=T, metric="x"),
        lambda: EquivariantSplitting(transform=T, keep=1.0),
    ):
        with pytest.raises(invcore.ParameterError):
            make()
    other = Physics(Identity((1, 9)))
    with pytest.raises(invcore.ShapeError, match="need the same images"):
        y = normal(2, 1, 8)
        MultiOperator(physics=(other,))(y, None, y, Physics(Identity(SPACE)), Matrix())
