"""The plugin that ``invcore new-plugin`` writes is built, installed, listed, and tested by the kit."""

import os
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from invcore import ParameterError
from invcore.cli._new_plugin import render

ROOT = Path(__file__).parents[1]
COMPONENTS = (
    "flatfield",
    "read_noise",
    "smooth",
    "barzilai_borwein",
    "patch_wiener",
    "edge_error",
    "camera",
    "disks",
)
PACKAGES = sorted(path.parent for path in ROOT.glob("packages/*/pyproject.toml"))


def run(*words, **options):
    done = subprocess.run(words, capture_output=True, text=True, timeout=600, **options)
    assert done.returncode == 0, f"{words}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def build(folder, *projects):
    """Build the wheels of some projects into a folder, with the build backend that is installed here."""
    pytest.importorskip("hatchling", reason="building wheels without network needs hatchling")
    sources = [str(project) for project in projects]
    pip = (sys.executable, "-m", "pip", "wheel", "-q", "--no-build-isolation", "--no-deps", "--no-index")
    run(*pip, "-w", str(folder), *sources)
    return sorted(folder.glob("*.whl"))


@pytest.fixture(scope="module")
def plugin(tmp_path_factory):
    """The rendered project, with a component of every kind that the template has."""
    folder = tmp_path_factory.mktemp("template") / "invcore-lab"
    run(sys.executable, "-m", "invcore.cli", "new-plugin", str(folder), "--kind", "all")
    return folder


def conforms(python, project, **options):
    """What a plugin's author does next: list it, run its tests, which run the kit."""
    listing = run(python, "-m", "invcore.cli", "list", "--plugin", "invcore-lab", **options)
    assert all(f"lab.{name}" in listing for name in COMPONENTS)
    assert "available" in listing
    doctor = run(python, "-m", "invcore.cli", "doctor", **options)
    assert "lab = invcore_lab._plugin" in doctor
    tests = run(python, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project), **options)
    assert " passed" in tests
    assert "failed" not in tests


def test_it_is_formatted_and_clean(plugin):
    pytest.importorskip("ruff", reason="style is checked where ruff is installed")
    ruff = (sys.executable, "-m", "ruff")
    run(
        *ruff,
        "check",
        "--isolated",
        "--select",
        "E,F,W,I,UP,B,D1",
        "--ignore",
        "D102,D103,D105",
        str(plugin),
        "--line-length",
        "110",
    )
    run(*ruff, "format", "--isolated", "--check", "--line-length", "110", str(plugin))


@pytest.mark.parametrize("kind", ["prior", "reader", "dataset"])
def test_a_plugin_of_one_kind_holds_that_kind_only(kind):
    files = render("lab", [kind])
    table = files["src/invcore_lab/_plugin.py"].decode()
    kinds = {"dataset": ["reader", "dataset"]}.get(kind, [kind])
    assert re.findall(r"plugin\.(\w+)\(", table) == kinds
    modules = {
        Path(name).stem for name in files if name.startswith("src/invcore_lab/") and name.count("/") == 2
    }
    assert modules == {"__init__", "_plugin", *kinds}
    assert files.keys() >= {f"tests/test_{kind}.py" for kind in kinds}


def test_an_unknown_kind_is_refused_with_those_there_are():
    with pytest.raises(ParameterError, match="the template has no 'sampler': --kind takes operator, noise"):
        render("lab", ["sampler"])


def test_it_builds_and_passes_its_tests(plugin, tmp_path):
    (wheel,) = build(tmp_path, plugin)
    target = tmp_path / "target"
    pip = (sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--no-index")
    run(*pip, "--target", str(target), str(wheel))
    assert (target / "invcore_lab" / "_plugin.py").exists()
    shutil.copytree(plugin / "tests", tmp_path / "tests")
    path = os.pathsep.join([str(target), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
    conforms(sys.executable, tmp_path / "tests", env=env, cwd=tmp_path)


@pytest.mark.slow
def test_it_works_in_a_clean_environment_with_our_wheels(plugin, tmp_path):
    """Our packages and the plugin are installed from wheels; third-party ones are borrowed from this
    environment."""
    wheels = build(tmp_path / "dist", *PACKAGES, plugin)
    assert len(wheels) == len(PACKAGES) + 1
    venv.create(tmp_path / "venv", with_pip=True, symlinks=os.name != "nt")
    scripts = "Scripts" if os.name == "nt" else "bin"
    python = str(tmp_path / "venv" / scripts / "python")
    env = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "INVCORE"))}
    pip = (python, "-m", "pip", "install", "-q", "--no-deps", "--no-index")
    run(*pip, *(str(wheel) for wheel in wheels), env=env, cwd=tmp_path)

    # A path in a .pth file comes after the environment's own packages, and the .pth files found there, which
    # would bring in the editable installation, are not followed.
    where = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", env=env).strip()
    borrowed = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    (Path(where) / "borrowed.pth").write_text("\n".join(sorted(borrowed)) + "\n")
    found = run(python, "-c", "import invcore; print(invcore.__file__)", env=env, cwd=tmp_path)
    assert found.startswith(str(tmp_path / "venv"))
    run(
        python,
        "-m",
        "invcore.cli",
        "new-plugin",
        "again",
        "--name",
        "lab",
        "--kind",
        "all",
        env=env,
        cwd=tmp_path,
    )
    files = lambda folder: {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}
    assert files(tmp_path / "again") == files(plugin)
    conforms(python, tmp_path / "again" / "tests", env=env, cwd=tmp_path)
    report = run(python, "-m", "invcore.cli", "check", "invcore-lab", env=env, cwd=tmp_path)
    assert f"{len(COMPONENTS)} components:" in report
    assert "failed" not in report
