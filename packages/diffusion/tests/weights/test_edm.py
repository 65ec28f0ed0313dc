"""Weights of EDM: our network gives what that of deepinv gives with the same weights."""

import hashlib
import os
import pickle

import pytest
import torch

import invcore
from invcore_diffusion import EDMUNet, from_edm

COMMON = {"size": 8, "channel_mult": (1, 1), "num_blocks": 1, "attention": (1,), "emb_channels": 128}
SMALL = COMMON | {"model_channels": 16, "noise_channels": 16, "emb_channels": 32}
KINDS = {
    "ddpm": EDMUNet("song", label_dim=5, **COMMON),
    "ncsn": EDMUNet("song", fourier=True, noise_channels=256, encoder="residual", filter_size=4, **COMMON),
    "dhariwal": EDMUNet("dhariwal", label_dim=5, **COMMON),
}
TINY = EDMUNet("song", fourier=True, **SMALL).eval()

# NCSNpp("ddpm"), NCSNpp("ncsn") and ADMUNet of deepinv 0.5, forward_unet at the pixel (3, 5), with the
# weights, images and times below
EXPECTED = {
    "ddpm": [0.305903524, 0.176553249, -0.464839697, 0.314585507, 0.397932172, -0.321526349],
    "ncsn": [0.116440266, 0.247241661, -0.165876567, 0.126269862, -0.005623996, -0.240263313],
    "dhariwal": [0.036700748, 0.229481697, 0.070044473, 0.078881219, 0.239417940, -0.043280259],
}


def weights(kind):
    """Cosines of an irregular sequence, by the order of the names."""
    state = KINDS[kind].state_dict()
    if kind != "dhariwal":
        state["map_augment.weight"] = torch.ones(len(state["map_layer0.weight"][0]), 9)
    for i, (name, t) in enumerate(sorted(state.items())):
        if not name.endswith("resample_filter"):
            k = torch.arange(t.numel(), dtype=torch.float64)
            size = (2 / t[0].numel()) ** 0.5 if t.ndim > 1 else 2.4 if "freqs" in name else 0.3
            state[name] = (size * torch.cos(0.9 * k**1.5 + i)).float().reshape(t.shape)
    return state


def images():
    return torch.cos(0.7 * torch.arange(384, dtype=torch.float64) ** 1.5).float().reshape(2, 3, 8, 8)


def saved(path, kind=None, **others):
    torch.save({**(weights(kind) if kind else TINY.state_dict()), **others}, path)
    return path


def condition(kind):
    return torch.tensor([2, 4]) if KINDS[kind].label_dim else None


@pytest.mark.parametrize("kind", KINDS)
def test_network_is_that_of_deepinv(tmp_path, kind):
    network = from_edm(saved(tmp_path / "w.pt", kind), condition=condition(kind)).network
    out = network(images(), torch.tensor([-0.7, 0.3]), condition(kind))
    assert torch.allclose(out[:, :, 3, 5].flatten(), torch.tensor(EXPECTED[kind]), rtol=0, atol=5e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_denoiser_is_preconditioned(tmp_path, kind):
    """Table 1 of Karras et al. at σ = 0.8 of images in [-1, 1]."""
    D = from_edm(saved(tmp_path / "w.pt", kind), condition=condition(kind))
    x, sigma, data = images(), 0.8, 0.5
    whole = (sigma**2 + data**2) ** 0.5
    time = torch.full((2,), sigma).log() / 4
    F = D.network((2 * x - 1) / whole, time, condition(kind))
    expected = data**2 / whole**2 * (2 * x - 1) + sigma * data / whole * F
    assert torch.allclose(2 * D(x, sigma / 2) - 1, expected, atol=1e-5)


@pytest.mark.parametrize(
    "options",
    [
        {"kind": "song", "num_blocks": 2, "attention": (0, 2), "channel_mult": (1, 2, 2)},
        {"kind": "song", "encoder": "skip", "decoder": "skip", "filter_size": 4},
        {"kind": "song", "attention": (), "in_channels": 1, "out_channels": 1},
        {
            "kind": "dhariwal",
            "channel_mult": (2, 3),
            "model_channels": 64,
            "noise_channels": 64,
            "num_blocks": 2,
        },
    ],
)
def test_architecture_is_read_from_the_weights(tmp_path, options):
    torch.manual_seed(0)
    made = EDMUNet(**(SMALL | {"size": 16} | options)).eval()
    torch.save({f"model.{name}": t for name, t in made.state_dict().items()}, tmp_path / "w.pt")
    network = from_edm(tmp_path / "w.pt").network
    x, t = torch.randn(1, made.in_channels, 24, 16), torch.tensor([0.1])
    assert torch.equal(network(x, t), made(x, t))


def test_sizes_other_than_that_of_training(tmp_path):
    D = from_edm(saved(tmp_path / "w.pt"))
    assert D(torch.rand(3, 13, 10), 0.4).shape == (3, 13, 10)


def test_classes_are_asked_for(tmp_path):
    path = saved(tmp_path / "w.pt", "ddpm")
    with pytest.raises(invcore.ParameterError, match="told a class"):
        from_edm(path)
    with pytest.raises(invcore.ParameterError, match="numbered 0 to 4"):
        from_edm(path, condition=torch.tensor(5))


def test_opened_networks_are_saved_as_models(tmp_path):
    D = from_edm(saved(tmp_path / "w.pt"))
    back, x = invcore.models.load(invcore.models.save(D, tmp_path / "m.safetensors")), images()
    assert torch.equal(back(x, 0.2), D(x, 0.2))


# files that must not be opened


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("w.pkl", "w.pt"):
        (tmp_path / name).write_bytes(pickle.dumps({"ema": Payload()}))
        with pytest.raises(invcore.DataError, match="was not opened"):
            from_edm(name)
    saved(tmp_path / "v.pt", code=Payload())
    with pytest.raises(invcore.DataError, match="was not opened"):
        from_edm("v.pt")
    assert not (tmp_path / "executed").exists()


def test_truncated_files_and_other_hashes_are_refused(tmp_path):
    path = saved(tmp_path / "w.pt")
    data = path.read_bytes()
    from_edm(path, sha256=hashlib.sha256(data).hexdigest())
    with pytest.raises(invcore.DataError, match=r"SHA-256 is .* not opened"):
        from_edm(path, sha256="0" * 64)
    for keep in (0.9, 0.01, 0):
        path.write_bytes(data[: int(keep * len(data))])
        with pytest.raises(invcore.DataError, match="truncated"):
            from_edm(path)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"dec.8x8_aux_conv.bias": None}, "fit"),
        ({"map_layer1.bias": None}, "map_layer1.bias is missing"),
        ({"stranger": torch.ones(2)}, "stranger is unknown"),
        ({"dec.8x8_aux_norm.bias": torch.ones(3)}, r"shape \(3,\), expected \(16,\)"),
        ({"enc.8x8_conv.weight": torch.ones(7)}, "fit"),
        ({"enc.hello": torch.ones(7)}, "fit"),
        ({"u": torch.ones(1001)}, "iDDPM"),
        ({"dec.8x8_aux_conv.bias": torch.ones(1)}, "fit|makes 1 channels"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, change, words):
    state = {**TINY.state_dict(), **change}
    torch.save({name: t for name, t in state.items() if t is not None}, tmp_path / "w.pt")
    with pytest.raises(invcore.DataError, match=words):
        from_edm(tmp_path / "w.pt")


def test_other_networks_are_refused(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(invcore.DataError, match="no U-Net of EDM"):
        from_edm(tmp_path / "w.pt")
