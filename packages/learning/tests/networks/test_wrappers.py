"""Complex images, slices of volumes, tiles of large images."""

import pytest
import torch

import invcore
from invcore_learning import (
    ComplexNetwork,
    DnCNN,
    DRUNet,
    NetworkDenoiser,
    Slices,
    TiledNetwork,
    UNet,
)
from invcore_testsupport import error, normal


def double(network):
    for i, p in enumerate(network.double().parameters()):
        p.data = normal(*p.shape, seed=i) / max(p[0].numel(), 1) ** 0.5
    return network


def pair(**options):
    return double(DRUNet(in_channels=4, out_channels=4, features=(4, 6), blocks=1, **options))


def test_complex_channels_are_real_parts_then_imaginary_parts():
    N, x = pair(), normal(3, 2, 6, 8, dtype=torch.complex128)
    expected = N(torch.cat([x.real, x.imag], 1), 0.2)
    assert error(ComplexNetwork(N)(x, 0.2), torch.complex(expected[:, :2], expected[:, 2:])) < 1e-14


@pytest.mark.parametrize("phase", [0.3, 2.5, -3.0])
def test_phase_equivariance(phase):
    N, x = pair(activation="elu"), normal(3, 2, 6, 8, dtype=torch.complex128)
    turn = torch.polar(torch.tensor(1.0).double(), torch.tensor(phase).double())
    R = ComplexNetwork(N, phase_equivariant=True)
    assert error(R(turn * x, 0.2), turn * R(x, 0.2)) < 1e-13
    plain = ComplexNetwork(N)
    assert error(plain(turn * x, 0.2), turn * plain(x, 0.2)) > 1e-2


def test_an_image_that_sums_to_zero_has_finite_derivatives():
    R = ComplexNetwork(pair(), phase_equivariant=True)
    x = torch.zeros(1, 2, 4, 4, dtype=torch.complex128, requires_grad=True)
    (R(x, 0.2).abs().square().sum() + R(x + 1, 0.2).real.sum()).backward()
    assert x.grad.isfinite().all()


def test_a_denoiser_gives_a_complex_network_both_parts():
    R, x = ComplexNetwork(pair()), normal(3, 2, 6, 8, dtype=torch.complex128)
    levels = torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64)
    assert error(NetworkDenoiser(R)(x, levels), R(x, levels)) < 1e-14
    with pytest.raises(invcore.DtypeError, match="complex images"):
        R(x.real, 0.1)
    with pytest.raises(invcore.DtypeError, match="ComplexNetwork"):
        pair()(x, 0.1)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_restored_one_by_one(axis):
    N, x = double(DRUNet(features=(4, 6), blocks=1)), normal(2, 1, 5, 6, 7)
    levels = torch.tensor([0.1, 0.4], dtype=torch.float64)
    expected = torch.stack([N(s, levels) for s in x.unbind(2 + axis)], 2 + axis)
    assert error(Slices(N, axis=axis)(x, levels), expected) < 1e-14
    maps = normal(2, 1, 5, 6, 7, seed=9).abs()
    by_map = [N(s, m) for s, m in zip(x.unbind(2 + axis), maps.unbind(2 + axis))]
    assert error(Slices(N, axis=axis)(x, maps), torch.stack(by_map, 2 + axis)) < 1e-13


@pytest.mark.parametrize("size", [(41, 30), (16, 57), (7, 19)])
def test_tiles_with_the_receptive_radius_as_margin_give_the_whole_image(size):
    N, x = double(DnCNN(depth=4, features=6)), normal(2, 1, *size)
    assert error(TiledNetwork(N, tile=9, margin=4)(x), N(x)) < 1e-14
    assert error(TiledNetwork(N, tile=9, margin=2)(x), N(x)) > 1e-6


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_tiles_of_a_network_on_a_grid(dims):
    """Two scales, one block: 3 + 2 + 2 · (2 + 2) pixels at the most."""
    N = double(UNet(features=(2, 3), blocks=1, spatial_dims=dims))
    x = normal(1, *(37, 30, 27)[:dims])
    assert error(TiledNetwork(N, tile=14, margin=14)(x), N(x)) < 1e-13


def test_tiles_take_their_part_of_a_map_of_the_noise_level():
    N, x = double(DRUNet(features=(4, 6), blocks=1)), normal(2, 1, 33, 30)
    maps = normal(2, 1, 33, 30, seed=3).abs()
    assert error(TiledNetwork(N, tile=8, margin=14)(x, maps), N(x, maps)) < 1e-13
    assert error(TiledNetwork(N, tile=8, margin=14)(x, 0.3), N(x, 0.3)) < 1e-13


def test_what_does_not_fit_is_refused():
    for make in (
        lambda: ComplexNetwork(DnCNN()),
        lambda: ComplexNetwork(torch.nn.Identity()),
        lambda: ComplexNetwork(ComplexNetwork(pair())),
        lambda: Slices(DnCNN(), axis=3),
        lambda: TiledNetwork(DnCNN(), tile=0),
    ):
        with pytest.raises(invcore.ParameterError):
            make()
