"""Pipelines of diffusers: our samplers with their networks give what their schedulers give."""

import hashlib
import json
import os
import pickle
import shutil
from itertools import pairwise

import pytest
import torch

import invcore
from invcore_diffusion import (
    DPS,
    EDM,
    Ancestral,
    DiffusionSampler,
    DPMSolver,
    Euler,
    VarianceExploding,
    from_diffusers,
)

diffusers = pytest.importorskip("diffusers")

SHAPE = {
    "sample_size": 16,
    "in_channels": 1,
    "out_channels": 1,
    "layers_per_block": 1,
    "block_out_channels": (8, 16),
    "norm_num_groups": 4,
}


def unet(seed=0, **options):
    torch.manual_seed(seed)
    blocks = {
        "down_block_types": ("DownBlock2D", "AttnDownBlock2D"),
        "up_block_types": ("AttnUpBlock2D", "UpBlock2D"),
    }
    return diffusers.UNet2DModel(**(SHAPE | {"attention_head_dim": 4} | blocks | options)).eval()


def saved(folder, network=None, scheduler=None):
    scheduler = scheduler or diffusers.DDPMScheduler(clip_sample=False)
    pipeline = diffusers.DDPMPipeline(network or unet(), scheduler)
    pipeline.save_pretrained(folder)
    return folder


WEIGHTS = "unet/diffusion_pytorch_model.safetensors"


def start(*batch):
    return torch.randn(*batch, 1, 16, 16, generator=torch.Generator().manual_seed(0))


def along(D, integrator, levels, z, seed=7):
    """From the image z of the process at the first level to the last, 0, in the network's units."""
    x, memory, g = z * (1 + levels[0] ** 2) ** 0.5, None, torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for sigma, following in pairwise(levels):
            x, memory = integrator.step(D, x, sigma, following, memory, g)
    return x


def theirs(scheduler, network, steps, z, seed=7, **options):
    scheduler.set_timesteps(steps)
    g = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for t in scheduler.timesteps:
            z = scheduler.step(network(z, t).sample, t, z, generator=g, **options).prev_sample
    return z


@pytest.mark.parametrize("prediction", ["epsilon", "sample", "v_prediction"])
def test_ddpm_is_that_of_diffusers(tmp_path, prediction):
    scheduler = diffusers.DDPMScheduler(
        clip_sample=False, prediction_type=prediction, timestep_spacing="leading"
    )
    network = unet()
    D = from_diffusers(saved(tmp_path, network, scheduler), value_range=(-1.0, 1.0))
    expected = theirs(scheduler, network, 8, start(2))
    levels = [*D.process.sigma(scheduler.timesteps).tolist(), 0.0]
    assert torch.allclose(along(D, Ancestral(), levels, start(2)), expected, rtol=1e-3, atol=2e-4)


@pytest.mark.parametrize("eta", [0.0, 1.0])
def test_dpm_solver_is_that_of_diffusers(tmp_path, eta):
    scheduler = diffusers.DPMSolverMultistepScheduler(
        solver_type="heun",
        algorithm_type="sde-dpmsolver++" if eta else "dpmsolver++",
        final_sigmas_type="zero",
        euler_at_final=True,
        use_karras_sigmas=True,
    )
    network = unet()
    D = from_diffusers(saved(tmp_path, network, scheduler), value_range=(-1.0, 1.0))
    expected = theirs(scheduler, network, 12, start(2))
    levels = [*scheduler.sigmas[:-1].double().clamp(*D.sigma_range).tolist(), 0.0]
    assert torch.allclose(along(D, DPMSolver(eta=eta), levels, start(2)), expected, rtol=1e-3, atol=2e-4)


def test_preconditioned_network(tmp_path):
    scheduler = diffusers.EDMEulerScheduler()
    network = unet()
    D = from_diffusers(saved(tmp_path, network, scheduler))
    assert isinstance(D.process, EDM)
    x, sigma = start(2), torch.tensor(0.8)
    with torch.no_grad():
        out = network(scheduler.precondition_inputs(x, sigma), scheduler.precondition_noise(sigma)).sample
        assert torch.allclose(
            2 * D((x + 1) / 2, 0.4) - 1, scheduler.precondition_outputs(x, out, sigma), atol=1e-5
        )


