"""Every component of invcore-radio against the conformance kit."""

from invcore.testing import parametrize_with_checks


@parametrize_with_checks("invcore-radio")
def test_conformance(check):
    check()
