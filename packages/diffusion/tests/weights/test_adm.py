"""Checkpoints of guided diffusion: our network gives what that of diffusers gives with the same weights."""

import hashlib
import os
import pickle

import pytest
import torch

import invcore
from invcore_diffusion import ADMUNet, from_adm

HEADS = {"head_channels": 8, "new_attention_order": False}
SMALL = {"in_channels": 1, "out_channels": 2, "model_channels": 32, "features": (32, 64), "attention": (1,)}
GIVEN = {"noise_schedule": "linear", **HEADS}


def network(**options):
    """With random weights everywhere."""
    torch.manual_seed(0)
    made = ADMUNet(**{**SMALL, **HEADS, **options})
    for p in made.parameters():
        torch.nn.init.normal_(p, std=0.1 if p.ndim < 2 else p[0].numel() ** -0.5)
    return made.eval()


def saved(path, made, **others):
    torch.save({**made.state_dict(), **others}, path)
    return path


def images(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1))


# the network of diffusers, by the names of its parts

RESIDUAL = {
    "in_layers.0": "norm1",
    "in_layers.2": "conv1",
    "emb_layers.1": "time_emb_proj",
    "out_layers.0": "norm2",
    "out_layers.3": "conv2",
    "skip_connection": "conv_shortcut",
}


def of_diffusers(made):
    """That network, with the weights of ours."""
    diffusers = pytest.importorskip("diffusers")
    attends = [scale in made.attention for scale in range(len(made.features))]
    theirs = diffusers.UNet2DModel(
        in_channels=made.in_channels,
        out_channels=made.out_channels,
        layers_per_block=made.blocks,
        block_out_channels=made.features,
        down_block_types=tuple("AttnDownBlock2D" if a else "ResnetDownsampleBlock2D" for a in attends),
        up_block_types=tuple("AttnUpBlock2D" if a else "ResnetUpsampleBlock2D" for a in attends[::-1]),
        attention_head_dim=made.head_channels,
        attn_norm_num_groups=32,
        resnet_time_scale_shift="scale_shift",
        downsample_type="resnet",
        upsample_type="resnet",
        num_class_embeds=made.num_classes,
    )
    state, steps = made.state_dict(), made.blocks + 1
    for a, b in {
        "time_embed.0": "time_embedding.linear_1",
        "time_embed.2": "time_embedding.linear_2",
    }.items():
        copy(state, a, theirs, b)
    for a, b in {"input_blocks.0.0": "conv_in", "out.0": "conv_norm_out", "out.2": "conv_out"}.items():
        copy(state, a, theirs, b)
    if made.num_classes:
        theirs.class_embedding.weight.data = state["label_emb.weight"]
    mid = theirs.mid_block
    residual(state, "middle_block.0", mid.resnets[0])
    attention(state, "middle_block.1", mid.attentions[0], made)
    residual(state, "middle_block.2", mid.resnets[1])
    for i in range(1, len(made.input_blocks)):
        block, j = theirs.down_blocks[(i - 1) // steps], (i - 1) % steps
        if j == made.blocks:
            residual(state, f"input_blocks.{i}.0", block.downsamplers[0])
            continue
        residual(state, f"input_blocks.{i}.0", block.resnets[j])
        if f"input_blocks.{i}.1.qkv.weight" in state:
            attention(state, f"input_blocks.{i}.1", block.attentions[j], made)
    for i in range(len(made.output_blocks)):
        block, j = theirs.up_blocks[i // steps], i % steps
        residual(state, f"output_blocks.{i}.0", block.resnets[j])
        attended = f"output_blocks.{i}.1.qkv.weight" in state
        if attended:
            attention(state, f"output_blocks.{i}.1", block.attentions[j], made)
        if f"output_blocks.{i}.{1 + attended}.in_layers.0.weight" in state:
            residual(state, f"output_blocks.{i}.{1 + attended}", block.upsamplers[0])
    return theirs.eval()


def copy(state, name, module, path):
    part = module.get_submodule(path)
    part.weight.data, part.bias.data = state[f"{name}.weight"], state[f"{name}.bias"]


def residual(state, name, block):
    for a, b in RESIDUAL.items():
        if f"{name}.{a}.weight" in state:
            copy(state, f"{name}.{a}", block, b)


def attention(state, name, block, made):
    copy(state, f"{name}.norm", block, "group_norm")
    weight, bias = state[f"{name}.qkv.weight"][..., 0], state[f"{name}.qkv.bias"]
    n = weight.shape[1]
    heads = n // made.head_channels
    for i, part in enumerate((block.to_q, block.to_k, block.to_v)):
        if made.new_attention_order:
            part.weight.data, part.bias.data = weight.chunk(3)[i], bias.chunk(3)[i]
        else:
            part.weight.data = weight.reshape(heads, 3, -1, n)[:, i].reshape(n, n)
            part.bias.data = bias.reshape(heads, 3, -1)[:, i].reshape(n)
    out = block.to_out[0]
    out.weight.data, out.bias.data = state[f"{name}.proj_out.weight"][..., 0], state[f"{name}.proj_out.bias"]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"new_attention_order": True, "blocks": 2},
        {"num_classes": 5, "features": (32, 32, 64), "attention": (1, 2)},
        {"in_channels": 3, "out_channels": 3, "attention": ()},
    ],
)
def test_network_is_that_of_diffusers(options):
    ours = network(**options)
    theirs, x = of_diffusers(ours), images(2, ours.in_channels, 16, 8)
    t, classes = torch.tensor([999, 3]), torch.tensor([4, 0]) if ours.num_classes else None
    with torch.no_grad():
        expected = theirs(x, t, class_labels=classes).sample
        assert (ours(x, t, classes) - expected).abs().max() < 1e-5 * expected.abs().max()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"blocks": 2, "features": (32, 64, 96), "attention": (0, 2)},
        {"resblock_updown": False, "scale_shift": False, "num_classes": 3},
        {"resblock_updown": False, "attention": (0, 1)},
        {"model_channels": 64, "features": (32, 64)},
        {"features": (64,), "attention": ()},
    ],
)
def test_architecture_is_read_from_the_weights(tmp_path, options):
    made = network(**options)
    condition = torch.tensor(2) if made.num_classes else None
    D = from_adm(saved(tmp_path / "w.pt", made), condition=condition, **GIVEN)
    z, t = images(1, 1, 16, 16), torch.tensor([7])
    classes = None if condition is None else condition.expand(1)
    with torch.no_grad():
        assert torch.equal(D.network(z, t, classes), made(z, t, classes))
    assert not any(p.requires_grad for p in D.network.parameters())


