"""Importing, listing and the listing command load neither torch nor numpy."""

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = (
    "torch",
    "numpy",
    "matplotlib",
    "h5py",
    "pywt",
    "sigpy",
    "scipy",
    "numba",
    "nibabel",
    "ducc0",
    "astropy",
)

PACKAGES = sorted(path.name for path in Path(__file__).parents[1].glob("packages/*/src/invcore*"))

LIGHT = {
    **{f"import {name}": f"import {name}" for name in PACKAGES},
    "plugin interface": "import invcore.plugin",
    "components()": "import invcore; assert invcore.components()",
    "dir()": "import invcore; dir(invcore)",
    "an error class": "from invcore import ShapeError",
    "temporary plugin": "from invcore.testing import temporary_plugin\nwith temporary_plugin([]): pass",
    "missing name": "import invcore\n"
    "try: invcore.operator('nothing')\nexcept invcore.UnknownComponentError: pass",
    "invcore doctor": "from invcore.cli import main\ntry: main(['doctor'])\nexcept SystemExit: pass",
    "invcore list": "from invcore.cli import main\n"
    "try: main(['list'])\nexcept SystemExit as e: assert not e.code",
    "invcore --help": "from invcore.cli import main\n"
    "try: main(['--help'])\nexcept SystemExit as e: assert not e.code",
}


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT)
def test_loads_nothing_heavy(code):
    check = (
        f"{code}\nimport sys\nloaded = sorted(set(sys.modules) & set({HEAVY!r}))\nassert not loaded, loaded"
    )
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_computing_needs_neither_torchvision_nor_matplotlib():
    code = (
        "import sys; sys.modules.update(torchvision=None, matplotlib=None)\n"
        "from invcore.metrics import PSNR; from invcore.operators import Mask; from invcore.solvers import "
        "FISTA"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


def test_solving_and_unrolling_import_no_symbolic_mathematics():
    code = """
import sys, torch
from invcore import Physics
from invcore.noises import PoissonNoise
from invcore.operators import Convolution
from invcore.priors import L1, TV
from invcore.solvers import ADMM, FISTA, RichardsonLucy
y = torch.rand(2, 1, 8, 8, requires_grad=True)
blur = Physics(Convolution(torch.ones(2, 1, 3, 3) / 9, (1, 8, 8)))
for solver in (FISTA(prior=TV(), weight=0.1, max_steps=2), ADMM(prior=L1(), weight=0.1, max_steps=2)):
    solver(y.detach(), blur)
RichardsonLucy(max_steps=2)(y.detach(), Physics(blur.operator, PoissonNoise()))
FISTA(prior=L1(), weight=0.1, max_steps=2).solve(y, blur, differentiate="unroll").value.sum().backward()
assert "sympy" not in sys.modules
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
