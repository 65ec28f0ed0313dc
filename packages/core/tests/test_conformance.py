"""Every component of invcore against the conformance kit."""

from invcore.testing import parametrize_with_checks


@parametrize_with_checks("invcore")
def test_conformance(check):
    check()
