"""Every component of invcore-radio against the conformance kit."""

import pytest

from invcore.testing import parametrize_with_checks


@parametrize_with_checks("invcore-radio", examples="first")
def test_conformance(check):
    check()


@pytest.mark.slow
@parametrize_with_checks("invcore-radio", examples="further")
def test_conformance_of_further_examples(check):
    check()