@pytest.mark.parametrize(("schedule", "name"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")])
def test_levels_are_those_of_diffusers(tmp_path, schedule, name):
    diffusers = pytest.importorskip("diffusers")
    D = from_adm(saved(tmp_path / "w.pt", network()), **(GIVEN | {"noise_schedule": schedule}))
    left = diffusers.DDPMScheduler(beta_schedule=name).alphas_cumprod.double()
    levels = D.process.sigma(torch.arange(1000))
    assert torch.allclose(levels, ((1 - left) / left).sqrt(), rtol=2e-3)


def test_denoiser_removes_what_the_network_says(tmp_path):
    """Formula of DDPM in the units of images in [0, 1], half of the network's."""
    made = network()
    D, x = from_adm(saved(tmp_path / "w.pt", made), **GIVEN), images(2, 1, 8, 8)
    left = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000, dtype=torch.float64), 0)[300]
    sigma = float(((1 - left) / left).sqrt())
    with torch.no_grad():
        noise = made(left.sqrt().float() * (2 * x - 1), torch.tensor([300, 300]))[:, :1]
        assert torch.allclose(D(x, sigma / 2), x - sigma / 2 * noise, atol=1e-4)


def test_longer_diffusions_have_the_times_of_1000_steps(tmp_path):
    D = from_adm(saved(tmp_path / "w.pt", network()), **GIVEN, steps=4000)
    left = torch.cumprod(1 - torch.linspace(0.25e-4, 0.005, 4000, dtype=torch.float64), 0)
    sigma = ((1 - left) / left).sqrt()[[40, 2000, 3996]]
    assert torch.allclose(D.process.time(sigma), torch.tensor([10.0, 500.0, 999.0], dtype=torch.float64))


def test_half_precision_and_safetensors_are_read(tmp_path):
    from safetensors.torch import save_file

    made = network().half()
    save_file(made.state_dict(), tmp_path / "w.safetensors")
    D = from_adm(tmp_path / "w.safetensors", **GIVEN)
    assert D(images(1, 1, 13, 6), 0.3).dtype == torch.float32


