"""What a new package must bring beside its folder: a line in core's extras, a row in the README, the files of
its neighbors."""

import importlib.util
import re
import tomllib
from pathlib import Path

import pytest

import invcore

ROOT = Path(__file__).parents[1]
PACKAGES = sorted(path.parent.name for path in ROOT.glob("packages/*/pyproject.toml"))


@pytest.mark.parametrize("package", PACKAGES)
def test_has_the_files_of_its_neighbors(package):
    folder = ROOT / "packages" / package
    name = "invcore" if package == "core" else f"invcore_{package}"
    source = folder / "src" / name
    wanted = [
        folder / "README.md",
        folder / "LICENSE",
        folder / "tests",
        source / "_plugin.py",
        source / "_examples",
    ]
    wanted += [source / file for file in ("__init__.py", "__init__.pyi", "py.typed")]
    if package not in ("core", "learning", "diffusion"):  # those of an instrument
        wanted += [source / "_demo.py", source / "_io" / "acquire.py"]
    assert [path for path in wanted if not path.exists()] == []


@pytest.mark.parametrize("package", PACKAGES)
def test_readme_has_a_row(package):
    name = "invcore" if package == "core" else f"invcore-{package}"
    assert f"| `{name}` |" in (ROOT / "README.md").read_text()


@pytest.mark.parametrize("package", PACKAGES)
def test_metadata_is_complete(package):
    project = tomllib.loads((ROOT / "packages" / package / "pyproject.toml").read_text())["project"]
    assert {"description", "readme", "license", "keywords", "classifiers", "urls"} <= set(project)


def test_every_component_has_examples():
    assert [component.name for component in invcore.components() if not component.examples] == []


def _bump():
    spec = importlib.util.spec_from_file_location("bump_version", ROOT / "tools/bump_version.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def copy(tmp_path):
    for path in [*ROOT.glob("packages/*/pyproject.toml"), *ROOT.glob("packages/*/src/*/__init__.py")]:
        target = tmp_path / path.relative_to(ROOT)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(path.read_bytes())
    for name in ("CHANGELOG.md", "CITATION.cff"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    return tmp_path


def test_a_release_bumps_every_version(copy):
    import datetime

    old = tomllib.loads((copy / "packages/core/pyproject.toml").read_text())["project"]["version"]
    _bump().bump(copy, "9.8.7", datetime.date(2030, 1, 2))
    for path in copy.glob("packages/*/pyproject.toml"):
        text = path.read_text()
        assert tomllib.loads(text)["project"]["version"] == "9.8.7"
        assert not re.search(rf"invcore[\w\[\]-]*=={re.escape(old)}", text)
    for path in copy.glob("packages/*/src/*/__init__.py"):
        assert '__version__ = "9.8.7"' in path.read_text()
    assert "version: 9.8.7" in (copy / "CITATION.cff").read_text()
    assert "## Unreleased\n\n## 9.8.7 (2030-01-02)\n" in (copy / "CHANGELOG.md").read_text()


@pytest.mark.parametrize("version", ["1", "v1.2.3", "1.2.3.4", "next"])
def test_a_release_refuses_what_is_no_version(copy, version):
    import datetime

    with pytest.raises(ValueError, match="no version"):
        _bump().bump(copy, version, datetime.date(2030, 1, 2))
