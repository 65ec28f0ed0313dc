"""The problem file: run, simulate, evaluate, from Python and from the command line."""

import io
import tomllib
from contextlib import chdir, redirect_stderr, redirect_stdout
from types import SimpleNamespace

import h5py
import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, ParameterError
from invcore.cli import main
from invcore.io import load_reconstruction
from invcore.metrics import BlurStrength
from invcore.run import run, simulate
from invcore.run._build import build
from invcore.run._measure import load_image
from invcore.run._problem import load

PROBLEM = """
seed = 3
[image]
file = "image.npy"
[operator]
name = "mask"
mask = { file = "mask.npy" }
[noise]
name = "gaussian"
sigma = 0.05
[solver]
name = "fista"
max_steps = 20
rtol = 1e-5
prior = { name = "wavelet", wavelet = "haar", levels = 2 }
[metrics]
psnr = { data_range = 1.0 }
"""


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    yy, xx = np.mgrid[:32, :40] / 32
    np.save(tmp_path / "image.npy", (np.hypot(yy - 0.5, xx - 0.6) < 0.3).astype(np.float32))
    np.save(tmp_path / "mask.npy", (rng.random((1, 32, 40)) < 0.6).astype(np.float32))
    (tmp_path / "problem.toml").write_text(PROBLEM)
    return tmp_path


def cli(*words, cwd):
    """``invcore`` in this process: one of its own would take seconds to import torch."""
    out, err = io.StringIO(), io.StringIO()
    with chdir(cwd), redirect_stdout(out), redirect_stderr(err), pytest.raises(SystemExit) as stop:
        main(list(map(str, words)))
    return SimpleNamespace(returncode=stop.value.code or 0, stdout=out.getvalue(), stderr=err.getvalue())


def test_run_does_what_the_same_lines_of_python_do(folder):
    result = run(folder / "problem.toml", output=folder / "out")
    x = torch.as_tensor(np.load(folder / "image.npy"))[None]
    mask = torch.as_tensor(np.load(folder / "mask.npy"))
    physics = invcore.Physics(
        invcore.operator("mask", mask=mask, domain=invcore.Space((1, 32, 40))),
        invcore.noise("gaussian", sigma=0.05),
    )
    y = physics(x, generator=torch.Generator().manual_seed(3))
    prior = invcore.prior("wavelet", wavelet="haar", levels=2, seed=3)  # the seed of the problem
    solver = invcore.solver("fista", max_steps=20, prior=prior)
    expected = solver(y, physics)
    assert torch.equal(result.x, expected)
    psnr = -10 * torch.log10((expected - x).square().mean())
    assert float(result.metrics["psnr"]) == pytest.approx(float(psnr), abs=1e-4)
    assert float(psnr) > 15


def test_a_result_runs_again_to_the_same_bits(folder):
    assert cli("run", "problem.toml", "-o", "out", "--quiet", cwd=folder).returncode == 0
    again = cli("run", "out/reconstruction.h5", "-o", "again", "--quiet", cwd=folder)
    assert again.returncode == 0, again.stderr
    first, second = (load_reconstruction(folder / d / "reconstruction.h5") for d in ("out", "again"))
    assert torch.equal(first[0], second[0])
    assert first[1]["problem"] == second[1]["problem"]
    written, embedded = tomllib.loads(PROBLEM), tomllib.loads(first[1]["problem"])
    assert embedded["solver"]["prior"].items() >= written["solver"]["prior"].items()
    assert embedded["metrics"] == {"psnr": {"data_range": 1.0, "spatial_dims": 2}}
    assert set(embedded) == {*written, "device"}


