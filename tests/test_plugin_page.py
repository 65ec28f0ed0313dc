"""The plugin printed in docs/howto/write-a-plugin.md is found, listed and checked, exactly as printed."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "write-a-plugin.md"
FILE = re.compile(r"^```\{code-block\} \w+\n:caption: (\S+)\n\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The page's files, built into a wheel and installed into a folder."""
    pytest.importorskip("hatchling", reason="building wheels without network needs hatchling")
    project, target = tmp_path_factory.mktemp("page"), tmp_path_factory.mktemp("installed")
    files = dict(FILE.findall(PAGE.read_text()))
    assert len(files) == 4
    for name, text in files.items():
        path = project / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    pip = ("-m", "pip", "install", "-q", "--no-build-isolation", "--no-deps", "--no-index", "--target")
    done = run(target, *pip, str(target), str(project))
    assert done.returncode == 0, done.stderr
    return target


def run(folder, *arguments):
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    env = {**os.environ, "PYTHONPATH": path}
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


def test_a_listing_imports_no_torch(installed):
    code = "import sys, invcore; [c.name for c in invcore.components()]; print('torch' in sys.modules)"
    assert run(installed, "-c", code).stdout.strip() == "False"


PAGES = sorted(PAGE.parent.glob("plugins/*.md"))


@pytest.mark.parametrize("page", PAGES, ids=[page.stem for page in PAGES])
def test_a_page_shows_the_files_of_the_template(page):
    """Their code is what `invcore new-plugin` writes, and test_template.py builds and tests."""
    shown = re.findall(r"^```\{literalinclude\} (\S+)$", page.read_text(), re.MULTILINE)
    files = {(page.parent / name).resolve() for name in shown}
    assert {path.name for path in files} >= {f"{page.stem}.py.in", f"test_{page.stem}.py.in"}
    assert all(path.is_file() for path in files)
