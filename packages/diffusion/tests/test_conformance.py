"""Every component of invcore-diffusion against the conformance kit."""

from invcore.testing import parametrize_with_checks


@parametrize_with_checks("invcore-diffusion")
def test_conformance(check):
    check()
