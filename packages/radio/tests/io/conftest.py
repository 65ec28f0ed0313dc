"""Sample files of optical interferometry."""

import pytest

from invcore_radio._examples.optical import oifits


@pytest.fixture
def sample(tmp_path):
    """An OIFITS file of a binary star."""
    return oifits()["binary star"](tmp_path)
