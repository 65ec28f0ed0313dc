"""SENSE along trajectories against its defining sum, the Cartesian operator and finite differences."""

import math

import numpy as np
import pytest
import torch

from invcore import DtypeError, ParameterError, ShapeError
from invcore_mri import NUFFTSense, Sense, coil_array


def image(*shape, seed=0, dtype=torch.complex128):
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def points(shape, samples, batch=()):
    generator = torch.Generator().manual_seed(7)
    inside = torch.rand(*batch, samples, len(shape), dtype=torch.float64, generator=generator) - 0.5
    return inside * torch.tensor(shape)


def summed(maps, k, x):
    """The definition, in numpy: maps (set, coil, *spatial), k (m, d), x (set, *spatial)."""
    shape = x.shape[1:]
    axes = np.meshgrid(*((np.arange(n) - n // 2) / n for n in shape), indexing="ij")
    kernel = np.exp(-2j * np.pi * k.numpy() @ np.stack([a.ravel() for a in axes]))
    images = (maps * x.unsqueeze(1)).sum(0).flatten(1).numpy()
    return torch.as_tensor(images @ kernel.T / math.sqrt(math.prod(shape)))


@pytest.mark.parametrize("shape", [(6, 8), (7, 5), (4, 5, 6)])
@pytest.mark.parametrize("sets", [1, 2])
@pytest.mark.parametrize(("dtype", "allowed"), [(torch.complex128, 1e-6), (torch.complex64, 1e-4)])
def test_values_are_the_sum_of_the_definition(shape, sets, dtype, allowed):
    maps, k, x = image(sets, 3, *shape), points(shape, 11), image(sets, *shape, seed=1)
    expected = summed(maps, k, x)
    given = maps.to(dtype) if sets > 1 else maps[0].to(dtype)
    A = NUFFTSense(given, k.to(dtype.to_real()), spatial_dims=len(shape), sets=sets)
    got = A(x.to(dtype))
    assert got.dtype == dtype
    assert float((got - expected).norm() / expected.norm()) < allowed


def test_at_integers_it_is_the_cartesian_operator():
    maps, x = coil_array((6, 5), coils=3).to(torch.complex128), image(1, 6, 5)
    k = torch.cartesian_prod(torch.arange(6) - 3, torch.arange(5) - 2).double()
    A = NUFFTSense(maps, k, eps=1e-12)
    full = Sense(maps, torch.ones(6, 5, dtype=torch.float64))
    torch.testing.assert_close(A(x), full(x).flatten(1))
    torch.testing.assert_close(A.gram(x), full.gram(x))


def test_weights_multiply_the_data():
    maps, k, x = image(2, 6, 4), points((6, 4), 9), image(1, 6, 4, seed=1)
    w = torch.rand(9, dtype=torch.float64, generator=torch.Generator().manual_seed(3))
    torch.testing.assert_close(NUFFTSense(maps, k, weights=w)(x), w * NUFFTSense(maps, k)(x))


def test_batches_of_trajectories_are_taken_one_by_one():
    maps, k, x = image(2, 6, 4), points((6, 4), 9, (3,)), image(3, 1, 6, 4, seed=1)
    A = NUFFTSense(maps, k)
    alone = [NUFFTSense(maps, k[i]) for i in range(3)]
    torch.testing.assert_close(A(x), torch.stack([one(x[i]) for i, one in enumerate(alone)]))
    torch.testing.assert_close(A.gram(x), torch.stack([one.gram(x[i]) for i, one in enumerate(alone)]))


@pytest.mark.parametrize("shape", [(4, 3), (3, 2, 3)])
def test_derivatives_to_image_maps_and_trajectory_twice(shape):
    x, maps, k = image(1, *shape), image(2, *shape, seed=1), points(shape, 4)
    inputs = [t.requires_grad_() for t in (x, maps, k)]

    def loss(x, maps, k):
        A = NUFFTSense(maps, k, spatial_dims=len(shape), eps=1e-13)
        return A(x).abs().square().sum()

    assert torch.autograd.gradcheck(loss, inputs, fast_mode=True)
    assert torch.autograd.gradgradcheck(loss, inputs, fast_mode=True)


def test_wrong_units_and_layouts_are_refused():
    maps = coil_array((8, 8), coils=2)
    with pytest.raises(ParameterError, match="250 along axis 0.*Is the unit another"):
        NUFFTSense(maps, torch.tensor([[250.0, 0.0]]))  # 1/m
    with pytest.raises(DtypeError, match="view_as_real"):
        NUFFTSense(maps, torch.zeros(5, dtype=torch.complex64))
    with pytest.raises(ShapeError, match=r"\(\.\.\., sample, 2\), got \(5, 3\)"):
        NUFFTSense(maps, torch.zeros(5, 3))
    with pytest.raises(DtypeError, match="maps must be complex"):
        NUFFTSense(maps.real, torch.zeros(5, 2))
    with pytest.raises(ShapeError, match=r"coil, \*spatial"):
        NUFFTSense(maps[0], torch.zeros(5, 2))


# -- off-resonance ------------------------------------------------------------------------------------------


def off_resonant(maps, k, field, times, x):
    """The definition with off-resonance, in numpy."""
    shape = x.shape[1:]
    axes = np.meshgrid(*((np.arange(n) - n // 2) / n for n in shape), indexing="ij")
    angles = -k.numpy() @ np.stack([a.ravel() for a in axes]) + np.outer(times.numpy(), field.numpy().ravel())
    kernel = np.exp(2j * np.pi * angles)
    return torch.as_tensor((maps * x).flatten(1).numpy() @ kernel.T / math.sqrt(math.prod(shape)))


@pytest.mark.parametrize(
    ("dtype", "eps", "allowed"),
    [(torch.complex128, 1e-10, 1e-9), (torch.complex128, 1e-6, 2e-6), (torch.complex64, 1e-5, 5e-5)],
)
@pytest.mark.parametrize("reach", [20.0, 250.0])
def test_off_resonance_is_the_direct_sum_to_the_stated_accuracy(dtype, eps, allowed, reach):
    maps, k, x = image(3, 8, 7), points((8, 7), 60), image(1, 8, 7, seed=1)
    g = torch.Generator().manual_seed(5)
    field = reach * (2 * torch.rand(8, 7, dtype=torch.float64, generator=g) - 1)
    times = torch.linspace(0.002, 0.030, 60, dtype=torch.float64)
    expected = off_resonant(maps, k, field, times, x)
    real = dtype.to_real()
    A = NUFFTSense(maps.to(dtype), k.to(real), field=field.to(real), times=times.to(real), eps=eps)
    got = A(x.to(dtype))
    assert got.dtype == dtype
    assert float((got - expected).norm() / expected.norm()) < allowed
    turns = 2 * reach * 0.028
    assert A.off_resonance_segments <= 1.4 * turns + 3 - 1.2 * math.log10(eps)


def test_derivatives_to_the_field_twice():
    x, maps, k = image(1, 4, 3), image(2, 4, 3, seed=1), points((4, 3), 5)
    g = torch.Generator().manual_seed(5)
    field = (60 * torch.rand(4, 3, dtype=torch.float64, generator=g) - 20).requires_grad_()
    times = torch.linspace(0.0, 0.01, 5, dtype=torch.float64)

    def loss(field):
        return NUFFTSense(maps, k, field=field, times=times, eps=1e-13)(x).abs().square().sum()

    def direct(field):
        return off_resonance_loss(maps, k, field, times, x)

    (got,) = torch.autograd.grad(loss(field), field)
    (expected,) = torch.autograd.grad(direct(field), field)
    torch.testing.assert_close(got, expected, rtol=1e-8, atol=1e-10)
    assert torch.autograd.gradgradcheck(loss, (field,), fast_mode=True)


def off_resonance_loss(maps, k, field, times, x):
    axes = torch.meshgrid(*((torch.arange(n).double() - n // 2) / n for n in x.shape[1:]), indexing="ij")
    angles = -k @ torch.stack([a.flatten() for a in axes]) + torch.outer(times, field.flatten())
    kernel = torch.exp(2j * math.pi * angles)
    y = (maps * x).flatten(1) @ kernel.T / math.sqrt(math.prod(x.shape[1:]))
    return y.abs().square().sum()


def test_wrong_fields_and_times_are_refused():
    maps, k = coil_array((8, 8), coils=2), torch.zeros(5, 2)
    with pytest.raises(ParameterError, match="a field needs times="):
        NUFFTSense(maps, k, field=torch.zeros(8, 8))
    with pytest.raises(ShapeError, match="the field must be"):
        NUFFTSense(maps, k, field=torch.zeros(4, 8), times=torch.zeros(5))
    with pytest.raises(ShapeError, match=r"times must be \(\.\.\., 5\)"):
        NUFFTSense(maps, k, field=torch.zeros(8, 8), times=torch.zeros(4))
    milliseconds = NUFFTSense(maps, k, field=100 * torch.rand(8, 8), times=torch.linspace(0, 30, 5))
    with pytest.raises(ParameterError, match="are the times in ms"):
        milliseconds(torch.ones(1, 8, 8) + 0j)
