"""The Python blocks of README.md and of the pages in docs/ run, in order, in an empty folder.

A block fenced as ``python`` is executed; later blocks of a page see the names of earlier ones.
The two shell commands that open the README are the ones the project's own checks use.
"""

import re
import sys
import types
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FENCE = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page, language):
    text = page.read_text()
    for match in FENCE.finditer(text):
        if match[1] == language:
            yield text[: match.start()].count("\n") + 1, match[2]


PAGES = [ROOT / "README.md", *sorted(p for p in ROOT.glob("docs/**/*.md") if "generated" not in p.parts)]
PAGES = [page for page in PAGES if "_build" not in page.parts and any(blocks(page, "python"))]


@pytest.mark.parametrize("page", PAGES, ids=[p.relative_to(ROOT).as_posix() for p in PAGES])
def test_python_blocks_run(page, tmp_path, monkeypatch):
    script = ""
    for line, source in blocks(page, "python"):
        script += "\n" * (line - script.count("\n")) + source  # a traceback then names the line of the page
    monkeypatch.chdir(tmp_path)
    module = types.ModuleType("page")
    monkeypatch.setitem(sys.modules, "page", module)
    exec(compile(script, page, "exec"), vars(module))


def test_readme_opens_with_the_two_commands():
    lines = [
        line
        for _, block in blocks(ROOT / "README.md", "sh")
        for line in block.splitlines()
        if line.strip() and not line.lstrip().startswith("#") and not line.startswith(("git clone", "cd "))
    ]
    assert lines[:2] == ["python -m pip install nox && nox -s quickstart", "nox -s tests"]