def test_simulate_writes_what_run_measures(folder):
    done = cli("simulate", "problem.toml", "-o", "m.h5", cwd=folder)
    assert done.returncode == 0, done.stderr
    x, acquisition = simulate(folder / "m.h5")
    assert load(folder / "m.h5") == load(folder / "problem.toml")
    with h5py.File(folder / "m.h5") as file:
        assert np.array_equal(file["y"][()], acquisition.y.numpy())
        assert np.array_equal(file["x"][()], x.numpy())
    residual = (acquisition.y - acquisition.physics.operator(x)).std()
    assert float(residual) == pytest.approx(0.05, rel=0.1)


def test_evaluate_prints_the_metrics(folder):
    x = np.load(folder / "image.npy")
    np.save(folder / "noisy.npy", x + 0.1)
    done = cli("evaluate", "noisy.npy", "image.npy", "--metric", "psnr", "--data-range", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    name, value, unit = done.stdout.split()
    assert (name, unit) == ("psnr", "dB")
    assert float(value) == pytest.approx(20.0, abs=1e-3)


def test_evaluate_judges_an_image_on_its_own(folder):
    done = cli("evaluate", "image.npy", "--metric", "blur_strength", "--crop", "1", cwd=folder)
    assert done.returncode == 0, done.stderr
    expected = float(BlurStrength(crop=1)(load_image(folder / "image.npy")))
    name, value = done.stdout.split()
    assert name == "blur_strength"
    assert float(value) == pytest.approx(expected, rel=1e-5)
    done = cli("evaluate", "image.npy", "--metric", "psnr", cwd=folder)
    assert done.returncode == 1
    assert "give a second image" in done.stderr
    done = cli("evaluate", "image.npy", cwd=folder)
    assert done.returncode == 1
    assert "a metric that needs none, --metric NAME: blur_strength, " in done.stderr


def test_a_problem_may_ask_for_metrics_without_reference(folder):
    (folder / "problem.toml").write_text(PROBLEM + "blur_strength = {}\n")
    result = run(folder / "problem.toml", output=folder / "out")
    expected = BlurStrength()(result.x)
    assert torch.equal(result.metrics["blur_strength"], expected)
    assert "psnr" in result.metrics


def test_values_of_every_form(folder):
    g = torch.Generator().manual_seed(0)
    matrix = build("operator", {"name": "matrix", "matrix": {"tensor": [[1.0, 2.0]]}}, g)
    assert matrix.matrix.tolist() == [[1.0, 2.0]]
    space = {"shape": [1, 4, 4], "kind": "complex"}
    identity = build("operator", {"name": "identity", "domain": space}, g)
    assert identity.domain == invcore.Space((1, 4, 4), "complex")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (("[image]", "[picture]"), DataError, "unknown entries"),
        (("[operator]", "[noisy"), DataError, "must be TOML"),
        (('name = "mask"', ""), DataError, "needs a name"),
        (('name = "mask"', 'name = "maks"'), invcore.UnknownComponentError, "mask"),
        (("sigma = 0.05", "sigmo = 0.05"), ParameterError, "sigma"),
        (("sigma = 0.05", "sigma = -1.0"), ParameterError, ">= 0"),
        (('"image.npy"', '"none.npy"'), FileNotFoundError, "none.npy"),
        (('{ file = "mask.npy" }', "{ fill = 1 }"), DataError, "must have one of"),
    ],
)
def test_mistakes_are_named(folder, change, error, message):
    (folder / "problem.toml").write_text(PROBLEM.replace(*change))
    with pytest.raises(error) as caught:
        run(folder / "problem.toml", output=folder / "out")
    assert message in str(caught.value)
    assert not (folder / "out").exists()


