"""Self-calibration of simulated observations."""

import math

import torch

import invcore
from invcore_radio import (
    Gains,
    apply_gains,
    gain_blocks,
    self_calibrate,
    simulate,
    solve_gains,
    vla,
)


def random_gains(shape, generator, spread=0.3):
    size = torch.exp(spread * torch.randn(shape, generator=generator, dtype=torch.float64))
    return torch.polar(size, 2 * math.pi * torch.rand(shape, generator=generator, dtype=torch.float64))


def corrupted(generator):
    """A double source, twelve antennas with unknown phases and amplitudes within 20 % every ten minutes."""
    n, pixel = 32, 2e-6
    image = torch.zeros(1, n, n, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(n), torch.arange(n), indexing="ij")
    for row, column, flux in ((16, 16, 0.6), (20, 11, 0.4)):
        blob = torch.exp(-((y - row) ** 2 + (x - column) ** 2) / (2 * 1.2**2)).double()
        image[0] += flux * blob / blob.sum()
    vis = vla("A", antennas=12).observe(
        hour_angles=(-2.0, 2.0), interval=600.0, sigma=0.002, dtype=torch.float64
    )
    clean = simulate(vis, image, pixel=pixel, generator=generator)
    blocks = gain_blocks(vis.time, 0.0)
    g = random_gains((len(vis.antenna_names), int(blocks.max()) + 1, 1), generator, spread=0.2)
    A = Gains(gains=g, antenna1=vis.antenna1, antenna2=vis.antenna2, block=blocks, frequencies=1)
    return image, pixel, clean, clean.with_data(A(clean.values()))


def test_self_calibration_finds_image_and_gains(generator):
    image, pixel, _, spoiled = corrupted(generator)
    shape = tuple(image.shape[-2:])
    solver = invcore.solver("fista", prior=invcore.prior("nonnegative"), max_steps=100)

    def error(x):
        """Relative error after the shift that phases leave free."""
        spectrum = torch.fft.fft2(image[0]) * torch.fft.fft2(x[0]).conj()
        shift = int(torch.fft.ifft2(spectrum).real.argmax())
        moved = torch.roll(x[0], (shift // shape[1], shift % shape[1]), (0, 1))
        return float((moved - image[0]).norm() / image[0].norm())

    bad = error(solver(spoiled.values(), spoiled.physics(shape=shape, pixel=pixel)))
    start = torch.zeros_like(image)
    start[0, 16, 16] = 1.0
    found = self_calibrate(
        spoiled,
        shape=shape,
        pixel=pixel,
        imager=solver,
        rounds=("phase",) * 2 + ("both",) * 5,
        start=start,
    )
    assert bad > 0.8
    assert error(found.image) < 0.25 * bad
    assert found.chi2[-1] < 0.05 * found.chi2[0]


def test_applying_the_true_gains_restores_the_data(generator):
    _, _, clean, spoiled = corrupted(generator)
    block = gain_blocks(clean.time, 0.0)
    solution = solve_gains(
        spoiled.values(),
        clean.values(),
        weight=spoiled.weight[..., 0],
        antenna1=spoiled.antenna1,
        antenna2=spoiled.antenna2,
        block=block,
        rtol=1e-12,
        max_steps=3000,
    )
    restored = apply_gains(spoiled, solution)
    used = restored.mask
    assert float(used.double().mean()) > 0.5
    assert ((restored.data - clean.data)[used]).abs().max() < 1e-6
    before, after = (v.data.abs().square() * v.weight for v in (spoiled, restored))
    assert (before - after)[used].abs().max() < 1e-9 * before.max()  # the signal-to-noise ratio stays
