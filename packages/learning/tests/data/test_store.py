"""Stores of simulated measurements: what comes back, resuming, damage, worker processes."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time

import pytest
import torch

import invcore
from invcore import DataError, ParameterError, Physics
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Identity, Mask
from invcore_learning import Sample, Store, generate, sample_generator

SHAPE = (1, 8, 8)


class Images:
    """Smooth images, each from its index."""

    def __len__(self):
        return 10

    def __getitem__(self, i):
        return torch.rand(SHAPE, generator=torch.Generator().manual_seed(i))


def masked():
    return Physics(Mask(torch.ones(SHAPE), SHAPE), GaussianNoise(sigma=0.1))


def drawn():
    return {"mask": invcore.generator("mask_random", (8, 8), keep=0.5)}


def test_samples_are_what_the_physics_gives(tmp_path):
    store = generate(Images(), masked(), tmp_path, parameters=drawn(), seed=3, shard_bytes=2000)
    assert len(store) == 10
    assert len(list(tmp_path.glob("shard-*.h5"))) > 1
    for i in (0, 4, 9, -1):
        sample = store[i]
        x = Images()[i % 10]
        g = sample_generator(3, i % 10)
        mask = drawn()["mask"](generator=g)
        assert torch.equal(sample.x, x)
        assert torch.equal(sample.params["mask"], mask)
        assert torch.equal(sample.y, masked().bind(mask=mask)(x, generator=g))
    with pytest.raises(IndexError):
        store[10]


@pytest.mark.parametrize("name", ["blur", "fourier", "counts"])
def test_samples_measured_together_are_those_measured_alone(tmp_path, name):
    """Also with drawn noise levels."""
    images = [Images()[i] for i in range(10)]
    operator = {
        "blur": lambda: invcore.operator("convolution", torch.ones(1, 3, 3) / 9, SHAPE),
        "fourier": lambda: invcore.operator("fft", invcore.Space(SHAPE)),
        "counts": lambda: Identity(SHAPE),
    }[name]()
    noise = PoissonNoise(gain=0.1) if name == "counts" else GaussianNoise(sigma=0.1)
    physics = Physics(operator, noise)
    draws = {} if name == "counts" else {"sigma": invcore.generator("sigma_uniform", low=0.0, high=0.5)}
    store = generate(images, physics, tmp_path, parameters=draws, seed=3, shard_bytes=3000)
    assert len(list(tmp_path.glob("shard-*.h5"))) > 1
    for i, x in enumerate(images):
        g = sample_generator(3, i)
        params = draws["sigma"](generator=g) if draws else {}
        y = physics.bind(**params)(x, generator=g)
        torch.testing.assert_close(store[i].y, y, rtol=1e-6, atol=1e-6)


def test_the_physics_comes_back(tmp_path):
    store = generate(Images(), masked(), tmp_path)
    assert torch.equal(store.physics.operator.mask, torch.ones(SHAPE))
    assert float(store.physics.noise.sigma) == pytest.approx(0.1)


def test_blocks_and_complex_data(tmp_path):
    physics = Physics(invcore.stack([Identity(SHAPE), 2.0 * Identity(SHAPE)]))
    y = generate(Images(), physics, tmp_path / "blocks")[2].y
    assert torch.equal(y[1], 2 * Images()[2])
    fourier = Physics(invcore.operator("fft", invcore.Space(SHAPE, "complex")))
    turned = [1j * Images()[i] for i in range(3)]
    sample = generate(turned, fourier, tmp_path / "complex")[2]
    assert torch.equal(sample.x, turned[2])
    assert torch.equal(sample.y, fourier(turned[2]))


class Unknown(invcore.LinearOperator):
    """Not registered, and of no plugin."""

    autograd = "torch"
    domain: invcore.Space = invcore.Space(SHAPE)
    range: invcore.Space = invcore.Space(SHAPE)

    def forward(self, x):
        return 2 * x

    def adjoint(self, y):
        return 2 * y


def test_a_physics_that_cannot_be_stored_says_why(tmp_path):
    store = generate(Images(), Physics(Unknown()), tmp_path)
    assert torch.equal(store[0].y, 2 * Images()[0])
    with pytest.raises(DataError, match=r"holds no physics: .*Unknown, which is not registered"):
        store.physics  # noqa: B018


def test_another_call_into_the_folder_is_refused(tmp_path):
    generate(Images(), masked(), tmp_path, seed=1)
    generate(Images(), masked(), tmp_path, seed=1)
    with pytest.raises(DataError, match="its seed is 1, this one's 2"):
        generate(Images(), masked(), tmp_path, seed=2)
    with pytest.raises(DataError, match="its physics is"):
        generate(Images(), Physics(Identity(SHAPE), PoissonNoise(gain=0.1)), tmp_path, seed=1)


def test_wrong_arguments(tmp_path):
    with pytest.raises(ParameterError, match="no parameter 'maks'.*Did you mean 'mask'"):
        generate(Images(), masked(), tmp_path, parameters={"maks": drawn()["mask"]})
    with pytest.raises(ParameterError, match="empty"):
        generate([], masked(), tmp_path)
    with pytest.raises(ParameterError, match="must be images"):
        generate([1.0], masked(), tmp_path)


SCRIPT = """
import sys, time, torch
sys.path.insert(0, {folder!r})
import test_store as t
class Slow(t.Images):
    def __getitem__(self, i):
        time.sleep(0.05)
        return super().__getitem__(i)
