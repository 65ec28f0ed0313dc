"""Every component of invcore-optics against the conformance kit."""

from invcore.testing import parametrize_with_checks

EXPECTED = {
    "optics.linear_sampling": {"it_restores": "its image says where the object is, not what its contrast is"}
}


@parametrize_with_checks("invcore-optics", expected_failures=EXPECTED)
def test_conformance(check):
    check()
