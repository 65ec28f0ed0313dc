"""Total generalized variation beside linear programming and a smoothed joint minimization by scipy."""

import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import linprog, minimize

from invcore import ConvergenceWarning, ParameterError, Physics, ShapeError
from invcore.noises import GaussianNoise
from invcore.operators import Identity, Space
from invcore.priors import TGV
from invcore.solvers import FISTA
from invcore_testsupport import normal

F64, C128 = torch.float64, torch.complex128


def definition(shape):
    """Matrices of D (axis, pixel) and E (axis, axis, pixel), by loops over the definition."""
    dims, n = len(shape), int(np.prod(shape))
    number = np.arange(n).reshape(shape)
    D, E = np.zeros((dims, n, n)), np.zeros((dims, dims, n, dims * n))
    for place in np.ndindex(*shape):
        i = number[place]
        for a in range(dims):
            if place[a] + 1 < shape[a]:
                D[a, i, i] -= 1
                D[a, i, number[(*place[:a], place[a] + 1, *place[a + 1 :])]] += 1
            for b in range(dims):  # backward difference along a of component b, where that component exists
                if place[a] == 0 or place[b] + 1 == shape[b]:
                    continue
                before = (*place[:a], place[a] - 1, *place[a + 1 :])
                for r, c in ((a, b), (b, a)):
                    E[r, c, i, b * n + i] += 0.5
                    if before[b] + 1 < shape[b]:
                        E[r, c, i, b * n + number[before]] -= 0.5
    exists = np.concatenate([np.abs(D[a]).sum(1) > 0 for a in range(dims)])
    return D, E, exists


def smoothed(shape, channels, ratio, x=None, target=None, step=1.0):
    """min over w (and over the image, if ``target`` is given) with √(|·|² + ε²), ε → 0, by scipy."""
    D, E, exists = definition(shape)
    dims, n = len(shape), int(np.prod(shape))
    d, e = torch.from_numpy(D), torch.from_numpy(E)
    mask = torch.from_numpy(exists.astype(float)).reshape(dims, n)

    def energy(v, eps):
        w = v[: channels * dims * n].reshape(channels, dims, n)
        image = torch.from_numpy(x) if target is None else v[channels * dims * n :].reshape(channels, n)
        first = torch.einsum("aij,cj->aci", d, image) - (mask * w).movedim(0, 1)
        second = torch.einsum("abij,cj->abci", e, w.reshape(channels, -1))
        value = (first.square().sum((0, 1)) + eps**2).sqrt().sum()
        value = value + ratio * (second.square().sum((0, 1, 2)) + eps**2).sqrt().sum()
        return (
            value
            if target is None
            else value + (image - torch.from_numpy(target)).square().sum() / (2 * step)
        )

    size = channels * dims * n + (0 if target is None else channels * n)
    v = np.zeros(size)
    for eps in 10.0 ** -np.arange(1, 7):

        def function(u, eps=eps):
            t = torch.from_numpy(u).requires_grad_()
            f = energy(t, eps)
            (g,) = torch.autograd.grad(f, t)
            return float(f.detach()), g.numpy()

        v = minimize(function, v, jac=True, method="L-BFGS-B", options={"maxiter": 1500, "maxfun": 3000}).x
    exact = float(energy(torch.from_numpy(v), 0.0))
    return exact, v[channels * dims * n :].reshape(channels, *shape) if target is not None else None


def test_value_of_signals_is_that_of_linear_programming():
    n, ratio = 14, 1.5
    D, E, exists = definition((n,))
    for seed in range(3):
        x = normal(1, n, seed=seed).cumsum(-1)
        # variables w, s >= |Dx - w|, t >= |E w|
        d, e, eye, zero = D[0], E[0, 0], np.eye(n), np.zeros((n, n))
        m = np.diag(exists.astype(float))
        above = np.block([[-m, -eye, zero], [m, -eye, zero], [e, zero, -eye], [-e, zero, -eye]])
        slope = d @ x[0].numpy()
        bounds = np.concatenate([-slope, slope, np.zeros(2 * n)])
        cost = np.concatenate([np.zeros(n), np.ones(n), ratio * np.ones(n)])
        exact = linprog(cost, above, bounds, bounds=[(None, None)] * n + [(0, None)] * (2 * n)).fun
        value, gap, _ = TGV(spatial_dims=1, ratio=ratio, rtol=1e-8, max_steps=200000).evaluate(x)
        assert abs(float(value) - exact) <= 1e-7 * exact
        assert float(value) - float(gap) <= exact * (1 + 1e-10)


