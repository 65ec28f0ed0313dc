"""Models of sources against Bessel functions and against images transformed directly."""

import math

import numpy as np
import pytest
import torch
from scipy import special

from invcore import ParameterError
from invcore_radio import (
    MAS,
    SourceModel,
    direct_transform,
)

BASELINES = torch.tensor([[10.0, 0.0], [-40.0, 25.0], [60.0, 80.0], [130.0, -90.0]], dtype=torch.float64)
WAVELENGTHS = torch.tensor([1.6e-6, 2.2e-6], dtype=torch.float64)


def model(parts, free, **fixed):
    named = tuple((n.replace("_", ".", 1), v) for n, v in fixed.items())
    return SourceModel(parts=parts, free=free, fixed=named, baselines=BASELINES, wavelengths=WAVELENGTHS)


def args(diameter):
    return (math.pi * diameter * MAS * BASELINES.norm(dim=1)[:, None] / WAVELENGTHS).numpy()


def test_round_sources_against_bessel_functions():
    x = args(3.0)
    c = 0.4
    disk, sphere = 2 * special.j1(x) / x, 3 * (np.sin(x) - x * np.cos(x)) / x**3
    expected = {
        "disk": disk,
        "ring": special.j0(x),
        "limb_darkened": ((1 - c) / 2 * disk + c / 3 * sphere) / ((1 - c) / 2 + c / 3),
    }
    for part, values in expected.items():
        fixed = {"0_coefficient": c} if part == "limb_darkened" else {}
        V = model((part,), ("0.diameter",), **fixed)(torch.tensor([3.0], dtype=torch.float64))
        np.testing.assert_allclose(V.numpy(), values, atol=1e-13)
    V = model(("gaussian",), ("0.fwhm",))(torch.tensor([3.0], dtype=torch.float64))
    np.testing.assert_allclose(V.numpy(), np.exp(-(x**2) / (4 * math.log(2))), atol=1e-14)


def test_elliptic_and_displaced_parts_against_an_image():
    """An image, transformed directly: position angle from north to east, offsets to east and north."""
    n, pixel = 801, 0.02
    offset = (n // 2 - torch.arange(n, dtype=torch.float64)) * pixel
    north, east = torch.meshgrid(offset, offset, indexing="ij")
    turn = math.radians(30.0)
    major = (east - 1) * math.sin(turn) + (north + 2) * math.cos(turn)
    minor = ((east - 1) * math.cos(turn) - (north + 2) * math.sin(turn)) / 0.6
    s = 3.0 / math.sqrt(8 * math.log(2))
    image = torch.exp(-(major**2 + minor**2) / (2 * s**2))
    image = 0.7 * image / image.sum()
    image[n // 2 - round(3 / pixel), n // 2 - round(4 / pixel)] += 0.3
    uvw = torch.cat([BASELINES, torch.zeros(4, 1)], 1)
    V = direct_transform(
        image[None], uvw=uvw, frequencies=299792458.0 / WAVELENGTHS, pixel=pixel * MAS, w_term=False
    )
    free = ("0.flux", "0.fwhm", "0.ratio", "0.angle", "0.east", "0.north", "1.flux", "1.east", "1.north")
    x = torch.tensor([0.7, 3.0, 0.6, 30.0, 1.0, -2.0, 0.3, 4.0, 3.0], dtype=torch.float64)
    assert (model(("gaussian", "point"), free)(x) - V).abs().max() < 1e-6


def test_a_disk_against_an_image():
    n, pixel = 1001, 0.005
    offset = (n // 2 - torch.arange(n, dtype=torch.float64)) * pixel
    image = ((offset[:, None] ** 2 + offset**2).sqrt() < 2.0).double()
    uvw = torch.cat([BASELINES, torch.zeros(4, 1)], 1)
    V = direct_transform(
        image[None] / image.sum(),
        uvw=uvw,
        frequencies=299792458.0 / WAVELENGTHS,
        pixel=pixel * MAS,
        w_term=False,
    )
    assert (model(("disk",), ("0.diameter",))(torch.tensor([4.0]).double()) - V).abs().max() < 1e-3


def test_background_and_color():
    A = model(("point", "background"), ("1.flux", "1.slope"))
    V = A(torch.tensor([0.25, 2.0], dtype=torch.float64))
    color = 0.25 * (WAVELENGTHS / 1.9e-6) ** 2
    assert (V - 1 / (1 + color)).abs().max() < 1e-14
    with pytest.raises(ParameterError, match=r"0\.size"):
        model(("disk",), ("0.size",))
    with pytest.raises(ParameterError, match="twice"):
        model(("disk",), ("0.diameter",), **{"0_diameter": 2.0})
    with pytest.raises(ParameterError, match="gaussian"):
        model(("blob",), ())
