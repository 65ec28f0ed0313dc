"""Every file of fitted numbers in the wheel has a card, with its digest and the tool that makes it again."""

import hashlib
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import invcore
from invcore_testsupport import measured

SOURCE = Path(invcore.__file__).parent
ROOT = Path(__file__).parents[3]
CARDS = sorted(SOURCE.rglob("*.card.toml"))
KINDS = (".npz", ".npy", ".safetensors", ".pt", ".pth", ".mat")


def card_of(path):
    return tomllib.loads(path.read_text(encoding="utf-8"))


def digest(*paths):
    whole = hashlib.sha256()
    for path in paths:
        whole.update(path.read_bytes())
    return whole.hexdigest()


def test_every_fitted_file_has_a_card():
    fitted = {p for p in SOURCE.rglob("*") if p.suffix in KINDS and "_template" not in p.parts}
    assert fitted == {path.with_name(card_of(path)["file"]) for path in CARDS}
    assert len(fitted) == 3


@pytest.mark.parametrize("path", CARDS, ids=lambda p: p.name)
def test_a_card_names_pictures_terms_tool_and_the_digest_of_its_file(path):
    card = card_of(path)
    assert set(card) == {
        *("file", "sha256", "date", "what", "pictures", "pictures_sha256", "terms", "how", "tool", "limits")
    }
    assert card["sha256"] == digest(path.with_name(card["file"]))
    assert (ROOT / card["tool"]).is_file()


def test_the_pictures_are_the_ones_that_the_cards_name():
    pictures = sorted(measured("images/train400").glob("*.png"))
    assert {card_of(path)["pictures_sha256"] for path in CARDS} == {digest(*pictures)}


@pytest.mark.slow
@pytest.mark.parametrize("tool", sorted({card_of(path)["tool"] for path in CARDS}))
def test_the_tool_makes_the_same_file_to_the_bit(tool, tmp_path):
    """In a copy of the sources, as the tool may write into them. A quarter of an hour for EPLL."""
    pictures, package = measured("images/train400"), tmp_path / "packages/core/src/invcore"
    shutil.copytree(SOURCE, package)
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    made = [path for path in CARDS if card_of(path)["tool"] == tool]
    there = [package / path.relative_to(SOURCE).with_name(card_of(path)["file"]) for path in made]
    for file in there:
        file.unlink()
    command = [sys.executable, str(tmp_path / tool), str(pictures), *map(str, there[:1])]
    environment = {**os.environ, "PYTHONPATH": str(package.parent)}
    subprocess.run(command, check=True, env=environment, capture_output=True, cwd=tmp_path)
    assert [digest(file) for file in there] == [card_of(path)["sha256"] for path in made]
