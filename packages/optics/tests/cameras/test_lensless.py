"""Lensless cameras, against the sum over the points of the scene."""

import numpy as np
import pytest
import torch
from scipy.signal import convolve2d

from invcore import ShapeError
from invcore.operators import Space
from invcore_optics import Lensless


@pytest.mark.parametrize("sensor", [(5, 4), (4, 7), (1, 3)])
@pytest.mark.parametrize("scene", [(1, 2), (3, 4), (4, 4), (5, 5), "all"])
def test_each_point_throws_its_pattern(sensor, scene):
    scene = tuple(2 * k - 1 for k in sensor) if scene == "all" else scene
    scene = tuple(min(n, 2 * k - 1) for n, k in zip(scene, sensor))
    g = torch.Generator().manual_seed(0)
    psf = torch.rand(1, *sensor, generator=g, dtype=torch.float64)
    x = torch.rand(2, *scene, generator=g, dtype=torch.float64)
    found = Lensless(psf=psf, domain=Space((2, *scene)))(x)
    for c in range(2):
        whole = convolve2d(x[c].numpy(), psf[0].numpy())  # pixel j of the scene starts its pattern at j
        y0, x0 = scene[0] // 2, scene[1] // 2
        np.testing.assert_allclose(found[c], whole[y0 : y0 + sensor[0], x0 : x0 + sensor[1]])


def test_colors_have_patterns_of_their_own():
    g = torch.Generator().manual_seed(0)
    psf, x = torch.rand(3, 4, 5, generator=g), torch.rand(3, 6, 6, generator=g)
    A = Lensless(psf=psf, domain=Space((3, 6, 6)))
    alone = [Lensless(psf=psf[c : c + 1], domain=Space((1, 6, 6)))(x[c : c + 1]) for c in range(3)]
    torch.testing.assert_close(A(x), torch.cat(alone))


def test_wrong_input():
    with pytest.raises(ShapeError, match="at most 7 pixels"):
        Lensless(psf=torch.ones(1, 4, 4), domain=Space((1, 8, 4)))
    with pytest.raises(ShapeError, match="1 or 3"):
        Lensless(psf=torch.ones(2, 4, 4), domain=Space((3, 4, 4)))
