"""Pile-up and dead time against detectors simulated photon by photon, dense matrices, and closed forms."""

import math
import warnings

import numba
import numpy as np
import pytest
import torch

from invcore import ParameterError, ShapeError
from invcore_lidar import TCSPC, DeadTime, ImpulseResponse, PileUp


@numba.njit
def detect(times, dead, period, armed_each_period):
    """Walk through arrival times in order; keep those that find the detector ready."""
    kept = np.zeros(times.shape, dtype=np.bool_)
    ready, cycle = -1.0, -1.0
    for k in range(times.size):
        now = math.floor(times[k] / period)
        if armed_each_period and now != cycle:
            ready, cycle = -1.0, now
        if times[k] >= ready:
            kept[k] = True
            ready = times[k] + dead
    return kept


def simulate(per_pulse, pulses, dead, free, seed):
    """Counts of a detector, in bins: photons arrive anywhere in their bins, as a Poisson process."""
    g = np.random.default_rng(seed)
    bins = len(per_pulse)
    counts = g.poisson(per_pulse * pulses)
    bin_of = np.repeat(np.arange(bins), counts)
    times = g.integers(pulses, size=bin_of.size) * float(bins) + bin_of + g.random(bin_of.size)
    times.sort()
    kept = times[detect(times, float(dead), float(bins), not free)]
    return np.bincount(np.floor(kept % bins).astype(int), minlength=bins)[:bins]


def column(values):
    return torch.as_tensor(values, dtype=torch.float64).reshape(-1, 1, 1)


def require_same_law(counts, expected, ideal):
    """Every bin within 5 standard deviations, chi squared of at most the expectation, ideal counts far away.

    Dead time makes counts regular, hence a smaller chi squared.
    """
    z = (counts - expected) / np.sqrt(np.maximum(expected, 1))
    assert np.abs(z).max() < 5
    assert (z**2).mean() < 1.4
    assert (((ideal - expected) / np.sqrt(np.maximum(expected, 1))) ** 2).mean() > 15
    assert abs(counts.sum() - expected.sum()) < 5 * np.sqrt(expected.sum())


@pytest.mark.parametrize("total, background", [(0.5, 0.3), (3.0, 0.8)])
def test_pile_up_is_that_of_single_photons(total, background, rates):
    pulses, per_pulse = 300_000, rates(50, total, background)
    counts = simulate(per_pulse, pulses, 1e9, False, seed=1)
    expected = PileUp(pulses=pulses, bins=50, shape=(1, 1))(column(per_pulse * pulses)).flatten().numpy()
    require_same_law(counts, expected, per_pulse * pulses)


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("dead", [7.0, 20.5, 37.3, 48.8])
@pytest.mark.parametrize("total, background", [(0.6, 0.5), (3.0, 0.9), (2.5, 0.1)])
def test_dead_time_is_that_of_single_photons(free, dead, total, background, rates):
    pulses, per_pulse = 200_000, rates(50, total, background, width=5.0)
    counts = simulate(per_pulse, pulses, dead, free, seed=2)
    expected = detector(dead, pulses, 50, free)(column(per_pulse * pulses)).flatten().numpy()
    require_same_law(counts, expected, per_pulse * pulses)


@pytest.mark.parametrize("dead", [50.0, 63.2, 131.6])
def test_dead_time_longer_than_a_period(dead, rates):
    pulses, per_pulse = 300_000, rates(50, 2.0, 0.6)
    counts = simulate(per_pulse, pulses, dead, True, seed=3)
    expected = detector(dead, pulses, 50, True)(column(per_pulse * pulses)).flatten().numpy()
    require_same_law(counts, expected, per_pulse * pulses)


def detector(dead, pulses, bins, free, **options):
    return DeadTime(
        dead_time=dead * 1e-9 if not isinstance(dead, torch.Tensor) else 1e-9 * dead,
        pulses=pulses,
        bins=bins,
        bin_width=1e-9,
        shape=options.pop("shape", (1, 1)),
        mode="free" if free else "synchronous",
        **options,
    )


