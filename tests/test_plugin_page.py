"""The plugin printed in docs/howto/write-a-plugin.md is found, listed and checked, exactly as printed."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "write-a-plugin.md"
FILE = re.compile(r"^```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture
def installed(tmp_path):
    """The page's files, installed by hand: the sources, and the metadata that pip would write."""
    files = dict(FILE.findall(PAGE.read_text()))
    assert len(files) == 4
    project = tomllib.loads(files.pop("pyproject.toml"))["project"]
    for name, text in files.items():
        path = tmp_path / Path(name).relative_to("src")
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    info = tmp_path / f"{project['name'].replace('-', '_')}-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n"
    )
    ((name, module),) = project["entry-points"]["invcore"].items()
    (info / "entry_points.txt").write_text(f"[invcore]\n{name} = {module}\n")
    return tmp_path


def run(folder, *arguments):
    env = {**os.environ, "PYTHONPATH": str(folder)}
    return subprocess.run([sys.executable, *arguments], capture_output=True, text=True, env=env, timeout=300)


def invcore(folder, *arguments):
    return run(folder, "-c", "from invcore.cli import main; main()", *arguments)


def test_it_is_listed_and_passes_the_kit(installed):
    listing = invcore(installed, "list", "operator")
    assert "acme.gain" in listing.stdout, listing.stderr
    check = invcore(installed, "check", "acme.gain")
    assert check.returncode == 0, check.stdout + check.stderr


def test_it_is_made_by_name(installed):
    code = (
        "import torch, invcore; A = invcore.operator('acme.gain', gain=torch.full((1, 2, 2), 3.), "
        "domain=invcore.Space((1, 2, 2))); print(A(torch.ones(1, 2, 2)).sum().item())"
    )
    result = run(installed, "-c", code)
    assert result.stdout.strip() == "12.0", result.stderr
