"""Every component of invcore-optics against the conformance kit."""

import pytest

from invcore.testing import parametrize_with_checks

EXPECTED = {
    "optics.linear_sampling": {"it_restores": "its image says where the object is, not what its contrast is"}
}


@parametrize_with_checks("invcore-optics", expected_failures=EXPECTED, examples="first")
def test_conformance(check):
    check()


@pytest.mark.slow
@parametrize_with_checks("invcore-optics", expected_failures=EXPECTED, examples="further")
def test_conformance_of_further_examples(check):
    check()
