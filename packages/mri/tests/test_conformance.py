"""Every component of invcore-mri against the conformance kit."""

from invcore.testing import parametrize_with_checks


@parametrize_with_checks("invcore-mri")
def test_conformance(check):
    check()
