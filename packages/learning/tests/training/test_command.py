"""``invcore train`` and ``invcore evaluate`` of what it leaves."""

import json
import re
import sys

import pytest
import torch

import invcore
from invcore.cli import main
from invcore_learning import ArtifactRemoval, DnCNN

PROBLEM = """
seed = 1
[dataset]
name = "dead_leaves"
length = 12
size = [12, 12]
[operator]
name = "mask"
mask = { generator = "mask_random", shape = [8, 8], keep = 0.5 }
[noise]
name = "gaussian"
sigma = 0.05
[model]
name = "learning.artifact_removal"
network = { kind = "model", name = "learning.dncnn", depth = 2, features = 2 }
[training]
epochs = 2
batch = 4
lr = 1e-2
crop = [8, 8]
[validation]
dataset = { name = "dead_leaves", length = 3, size = [8, 8], seed = 7 }
metrics = { psnr = { data_range = 1.0 } }
[card]
license = "CC0"
"""


def run(*words, code=0):
    with pytest.raises(SystemExit) as ended:
        main(list(map(str, words)))
    assert ended.value.code in (code, None if code == 0 else code)


@pytest.fixture
def problem(tmp_path):
    def write(*changes):
        text = PROBLEM
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        path = tmp_path / "problem.toml"
        path.write_text(text)
        return path

    return write


def test_a_problem_becomes_a_model(problem, tmp_path, capsys):
    file, out = problem(), tmp_path / "out"
    before = torch.get_rng_state()
    run("train", file, "-o", out)
    assert torch.equal(torch.get_rng_state(), before)
    said = capsys.readouterr()
    assert (
        re.search(r"PSNR +\d+\.\d+ dB \(baseline \d+\.\d+\)", said.out)
        and str(out / "report.html") in said.out
    )
    assert "new in each epoch" in said.err and "finished after 6 steps" in said.err
    path = out / "model.safetensors"
    model = invcore.model(path)
    assert isinstance(model, ArtifactRemoval) and isinstance(model.network, DnCNN) and not model.training
    card = invcore.models.card(path)
    assert card["license"] == "CC0" and card["data"]["name"] == "dead_leaves"
    assert card["training"]["steps"] == 6 and card["made"]["versions"]["torch"] == torch.__version__
    psnr = card["figures"]["psnr"]
    assert f"{psnr['mean']:.4f}" in said.out and f"{psnr['baseline']:.4f}" in said.out
    json.dumps(card)

    run("evaluate", path)  # on the data that the card names
    table = capsys.readouterr().out.splitlines()
    assert table[1].split()[1] == f"{psnr['mean']:#.5g}" and table[2].split()[1] == f"{psnr['baseline']:#.5g}"
    run("evaluate", path, file, "--metric", "mae")
    assert capsys.readouterr().out.splitlines()[1].startswith("mae")

    weights = path.read_bytes()
    run("train", file, "-o", out, "-q")  # it is finished
    other = invcore.model(path)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters()))
    assert len(weights) == pytest.approx(len(path.read_bytes()), abs=64)
    assert capsys.readouterr() == ("", "")


def test_a_model_in_a_file_is_trained_on(problem, tmp_path):
    run("train", problem(), "-o", tmp_path / "first", "-q")
    more = ('name = "learning.artifact_removal"\n', f'file = "{tmp_path / "first" / "model.safetensors"}"\n')
    network = 'network = { kind = "model", name = "learning.dncnn", depth = 2, features = 2 }\n'
    run("train", problem(more, (network, ""), ("lr = 1e-2", "lr = 1e-30")), "-o", tmp_path / "second", "-q")
    first, second = (invcore.model(tmp_path / k / "model.safetensors") for k in ("first", "second"))
    for a, b in zip(first.parameters(), second.parameters()):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize(
    "change, said",
    [
        (('name = "dead_leaves"\nlength = 12', 'name = "dead_leafs"'), "Did you mean 'dead_leaves'"),
        (("epochs = 2", "epoch = 2"), "[training] has no 'epoch'; it has accelerator, accumulate, batch"),
        (("epochs = 2", 'epochs = "2"'), "[training] epochs takes int, got '2'"),
        (("lr = 1e-2", "lr = -1.0"), "expected lr > 0"),
        (("[validation]", "[validating]"), "unknown entries ['validating']"),
        (("metrics = { psnr = { data_range = 1.0 } }", 'metrics = ["psnr"]'), "metrics are tables by name"),
        (('name = "learning.artifact_removal"', 'name = "gaussian_restorer"'), "no parameter 'network'"),
        (("[noise]", '[loss]\nname = "supervised"\nmetric = "psnrr"\n[noise]'), "psnrr"),
        (('[operator]\nname = "mask"', '[operator]\nname = "blur"'), "blur"),
    ],
)
def test_mistakes_are_named(problem, tmp_path, capsys, change, said):
    run("train", problem(change), "-o", tmp_path / "out", code=1)
    error = capsys.readouterr().err
    assert said in error and "defect" not in error


