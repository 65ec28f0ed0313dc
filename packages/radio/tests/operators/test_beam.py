"""Primary beams and single dishes against closed forms."""

import math

import pytest
import torch
from scipy.special import j1

from invcore import ParameterError, stack
from invcore_radio import (
    Interferometer,
    SingleDish,
    airy_beam,
    direction_cosines,
    gaussian_beam,
)
from invcore_radio._operators.direct import SPEED_OF_LIGHT


def baselines(rows, reach, generator, *, w=1.0):
    """Random baselines in meters, up to ``reach`` along each axis."""
    uvw = (2 * torch.rand(rows, 3, generator=generator, dtype=torch.float64) - 1) * reach
    return uvw * torch.tensor([1.0, 1.0, w], dtype=torch.float64)


def nu(*values):
    return torch.tensor(values, dtype=torch.float64)


def test_airy_beam_is_that_of_a_round_aperture():
    shape, pixel, frequencies, d = (65, 65), 2e-4, nu(1.4e9, 3e9), 25.0
    B = airy_beam(shape=shape, pixel=pixel, frequencies=frequencies, diameter=d)
    l, m, _ = direction_cosines(shape, pixel)
    z = math.pi * d * frequencies[:, None, None] / SPEED_OF_LIGHT * (l**2 + m**2).sqrt()
    z[:, 32, 32] = 1e-9
    expected = (2 * torch.from_numpy(j1(z.numpy())) / z) ** 2
    torch.testing.assert_close(B, expected, rtol=1e-9, atol=1e-12)
    assert float(B[0, 32, 32]) == 1.0
    # the hole narrows the main lobe
    hole = airy_beam(shape=shape, pixel=pixel, frequencies=frequencies, diameter=d, blockage=8.0)
    assert float(hole[0, 32, 32]) == pytest.approx(1.0)
    assert float(hole[0, 32, 52]) < float(B[0, 32, 52])


def test_gaussian_beam_halves_at_half_its_width_and_follows_the_pointing():
    frequencies = nu(1e9, 2e9)
    B = gaussian_beam(
        shape=(41, 41),
        pixel=1e-3,
        frequencies=frequencies,
        fwhm=1.2e-2,
        reference=1e9,
        pointing=(5e-3, -2e-3),
    )
    assert divmod(int(B[0].argmax()), 41) == (22, 15)  # l = 5 pixels to the east, m = 2 to the south
    assert float(B[0, 22, 15 + 6]) == pytest.approx(0.5)
    assert float(B[1, 22, 15 + 3]) == pytest.approx(0.5)
    diameter = torch.tensor(20.0, dtype=torch.float64, requires_grad=True)
    dish = gaussian_beam(shape=(41, 41), pixel=1e-3, frequencies=frequencies, diameter=diameter)
    (g,) = torch.autograd.grad(dish.sum(), diameter)
    assert float(g) < 0
    with pytest.raises(ParameterError):
        gaussian_beam(shape=(4, 4), pixel=1e-3, frequencies=frequencies, fwhm=1e-2)


def test_a_single_dish_sees_the_flux_that_an_array_lacks(generator):
    """Stacked with a single dish, the array recovers the total flux by least squares."""
    shape, pixel = (12, 12), 1e-3
    l, m, _ = direction_cosines(shape, pixel)
    x = torch.exp(-(l**2 + m**2) / (2 * (2.5e-3) ** 2))[None]
    uvw = baselines(60, 300.0, generator, w=0.0)
    uvw = uvw[uvw.norm(dim=-1) > 150.0]
    array = Interferometer(uvw=uvw, frequencies=nu(SPEED_OF_LIGHT), shape=shape, pixel=pixel, w_term=False)
    grid = torch.stack(torch.meshgrid(l, m.flatten(), indexing="xy"), -1).reshape(-1, 2)
    dish = SingleDish(pointings=grid, fwhm=nu(6e-3), shape=shape, pixel=pixel)
    distance = ((grid[:, None] - grid[None]) ** 2).sum(-1)
    expected = torch.exp(-4 * math.log(2) * distance / 6e-3**2) @ x.flatten()
    torch.testing.assert_close(dish(x)[:, 0], expected, rtol=1e-10, atol=1e-12)
    both = stack([array, 0.1 * dish])
    alone, together = array.pinv(array(x), rtol=1e-4), both.pinv(both(x), rtol=1e-4)
    assert float(alone.sum() / x.sum()) < 0.5
    assert float(together.sum() / x.sum()) == pytest.approx(1.0, abs=0.01)


def test_sizes_that_make_no_sense():
    with pytest.raises(ParameterError, match="pixel"):
        SingleDish(pointings=torch.zeros(1, 2), fwhm=torch.ones(1), shape=(3, 3), pixel=-1e-3)
    with pytest.raises(ParameterError, match="positive"):
        gaussian_beam(shape=(3, 3), pixel=1e-3, frequencies=torch.tensor([1e9]), diameter=0.0)
