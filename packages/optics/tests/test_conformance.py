"""Every component of invcore-optics against the conformance kit."""

from invcore.testing import parametrize_with_checks


@parametrize_with_checks("invcore-optics")
def test_conformance(check):
    check()