def test_without_the_package_the_pip_command_is_said(problem, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, "invcore_learning", None)
    run("train", problem(), "-o", tmp_path / "out", code=1)
    assert 'pip install "invcore[learning]"' in capsys.readouterr().err


def test_a_model_without_a_problem_asks_for_one(tmp_path, capsys):
    path = invcore.models.save(ArtifactRemoval(DnCNN(depth=2, features=2)), tmp_path / "m.safetensors")
    run("evaluate", path, code=1)
    assert "invcore evaluate model.safetensors problem.toml" in capsys.readouterr().err


def test_engine_settings_of_a_problem(problem, tmp_path, capsys):
    run(
        "train",
        problem(("epochs = 2", 'epochs = 1\naccelerator = "cpu"\nprecision = "bf16-mixed"')),
        "-o",
        tmp_path,
    )
    assert (tmp_path / "model.safetensors").exists()
    for key, value in {"precision": "half", "accelerator": "abacus"}.items():
        wrong = problem(("epochs = 2", f'epochs = 1\n{key} = "{value}"'))
        run("train", wrong, "-o", tmp_path / "b", code=1)
        assert f"error: engine: {key}" in capsys.readouterr().err


def test_a_store_brings_its_own_physics(tmp_path):
    from invcore_learning import generate

    physics = invcore.Physics(invcore.operators.Identity((1, 8, 8)), invcore.noises.GaussianNoise(sigma=0.1))
    generate(invcore.dataset("dead_leaves", length=5, size=(8, 8)), physics, tmp_path / "store")
    stored = {"name": "learning.store", "path": str(tmp_path / "store")}
    model = {"name": "learning.dncnn", "depth": 2, "features": 2}
    problem = {
        "dataset": stored,
        "model": model,
        "training": {"epochs": 1},
        "validation": {"dataset": stored},
    }
    done = invcore.run.train(problem, output=tmp_path / "out")
    assert done.training.steps == 1 and sorted(done.files) == ["log", "model", "report"]
    found = invcore.run.evaluate(done.files["model"])
    assert found.metrics["psnr"].tolist() == done.training.evaluation.metrics["psnr"].tolist()


def test_an_unrolled_solver_learns_from_its_data_alone(problem, tmp_path):
    """The loss wraps the model by itself, and what is saved is the wrapped one."""
    network = '{ kind = "model", name = "learning.dncnn", depth = 2, features = 2 }'
    denoiser = f'{{ name = "learning.network", blind = true, network = {network} }}'
    prior = f'{{ name = "pnp", sigma = 0.1, denoiser = {denoiser} }}'
    unrolled = (
        f'name = "learning.unrolled"\nsteps = 2\nsolver = {{ name = "pgd", weight = 1.0, prior = {prior} }}'
    )
    changes = [
        ('name = "learning.artifact_removal"\n', f"{unrolled}\n"),
        (f"network = {network}\n[training]", '[loss]\nname = "learning.r2r"\n[training]'),
    ]
    run("train", problem(*changes), "-o", tmp_path / "out", "-q")
    model = invcore.model(tmp_path / "out" / "model.safetensors")
    assert type(model).__name__ == "WrappedModel" and type(model.model).__name__ == "Unrolled"
    said = invcore.models.card(tmp_path / "out" / "model.safetensors")["training"]["decided"]
    assert "the same in each epoch" in said[0]
