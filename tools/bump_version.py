"""Give every package of the repository one version, and close the changelog: ``python tools/bump_version.py
0.2.0``."""

import datetime
import re
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r"\d+\.\d+\.\d+((a|b|rc)\d+)?")


def bump(root: Path, new: str, today: datetime.date) -> list[Path]:
    """Write the version ``new`` wherever the current one stands; return the files that changed.

    Raises
    ------
    ValueError
        If ``new`` is no version, is the current one, or the changelog has nothing under "Unreleased".
    """
    if not VERSION.fullmatch(new):
        raise ValueError(f"{new!r} is no version such as 0.2.0 or 0.2.0rc1")
    core = (root / "packages/core/pyproject.toml").read_text()
    old = re.search(r'^version = "(.+)"$', core, re.MULTILINE)[1]
    if new == old:
        raise ValueError(f"the version is {old} already")
    changed = {}
    for path in [
        *root.glob("packages/*/pyproject.toml"),
        *root.glob("packages/*/src/*/__init__.py"),
        root / "CITATION.cff",
    ]:
        text = path.read_text()
        pattern = rf'((?:^version = "|^version: |^__version__ = "|"invcore[^"]*==)){re.escape(old)}'
        changed[path] = re.sub(pattern, rf"\g<1>{new}", text, flags=re.MULTILINE)
    log = root / "CHANGELOG.md"
    text = log.read_text()
    body = re.search(r"^## Unreleased\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL)
    if body is None or not body[1].strip():
        raise ValueError('CHANGELOG.md has nothing under "## Unreleased"')
    changed[log] = text.replace("## Unreleased\n", f"## Unreleased\n\n## {new} ({today.isoformat()})\n", 1)
    for path, text in changed.items():
        path.write_text(text)
    return list(changed)


if __name__ == "__main__":
    for file in bump(ROOT, sys.argv[1], datetime.date.today()):
        print(file.relative_to(ROOT))
