"""Every component of invcore-mri against the conformance kit."""

import pytest

from invcore.testing import parametrize_with_checks


@parametrize_with_checks("invcore-mri", examples="first")
def test_conformance(check):
    check()


@pytest.mark.slow
@parametrize_with_checks("invcore-mri", examples="further")
def test_conformance_of_further_examples(check):
    check()
