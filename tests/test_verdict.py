"""How far to believe a result: how the solve ended, and whether the image explains the data."""

import os
import signal
import threading

import pytest
import torch

from invcore import Physics, reconstruct
from invcore.io import Acquisition
from invcore.noises import BlockNoise, GaussianNoise, NoNoise, PoissonNoise
from invcore.operators import Identity, Mask, stack


@pytest.fixture
def solved(tmp_path, monkeypatch):
    def carry_out(y, physics, solver, **given):
        acquisition = Acquisition(y=y, physics=physics, solver=solver)
        monkeypatch.setattr("invcore.run._measure.read", lambda *a, **k: acquisition)
        said = []
        result = reconstruct("scan", output=tmp_path, say=said.append, **given)
        return result, "\n".join(said), (tmp_path / "report.html").read_text()

    return carry_out


def test_fit_of_gaussian_data(solved):
    """χ²/N of a mask of complex samples: shrinking by 1/(1 + w) leaves (w/(1 + w))² |y|²/σ²."""
    mask = (torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0)) > 0.7).float()
    physics = Physics(Mask(mask=mask, domain=(1, 16, 16)), GaussianNoise(sigma=0.5))
    y = 3.0 * mask
    result, said, page = solved(y, physics, {"name": "cg", "rtol": 1e-6, "weight": 4.0})  # λσ² = 1
    n = int(mask.sum())
    assert (result.fit.name, result.fit.samples) == ("χ²/N", n)
    assert result.fit.value == pytest.approx((3.0 / 2 / 0.5) ** 2, rel=1e-4)
    for text in (said, page):
        assert "χ²/N = 9" in text and "cg: converged after" in text and "wanted 1e-06" in text
        assert "9 times the noise" in text  # what to try
    assert result.provenance["parameters"]["fit"]["samples"] == n


def test_fit_of_blocks_counts_all_of_them(solved):
    """x = (y₁/σ₁² + y₂/σ₂²)/(1/σ₁² + 1/σ₂² + λ) of two measurements of the same pixels, here with λ = 1."""
    eye = Identity((1, 4, 4))
    noise = BlockNoise((GaussianNoise(sigma=1.0), GaussianNoise(sigma=2.0)))
    y = (torch.full((1, 4, 4), 9.0), torch.zeros(1, 4, 4))
    solver = {"name": "lbfgs", "prior": "tikhonov", "weight": 1.0, "rtol": 1e-7}
    result, *_ = solved(y, Physics(stack([eye, eye]), noise), solver)
    x = 9.0 / 2.25
    assert (result.fit.name, result.fit.samples) == ("χ²/N", 32)
    assert result.fit.value == pytest.approx(((9 - x) ** 2 + (x / 2) ** 2) / 2, rel=1e-5)


def test_fit_of_counts_is_the_deviance(solved):
    y = torch.poisson(torch.full((1, 64, 64), 50.0), generator=torch.Generator().manual_seed(0))
    solver = {"name": "richardson_lucy", "max_steps": 1}
    result, *_ = solved(y, Physics(Identity((1, 64, 64)), PoissonNoise(gain=1.0)), solver)
    u = result.solution.value.double()
    deviance = 2 * (torch.xlogy(y.double(), y.double() / u) - y.double() + u).sum() / y.numel()
    assert result.fit.name == "deviance/N"
    assert result.fit.value == pytest.approx(float(deviance), abs=1e-5)


def test_the_deviance_of_few_counts_gives_no_advice(solved):
    y = torch.poisson(torch.full((1, 64, 64), 0.02), generator=torch.Generator().manual_seed(0))
    solver = {"name": "richardson_lucy"}
    physics = Physics(Identity((1, 64, 64)), PoissonNoise(gain=1.0))
    result, said, _ = solved(y, physics, solver, max_steps=1)
    assert not result.fit.telling
    assert "few counts" in said and "larger --weight" not in said


def test_no_fit_without_a_noise(solved):
    result, said, _ = solved(
        torch.ones(1, 8, 8), Physics(Identity((1, 8, 8)), NoNoise()), {"name": "cg", "weight": 1.0}
    )
    assert result.fit is None and "fit: not judged" in said


def test_a_step_limit_is_said_as_the_option_that_it_is(solved):
    y = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.linspace(0.1, 1, 256).reshape(1, 16, 16)
    physics = Physics(Mask(mask=mask, domain=(1, 16, 16)), GaussianNoise(sigma=0.1))
    _, said, _ = solved(y, physics, {"name": "fista", "weight": 1.0}, max_steps=3, rtol=1e-5)
    assert "stopped at --max-steps 3 before converging (change" in said
    assert "wanted 1e-05" in said and "try: a higher --max-steps" in said


def test_the_first_ctrl_c_writes_what_there_is(solved):
    """The solver stops after the step that runs, and the handler of before is back."""
    before = signal.getsignal(signal.SIGINT)
    y = torch.rand(1, 16, 16, generator=torch.Generator().manual_seed(0))
    mask = torch.linspace(0.01, 1, 256).reshape(1, 16, 16)
    physics = Physics(Mask(mask=mask, domain=(1, 16, 16)), GaussianNoise(sigma=0.1))
    threading.Timer(0.5, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    solver = {"name": "pgd", "rtol": 0.0, "weight": 1.0, "max_steps": 10**9}
    result, said, page = solved(y, physics, solver, stoppable=True)
    assert result.interrupted and result.steps > 0
    assert "interrupted after" in said and "interrupted after" in page
    assert result.provenance["parameters"]["status"] == "INTERRUPTED"
    assert result.files["image"].exists()
    assert signal.getsignal(signal.SIGINT) is before
