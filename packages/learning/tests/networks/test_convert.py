"""Weights of other libraries: the functions of their state dicts, written out here, and deepinv's classes."""

import itertools
import pickle

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import conv2d, conv_transpose2d, pixel_shuffle, pixel_unshuffle

import invcore
from invcore import Space
from invcore_learning import (
    DnCNN,
    DRUNet,
    FFDNet,
    GradientStepDenoiser,
    Restormer,
    convert,
    read_checkpoint,
)
from invcore_testsupport import error, measured, normal, rng


def weights(shapes, seed=0):
    g = rng(seed)
    return {
        k: torch.randn(s, generator=g) / max(torch.Size(s[1:]).numel(), 1) ** 0.5 for k, s in shapes.items()
    }


def sequence(depth, features, first, last):
    """Names and shapes of KAIR's plain networks."""
    sizes = [first, *[features] * (depth - 1), last]
    shapes = {}
    for i, (a, b) in enumerate(itertools.pairwise(sizes)):
        shapes |= {f"model.{2 * i}.weight": (b, a, 3, 3), f"model.{2 * i}.bias": (b,)}
    return shapes


def plain(state, x):
    """Convolutions with ReLU between them."""
    places = sorted(int(k.split(".")[1]) for k in state if k.endswith("weight"))
    for i in places:
        x = conv2d(x, state[f"model.{i}.weight"], state[f"model.{i}.bias"], padding=1)
        x = torch.relu(x) if i != places[-1] else x
    return x


def test_dncnn_of_kair():
    state, x = weights(sequence(5, 6, 1, 1)), normal(2, 1, 9, 7, dtype=torch.float32)
    R = convert(state, DnCNN(depth=5, features=6), layout="kair")
    assert error(R(x).detach(), x - plain(state, x)) < 1e-6


def test_ffdnet_of_kair():
    state, x = weights(sequence(4, 6, 5, 4)), normal(2, 1, 8, 6, dtype=torch.float32)
    R = convert(state, FFDNet(depth=4, features=6), layout="kair")
    half = torch.cat([pixel_unshuffle(x, 2), torch.full((2, 1, 4, 3), 0.1)], 1)
    assert error(R(x, 0.1).detach(), pixel_shuffle(plain(state, half), 2)) < 1e-6


def drunet_shapes(features, blocks):
    """Names and shapes of KAIR's DRUNet for gray images."""
    f = features
    shapes = {"m_head.weight": (f[0], 2, 3, 3), "m_tail.weight": (1, f[0], 3, 3)}
    for s in range(3):
        for b in range(blocks):
            for part in ("res.0", "res.2"):
                shapes[f"m_down{s + 1}.{b}.{part}.weight"] = (f[s], f[s], 3, 3)
                shapes[f"m_up{s + 1}.{b + 1}.{part}.weight"] = (f[s], f[s], 3, 3)
        shapes[f"m_down{s + 1}.{blocks}.weight"] = (f[s + 1], f[s], 2, 2)
        shapes[f"m_up{s + 1}.0.weight"] = (f[s + 1], f[s], 2, 2)
    for b in range(blocks):
        for part in ("res.0", "res.2"):
            shapes[f"m_body.{b}.{part}.weight"] = (f[3], f[3], 3, 3)
    return shapes


def drunet(w, x, sigma, blocks):
    """DRUNet as the paper draws it."""

    def stage(x, name, start):
        for b in range(start, start + blocks):
            inner = torch.relu(conv2d(x, w[f"{name}.{b}.res.0.weight"], padding=1))
            x = x + conv2d(inner, w[f"{name}.{b}.res.2.weight"], padding=1)
        return x

    x = torch.cat([x, torch.full_like(x, sigma)], 1)
    levels = [conv2d(x, w["m_head.weight"], padding=1)]
    for s in (1, 2, 3):
        levels.append(conv2d(stage(levels[-1], f"m_down{s}", 0), w[f"m_down{s}.{blocks}.weight"], stride=2))
    h = stage(levels[3], "m_body", 0)
    for s in (3, 2, 1):
        h = stage(conv_transpose2d(h + levels[s], w[f"m_up{s}.0.weight"], stride=2), f"m_up{s}", 1)
    return conv2d(h + levels[0], w["m_tail.weight"], padding=1)