def test_classes_are_asked_for(tmp_path):
    path = saved(tmp_path / "w.pt", network(num_classes=3))
    for condition in (None, torch.tensor(0.5)):
        with pytest.raises(invcore.ParameterError, match="told a class"):
            from_adm(path, condition=condition, **GIVEN)
    with pytest.raises(invcore.ParameterError, match="numbered 0 to 2"):
        from_adm(path, condition=torch.tensor([1, 3]), **GIVEN)
    with pytest.raises(invcore.ParameterError, match="told nothing"):
        from_adm(saved(tmp_path / "v.pt", network()), condition=torch.tensor(0), **GIVEN)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"noise_schedule": "sigmoid"}, "noise_schedule"),
        ({"steps": 1500}, "multiple of 1000"),
        ({"heads": 2}, "give heads=, .* or head_channels="),
        ({"head_channels": None}, "give heads=, .* or head_channels="),
        ({"head_channels": 24}, "attention heads of equal size"),
    ],
)
def test_what_weights_do_not_tell_must_be_possible(tmp_path, wrong, words):
    with pytest.raises(invcore.ParameterError, match=words):
        from_adm(saved(tmp_path / "w.pt", network()), **(GIVEN | wrong))


def test_networks_that_enlarge_are_refused(tmp_path):
    path = saved(tmp_path / "w.pt", network(in_channels=6, out_channels=3))
    with pytest.raises(invcore.ParameterError, match="makes 3 channels of 6"):
        from_adm(path, **GIVEN)


# files that must not be opened


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.pt").write_bytes(pickle.dumps(Payload()))
    saved(tmp_path / "v.pt", network(), code=Payload())
    for name in ("w.pt", "v.pt"):
        with pytest.raises(invcore.DataError, match="was not opened"):
            from_adm(name, **GIVEN)
    assert not (tmp_path / "executed").exists()


def test_truncated_and_missing_files_are_refused(tmp_path):
    data = saved(tmp_path / "w.pt", network()).read_bytes()
    for keep in (0.9, 0.5, 0.01, 0):
        (tmp_path / "w.pt").write_bytes(data[: int(keep * len(data))])
        with pytest.raises(invcore.DataError, match="truncated"):
            from_adm(tmp_path / "w.pt", **GIVEN)
    with pytest.raises(invcore.DataError, match="there is no file"):
        from_adm(tmp_path / "none.pt", **GIVEN)


def test_another_hash_is_refused(tmp_path):
    path = saved(tmp_path / "w.pt", network())
    from_adm(path, sha256=hashlib.sha256(path.read_bytes()).hexdigest().upper(), **GIVEN)
    with pytest.raises(invcore.DataError, match=r"SHA-256 is .* not opened"):
        from_adm(path, sha256="0" * 64, **GIVEN)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"out.2.bias": None}, "out.2.bias is missing"),
        ({"stranger": torch.ones(2)}, "stranger is unknown"),
        ({"out.2.bias": torch.ones(3)}, r"shape \(3,\), expected \(2,\)"),
        ({"input_blocks.0.0.weight": torch.ones(7)}, "fit"),
        ({"output_blocks.3.0.out_layers.3.bias": torch.ones(40)}, "fit"),
        ({"output_blocks.9.1.conv.weight": torch.ones(1)}, "fit"),
        ({"time_embed.0.weight": torch.tensor(1.0)}, "fit"),
        ({"out.2.weight": torch.ones(1, 1, 1, 1).expand(10**6, 10**6, 1, 1)}, "fit"),
    ],
)
def test_weights_that_do_not_fit_are_refused(tmp_path, change, words):
    state = {**network().state_dict(), **change}
    torch.save({name: t for name, t in state.items() if t is not None}, tmp_path / "w.pt")
    with pytest.raises(invcore.DataError, match=words):
        from_adm(tmp_path / "w.pt", **GIVEN)


def test_other_networks_are_refused(tmp_path):
    torch.save({"weight": torch.ones(2)}, tmp_path / "w.pt")
    with pytest.raises(invcore.DataError, match="no U-Net of guided diffusion"):
        from_adm(tmp_path / "w.pt", **GIVEN)


def test_opened_networks_are_saved_as_models(tmp_path):
    D = from_adm(saved(tmp_path / "w.pt", network(num_classes=3)), condition=torch.tensor(1), **GIVEN)
    back = invcore.models.load(invcore.models.save(D, tmp_path / "m.safetensors"))
    x = images(1, 1, 8, 8)
    assert torch.equal(back(x, 0.2), D(x, 0.2))
