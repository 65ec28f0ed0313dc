"""What must stay light stays light: no torch and no numpy on import, when listing, or in the listing command."""

import subprocess
import sys

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

LIGHT = {
    "import invcore": "import invcore",
    "import invcore_mri": "import invcore_mri",
    "import invcore_tomography": "import invcore_tomography",
    "import invcore_radio": "import invcore_radio",
    "import invcore_lidar": "import invcore_lidar",
    "plugin interface": "import invcore.plugin",
    "components()": "import invcore; assert invcore.components()",
    "dir()": "import invcore; dir(invcore)",
    "an error class": "from invcore import ShapeError",
    "temporary plugin": "from invcore.testing import temporary_plugin\nwith temporary_plugin([]): pass",
    "missing name": "import invcore\ntry: invcore.operator('nothing')\nexcept invcore.UnknownComponentError: pass",
    "invcore doctor": "from invcore.cli import main\ntry: main(['doctor'])\nexcept SystemExit: pass",
    "invcore list": "from invcore.cli import main\ntry: main(['list'])\nexcept SystemExit as e: assert not e.code",
    "invcore --help": "from invcore.cli import main\ntry: main(['--help'])\nexcept SystemExit as e: assert not e.code",
}


@pytest.mark.parametrize("code", LIGHT.values(), ids=LIGHT)
def test_loads_nothing_heavy(code):
    check = (
        f"{code}\nimport sys\nloaded = sorted(set(sys.modules) & set({HEAVY!r}))\nassert not loaded, loaded"
    )
    result = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
