"""Measured data: where they are, and the tests that need them skipped where they are missing."""

import pytest

import invcore_testsupport


@pytest.fixture(scope="session")
def measured():
    """Paths of measured files, by name in the data folder, such as ``radio/gravity.oifits``."""
    return invcore_testsupport.measured
