"""Every component of invcore-learning against the conformance kit."""

import pytest

from invcore.testing import parametrize_with_checks

EXPECTED = {
    "learning.unknown_variance": {
        "every_weight_learns": "the variance is a weight that the loss UNSURE reaches, not the reconstruction"
    }
}


@parametrize_with_checks("invcore-learning", expected_failures=EXPECTED, examples="first")
def test_conformance(check):
    check()


@pytest.mark.slow
@parametrize_with_checks("invcore-learning", expected_failures=EXPECTED, examples="further")
def test_conformance_of_further_examples(check):
    check()
