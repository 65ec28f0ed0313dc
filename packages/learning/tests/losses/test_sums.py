"""Sums of losses, schedules, and losses that wrap the model."""

import pytest
import torch

import invcore
from invcore import Physics
from invcore.noises import GammaNoise, GaussianNoise, LaplaceNoise, NoNoise, PoissonNoise
from invcore.operators import Identity, Mask
from invcore_learning import (
    R2R,
    SURE,
    Cycle,
    MeasurementConsistency,
    Ramp,
    Splitting,
    Steps,
    UNet,
    WeightedSum,
    WrappedModel,
    at_step,
)
from invcore_testsupport import error, normal, rng

X = torch.linspace(0, 1, 64).reshape(1, 8, 8).expand(3, 1, 8, 8)
PHYSICS = Physics(Identity((1, 8, 8)), GaussianNoise(sigma=0.1))
Y = PHYSICS(X, generator=rng())


class Half(torch.nn.Module):
    def forward(self, y, physics):
        return 0.5 * y


def test_a_sum_is_the_sum():
    mse, consistency = invcore.loss("supervised"), MeasurementConsistency()
    for total in (mse + 0.5 * consistency, 0.5 * consistency + mse, sum([0.5 * consistency, mse])):
        expected = (0.5 * Y - X).square().mean((1, 2, 3)) + 0.5 * (0.5 * Y).square().mean((1, 2, 3))
        assert torch.allclose(total(0.5 * Y, X, Y, PHYSICS, Half()), expected)
        assert total.needs_reference and not total.stochastic
    assert len((consistency + (consistency + consistency)).losses) == 3
    assert torch.equal(
        (2 * (3 * consistency))(0.5 * Y, X, Y, PHYSICS, None), 6 * consistency(0.5 * Y, X, Y, PHYSICS, None)
    )


def test_schedules():
    never = WeightedSum((SURE(),), (0.0,))
    assert torch.equal(never(0.5 * Y, None, Y, PHYSICS, None), torch.zeros(3))  # not evaluated: no model
    consistency = MeasurementConsistency()
    total = Steps((1.0, 2.0), (10,)) * consistency + Ramp(start=0.0, stop=1.0, steps=4) * consistency
    one = consistency(0.5 * Y, None, Y, PHYSICS, None)
    assert total.stochastic
    for k, weight in ((0, 1.0), (2, 1.5), (9, 2.0), (10, 3.0)):
        assert torch.allclose(total.at(k)(0.5 * Y, None, Y, PHYSICS, None), weight * one)
    assert [Cycle((1.0, 0.0)).at(k) for k in range(4)] == [1, 0, 1, 0]
    for wrong in (((1.0,), (3,)), ((1.0, 2.0, 3.0), (5, 4))):
        with pytest.raises(invcore.ParameterError, match="increasing changes"):
            Steps(*wrong)


def test_one_loss_of_a_sum_wraps_the_model():
    total = 2.0 * R2R() + 0.1 * MeasurementConsistency()
    model = total.wrap(Half())
    assert isinstance(model, WrappedModel) and isinstance(model.loss, R2R)
    at_step(model, 5)
    loss = total.at(5)
    assert loss(model(Y, PHYSICS), None, Y, PHYSICS, model).shape == (3,)
    with pytest.raises(invcore.ParameterError, match="more than one"):
        (R2R() + Splitting()).wrap(Half())


def test_the_model_must_be_wrapped_and_of_the_same_step():
    loss = R2R()
    with pytest.raises(invcore.ParameterError, match=r"model = loss.wrap\(model\)"):
        loss(Y, None, Y, PHYSICS, Half())
    model = loss.wrap(Half())
    with pytest.raises(invcore.ParameterError, match="step 3, the model of seed 0 and step 0: .*at_step"):
        loss.at(3)(model(Y, PHYSICS), None, Y, PHYSICS, model)
    at_step(model, 3)
    engine = torch.nn.Sequential()  # as a parallel engine holds the model
    engine.add_module("module", model)
    assert loss.at(3)(model(Y, PHYSICS), None, Y, PHYSICS, engine).shape == (3,)


def test_in_evaluation_mode_the_loss_is_that_of_training():
    for loss in (R2R(), Splitting(keep=0.5)):
        model = loss.wrap(Half())
        trained = loss(model(Y, PHYSICS), None, Y, PHYSICS, model)
        model.eval()
        assert torch.equal(loss(model(Y, PHYSICS), None, Y, PHYSICS, model), trained)