@pytest.mark.parametrize(("shape", "channels"), [((5, 6), 1), ((4, 5), 2), ((3, 3, 4), 1)])
def test_value_is_that_of_scipy(shape, channels):
    x = normal(channels, *shape, seed=3)
    exact, _ = smoothed(shape, channels, 0.7, x=x.reshape(channels, -1).numpy())
    g = TGV(spatial_dims=len(shape), ratio=0.7, rtol=1e-6, max_steps=30000)
    value, gap, _ = g.evaluate(x)
    assert float(gap) <= 1e-6 * float(value)
    assert float(value) - float(gap) <= exact <= float(value) * (1 + 2e-5)


@pytest.mark.parametrize(("shape", "channels"), [((5, 5), 1), ((3, 4), 2), ((12,), 1)])
def test_prox_is_that_of_scipy(shape, channels):
    x = normal(channels, *shape, seed=4)
    exact, z = smoothed(shape, channels, 1.5, target=x.reshape(channels, -1).numpy(), step=0.4)
    g = TGV(spatial_dims=len(shape), ratio=1.5, rtol=1e-7, max_steps=100000)
    measure = TGV(spatial_dims=len(shape), ratio=1.5, rtol=5e-6, max_steps=20000)
    found, gap = g.denoise(x, 0.4)
    reached = float(measure.value(found) + (found - x).square().sum() / 0.8)
    assert float(gap) <= 1e-7
    assert abs(reached - exact) <= 1e-5 * exact
    assert np.abs(found.numpy() - z).max() < 3e-3


def test_the_field_attains_the_value():
    x = normal(1, 6, 7)
    value, _, w = TGV(ratio=1.2, rtol=1e-5, max_steps=20000).evaluate(x)
    D, E, _ = definition((6, 7))
    first = np.einsum("aij,j->ai", D, x.numpy().ravel()) - w.numpy().reshape(2, -1) * (np.abs(D).sum(2) > 0)
    second = np.einsum("abij,j->abi", E, w.numpy().ravel())
    total = np.sqrt((first**2).sum(0)).sum() + 1.2 * np.sqrt((second**2).sum((0, 1))).sum()
    assert abs(total - float(value)) < 1e-10 * total


