"""CLEAN against a plain Högbom in numpy, and on simulated observations."""

import math

import numpy as np
import pytest
import torch

import invcore
from invcore_radio import (
    Clean,
    Interferometer,
    fit_beam,
    hogbom,
    imaging_weights,
    restore,
    simulate,
    vla,
)
from invcore_radio._imaging import minor_cycle as kernels


def numpy_hogbom(dirty, beam, gain, count):
    """Högbom's CLEAN as in textbooks: the whole beam is subtracted from the whole image."""
    residual, found = dirty.copy(), []
    ny, nx = dirty.shape
    for _ in range(count):
        i, j = np.unravel_index(np.argmax(np.abs(residual)), residual.shape)
        flux = gain * residual[i, j]
        found.append((i, j, flux))
        residual -= flux * beam[ny - 1 - i : 2 * ny - 1 - i, nx - 1 - j : 2 * nx - 1 - j]
    return residual, found


@pytest.fixture(scope="module")
def observation():
    """Points and a Gaussian seen by a small array with noise: image, visibilities and their physics."""
    vis = vla("C", antennas=15).observe(hour_angles=(-3.0, 3.0), interval=600.0, sigma=0.01)
    n, pixel = 48, vis.resolution() / 3
    at = torch.arange(float(n)) - n // 2
    x = 0.02 * torch.exp(-((at[:, None] - 5) ** 2 + (at + 8) ** 2) / (2 * 3.0**2))[None]
    x[0, 12, 30], x[0, 35, 36], x[0, 20, 11] = 2.0, 1.0, 0.5
    generator = torch.Generator().manual_seed(0)
    vis = simulate(vis, x, pixel=pixel, generator=generator, w_term=False).to(torch.float64)
    return x.double(), vis, vis.physics(shape=(n, n), pixel=pixel, w_term=False)


def dirty_and_beam(vis, physics):
    A, y = physics.operator, vis.values()
    wide = Interferometer(
        uvw=A.uvw, frequencies=A.frequencies, shape=(96, 96), pixel=A.pixel, w_term=False, accuracy=1e-12
    )
    norm = float(y.numel())
    return A.H(y)[0] / norm, wide.H(torch.ones_like(y))[0, 1:, 1:] / norm


def test_components_equal_those_of_a_plain_hogbom(observation):
    _, vis, physics = observation
    dirty, beam = dirty_and_beam(vis, physics)
    residual, expected = numpy_hogbom(dirty.numpy(), beam.numpy(), 0.1, 400)
    found = hogbom(dirty, beam, gain=0.1, iterations=400)
    assert found.positions.tolist() == [[i, j] for i, j, _ in expected]
    np.testing.assert_allclose(found.fluxes, [f for *_, f in expected], rtol=1e-12)
    np.testing.assert_allclose(found.residual, residual, atol=1e-12)
    assert found.model.sum().item() == pytest.approx(sum(f for *_, f in expected))


@pytest.mark.parametrize("positive", [False, True])
@pytest.mark.parametrize("windowed", [False, True])
def test_compiled_and_torch_kernels_agree(observation, positive, windowed):
    _, vis, physics = observation
    dirty, beam = dirty_and_beam(vis, physics)
    window = None
    if windowed:
        window = torch.zeros(1, *dirty.shape, dtype=torch.float64)
        window[:, 5:40, 8:33] = 1
    beams = torch.stack([torch.stack([beam, 0.5 * beam]), torch.stack([0.5 * beam, 0.4 * beam])])
    start = torch.stack([dirty, 0.5 * dirty])
    both = None if window is None else window.expand(2, -1, -1)
    options = {"preference": torch.tensor([1.0, 1.2]), "allowed": both, "gain": 0.2, "limit": 0.02}
    a, b = start.clone(), start.clone()
    found = kernels.whole(a, beams, count=50, positive=positive, **options)
    other = kernels._whole_torch(b, beams, *options.values(), 50, positive)
    assert len(found.fluxes) > 5 and torch.equal(found.positions, other.positions)
    torch.testing.assert_close(found.fluxes, other.fluxes)
    torch.testing.assert_close(a, b)
    if positive:
        assert bool((found.fluxes > 0).all())
    if windowed:
        assert bool(((found.positions[:, 1] >= 5) & (found.positions[:, 1] < 40)).all())
    part = beam[40:-40, 40:-40].contiguous()
    own = None if window is None else window[0]
    listed = kernels.listed(
        dirty, part, allowed=own, gain=0.2, limit=0.1, outside=0.01, count=50, positive=positive
    )
    candidates = (dirty if positive else dirty.abs()) > 0.1
    candidates = candidates if own is None else candidates & (own > 0)
    again = kernels._listed_torch(dirty[candidates], candidates.nonzero(), part, 0.2, 0.1, 0.01, 50, positive)
    assert len(listed.fluxes) > 3 and torch.equal(listed.positions, again.positions)
    torch.testing.assert_close(listed.fluxes, again.fluxes)