def test_drunet_of_kair():
    features, blocks = (4, 6, 8, 10), 2
    state, x = weights(drunet_shapes(features, blocks)), normal(2, 1, 16, 24, dtype=torch.float32)
    R = convert(state, DRUNet(features=features, blocks=blocks), layout="kair")
    assert error(R(x, 0.2).detach(), drunet(state, x, 0.2, blocks)) < 1e-5


def test_what_does_not_fit_is_refused_and_changes_nothing():
    state = weights(sequence(4, 6, 1, 1))
    network = DnCNN(depth=4, features=6)
    before = {k: t.clone() for k, t in network.state_dict().items()}
    less, more = dict(state), dict(state) | {"model.8.weight": torch.ones(1), "model.8.bias": torch.ones(1)}
    less.pop("model.2.bias")
    for wrong, words in (
        (less, r"no weights for layers\.1\.bias"),
        (more, r"has no layers\.4\.bias"),
        (
            dict(state) | {"model.0.weight": torch.ones(6, 3, 3, 3)},
            r"layers\.0\.weight \(6, 3, 3, 3\) \(wanted",
        ),
        (dict(state) | {"head.weight": torch.ones(1)}, "'head.weight' is no weight"),
    ):
        with pytest.raises(invcore.DataError, match=words):
            convert(wrong, network, layout="kair")
    assert all(torch.equal(t, before[k]) for k, t in network.state_dict().items())
    with pytest.raises(invcore.ParameterError, match="there is deepinv, kair"):
        convert(state, network, layout="basicsr")
    with pytest.raises(invcore.ParameterError, match="there is none"):
        convert(state, torch.nn.Linear(1, 1), layout="kair")


