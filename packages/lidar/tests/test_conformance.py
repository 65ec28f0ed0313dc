"""Every component of invcore-lidar against the conformance kit."""

import pytest
import torch

import invcore
from invcore.testing import parametrize_with_checks


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """The problems are tiny: threads would only wait for each other."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@parametrize_with_checks("invcore-lidar")
def test_conformance(check):
    check()


def test_every_component_has_examples():
    assert [c.name for c in invcore.components(plugin="invcore-lidar") if not c.examples] == []
