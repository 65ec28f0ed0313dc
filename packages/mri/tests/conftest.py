import pytest

from invcore_testsupport import measured


@pytest.fixture(scope="session")
def mri_data():
    """Folder of measured scans; tests that need it skip where it is absent."""
    return measured("mri")