def test_after_training_a_wrapped_model_averages():
    y = torch.ones(1, 8, 8)
    model = R2R(alpha=0.5, samples=200).wrap(Half()).eval()
    assert torch.allclose(model(y, PHYSICS), 0.5 * y, atol=3e-2)  # the mean of half of y₁ is half of y
    model = Splitting(keep=0.75, evaluate="average").wrap(Half()).eval()
    assert torch.allclose(model(y, PHYSICS), 0.375 * y)  # each pixel is left out of one of four parts
    whole = Splitting(evaluate="all").wrap(Half()).eval()
    assert torch.equal(whole(y, PHYSICS), 0.5 * y)


class Blur(torch.nn.Module):
    def forward(self, y, physics):
        x = physics.operator.H(y)
        return torch.tanh(x + x.roll(1, -1) + x.roll(-1, -2))


@pytest.mark.parametrize("masks", [None, invcore.generator("mask_random", (4, 5), keep=0.5)])
def test_denoising_by_splitting_predicts_each_pixel_from_the_others(masks):
    """After training the Jacobian has no diagonal, in pixels that are measured; the blur's own has."""
    mask = torch.ones(1, 4, 5)
    mask[0, 0, :2] = 0
    for operator in (Identity((1, 4, 5)), Mask(mask, (1, 4, 5))):
        physics = Physics(operator, GaussianNoise(sigma=0.1))
        y = torch.linspace(-1, 1, 20).reshape(1, 4, 5)
        model = Splitting(keep=0.6, masks=masks, samples=40, evaluate="held_out").wrap(Blur()).eval()

        def diagonal(R, y=y, physics=physics):
            return torch.func.jacrev(lambda v: R(v, physics))(y).reshape(20, 20).diagonal()

        assert float(diagonal(model).abs().max()) == 0
        assert float(diagonal(Blur()).abs().max()) > 0.1
        assert float(diagonal(Splitting(keep=0.6, evaluate="average").wrap(Blur()).eval()).abs().max()) > 0.1
    blurred = Physics(invcore.operator("convolution", torch.ones(1, 3, 3) / 9, (1, 4, 5)), physics.noise)
    assert Splitting(keep=0.6).wrap(Blur()).eval()(y, blurred).shape == (1, 4, 5)
    for evaluate in ("held_out", "combined"):
        with pytest.raises(invcore.ParameterError, match="needs a mask or the identity"):
            Splitting(evaluate=evaluate).wrap(Blur()).eval()(y, blurred)


class Constant(torch.nn.Module):
    """Predicts the mean, from whatever it sees."""

    def __init__(self, mean):
        super().__init__()
        self.mean = mean

    def forward(self, y, physics):
        return torch.full_like(physics.operator.H(y), self.mean)


@pytest.mark.parametrize("kind", ["real", "complex"])
def test_predictions_and_data_make_the_posterior_mean(kind):
    """Pixels N(m, τ²), of which the others tell m and nothing more: the Wiener filter, in closed form."""
    space = invcore.Space((1, 300, 300), kind)
    x = 2 + 0.5 * normal(*space.shape, dtype=torch.float64 if kind == "real" else torch.complex128)
    sigma, components = 0.4, 1 if kind == "real" else 2
    mask = (torch.rand(space.shape, generator=rng(3), dtype=torch.float64) < 0.8).double()
    physics = Physics(Mask(2 * mask, space), GaussianNoise(sigma=sigma))
    y = physics(x, generator=rng(4))
    found = Splitting().wrap(Constant(2.0)).eval()(y, physics)
    v, e = components * sigma**2 / 4, 0.25
    wiener = torch.where(mask > 0, 2 + e / (e + v) * (y / 2 - 2), 2)
    assert error(found, wiener) < 1e-3 < error(y / 2, wiener)


