"""Sizes of DCGAN and PatchGAN, and what a number of PatchGAN judges."""

import pytest
import torch

import invcore
from invcore_learning import DCGANDiscriminator, DCGANGenerator, PatchGANDiscriminator
from invcore_testsupport import normal


def count(network):
    return sum(p.numel() for p in network.parameters())


def test_sizes_of_published_networks():
    assert count(DCGANGenerator()) == 3_576_704  # of PyTorch's example of DCGAN
    assert count(DCGANDiscriminator()) == 2_765_568
    assert count(PatchGANDiscriminator()) == 2_764_737  # CycleGAN's: 2.765 M


@pytest.mark.parametrize("dims", [2, 3])
@pytest.mark.parametrize("size", [8, 32])
def test_images_and_numbers(dims, size):
    make = {"features": 2, "size": size, "spatial_dims": dims, "channels": 2}
    G, D = DCGANGenerator(latent_size=5, **make), DCGANDiscriminator(**make)
    x = G(normal(3, 5, dtype=torch.float32))
    assert x.shape == (3, 2, *(size,) * dims) and x.abs().max() <= 1
    assert D(x).shape == (3,)
    D(x).sum().backward()
    assert all(p.grad is not None for p in G.parameters())


@pytest.mark.parametrize(("layers", "field"), [(1, 16), (2, 34), (3, 70)])
def test_the_receptive_field_of_patchgan(layers, field):
    D = PatchGANDiscriminator(channels=1, features=2, layers=layers).double()
    D.network = torch.nn.Sequential(*(m for m in D.network if not isinstance(m, torch.nn.InstanceNorm2d)))
    x = normal(1, 1, 128, 128).requires_grad_()
    out = D(x)
    middle = out.shape[-1] // 2
    out[0, 0, middle, middle].backward()
    rows = (x.grad[0, 0].abs() > 0).any(0).nonzero().flatten()
    assert int(rows[-1] - rows[0]) + 1 == field


def test_other_sizes_are_refused():
    for make in (lambda: DCGANGenerator(size=48), lambda: DCGANDiscriminator(size=4)):
        with pytest.raises(invcore.ParameterError, match="8, 16, 32"):
            make()
    with pytest.raises(invcore.ShapeError, match="100"):
        DCGANGenerator(features=2)(torch.zeros(2, 99))
    with pytest.raises(invcore.ShapeError, match="3, 64, 64"):
        DCGANDiscriminator(features=2)(torch.zeros(2, 3, 32, 32))
    with pytest.raises(invcore.ShapeError, match="at least 24"):
        PatchGANDiscriminator(features=2)(torch.zeros(2, 3, 16, 32))
