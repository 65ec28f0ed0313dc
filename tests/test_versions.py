"""One version everywhere: distributions, pins between them, ``__version__``; bounds that match min.txt."""

import importlib
import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PROJECTS = {
    p.parent.name: tomllib.loads(p.read_text())["project"]
    for p in sorted(ROOT.glob("packages/*/pyproject.toml"))
}
CORE = PROJECTS["core"]


def requirements(project):
    yield from project["dependencies"]
    for extra in project.get("optional-dependencies", {}).values():
        yield from extra


@pytest.mark.parametrize("name", PROJECTS)
def test_version_is_the_cores(name):
    project = PROJECTS[name]
    assert project["version"] == CORE["version"]
    module = "invcore" if name == "core" else f"invcore_{name}"
    assert importlib.import_module(module).__version__ == CORE["version"]


@pytest.mark.parametrize("name", PROJECTS)
def test_pins_between_our_distributions_are_exact(name):
    ours = [r for r in requirements(PROJECTS[name]) if r.startswith("invcore")]
    assert all(re.fullmatch(rf"invcore[-\w]*(\[[\w,]+\])?=={re.escape(CORE['version'])}", r) for r in ours), (
        ours
    )
    if name != "core":
        assert any(re.match(r"invcore==", r) for r in PROJECTS[name]["dependencies"])


@pytest.mark.parametrize("name", [n for n in PROJECTS if n != "core"])
def test_every_package_has_an_extra(name):
    assert f"invcore-{name}=={CORE['version']}" in CORE["optional-dependencies"][name]


def test_lowest_versions_are_the_stated_bounds():
    """constraints/min.txt pins exactly the lower bounds that the packages state."""
    lowest = dict(
        line.lower().split("==")
        for line in (ROOT / "constraints/min.txt").read_text().split()
        if "==" in line
    )
    bounds = {}
    for project in PROJECTS.values():
        for requirement in requirements(project):
            if match := re.match(r"([\w-]+)[^>=]*>=([\d.]+)", requirement):
                name, version = match[1].lower(), match[2]
                assert bounds.setdefault(name, version) == version, f"{name} has two lower bounds"
    bounds.pop("pytest", None)

    def padded(version):
        return tuple(int(part) for part in (version + ".0.0").split(".")[:3])

    assert {name: padded(v) for name, v in bounds.items()} == {name: padded(lowest[name]) for name in bounds}