@pytest.mark.parametrize("noise", [PoissonNoise(gain=0.5, background=1.5), GammaNoise(looks=5.0)])
def test_predictions_and_counts_are_weighted_by_inverse_variances(noise):
    """The best affine estimate of a pixel: mean m, variance τ², and noise of variance E var(y | x)."""
    physics = Physics(Identity((1, 300, 300)), noise)
    x = 4 + (torch.rand(1, 300, 300, generator=rng(1), dtype=torch.float64) - 0.5) * 12**0.5 * 0.8
    y = physics(x, generator=rng(2))
    found = Splitting().wrap(Constant(4.0)).eval()(y, physics)
    background, v = (1.5, 0.5 * 5.5) if isinstance(noise, PoissonNoise) else (0.0, (16 + 0.64) / 5)
    best = 4 + 0.64 / (0.64 + v) * (y - background - 4)
    assert error(found, best) < 0.02  # the variance is taken at the prediction, not at the pixel
    alone = Splitting(evaluate="held_out").wrap(Constant(4.0)).eval()(y, physics)
    assert error(found, x) < 0.95 * error(alone, x)


def test_exact_data_are_kept_behind_a_mask_and_unknown_noise_is_not_trusted():
    y = normal(1, 8, 8)
    mask = (torch.arange(64).reshape(1, 8, 8) % 3 > 0).double()
    found = Splitting().wrap(Constant(0.5)).eval()(mask * y, Physics(Mask(mask, (1, 8, 8)), NoNoise()))
    assert torch.allclose(found, torch.where(mask > 0, y, 0.5))
    for noise in (NoNoise(), LaplaceNoise(scale=0.1)):
        held_out = Splitting().wrap(Constant(0.5)).eval()(y, Physics(Identity((1, 8, 8)), noise))
        assert torch.equal(held_out, torch.full_like(y, 0.5))


def test_splitting_expects_the_background_of_counts():
    physics = Physics(Identity((1, 8, 8)), PoissonNoise(gain=1.0, background=3.0))
    y = torch.full((1, 8, 8), 5.0)
    loss = Splitting()
    model = loss.wrap(Constant(2.0))
    assert float(loss(model(y, physics), None, y, physics, model)) == 0
    assert float(MeasurementConsistency()(torch.full_like(y, 2.0), None, y, physics, model)) == 0


def test_what_the_model_sees_in_training():
    seen = []

    class Spy(torch.nn.Module):
        def forward(self, y, physics):
            seen.append((y, physics))
            return physics.operator.H(y)

    mask = torch.ones(1, 8, 8)
    mask[..., ::2] = 0
    physics = Physics(Mask(mask, (1, 8, 8)), NoNoise())
    loss = Splitting(keep=0.5)
    model = loss.wrap(Spy())
    model(mask * torch.ones(2, 1, 8, 8), physics)
    y1, physics1 = seen[0]
    assert y1.sum((1, 2, 3)).le(32).all() and not torch.equal(y1[0], y1[1])
    assert torch.equal(physics1.operator(torch.ones(2, 1, 8, 8)), y1)
    at_step(model, 1)
    model(mask * torch.ones(2, 1, 8, 8), physics)
    assert not torch.equal(seen[1][0], y1)

    loss = R2R(alpha=0.2)
    loss.wrap(Spy())(Y, PHYSICS)
    y1, physics1 = seen[2]
    assert abs(float(physics1.noise.sigma) - 0.1 / 0.8**0.5) < 1e-7
    assert not torch.equal(y1, Y)


def test_a_wrapped_model_is_saved_with_its_loss(tmp_path):
    model = Splitting(keep=0.8, seed=3).wrap(UNet(features=(4, 8), blocks=1)).eval()
    other = invcore.model(invcore.models.save(model, tmp_path / "m.safetensors"))
    assert isinstance(other, WrappedModel) and other.loss.keep == 0.8 and other.loss.seed == 3
    assert torch.equal(other(Y, PHYSICS), model(Y, PHYSICS))


def test_wrong_options_are_refused():
    for make in (
        lambda: R2R(alpha=1.0),
        lambda: R2R(samples=0),
        lambda: Splitting(keep=0.0),
        lambda: Splitting(distance="l2"),
        lambda: Splitting(evaluate="mean"),
        lambda: SURE(tau=0.0),
        lambda: SURE(domain="x"),
        lambda: MeasurementConsistency(metric="l2"),
        lambda: WeightedSum((SURE(),), ()),
        lambda: WrappedModel(Half(), SURE()),
    ):
        with pytest.raises(invcore.ParameterError):
            make()
    with pytest.raises(invcore.ParameterError, match="leaves one of the parts empty"):
        Splitting(keep=0.999).wrap(Half())(Y, PHYSICS)
