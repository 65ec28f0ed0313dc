"""LPIPS: errors where torchmetrics, torchvision or the weights are missing, and its value where none is."""

import importlib.util
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

import invcore
from invcore.metrics import LPIPS
from invcore.metrics._lpips import _network

INSTALLED = all(importlib.util.find_spec(name) for name in ("torchmetrics", "torchvision"))


@pytest.fixture(autouse=True)
def forget():
    _network.cache_clear()
    yield
    _network.cache_clear()


def pair(*batch, channels=3):
    g = torch.Generator().manual_seed(0)
    x = torch.rand(*batch, channels, 64, 70, generator=g)
    return (x + 0.1 * torch.randn(x.shape, generator=g)).clamp(0, 1), x


@pytest.mark.parametrize("missing", ["torchmetrics.image", "torchvision"])
def test_missing_packages_are_named(missing, monkeypatch):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(invcore.MissingDependencyError, match="pip install torchmetrics torchvision"):
        LPIPS(data_range=1.0)(*pair())


@pytest.mark.skipif(INSTALLED, reason="torchmetrics and torchvision are installed")
def test_the_registry_names_missing_packages():
    with pytest.raises(invcore.MissingDependencyError, match="torchvision"):
        invcore.metric("lpips", data_range=1.0)


@pytest.fixture
def stand_ins(monkeypatch, tmp_path):
    """Modules in place of torchvision and torchmetrics, whose network is the mean squared difference."""
    vision, image = ModuleType("torchvision"), ModuleType("torchmetrics.image")
    url = "https://models.invalid/alexnet-abc.pth"
    vision.models = SimpleNamespace(AlexNet_Weights=SimpleNamespace(IMAGENET1K_V1=SimpleNamespace(url=url)))

    class Network(torch.nn.Module):
        def forward(self, a, b, *, normalize):
            assert normalize and a.shape[1:] == (3, 64, 70)
            return (a - b).square().mean((1, 2, 3), keepdim=True)

    image.LearnedPerceptualImagePatchSimilarity = lambda net_type: SimpleNamespace(net=Network())
    for name, module in (
        ("torchvision", vision),
        ("torchmetrics", ModuleType("torchmetrics")),
        ("torchmetrics.image", image),
    ):
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    return tmp_path


def test_missing_weights_are_named_and_not_fetched(stand_ins, monkeypatch):
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", lambda *a, **k: pytest.fail("fetched"))
    with pytest.raises(invcore.MissingDependencyError, match=r"alexnet-abc\.pth.*load_state_dict_from_url"):
        LPIPS(data_range=1.0)(*pair())


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("data_range", [1.0, 4.0])
def test_the_network_sees_three_channels_in_its_range(stand_ins, channels, data_range):
    (stand_ins / "checkpoints").mkdir()
    (stand_ins / "checkpoints" / "alexnet-abc.pth").touch()
    x_hat, x = pair(2, 3, channels=channels)
    value = LPIPS(data_range=data_range)(data_range * x_hat.double(), data_range * x.double())
    assert value.shape == (2, 3) and value.dtype == torch.float64
    assert torch.allclose(value.float(), (x_hat - x).square().mean((-3, -2, -1)), rtol=1e-5)
    x_hat.requires_grad_()
    LPIPS(data_range=data_range)(x_hat, x).sum().backward()
    assert bool((x_hat.grad != 0).any())


@pytest.mark.skipif(not INSTALLED, reason="needs torchmetrics and torchvision")
def test_value_is_that_of_torchmetrics():
    from torchmetrics.functional.image import learned_perceptual_image_patch_similarity

    x_hat, x = pair(2)
    try:
        value = LPIPS(data_range=1.0)(x_hat, x)
    except invcore.MissingDependencyError as error:
        pytest.skip(str(error))
    expected = [
        learned_perceptual_image_patch_similarity(a[None], b[None], net_type="alex", normalize=True)
        for a, b in zip(x_hat, x)
    ]
    assert torch.allclose(value, torch.stack(expected), rtol=1e-4)


def test_wrong_images_and_options():
    with pytest.raises(invcore.ParameterError, match="'alex', 'vgg' or 'squeeze'"):
        LPIPS(data_range=1.0, net="resnet")
    with pytest.raises(invcore.ShapeError, match="1 channel, or 3"):
        LPIPS(data_range=1.0)(*pair(channels=2))
    with pytest.raises(invcore.ShapeError, match="32 x 32"):
        LPIPS(data_range=1.0)(torch.zeros(3, 31, 64), torch.zeros(3, 31, 64))