def test_a_mistake_is_one_message_of_the_command(folder):
    (folder / "problem.toml").write_text(PROBLEM.replace("[image]", "[picture]"))
    done = cli("run", "problem.toml", "-o", "out", cwd=folder)
    assert done.returncode == 1
    assert done.stderr.startswith("error: problem.toml: unknown entries ['picture']") and not done.stdout


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (("seed = 3", 'seed = "a"'), "seed must be an integer"),
        (("seed = 3", 'reference = ["a"]'), "reference must be text"),
        (("[operator]", "fiel = 1\n[operator]"), "image.fiel"),
        (('name = "fista"', "name = 5"), "5"),
        (("[metrics]\npsnr = { data_range = 1.0 }", "[metrics]\npsnr = 1.0"), "metrics.psnr must be a table"),
        (("sigma = 0.05", 'sigma = "a"'), "sigma takes float"),
        (("sigma = 0.05", "sigma = { tensor = [[1], [2, 3]] }"), "sigma cannot be made"),
        (("rtol = 1e-5", 'rtol = "a"'), "rtol takes float"),
        (("max_steps = 20", "max_steps = [20]"), "max_steps"),
        (("max_steps = 20", "max_step = 20"), "max_steps"),
    ],
)
def test_types_are_checked_before_anything_is_solved(folder, change, word):
    assert change[0] in PROBLEM
    (folder / "problem.toml").write_text(PROBLEM.replace(*change))
    with pytest.raises(invcore.InvcoreError, match=word):
        run(folder / "problem.toml", output=folder / "out")
    assert not (folder / "out").exists()


def test_tables_in_memory_are_a_problem(folder, monkeypatch):
    monkeypatch.chdir(folder)
    tables = tomllib.loads(PROBLEM)
    one, two = run("problem.toml", output="one"), run(tables, output="two")
    assert torch.equal(one.x, two.x)
    assert one.problem == two.problem
    assert tables == tomllib.loads(PROBLEM)
    short = {**tables, "solver": {"name": "fista", "max_steps": 2, "prior": "tv"}}
    assert run(short, output="three").problem["solver"]["prior"]["name"] == "tv"


def test_a_result_does_not_read_other_files(folder):
    """A link in a result from somebody else would show what is on the disk of whoever opens it."""
    with h5py.File(folder / "private.h5", "w") as file:
        file["x"], file["provenance"], file["problem"] = np.ones((1, 1, 4, 4)), "{}", PROBLEM
    with h5py.File(folder / "linked.h5", "w") as file:
        for name in ("x", "provenance", "problem"):
            file[name] = h5py.ExternalLink("private.h5", name)
    with pytest.raises(DataError, match="'problem' is a link to 'problem' in the file 'private.h5'"):
        load(folder / "linked.h5")
    with pytest.raises(DataError, match="'x' is a link to 'x'"):
        load_image(folder / "linked.h5")


def test_arrays_are_never_unpickled(folder):
    np.save(folder / "mask.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(DataError, match="not numbers"):
        run(folder / "problem.toml", output=folder / "out")


def test_a_file_without_a_problem_is_named(folder):
    with h5py.File(folder / "plain.h5", "w") as file:
        file["x"] = np.ones(3)
    with pytest.raises(DataError, match="embeds no problem"):
        load(folder / "plain.h5")


def test_images(folder):
    from matplotlib.image import imsave

    pixels = np.linspace(0, 1, 12).reshape(3, 4)
    imsave(folder / "gray.png", pixels, cmap="gray", vmin=0, vmax=1)
    x = load_image(folder / "gray.png")
    assert x.shape == (3, 3, 4)
    assert float((x[0] - torch.as_tensor(pixels).float()).abs().max()) < 1 / 255
    (folder / "bad.png").write_bytes(b"not a picture")
    with pytest.raises(DataError, match="cannot be read as an image"):
        load_image(folder / "bad.png")


def test_a_file_that_a_result_names_and_nobody_has(folder, tmp_path, monkeypatch):
    """A result in another folder: the message says where it looked."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "problem.toml").write_text('[data]\nfile = "scan.cfl"\n')
    monkeypatch.chdir(tmp_path)
    with pytest.raises(
        FileNotFoundError, match="'scan.cfl' is neither in elsewhere nor in the current folder"
    ):
        load("elsewhere/problem.toml")
