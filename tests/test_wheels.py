"""What a built distribution holds. ``nox -s wheels`` builds and names the folder in INVCORE_DIST."""

import os
import tarfile
import zipfile
from pathlib import Path

import pytest

FOLDER = os.environ.get("INVCORE_DIST")
pytestmark = pytest.mark.skipif(
    not FOLDER, reason="INVCORE_DIST names no folder of built wheels (nox -s wheels)"
)
ROOT = Path(__file__).parents[1]
PACKAGES = sorted(p.parent.name for p in ROOT.glob("packages/*/pyproject.toml"))


def module_name(package):
    return "invcore" if package == "core" else f"invcore_{package}"


def sources(package):
    """Files of the source tree that belong in the wheel, relative to ``src``."""
    src = ROOT / "packages" / package / "src"
    files = (p.relative_to(src).as_posix() for p in src.rglob("*") if p.is_file())
    hidden = (".", "__pycache__")  # .github is part of the template of plugins
    return {f for f in files if not any(p.startswith(hidden) and p != ".github" for p in f.split("/"))}


def wheel(package):
    (path,) = Path(FOLDER).glob(f"{module_name(package)}-[0-9]*.whl")
    return zipfile.ZipFile(path)


@pytest.mark.parametrize("package", PACKAGES)
def test_wheel_holds_the_sources_and_nothing_else(package):
    names = set(wheel(package).namelist())
    code = {n for n in names if ".dist-info/" not in n}
    assert code == sources(package)
    name = module_name(package)
    assert f"{name}/py.typed" in code
    assert f"{name}/__init__.pyi" in code
    assert any(n.endswith("licenses/LICENSE") for n in names)
    assert any(n.endswith("entry_points.txt") for n in names)


def test_core_wheel_holds_the_plugin_template():
    templates = ROOT / "packages/core/src/invcore"
    files = [
        p.relative_to(templates.parent).as_posix()
        for p in templates.rglob("*")
        if "template" in p.as_posix() and p.is_file()
    ]
    assert files
    assert {f for f in files if "__pycache__" not in f} <= set(wheel("core").namelist())


@pytest.mark.parametrize("package", PACKAGES)
def test_sdist_holds_sources_tests_and_license(package):
    (path,) = Path(FOLDER).glob(f"{module_name(package)}-[0-9]*.tar.gz")
    with tarfile.open(path) as archive:
        names = {n.split("/", 1)[1] for n in archive.getnames() if "/" in n}
    assert {f"src/{f}" for f in sources(package)} <= names
    assert {"LICENSE", "README.md", "pyproject.toml"} <= names
    assert any(n.startswith("tests/test_") for n in names)
