import pytest
import torch

from invcore_tomography import shepp_logan


@pytest.fixture(scope="session")
def sinogram():
    """Exact parallel-beam line integrals around an axis at some column, of an object 70 columns in radius."""

    def exact(center, *, columns=201, views=180, span=torch.pi, phantom=None):
        phantom = phantom or shepp_logan(radius=70.0, dtype=torch.float64)
        angles = torch.arange(views, dtype=torch.float64) * span / views
        s = torch.arange(columns, dtype=torch.float64) - center
        normal = torch.stack([angles.cos(), angles.sin()], -1)[:, None]
        along = torch.stack([-angles.sin(), angles.cos()], -1)[:, None]
        return phantom.line_integrals(s[:, None] * normal, along), angles

    return exact
