"""Flow matching: what its loss is on average, and which pairs it draws."""

import pytest
import torch

import invcore
from invcore_diffusion import FlowMatching, Velocity, empirical_flow, gaussian_flow
from invcore_testsupport import normal

IMAGES = normal(40, 1, 2, seed=1)


class Recorder:
    """A model that keeps what it is asked."""

    def __call__(self, x, t):
        self.x, self.t = x, t
        return 0 * x


def test_the_loss_of_the_best_field_is_the_conditional_variance():
    C = torch.tensor([[2.0, 0.4], [0.4, 0.5]], dtype=torch.float64)
    v = gaussian_flow(mean=torch.zeros(1, 2).double(), covariance=C)
    x = normal(4000, 1, 2) @ torch.linalg.cholesky(C).mT
    values = FlowMatching(latest=0.9)(None, x, None, None, v)
    t = torch.linspace(0, 0.9, 2001, dtype=torch.float64)[:, None]
    # E|x_1 - x_0 - v|² = tr(C⁻¹ + t²/(1-t)²)⁻¹ / (1-t)²
    error = 1 / ((1 - t) ** 2 / torch.linalg.eigvalsh(C) + t**2)
    assert (values.mean() - error.sum(1).mean() / 2).abs() < 4 * values.std() / 4000**0.5


def test_another_field_has_a_larger_loss():
    v = Velocity(invcore.denoiser("empirical", images=IMAGES))
    x = IMAGES.repeat(50, 1, 1)
    loss = FlowMatching(latest=0.8)
    best = loss(None, x, None, None, v).mean()
    for worse in (lambda z, t: 0.9 * v(z, t), lambda z, t: v(z, t) + 0.3, lambda z, t: v(z, 0.9 * t)):
        assert loss(None, x, None, None, worse).mean() > best


def target(loss, x):
    """Where the paths are, and the targets there: the gradient of the loss at the field zero."""
    recorder = Recorder()
    loss(None, x, None, None, recorder)
    zero = torch.zeros_like(recorder.x).requires_grad_()
    value = loss(None, x, None, None, lambda z, t: zero)
    (g,) = torch.autograd.grad(value.sum(), zero)
    return recorder.x, recorder.t, -g * x[0].numel() / 2


def test_targets_over_several_images_are_unbiased_and_less_scattered():
    x = IMAGES.repeat(200, 1, 1)
    exact = empirical_flow(IMAGES)
    spread = {}
    for m in (1, 5):
        z, t, u = target(FlowMatching(closed_form=m, images=IMAGES, latest=0.7), x)
        away = u - exact(z, t)
        for test in (torch.ones_like(z), torch.sin(z), z.square()):
            products = (away * test).flatten(1).sum(1)
            assert products.mean().abs() < 4 * products.std() / len(x) ** 0.5
        spread[m] = away.square().mean()
    assert spread[5] < 0.6 * spread[1]


def test_the_target_over_all_images_is_the_exact_field():
    z, t, u = target(FlowMatching(closed_form=40, images=IMAGES), IMAGES)
    torch.testing.assert_close(u, empirical_flow(IMAGES)(z, t), rtol=1e-9, atol=1e-9)


def test_optimal_couplings_are_never_longer():
    for k in range(5):
        x = 2 * normal(30, 1, 2, seed=k) + 1
        length = {}
        for coupling in ("independent", "ot"):
            *_, u = target(FlowMatching(coupling=coupling).at(k), x)
            length[coupling] = u.square().sum()
        assert length["ot"] < length["independent"]


def test_optimal_couplings_only_exchange_noises():
    x = normal(12, 1, 2)
    noises = [x - target(FlowMatching(coupling=c), x)[2] for c in ("independent", "ot")]
    a, b = (torch.unique(n.flatten(1).round(decimals=9), dim=0) for n in noises)
    torch.testing.assert_close(a, b)


def test_draws_follow_the_position_in_the_step():
    loss, x = FlowMatching().at(3), normal(4, 1, 2)
    whole = loss(None, x, None, None, Recorder())
    parts = [loss.of_samples(p)(None, x[list(p)], None, None, Recorder()) for p in ((0, 1), (2, 3))]
    torch.testing.assert_close(torch.cat(parts), whole)
    assert (FlowMatching().at(4)(None, x, None, None, Recorder()) != whole).all()


def test_a_small_network_learns_the_gaussian_flow():
    """A linear field a(t) x with a polynomial in t, fitted: near the closed form."""
    v = gaussian_flow(mean=torch.zeros(1, 1).double(), covariance=torch.full((1, 1), 4.0).double())
    x = 2 * normal(10000, 1, 1)
    z, t, u = target(FlowMatching(latest=0.9), x)
    powers = torch.stack([z.flatten() * t**k for k in range(6)], 1)
    fit = torch.linalg.lstsq(powers, u.flatten()[:, None]).solution.flatten()
    grid = torch.linspace(0.1, 0.8, 8, dtype=torch.float64)
    found = sum(fit[k] * grid**k for k in range(6))
    expected = torch.stack([v(torch.ones(1, 1).double(), float(t)).squeeze() for t in grid])
    assert (found - expected).abs().max() < 0.2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"coupling": "sinkhorn"}, "coupling"),
        ({"closed_form": 4}, "go together"),
        ({"closed_form": 4, "images": IMAGES, "coupling": "ot"}, "independent"),
        ({"latest": 1.0}, "latest"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(invcore.ParameterError, match=words):
        FlowMatching(**options)


def test_without_reference_there_is_nothing_to_learn():
    with pytest.raises(invcore.DataError, match="reference"):
        FlowMatching()(None, None, None, None, Recorder())