@pytest.mark.parametrize("dtype", [torch.float32, F64, C128])
@pytest.mark.parametrize("shape", [(9,), (7, 8), (4, 5, 6)])
def test_affine_images_cost_nothing_and_stay(shape, dtype):
    axes = torch.meshgrid(*(torch.arange(n, dtype=F64) for n in shape), indexing="ij")
    x = 20.0 + sum((i + 1) * 0.7 * axis for i, axis in enumerate(axes))
    x = (x[None] * (1 - 2j)).to(dtype) if dtype == C128 else x[None].to(dtype)
    g = TGV(spatial_dims=len(shape))
    small = 1e-4 if dtype == torch.float32 else 1e-11
    assert float(g.value(x)) < small * float(x.abs().sum())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert float((g.prox(x, 5.0) - x).abs().max()) < 1e-3 * float(x.abs().max())
    bent = x.clone()
    bent[(0, *(n // 2 for n in shape))] += 1.0
    assert float(g.value(bent)) > 0.5


def test_imaginary_part_counts_as_a_channel_and_samples_are_apart():
    x = normal(2, 1, 6, 6, dtype=C128)
    g = TGV(rtol=1e-7, max_steps=30000)
    both = torch.stack([x.real, x.imag], 2).flatten(1, 2)
    steps = torch.tensor([0.2, 0.9], dtype=F64)
    a, b = Space((1, 6, 6), "complex"), Space((2, 6, 6))
    assert torch.allclose(g.value(x, a), g.value(both, b), rtol=1e-6)
    z = g.prox(x, steps, a)
    assert torch.allclose(torch.cat([z.real, z.imag], 1), g.prox(both, steps, b), atol=1e-4)
    for i in range(2):
        assert torch.equal(z[i], g.prox(x[i], float(steps[i]), a))


def test_bounds_between_total_variations():
    """g ≤ TV (w = 0), and g ≤ r Σ|E D x| (w = Dx)."""
    from invcore.priors import TV

    x = normal(1, 8, 9)
    g = TGV(ratio=3.0, rtol=1e-6, max_steps=30000)
    assert float(g.value(x)) <= float(TV().value(x)) * (1 + 1e-6)
    D, E, _ = definition((8, 9))
    slopes = np.einsum("aij,j->ai", D, x.numpy().ravel())
    creases = np.einsum("abij,j->abi", E, slopes.ravel())
    assert float(g.value(x)) <= 3 * np.sqrt((creases**2).sum((0, 1))).sum() * (1 + 1e-6)


def test_derivative_of_the_value_is_a_subgradient():
    x = normal(1, 6, 6).requires_grad_()
    g = TGV(rtol=1e-9, max_steps=100000)
    value = g.value(x)
    (slope,) = torch.autograd.grad(value, x)
    for seed in range(5):
        other = x.detach() + 0.3 * normal(1, 6, 6, seed=10 + seed)
        line = float(value.detach()) + float((slope * (other - x.detach())).sum())
        assert float(g.value(other)) >= line - 1e-6 * line


def test_prox_at_zero_step_empty_batches_and_errors():
    x = normal(2, 1, 5, 5)
    space = Space((1, 5, 5))
    g = TGV()
    assert torch.equal(g.prox(x, torch.tensor([0.0, 0.1], dtype=F64), space)[0], x[0])
    assert g.prox(x[:0], 0.1, space).shape == (0, 1, 5, 5)
    assert g.value(x[:0], space).shape == (0,)
    with pytest.raises(ParameterError, match="ratio"):
        TGV(ratio=0.0)
    with pytest.raises(ParameterError, match="dims"):
        TGV(spatial_dims=4)
    with pytest.raises(ShapeError, match="spatial"):
        TGV(spatial_dims=3).value(x[0, 0])
    with pytest.raises(ParameterError, match="finite number >= 0"):
        g.prox(x, -1.0, space)
    with pytest.warns(ConvergenceWarning, match=r"TGV\.value"):
        TGV(rtol=1e-9, max_steps=3).value(x)
    with pytest.warns(ConvergenceWarning, match=r"TGV\.prox"):
        TGV(rtol=1e-9, max_steps=3).prox(x, 0.5, space)


def test_a_solver_finds_its_weight():
    ramp = torch.linspace(0, 1, 24).expand(1, 24, 24) + (torch.arange(24) > 11).float()
    physics = Physics(Identity((1, 24, 24)), GaussianNoise(sigma=0.1))
    y = physics(ramp, generator=torch.Generator().manual_seed(0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = FISTA(prior=TGV())(y, physics)
    assert float((x - ramp).norm()) < 0.5 * float((y - ramp).norm())


def test_spacing_is_a_change_of_units():
    """(1/h)(Σ|Dx - hw| + (r/h) Σ|E hw|): one spacing for all axes is a price of its own."""
    x = normal(1, 6, 5, dtype=F64)
    spaced = TGV(ratio=1.5, spacing=(2.0, 2.0), rtol=1e-6, max_steps=20000)
    plain = TGV(ratio=0.75, rtol=1e-6, max_steps=20000)
    assert torch.allclose(spaced.value(x), plain.value(x) / 2, rtol=1e-5)
    assert torch.allclose(spaced.prox(x, 0.6), plain.prox(x, 0.3), atol=1e-3)


def test_spacing_belongs_to_its_axis():
    """An image that varies along one axis has the value of that axis alone, at each of its lines."""
    line = normal(1, 7, dtype=F64)
    image = line[:, :, None].expand(1, 7, 4)
    options = {"ratio": 1.5, "rtol": 1e-5, "max_steps": 20000}
    one = TGV(spatial_dims=1, spacing=(0.5,), **options).value(line)
    assert torch.allclose(TGV(spacing=(0.5, 3.0), **options).value(image), 4 * one, rtol=1e-4)
    assert torch.allclose(TGV(spacing=(3.0, 0.5), **options).value(image.mT), 4 * one, rtol=1e-4)
    y, x = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    assert float(TGV(spacing=(0.5, 3.0)).value((2 * y - x)[None])) < 1e-3
    with pytest.raises(ParameterError, match="spacing must be a tuple of 2"):
        TGV(spacing=(1.0,))
