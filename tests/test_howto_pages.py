"""The examples of pages in docs/howto give what is printed there."""

import doctest
from pathlib import Path

import pytest
import torch

HOWTO = Path(__file__).parents[1] / "docs" / "howto"


@pytest.mark.parametrize("name, least", [("compose", 20), ("train", 20), ("bilevel", 20)])
def test_examples_give_what_is_printed(name, least):
    with torch.random.fork_rng():
        found = doctest.testfile(str(HOWTO / f"{name}.md"), module_relative=False, encoding="utf-8")
    assert found.attempted > least and not found.failed
