"""Every component of invcore-learning against the conformance kit."""

from invcore.testing import parametrize_with_checks


@parametrize_with_checks("invcore-learning")
def test_conformance(check):
    check()