t.generate(Slow(), t.masked(), {path!r}, parameters=t.drawn(), shard_bytes=2000)
"""


@pytest.mark.skipif(os.name == "nt", reason="SIGKILL")
def test_a_store_that_was_killed_resumes_to_the_same_bytes(tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    generate(Images(), masked(), whole, parameters=drawn(), shard_bytes=2000)
    script = SCRIPT.format(folder=os.path.dirname(__file__), path=str(killed))
    child = subprocess.Popen([sys.executable, "-c", script])
    while child.poll() is None and not (killed / "shard-00001.h5").exists():
        time.sleep(0.01)
    child.send_signal(signal.SIGKILL)
    child.wait()
    with pytest.raises(DataError, match="not complete: .* Call generate again"):
        Store(killed)
    generate(Images(), masked(), killed, parameters=drawn(), shard_bytes=2000)
    names = sorted(p.name for p in whole.iterdir())
    assert sorted(p.name for p in killed.iterdir()) == names
    for name in names:
        if name != "store.json":
            assert (whole / name).read_bytes() == (killed / name).read_bytes()


@pytest.mark.parametrize("at", [600, -600, 0.5])
def test_a_changed_bit_is_named(tmp_path, at):
    generate(Images(), masked(), tmp_path, shard_bytes=2000)
    path = tmp_path / "shard-00001.h5"
    data = bytearray(path.read_bytes())
    data[int(at * len(data)) if isinstance(at, float) else at] ^= 4
    path.write_bytes(data)
    store = Store(tmp_path)
    store[0]
    with pytest.raises(DataError, match=r"shard-00001\.h5 is damaged"):
        store[store.made["shard"]]


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"format": 1, "length": "x"}', '{"format": 2}', "[" * 10**5]
)
def test_a_damaged_manifest_is_refused(tmp_path, text):
    generate(Images(), masked(), tmp_path)
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(DataError, match="damaged|another format"):
        Store(tmp_path)


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_worker_processes_read_the_same(tmp_path, method):
    store = generate(Images(), masked(), tmp_path, shard_bytes=2000)
    here = [store[i].y for i in range(len(store))]  # the parent's files are open
    context = multiprocessing.get_context(method)
    loader = torch.utils.data.DataLoader(
        store, batch_size=None, num_workers=1, multiprocessing_context=context, shuffle=False
    )
    for y, sample in zip(here, loader, strict=True):
        assert isinstance(sample, Sample)
        assert torch.equal(sample.y, y)
    assert json.loads((tmp_path / "store.json").read_text())["length"] == 10
