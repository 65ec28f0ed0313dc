"""DnCNN, FFDNet and DRUNet: sizes of the papers, homogeneity, receptive field, maps of the noise level."""

import pytest
import torch
from torch.nn.functional import conv2d

import invcore
from invcore import Physics, Space
from invcore.noises import GaussianMapNoise, GaussianNoise, PoissonNoise
from invcore.operators import Downsample, Identity
from invcore_learning import DnCNN, DRUNet, FFDNet, Restormer, UNet
from invcore_learning._networks.restormer import ChannelAttention
from invcore_testsupport import error, normal, rng

SMALL = {"features": (4, 6, 8), "blocks": 1}


def double(network):
    """The network in double precision, with weights that do not depend on the global random state."""
    g = rng(1)
    for p in network.double().parameters():
        p.data = torch.randn(p.shape, generator=g, dtype=torch.float64) / max(p[0].numel(), 1) ** 0.5
    return network


@pytest.mark.parametrize(
    ("network", "count"),
    [
        (DnCNN, 555_137),
        (lambda: DnCNN(depth=20), 665_921),
        (FFDNet, 485_316),  # 0.49 M in the paper
        (lambda: DRUNet(in_channels=3, out_channels=3), 32_640_960),  # 32.64 M
        (lambda: DRUNet(blocks=2, activation="elu"), 17_008_320),  # 17.0 M: GS-DRUNet
    ],
)
def test_sizes_of_the_papers(network, count):
    assert sum(p.numel() for p in network().parameters()) == count


@pytest.mark.parametrize("dims", [1, 2, 3])
def test_networks_in_one_to_three_dimensions_take_any_size(dims):
    size = (5, 9, 6)[:dims]
    for network in (
        UNet(spatial_dims=dims, **SMALL),
        DRUNet(spatial_dims=dims, **SMALL),
        DnCNN(spatial_dims=dims, depth=3, features=4),
    ):
        for batch in ((), (2,), (2, 3), (0,)):
            assert network(torch.zeros(*batch, 1, *size), 0.1).shape == (*batch, 1, *size)


@pytest.mark.parametrize(
    "network",
    [
        DRUNet(**SMALL),
        FFDNet(depth=3, features=4, bias=False),
        DnCNN(depth=3, features=4, bias=False),
        UNet(bias=False, noise_level=True, **SMALL),
    ],
    ids=lambda n: type(n).__name__,
)
def test_networks_without_biases_are_homogeneous(network):
    R, x = double(network), normal(2, 1, 12, 8)
    assert error(R(37.0 * x, 37.0 * 0.2), 37.0 * R(x, 0.2)) < 1e-13
    assert error(R(-x, 0.2), -R(x, 0.2)) > 0.1


def test_a_pixel_depends_on_pixels_within_the_depth():
    R, x = double(DnCNN(depth=4, features=6)), normal(1, 25, 25).requires_grad_()
    R(x)[0, 12, 12].backward()
    reached = x.grad[0].abs() > 0
    assert reached[8:17, 8:17].sum() > 70
    reached[8:17, 8:17] = False
    assert not reached.any()


@pytest.mark.parametrize("network", [DRUNet(**SMALL), FFDNet(depth=3, features=4)], ids=["drunet", "ffdnet"])
@pytest.mark.parametrize("size", [(8, 12), (7, 9)])
def test_a_constant_map_of_the_level_is_the_level(network, size):
    R, x = double(network), normal(2, 3, 1, *size)
    level = torch.tensor([[0.1, 0.2, 0.3], [0.4, 0.5, 0.6]], dtype=torch.float64)
    expected = R(x, level)
    assert error(R(x, level[..., None, None, None]), expected) < 1e-14
    assert error(R(x, level[..., None, None, None].expand(2, 3, 1, *size)), expected) < 1e-13
    uneven = torch.linspace(0.1, 1, size[1], dtype=torch.float64).expand(1, *size)
    one_by_one = torch.stack([torch.stack([R(image, uneven) for image in row]) for row in x])
    assert error(R(x, uneven), one_by_one) < 1e-13
    assert error(R(x, uneven), R(x, uneven.mean())) > 1e-4


def test_the_level_comes_from_the_noise_of_the_physics():
    R, x = double(DRUNet(**SMALL)), normal(3, 1, 8, 8)
    space = Space((1, 8, 8))
    assert torch.equal(R(x, Physics(Identity(space), GaussianNoise(sigma=0.3))), R(x, 0.3))
    levels = torch.rand(1, 8, 8, generator=rng(2), dtype=torch.float64)
    assert torch.equal(R(x, Physics(Identity(space), GaussianMapNoise(sigma=levels))), R(x, levels))
    with pytest.raises(invcore.ParameterError, match="Gaussian noise"):
        R(x, Physics(Identity(space), PoissonNoise(gain=1.0)))
    with pytest.raises(invcore.ShapeError, match="ArtifactRemoval"):
        R(x[..., :4, :4], Physics(Downsample((1, 8, 8), factor=2), GaussianNoise(sigma=0.3)))


@pytest.mark.parametrize("level", [-0.1, float("nan")])
def test_a_level_that_is_none_is_refused(level):
    with pytest.raises(invcore.ParameterError, match="negative or NaN"):
        FFDNet(depth=2, features=2)(torch.zeros(1, 4, 4), level)


def test_wrong_options_are_refused():
    for make in (
        lambda: DnCNN(depth=1),
        lambda: DnCNN(spatial_dims=4),
        lambda: DRUNet(activation="gelu"),
        lambda: DRUNet(blocks=0),
        lambda: FFDNet(features=0),
    ):
        with pytest.raises(invcore.ParameterError):
            make()
    with pytest.raises(invcore.ShapeError, match="noise level"):
        DRUNet(**SMALL)(torch.zeros(3, 1, 8, 8), torch.ones(2))
    with pytest.raises(invcore.ParameterError, match="needs the noise level"):
        DRUNet(**SMALL)(torch.zeros(3, 1, 8, 8))


def test_restormer_has_the_size_of_the_paper_and_attends_across_channels():
    count = sum(p.numel() for p in Restormer(in_channels=3, out_channels=3).parameters())
    assert abs(count - 26.12e6) < 0.03e6
    with pytest.raises(invcore.ParameterError, match="heads"):
        Restormer(features=4, blocks=(1, 1), heads=(3, 2))
    block = double(ChannelAttention(6, 2))
    x = normal(1, 6, 5, 4)
    q, k, v = conv2d(conv2d(x, block.mix.weight), block.local.weight, padding=1, groups=18)[0].chunk(3)
    heads = []
    for h in range(2):
        a, b, c = (t[3 * h : 3 * h + 3].reshape(3, 20) for t in (q, k, v))
        a, b = (t / t.norm(dim=1, keepdim=True) for t in (a, b))
        heads.append(torch.softmax(block.temperature[h] * a @ b.mT, 1) @ c)
    expected = conv2d(torch.cat(heads).reshape(1, 6, 5, 4), block.out.weight)
    assert error(block(x), expected) < 1e-13
