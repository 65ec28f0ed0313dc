"""Every component of invcore-tomography against the conformance kit."""

from invcore.testing import parametrize_with_checks


@parametrize_with_checks("invcore-tomography")
def test_conformance(check):
    check()
