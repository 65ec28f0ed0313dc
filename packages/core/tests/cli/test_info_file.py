"""`invcore info FILE`, and the estimate of how long a solve takes."""

import numpy as np
import pytest
import torch

import invcore
from invcore import DataError, Physics
from invcore.io import Acquisition, Reader
from invcore.noises import GaussianNoise
from invcore.operators import Convolution
from invcore.plugin import Component
from invcore.run._estimate import _steps, estimate
from invcore.testing import temporary_plugin
from invcore_testsupport import rng


class Numbers(Reader):
    """Numbers in a file."""

    from dataclasses import dataclass

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """Options.

        Parameters
        ----------
        row : int, optional
            The row to read.
        """

        row: int | None = None

    def sniff(self, path):
        return path.suffix == ".numbers"

    def _read(self, path, options):
        if options.row is None:
            raise DataError(f"{path} has 2 rows: row= chooses")
        return Acquisition(
            y=torch.ones(1, 8, 8), physics=blur(), metadata={"maker": "us"}, solver={"name": "cg"},
            left_out=("1 of 2 rows used; row= chooses",),
        )  # fmt: skip


def blur():
    kernel = torch.ones(1, 1, 3, 3) / 9
    return Physics(
        Convolution(kernel=kernel, domain=(1, 8, 8), boundary="circular"), GaussianNoise(sigma=0.1)
    )


@pytest.fixture
def numbers(tmp_path):
    (tmp_path / "x.numbers").write_text("1 2")
    component = Component("reader", "demo.numbers", f"{__name__}:Numbers", summary="Rows of numbers")
    with temporary_plugin([component]):
        yield str(tmp_path / "x.numbers")


def test_info_of_a_file_says_what_it_is_and_what_would_be_done(command, numbers):
    code, out, err = command("info", numbers, "--option", "row=1")
    assert (code, err) == (0, "")
    for text in (
        "demo.numbers: Rows of numbers (invcore-temporary 0)",
        "not all of the file: 1 of 2 rows used; row= chooses",
        "image    (1, 8, 8) real",
        "maker  us",
        'name = "cg"',
        "rtol = 0.001",  # what reconstruct fills in
        "row: int | None = None\n      The row to read.",
        "it came to its end",
    ):
        assert text in out


def test_info_of_a_file_that_needs_an_option_shows_the_options(command, numbers):
    code, out, err = command("info", numbers)
    assert code == 1
    assert "demo.numbers: Rows of numbers" in out and "The row to read." in out
    assert "has 2 rows: row= chooses" in err


def test_a_file_is_told_from_a_component(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tv").write_text("a file with the name of a prior")
    assert command("info", "tv")[1].startswith("prior tv")
    assert "no installed reader recognizes this file" in command("info", "./tv")[2]
    assert "does not exist" in command("info", "folder/scan.h5")[2]


@pytest.mark.parametrize("power", [1.0, 2.0])
def test_steps_are_extrapolated_along_a_power_law(power):
    changes = [0.3 * k**-power for k in range(1, 31)]
    assert _steps(changes, 1e-4, 10**6) == pytest.approx((0.3 / 1e-4) ** (1 / power), rel=0.02)
    assert _steps(changes, 1e-4, 50) == 50


def test_a_solve_that_ends_is_counted():
    solver = {"name": "cg", "rtol": 1e-6, "weight": 0.1}
    acquisition = Acquisition(y=torch.rand(1, 8, 8, generator=rng()), physics=blur())
    found = estimate({"solver": solver, "seed": 0}, acquisition)
    solution = invcore.solver("cg", rtol=1e-6, weight=0.1).solve(acquisition.y, acquisition.physics)
    assert found.counted and found.steps == int(solution.stats["steps"])
    assert np.isfinite(found.seconds)
