"""`invcore sample`: draws from the posterior of a problem file."""

import h5py
import numpy as np
import pytest
import torch

from invcore import DataError
from invcore.io import load_reconstruction
from invcore.run import run, sample

SIGMA = 0.5
PROBLEM = """
seed = 3
[image]
file = "x.npy"
[operator]
name = "identity"
[noise]
name = "gaussian"
sigma = 0.5
[sampler]
name = "diffusion.ula"
prior = { name = "tikhonov" }
step_size = 0.01
burn_in = 200
thin = 30
[sampling]
draws = 40
chains = 4
"""


@pytest.fixture
def problem(tmp_path):
    np.save(tmp_path / "x.npy", np.linspace(0.0, 1.0, 64, dtype=np.float32).reshape(8, 8))
    path = tmp_path / "problem.toml"
    path.write_text(PROBLEM)
    return path


def test_mean_and_deviation_are_those_of_the_gaussian_posterior(problem, tmp_path):
    made = sample(problem, output=tmp_path / "out")
    y = made.chain.problem.y[0]
    precision = 1 / SIGMA**2 + 1
    assert made.chain.number == 40 and len(made.chain.draws) == 40
    error = made.mean - y / SIGMA**2 / precision
    assert float(error.std()) < 3 * (1 / precision) ** 0.5 / 40**0.5
    # the discretization of ULA inflates the variance by 1/(1 - step * precision / 2)
    expected = 1 / precision / (1 - 0.005 * precision)
    assert float(made.std.square().mean()) == pytest.approx(expected, rel=0.08)


def test_files(problem, tmp_path):
    made = sample(problem, output=tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(
        path.name for path in made.files.values()
    )
    mean, record = load_reconstruction(made.files["image"])
    assert torch.equal(mean.reshape(made.mean.shape), made.mean)
    with h5py.File(made.files["samples"]) as file:
        assert file["draws"].shape == (40, 4, 1, 8, 8)
    again = sample(made.files["image"], output=tmp_path / "again")  # the result embeds its problem
    assert torch.equal(again.mean, made.mean) and record["seed"] == 3
    report = made.files["report"].read_text()
    assert "160 draws, one every 30 steps, of 4 chains" in report and "effective sample size" in report
    assert "Draw 8" in report and "Draw 9" not in report
    assert f"{float(made.chain.ess().median()):.0f} independent ones" in report


@pytest.mark.slow
def test_a_chain_that_was_killed_goes_on(problem, tmp_path, monkeypatch):
    whole = sample(problem, output=tmp_path / "whole")
    import invcore.samplers._chain as chain

    class Killed(Exception):
        pass

    drawn, calls = chain._drawn, []

    def killing(*args):
        calls.append(0)
        if len(calls) == 30:
            raise Killed
        return drawn(*args)

    monkeypatch.setattr(chain, "_drawn", killing)
    monkeypatch.setattr("invcore.solvers._checkpoint.Checkpoint.due", lambda self: True)
    with pytest.raises(Killed):
        sample(problem, output=tmp_path / "out")
    assert (tmp_path / "out" / "chain.h5").exists()
    monkeypatch.undo()
    made = sample(problem, output=tmp_path / "out")
    assert torch.equal(made.mean, whole.mean) and torch.equal(made.std, whole.std)
    assert not (tmp_path / "out" / "chain.h5").exists()


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("draws = 40", "draws = 0", "sampling.draws = 0"),
        ("draws = 40", "steps = 5", "sampling.steps"),
        ("[sampler]", "[solver]", "no .sampler."),
    ],
)
def test_mistakes(problem, tmp_path, old, new, message):
    problem.write_text(PROBLEM.replace(old, new))
    with pytest.raises(DataError, match=message):
        sample(problem, output=tmp_path / "out")


def test_run_says_which_command(problem, tmp_path):
    with pytest.raises(DataError, match="invcore sample"):
        run(problem, output=tmp_path / "out")


def test_a_chain_that_has_not_mixed_says_so(problem, tmp_path):
    path = problem.with_name("short.toml")
    path.write_text(PROBLEM.replace("burn_in = 200", "burn_in = 0").replace("thin = 30", "thin = 1"))
    said = sample(path, output=tmp_path / "short").said
    assert any("have not mixed" in sentence for sentence in said)
    path.write_text(PROBLEM.replace("thin = 30", "thin = 100"))
    said = sample(path, output=tmp_path / "long").said
    assert any(sentence.startswith("R-hat 1.0") for sentence in said)
    assert not any("have not mixed" in sentence for sentence in said)


def test_a_deviation_takes_two_draws(problem, tmp_path):
    problem.write_text(PROBLEM.replace("draws = 40", "draws = 1").replace("chains = 4", "chains = 1"))
    with pytest.raises(DataError, match="two draws at least"):
        sample(problem, output=tmp_path / "out")
    problem.write_text(PROBLEM.replace("draws = 40", "draws = 1"))
    made = sample(problem, output=tmp_path / "out")
    torch.testing.assert_close(made.std, made.chain.draws[0].std(0))


MASKED = """
[image]
file = "x.npy"
[operator]
name = "mask"
mask = { generator = "mask_random", shape = [1, 8, 8], keep = 0.5 }
[noise]
name = "gaussian"
sigma = 0.1
[metrics.psnr]
data_range = 1.0
"""


def test_a_drawn_mask_has_a_batch_of_its_own(problem, tmp_path):
    """It is compared with the image, and nothing is lost after the work is done."""
    problem.write_text(MASKED)
    assert run(problem, output=tmp_path / "run").metrics["psnr"].shape == (1,)
    sampler = PROBLEM[PROBLEM.index("[sampler]") :].replace("draws = 40", "draws = 4")
    problem.write_text(MASKED + sampler)
    made = sample(problem, output=tmp_path / "sample")
    assert made.metrics["psnr"].shape == (1,) and made.mean.shape == (1, 1, 8, 8)
