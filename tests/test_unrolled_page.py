"""The examples of docs/howto/unrolled.md give what is printed there."""

import doctest
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "howto" / "unrolled.md"


def test_examples_give_what_is_printed():
    found = doctest.testfile(str(PAGE), module_relative=False, encoding="utf-8")
    assert found.attempted > 40 and not found.failed