class Payload:
    """Would create a file if it were unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_checkpoints_with_code_or_damage_are_not_opened(tmp_path):
    hostile, torn = tmp_path / "hostile.pth", tmp_path / "torn.pth"
    torch.save({"state_dict": Payload(tmp_path / "ran")}, hostile)
    (tmp_path / "old.pth").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    torch.save({"w": torch.ones(1000)}, torn)
    torn.write_bytes(torn.read_bytes()[:900])
    torch.save([1, 2], tmp_path / "list.pth")
    for name in ("hostile.pth", "old.pth", "torn.pth", "list.pth", "missing.pth"):
        with pytest.raises(invcore.DataError, match=name):
            read_checkpoint(tmp_path / name)
    assert not (tmp_path / "ran").exists()


PUBLISHED = (30.18, 33.06, 30.87, 29.41, 30.28, 29.13, 29.43, 32.44, 30.00, 30.21, 30.10, 30.12)
"""PSNR of DnCNN at σ = 25 for each picture of Set12 in the paper, table III: 30.43 dB in the mean."""


def psnr_of_denoised(number, g):
    """PSNR in dB of picture ``number`` of Set12, with noise of σ = 25 removed by a public DnCNN."""
    picture = np.asarray(Image.open(measured("images/set12") / f"{number:02d}.png").convert("L"))
    clean = torch.tensor(picture, dtype=torch.float32)[None] / 255
    R = convert(read_checkpoint(measured("images/kair_dncnn_25.pth")), DnCNN(), layout="kair")
    with torch.no_grad():
        found = R(clean + 25 / 255 * torch.randn(clean.shape, generator=g)).clamp(0, 1)
    return float(-10 * torch.log10((found - clean).square().mean()))


def test_a_public_dncnn_denoises_the_cameraman_as_published():
    assert abs(psnr_of_denoised(1, rng(0)) - PUBLISHED[0]) < 0.1


@pytest.mark.slow
def test_a_public_dncnn_denoises_set12_as_published():
    found, g = [], rng(0)
    for number in range(1, 13):
        found.append(psnr_of_denoised(number, g))
    assert abs(sum(found) / 12 - 30.43) < 0.05
    assert max(abs(a - b) for a, b in zip(found, PUBLISHED)) < 0.15


@pytest.fixture(scope="module")
def peer():
    return pytest.importorskip("deepinv", reason="deepinv is not installed", exc_type=ImportError).models


def test_dncnn_of_deepinv(peer):
    other = peer.DnCNN(in_channels=3, out_channels=3, depth=5, nf=6, pretrained=None)
    own = DnCNN(in_channels=3, out_channels=3, depth=5, features=6)
    R = convert(other.state_dict(), own, layout="deepinv")
    x = normal(2, 3, 9, 7, dtype=torch.float32)
    assert error(R(x).detach(), other(x).detach()) < 1e-6


def test_ffdnet_of_deepinv(peer):
    other = peer.FFDNet(img_channels=3, n_conv_layers=4, nf=6, pretrained=None)
    own = FFDNet(in_channels=3, out_channels=3, depth=4, features=6)
    R = convert(other.state_dict(), own, layout="deepinv")
    x = normal(2, 3, 8, 6, dtype=torch.float32)
    level = torch.tensor([0.1, 0.3])
    assert error(R(x, level).detach(), other(x, level).detach()) < 1e-6


@pytest.mark.parametrize("dims", [2, 3])
def test_drunet_of_deepinv(peer, dims):
    features, size = (4, 6, 8, 10), (32, 40, 32)[:dims]
    other = peer.DRUNet(in_channels=1, out_channels=1, nc=features, nb=2, pretrained=None, dim=dims)
    R = convert(other.state_dict(), DRUNet(features=features, blocks=2, spatial_dims=dims), layout="deepinv")
    x, level = normal(2, 1, *size, dtype=torch.float32), torch.tensor([0.1, 0.3])
    assert error(R(x, level).detach(), other(x, level).detach()) < 1e-5


@pytest.mark.parametrize("centered", [False, True])
def test_restormer_of_deepinv(peer, centered):
    kind = "WithBias" if centered else "BiasFree"
    sizes = {"num_blocks": [1, 2, 1, 1], "heads": [1, 2, 4, 8], "num_refinement_blocks": 2}
    other = peer.Restormer(
        in_channels=3, out_channels=3, dim=8, LayerNorm_type=kind, pretrained=None, **sizes
    ).eval()
    for i, p in enumerate(other.parameters()):
        p.data += 0.1 * normal(*p.shape, seed=i).float()
    own = Restormer(
        in_channels=3, out_channels=3, features=8, blocks=(1, 2, 1, 1), refinement=2, centered=centered
    )
    R = convert(other.state_dict(), own, layout="deepinv")
    x = normal(2, 3, 16, 24, dtype=torch.float32)
    assert error(R(x).detach(), other(x).detach()) < 1e-5


def test_gradient_step_drunet_of_deepinv(peer):
    features = (4, 6, 8, 10)
    other = peer.GSDRUNet(alpha=0.7, in_channels=1, out_channels=1, nb=2, nc=features, pretrained=None)
    network = DRUNet(features=features, blocks=2, activation="elu")
    D = GradientStepDenoiser(convert(other.state_dict(), network, layout="deepinv"), step=0.7)
    x = normal(2, 1, 32, 40, dtype=torch.float32)
    assert error(D(x, 0.1).detach(), other(x, 0.1)) < 1e-5
    assert (
        error(0.7 * D.prior(0.1).value(x, Space((1, 32, 40))).detach(), other.potential(x, 0.1).detach())
        < 1e-5
    )
