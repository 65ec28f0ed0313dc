"""Every component of invcore-mri against the conformance kit."""

import pytest

import invcore
from invcore.testing import parametrize_with_checks

pytestmark = pytest.mark.usefixtures("one_thread")


@parametrize_with_checks("invcore-mri")
def test_conformance(check):
    check()


def test_every_component_has_examples():
    assert [c.name for c in invcore.components(plugin="invcore-mri") if not c.examples] == []
