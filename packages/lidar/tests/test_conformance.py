"""Every component of invcore-lidar against the conformance kit."""

from invcore.testing import parametrize_with_checks


@parametrize_with_checks("invcore-lidar")
def test_conformance(check):
    check()