def test_consistency_model(tmp_path):
    scheduler = diffusers.CMStochasticIterativeScheduler(clip_denoised=False)
    network = unet()
    D = from_diffusers(saved(tmp_path, network, scheduler), value_range=(-1.0, 1.0))
    scheduler.set_timesteps(1)
    x, sigma = 80 * start(2), float(scheduler.sigmas[0])
    with torch.no_grad():
        out = network(scheduler.scale_model_input(x, scheduler.timesteps[0]), scheduler.timesteps[0]).sample
        expected = scheduler.step(out, scheduler.timesteps[0], x).prev_sample
        assert torch.allclose(D(x, min(sigma, 80.0)), expected, rtol=1e-3, atol=1e-3)


def test_score_model(tmp_path):
    network = unet(time_embedding_type="fourier")
    D = from_diffusers(saved(tmp_path, network, diffusers.ScoreSdeVeScheduler(sigma_max=30.0)))
    assert isinstance(D.process, VarianceExploding) and D.sigma_range == (0.01, 30.0)
    x = start(2)
    with torch.no_grad():
        assert torch.allclose(D(x, 0.5), x + 0.25 * network(x, torch.full((2,), 0.5)).sample, atol=1e-5)


def test_classes_reach_the_network(tmp_path):
    network = unet(num_class_embeds=3)
    saved(tmp_path, network)
    with pytest.raises(invcore.ParameterError, match="is told a class"):
        from_diffusers(tmp_path)
    classes = torch.tensor([2, 0])
    D, x = from_diffusers(tmp_path, condition=classes, value_range=(-1.0, 1.0)), start(2)
    s = (1 + 0.5**2) ** -0.5
    step = D.process.time(torch.tensor([0.5]))
    with torch.no_grad():
        noise = network(s * x, step, class_labels=classes).sample
        assert torch.allclose(D(x, 0.5), x - 0.5 * noise, atol=1e-5)


def test_texts_reach_the_network(tmp_path):
    torch.manual_seed(0)
    network = diffusers.UNet2DConditionModel(
        **SHAPE,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=6,
        attention_head_dim=4,
    ).eval()
    network.save_pretrained(tmp_path / "unet")
    diffusers.DDPMScheduler().save_pretrained(tmp_path / "scheduler")
    text = torch.randn(5, 6, generator=torch.Generator().manual_seed(1))
    D, x = from_diffusers(tmp_path, condition=text, value_range=(-1.0, 1.0)), start(2)
    s, step = (1 + 0.5**2) ** -0.5, D.process.time(torch.tensor([0.5]))
    with torch.no_grad():
        noise = network(s * x, step, encoder_hidden_states=text.expand(2, 5, 6)).sample
        assert torch.allclose(D(x, 0.5), x - 0.5 * noise, atol=1e-5)


def test_other_sizes_and_data(tmp_path):
    """A posterior draw of an image whose size is neither that of training nor a multiple."""
    D = from_diffusers(saved(tmp_path))
    noise = invcore.noise("gaussian", sigma=100.0)  # an untrained network takes no precise data
    physics = invcore.Physics(invcore.operator("identity", (1, 19, 22)), noise)
    sampler = DiffusionSampler(D, guidance=DPS(), schedule=D.schedule, integrator=Euler(), steps=3)
    x = sampler(torch.rand(2, 1, 19, 22), physics, generator=torch.Generator().manual_seed(0))
    assert x.shape == (2, 1, 19, 22)


def test_files_at_the_root_and_names_of_old_attention(tmp_path):
    """As the first checkpoints of DDPM on the hub."""
    from safetensors.torch import load_file, save_file

    network = unet()
    network.save_pretrained(tmp_path)
    diffusers.DDPMScheduler().save_config(tmp_path)
    path = tmp_path / "diffusion_pytorch_model.safetensors"
    old = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}
    state = load_file(path)
    for new, name in old.items():
        state = {key.replace(new, name): t for key, t in state.items()}
    save_file(state, path)
    D = from_diffusers(tmp_path)
    for (name, a), (_, b) in zip(D.network.unet.state_dict().items(), network.state_dict().items()):
        assert torch.equal(a, b), name