def overlap(dead, lag):
    """Probability that two photons in bins ``lag`` apart are closer than the dead time: a double integral."""
    u = (np.arange(4000) + 0.5) / 4000
    return np.clip(dead - lag + u, 0, 1).mean()


@pytest.mark.parametrize("free", [True, False])
@pytest.mark.parametrize("dead", [1.0, 2.0, 3.7, 8.4, 17.9])
def test_against_a_dense_linear_system(free, dead, generator):
    """L + C Q L = 1 with C written out."""
    bins, pulses = 8, 1000
    C = np.zeros((bins, bins))
    for b in range(bins):
        for lag in range(1, int(dead) + 2):
            if free or lag <= b:
                C[b, (b - lag) % bins] += overlap(dead, lag)
    u = 600 * torch.rand(bins, 1, 1, generator=generator, dtype=torch.float64)
    q = -np.expm1(-u.flatten().numpy() / pulses)
    expected = pulses * q * np.linalg.solve(np.eye(bins) + C * q, np.ones(bins))
    got = detector(dead, pulses, bins, free)(u).flatten().numpy()
    np.testing.assert_allclose(got, expected, rtol=1e-6)


def test_a_long_synchronous_dead_time_is_pile_up(generator):
    u = 300 * torch.rand(2, 20, 3, 2, generator=generator, dtype=torch.float64)
    for dead in (20.0, 35.5, math.inf):
        got = detector(dead, 1000, 20, False, shape=(3, 2))(u)
        torch.testing.assert_close(got, PileUp(pulses=1000, bins=20, shape=(3, 2))(u), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("dead", [4.5, 30.0, 77.7, 99.5, 150.3, 271.0])
@pytest.mark.parametrize("total, background", [(0.1, 0.5), (5.0, 0.9), (20.0, 0.02), (20.0, 0.9)])
def test_the_inverse_gives_the_rates_back(dead, total, background, rates):
    """To round-off, up to 20 photons a pulse, without a warning: the stationary state is found."""
    pulses = 1000
    u = column(rates(100, total, background) * pulses)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        A = detector(dead, pulses, 100, True)
        torch.testing.assert_close(A.correct(A(u)), u, rtol=1e-8, atol=1e-9)
    if total < 10:  # e^-20 of the pulses reach the last bins: too few digits of them are left
        for A in (detector(dead, pulses, 100, False), PileUp(pulses=pulses, bins=100, shape=(1, 1))):
            torch.testing.assert_close(A.correct(A(u)), u, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("dead", [7.0, 33.4, 71.9])
@pytest.mark.parametrize("total, background", [(1.0, 0.5), (20.0, 0.9)])
def test_other_devices_get_the_same(dead, total, background, monkeypatch, rates):
    """The compiled recursion against the one in torch, with gradients; at high flux both end in GMRES."""
    u = torch.stack([column(rates(30, s * total, background) * 1000) for s in (1.0, 0.1)])
    found = []
    for anywhere in (False, True):
        monkeypatch.setattr(
            "invcore_lidar._models.readiness.under_transform", lambda anywhere=anywhere: anywhere
        )
        for free in (True, False):
            v = u.clone().requires_grad_()
            y = detector(dead, 1000, 30, free)(v)
            (g,) = torch.autograd.grad(y.square().sum(), v)
            found.append((y.detach(), g))
    for a, b in zip(found[:2], found[2:]):
        for s, t in zip(a, b):
            torch.testing.assert_close(s, t, rtol=1e-9, atol=1e-9)


def test_constant_light_is_counted_as_textbooks_say():
    """n = r / (1 + r τ) for a free-running detector, to the order of a bin."""
    pulses, per_bin = 1e6, 0.002
    for dead in (50.0, 333.3):
        y = detector(dead, pulses, 200, True)(torch.full((200, 1, 1), per_bin * pulses, dtype=torch.float64))
        torch.testing.assert_close(
            y, torch.full_like(y, pulses * per_bin / (1 + per_bin * dead)), rtol=2e-6, atol=0
        )


def test_ready_is_what_was_not_hidden(generator):
    A = detector(9.3, 1000, 40, True, shape=(2, 1))
    u = 200 * torch.rand(40, 2, 1, generator=generator, dtype=torch.float64)
    torch.testing.assert_close(A(u), -1000 * torch.expm1(-u / 1000) * A.ready(u), rtol=1e-12, atol=0)


def test_dead_times_of_their_own_for_each_sample(generator):
    dead = torch.tensor([3.5, 6.2, 11.0], dtype=torch.float64)
    u = 300 * torch.rand(3, 10, 2, 2, generator=generator, dtype=torch.float64)
    for free in (True, False):
        together = detector(dead, 1000, 10, free, shape=(2, 2))(u)
        alone = [detector(float(d), 1000, 10, free, shape=(2, 2))(v) for d, v in zip(dead, u)]
        torch.testing.assert_close(together, torch.stack(alone), rtol=1e-12, atol=0)


def test_dead_time_is_learned_from_counts(generator, rates):
    """The gradient to the dead time leads to it."""
    u = column(rates(40, 2.0, 0.5) * 1000)
    y = detector(17.3, 1000, 40, True)(u)
    length = torch.tensor(12.0, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([length], max_iter=60, line_search_fn="strong_wolfe", tolerance_grad=1e-12)

    def loss():
        search.zero_grad()
        value = (detector(length, 1000, 40, True)(u) - y).square().sum()
        value.backward()
        return value

    search.step(loss)
    assert length.item() == pytest.approx(17.3, abs=1e-4)


def test_after_a_scene(generator):
    """Composed with photon counting, pile-up pulls the return forward, and the inverse puts it back."""
    A = TCSPC(impulse=ImpulseResponse.gaussian(fwhm=2e-9), bins=100, bin_width=1e-9, shape=(1, 1))
    x = torch.tensor([8.0, 1500.0, 2.0], dtype=torch.float64).reshape(3, 1, 1)
    detect = PileUp(pulses=1000, bins=100, shape=(1, 1))
    y = (detect @ A)(x)
    t = torch.arange(100, dtype=torch.float64)[:, None, None]
    around = slice(45, 63)

    def mean(h):
        return ((h * t)[around].sum() / h[around].sum()).item()

    assert mean(y) < mean(A(x)) - 0.3
    torch.testing.assert_close(detect.correct(y), A(x), rtol=1e-6, atol=1e-8)
    (J,) = torch.autograd.functional.jacobian(detect @ A, (x,))
    assert torch.isfinite(J).all()


def test_transforms_of_torch(generator):
    """Jacobians by forward mode, reverse mode and vmap agree."""
    A = detector(4.6, 300, 9, True)
    u = 50 * torch.rand(9, 1, 1, generator=generator, dtype=torch.float64)
    forward = torch.func.jacfwd(A._apply)(u)
    torch.testing.assert_close(torch.func.jacrev(A._apply)(u), forward, rtol=1e-9, atol=1e-12)
    several = torch.stack([u, 2 * u])
    torch.testing.assert_close(torch.func.vmap(A._apply)(several), A(several), rtol=1e-12, atol=1e-12)


def test_errors_say_what_was_expected():
    with pytest.raises(ParameterError, match="dead_time must be at least a bin"):
        detector(0.5, 100, 10, True)
    with pytest.raises(ParameterError, match="finite"):
        detector(math.inf, 100, 10, True)
    with pytest.raises(ParameterError, match="mode must be"):
        DeadTime(dead_time=1e-9, pulses=1, bins=1, bin_width=1e-9, shape=(1, 1), mode="gated")
    with pytest.raises(ParameterError, match="pulses must be a positive number"):
        PileUp(pulses=0, bins=3, shape=(1, 1))
    with pytest.raises(ShapeError, match=r"counts must be \(..., 3, 1, 1\)"):
        PileUp(pulses=10, bins=3, shape=(1, 1)).correct(torch.zeros(3))