@pytest.mark.parametrize("algorithm", ["hogbom", "clark", "multiscale"])
def test_clean_reaches_the_noise_and_finds_the_sources(observation, algorithm):
    x, vis, physics = observation
    solution = Clean(algorithm=algorithm, patch=10, scales=(0.0, 4.0)).solve(vis.values(), physics)
    assert solution.status.name == "CONVERGED"
    noise = 0.01 / math.sqrt(vis.data.numel())
    assert (
        float(solution.state.residual.abs().max())
        <= max(3 * noise, 1e-3 * float(solution.state.first)) * 1.001
    )
    for i, j, flux in ((12, 30, 2.0), (35, 36, 1.0), (20, 11, 0.5)):
        around = solution.value[0, i - 1 : i + 2, j - 1 : j + 2].sum() - (
            x[0, i - 1 : i + 2, j - 1 : j + 2].sum() - flux
        )
        assert around.item() == pytest.approx(flux, rel=0.03)
    assert solution.value.sum().item() == pytest.approx(x.sum().item(), rel=0.02)
    picture = restore(solution.value, vis.values(), physics)
    truth = picture.beam.blur(x, physics.operator.pixel)
    assert float((picture.image - truth).norm() / truth.norm()) < 0.01
    torch.testing.assert_close(picture.residual, solution.state.residual, atol=1e-9, rtol=0)


def test_extended_emission_is_smoother_with_scales(observation):
    x, vis, physics = observation
    lump = (slice(None), slice(22, 36), slice(9, 23))
    error = {
        name: float((Clean(algorithm=name, scales=(0.0, 3.0, 6.0))(vis.values(), physics) - x)[lump].norm())
        for name in ("hogbom", "multiscale")
    }
    assert error["multiscale"] < 0.5 * error["hogbom"]


def test_weights_window_and_sign(observation):
    _, vis, physics = observation
    n, pixel = 48, physics.operator.pixel
    weights = imaging_weights(vis, shape=(n, n), pixel=pixel, weighting="briggs", robust=0.0)
    window = torch.zeros(n, n)
    window[10:15, 28:33] = 1
    found = Clean(weights=weights, window=window, positive=True, max_steps=3)(vis.values(), physics)
    assert float(found[0, 12, 30]) == pytest.approx(2.0, rel=0.05)
    assert float(found.min()) >= 0 and float(found[0, :10].abs().max()) == 0
    narrow = restore(found, vis.values(), physics, weights=weights).beam
    assert narrow.major < restore(found, vis.values(), physics).beam.major


def test_a_primary_beam_is_divided_out(observation):
    x, _, physics = observation
    A = physics.operator
    n = 48
    at = (torch.arange(n, dtype=torch.float64) - n // 2) / 20
    beam = torch.exp(-(at[:, None] ** 2 + at**2) / 2)[None]
    A = Interferometer(
        uvw=A.uvw,
        frequencies=A.frequencies,
        shape=(n, n),
        pixel=A.pixel,
        w_term=False,
        beam=beam,
        accuracy=1e-9,
    )
    points = torch.zeros_like(x)
    points[0, 12, 30], points[0, 24, 5] = 2.0, 1.0
    noisy = invcore.Physics(A, physics.noise)
    solution = Clean(discrepancy=None, rtol=1e-4).solve(A(points), noisy)
    assert solution.status.name == "CONVERGED" and int(solution.stats["steps"]) < 10
    torch.testing.assert_close(solution.value, points, atol=2e-3, rtol=0)


def test_noncoplanar_arrays_need_the_major_cycles():
    generator = torch.Generator().manual_seed(1)
    uvw = torch.randn(400, 3, generator=generator, dtype=torch.float64) * 300
    A = Interferometer(
        uvw=uvw,
        frequencies=torch.tensor([3e8], dtype=torch.float64),
        shape=(64, 64),
        pixel=1.2e-3,
        accuracy=1e-9,
    )
    x = torch.zeros(1, 64, 64, dtype=torch.float64)
    x[0, 6, 9], x[0, 50, 60], x[0, 32, 32] = 1.0, 0.7, 0.5
    solution = Clean(rtol=1e-3).solve(A(x), invcore.Physics(A))
    assert solution.status.name == "CONVERGED"
    torch.testing.assert_close(solution.value, x, atol=5e-3, rtol=0)


def test_batches_and_channels_are_cleaned_one_by_one(observation):
    _, vis, physics = observation
    y = torch.stack([vis.values(), 0.3 * vis.values().conj()])
    together = Clean(max_steps=2)(y, physics)
    for i in range(2):
        torch.testing.assert_close(together[i], Clean(max_steps=2)(y[i], physics))


def test_bad_options_are_refused(observation):
    _, vis, physics = observation
    for wrong in (
        {"algorithm": "högbom"},
        {"gain": 0.0},
        {"scales": (2.0,)},
        {"cutoff": 0.0},
        {"discrepancy": -1.0},
    ):
        with pytest.raises(invcore.ParameterError, match="Clean"):
            Clean(**wrong)
    with pytest.raises(invcore.ShapeError, match="window"):
        Clean(window=torch.ones(3, 3))(vis.values(), physics)
    with pytest.raises(invcore.ShapeError, match="odd size"):
        hogbom(torch.ones(4, 4), torch.ones(4, 4))
    with pytest.raises(invcore.SolverError, match="smoothly"):
        Clean().solve(vis.values(), physics, differentiate="unroll")
    with pytest.raises(invcore.DataError, match="main lobe"):
        fit_beam(torch.eye(5)[2:3] * torch.eye(5)[:, 2:3], pixel=1.0)


def test_no_data_at_all(vis):
    flagged = vis.replace(flag=torch.ones_like(vis.flag))
    with pytest.raises(invcore.ParameterError, match="weights there are 0"):
        Clean()(flagged.values(), flagged.physics(shape=(8, 8), pixel=1e-4))