# files that must not be opened


class Payload:
    def __reduce__(self):
        return os.mkdir, ("executed",)


def test_pickled_code_is_refused_and_not_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    saved(tmp_path / "p")
    (tmp_path / "p" / WEIGHTS).unlink()
    bad = tmp_path / "p/unet/diffusion_pytorch_model.bin"
    bad.write_bytes(pickle.dumps(Payload()))
    with pytest.raises(invcore.DataError, match="was not opened"):
        from_diffusers(tmp_path / "p")
    torch.save({"weight": torch.ones(1), "code": Payload()}, bad)
    with pytest.raises(invcore.DataError, match="was not opened"):
        from_diffusers(tmp_path / "p")
    assert not (tmp_path / "executed").exists()


def test_old_checkpoints_of_weights_are_opened(tmp_path):
    network = unet()
    saved(tmp_path, network)
    (tmp_path / WEIGHTS).unlink()
    torch.save(network.state_dict(), tmp_path / "unet/diffusion_pytorch_model.bin")
    assert torch.equal(from_diffusers(tmp_path).network.unet.conv_in.weight, network.conv_in.weight)


def test_truncated_weights_are_refused(tmp_path):
    path = saved(tmp_path) / WEIGHTS
    for keep in (0.5, 0.01, 0):
        data = path.read_bytes()
        path.write_bytes(data[: int(keep * len(data))])
        with pytest.raises(invcore.DataError, match="truncated"):
            from_diffusers(tmp_path)
        path.write_bytes(data)


def test_weights_that_do_not_fit_are_refused(tmp_path):
    from safetensors.torch import load_file, save_file

    path = saved(tmp_path) / WEIGHTS
    state = load_file(path)
    bias = state["conv_in.bias"]
    for wrong in (
        {key: t for key, t in state.items() if key != "conv_in.bias"},
        state | {"conv_in.bias": torch.ones(5)},
        state | {"stranger": torch.ones(5)},
    ):
        save_file(wrong, path)
        with pytest.raises(invcore.DataError, match="does not fit"):
            from_diffusers(tmp_path)
    save_file(state | {"conv_in.bias": bias}, path)
    from_diffusers(tmp_path)


def test_another_hash_is_refused(tmp_path):
    path = saved(tmp_path) / WEIGHTS
    good = hashlib.sha256(path.read_bytes()).hexdigest()
    from_diffusers(tmp_path, sha256=good.upper())
    with pytest.raises(invcore.DataError, match="SHA-256"):
        from_diffusers(tmp_path, sha256="0" * 64)


@pytest.mark.parametrize(
    ("file", "change", "words"),
    [
        ("unet/config.json", {"_class_name": "AutoencoderKL"}, "opened are UNet2DModel"),
        ("unet/config.json", {"in_channels": "many"}, "does not fit"),
        ("unet/config.json", {"down_block_types": ["NoBlock", "NoBlock"]}, "does not fit"),
        ("unet/config.json", None, "no configuration"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "unknown"}, "is not understood"),
        ("scheduler/scheduler_config.json", {"prediction_type": "else"}, "is not understood"),
        ("scheduler/scheduler_config.json", None, "no JSON"),
        ("model_index.json", {"vae": ["diffusers", "AutoencoderKL"]}, "latent"),
    ],
)
def test_configurations_that_are_not_understood(tmp_path, file, change, words):
    path = saved(tmp_path) / file
    path.write_text("{" if change is None else json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(invcore.DataError, match=words):
        from_diffusers(tmp_path)


def test_missing_files_are_named(tmp_path):
    saved(tmp_path)
    shutil.rmtree(tmp_path / "scheduler")
    with pytest.raises(invcore.DataError, match="scheduler_config.json"):
        from_diffusers(tmp_path)
    with pytest.raises(invcore.ParameterError, match="sha256="):
        from_diffusers("owner/name", revision="0" * 40)
    with pytest.raises(invcore.ParameterError, match="is told nothing"):
        from_diffusers(saved(tmp_path / "other"), condition=torch.tensor(1))
