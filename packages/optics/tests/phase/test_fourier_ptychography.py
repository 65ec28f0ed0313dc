"""Fourier ptychography against tilted light, amplitude flow against known objects, the measured target."""

import math

import pytest
import torch

import invcore
from invcore import DataError, ParameterError, Physics
from invcore.operators import Matrix
from invcore_optics import (
    EPRY,
    AmplitudeFlow,
    FourierPtychography,
    PhaseRetrieval,
    aligned_phase,
    aligned_ramp,
    led_frequencies,
    spectral_start,
)
from invcore_optics._examples.phase import thin_object
from invcore_optics._examples.phase_io import fpm_mat
from invcore_optics._io.fpm import spiral
from invcore_testsupport import error, measured, normal


def microscope(**options):
    steps = torch.arange(-3, 4, dtype=torch.float64) * 4.3
    lights = torch.cartesian_prod(steps, steps)
    radius = torch.tensor(9.4, dtype=torch.float64)
    return FourierPtychography(positions=lights, radius=radius, shape=(64, 64), detector=(32, 32), **options)


def test_an_image_is_that_of_the_object_under_tilted_light():
    """The spectrum of the tilted object, low-pass filtered about zero, sampled on the coarse grid."""
    A = microscope()
    x = thin_object(64, 64)
    light = torch.tensor([4.0, -3.0], dtype=torch.float64)  # whole pixels: no fraction of the pupil
    y = A.bind(positions=light[None])(x)
    t = torch.arange(64, dtype=torch.float64) / 64
    tilted = x * torch.exp(-2j * math.pi * (light[0] * t[:, None] + light[1] * t))
    f = torch.fft.fftfreq(64, 1 / 64, dtype=torch.float64)
    passed = torch.sigmoid((9.4**2 - f[:, None] ** 2 - f**2) / (2 * 0.4 * 9.4))
    image = torch.fft.ifft2(passed * torch.fft.fft2(tilted)).abs().square()[:, ::2, ::2]
    assert error(y, image) < 1e-6


def test_the_object_is_resolved_beyond_the_pupil():
    A = microscope()
    x = thin_object(64, 64) * torch.polar(torch.ones(1, 64, 64).double(), 0.3 * normal(1, 64, 64))
    passed = A.field.coverage() > 0.5
    F = A.field._transform
    x = F.H(passed * F(x))
    found = AmplitudeFlow(start="ones", max_steps=150, rtol=0)(A(x), Physics(A))
    found = aligned_phase(F.H(passed * F(found)), x)
    alone = F.H((A.bind(positions=torch.zeros(1, 2).double()).field.coverage() > 0.5) * F(x))
    assert error(found, x) < 0.1 * error(alone, x)


def test_directions_of_light():
    """λ/4 per pixel of field: an LED at 30° has half a cycle for each wavelength of the field."""
    places = torch.tensor([[math.tan(math.pi / 6), 0.0]], dtype=torch.float64)
    found = led_frequencies(places, height=1.0, wavelength=0.5, field=(8.0, 8.0))
    assert torch.allclose(found, torch.tensor([[8.0, 0.0]], dtype=torch.float64))


def test_spectral_start_is_near_for_random_fields():
    B = Matrix(torch.complex(normal(400, 20), normal(400, 20, seed=1)))
    x = torch.complex(normal(20, seed=2), normal(20, seed=3))
    A = PhaseRetrieval(B)
    start = aligned_phase(spectral_start(A, A(x)), x, dims=1)
    assert error(start, x) < 0.6
    assert error(aligned_phase(AmplitudeFlow(rtol=1e-9)(A(x), Physics(A)), x, dims=1), x) < 1e-6


def test_pupil_and_brightness_are_recovered():
    """Defocus and coma of the pupil, lights of other brightness; without them the object is not found."""
    x = thin_object(64, 64) * torch.polar(torch.ones(1, 64, 64).double(), 0.3 * normal(1, 64, 64))
    A = microscope()
    F = A.field._transform
    x = F.H((A.field.coverage() > 0.5) * F(x))
    b = 1 + 0.2 * torch.cos(torch.arange(49.0, dtype=torch.float64))
    wrong = torch.tensor([0.5, 0.3], dtype=torch.float64)
    B = microscope(aberrations=wrong, indices=(4, 8))
    y = microscope(aberrations=wrong, indices=(4, 8), brightness=b)(x)
    solution = EPRY(max_steps=100, rtol=0).solve(y, Physics(A))
    found = solution.physics.operator
    b = b / ((b * y.sum((-2, -1))).sum() / y.sum())
    assert float((found.brightness - b).abs().max()) < 0.06  # of 0.2
    pupil = B.field.disks()[24]
    disk = pupil.abs() > 0.8
    turned, _ = aligned_ramp((found.pupil * disk)[None], (pupil * disk)[None])
    assert error(turned[0], pupil * disk) < 0.1
    only = EPRY(update=("object",), max_steps=100, rtol=0).solve(y, Physics(A))
    misfit = error(found(solution.value).sqrt(), y.sqrt())
    assert misfit < 0.02
    assert error(A(only.value).sqrt(), y.sqrt()) > 5 * misfit


def test_windows_must_lie_in_the_spectrum():
    with pytest.raises(ParameterError, match="object of at least"):
        microscope().bind(positions=torch.tensor([[0.0, 20.0]]))
    with pytest.raises(ParameterError, match="radius of the pupil"):
        microscope().bind(radius=torch.tensor(17.0))


def test_series_that_are_no_square_are_refused(tmp_path):
    from scipy.io import savemat

    savemat(tmp_path / "a.mat", {"lowSeq": normal(8, 8, 5).abs().numpy()})
    with pytest.raises(DataError, match="5 images, which is not a square array"):
        invcore.read(tmp_path / "a.mat")
    assert invcore.read(fpm_mat()["series"](tmp_path), calibrate=False).y.shape == (16, 40, 40)


def test_the_lights_of_the_measured_target_are_found():
    """The rim of the pupil says that the pattern of lights is a ninth smaller than published."""
    acquisition = invcore.read(measured("optics/fpm_usaf_260.mat"))
    stated = invcore.read(measured("optics/fpm_usaf_260.mat"), calibrate=False)
    a, b = acquisition.physics.operator.positions, stated.physics.operator.positions
    assert 0.86 < float((a - a.mean(0)).norm() / (b - b.mean(0)).norm()) < 0.93
    assert float(a.mean(0).abs().max()) < 3


@pytest.mark.parametrize(
    ("shape", "detector"), [((20, 28), (10, 14)), ((22, 20), (10, 8)), ((20, 21), (9, 10))]
)
def test_lights_a_few_at_a_time_are_all_at_once(shape, detector):
    """What runs without derivatives is what runs with them, of all parities of the halves of even sizes."""
    lights = 2.5 * normal(5, 2).clamp(-1, 1)
    A = FourierPtychography(
        positions=lights,
        radius=torch.tensor(3.2, dtype=torch.float64),
        shape=shape,
        detector=detector,
        brightness=1 + normal(5, seed=3).abs(),
    )
    x = torch.complex(normal(2, 1, *shape), normal(2, 1, *shape, seed=1))
    u = torch.complex(normal(2, 5, *detector), normal(2, 5, *detector, seed=1))
    graded = x.clone().requires_grad_()
    assert error(A.field(x), A.field(graded).detach()) < 1e-14
    assert error(A(x), A(graded).detach()) < 1e-14
    assert error(A.field.H(u), A.field.H(u.clone().requires_grad_()).detach()) < 1e-14


def _series(path, y):
    from scipy.io import savemat

    savemat(path, {"lowSeq": y.permute(1, 2, 0).numpy()})
    return path


def test_images_are_cut_to_a_square_and_bright_ones_are_not_taken_for_dark(tmp_path):
    """On a rectangle the pupil would be an ellipse in cycles per field of view."""
    scene = 1 + 0.1 * normal(16, 40, 48).abs()
    dark = torch.ones(16)
    dark[8:] = 0.02
    wide = _series(tmp_path / "wide.mat", dark[:, None, None] * scene)
    acquisition = invcore.read(wide, calibrate=False)
    assert acquisition.y.shape == (16, 40, 40) and "cut to the square" in acquisition.left_out[0]
    middle = (dark[:, None, None] * scene)[..., 4:44]
    level = middle.flatten(1).median(1).values.min()
    assert error(acquisition.y, (middle - level).clamp_min(0).float()) < 1e-5
    bright = _series(tmp_path / "bright.mat", scene[..., :40])
    kept = invcore.read(bright, calibrate=False)
    assert error(kept.y, scene[..., :40].float()) < 1e-6
    assert any("none is in the dark field" in note for note in kept.metadata["notes"])


def test_lights_of_another_size_and_place_are_found(tmp_path):
    """A textured object, lights of 0.9 times their pitch moved by (2, -3): found to a third of a pixel."""
    n, g = 96, torch.Generator().manual_seed(0)
    field = n * 1.15e-6
    places = spiral(8) * 4e-3 * torch.tensor([-1.0, 1.0])
    stated = led_frequencies(places, height=0.18, wavelength=532e-9, field=(field, field))
    true = 0.9 * stated + torch.tensor([2.0, -3.0])
    f = 192 * torch.fft.fftfreq(192)
    fall = 1 + (f[:, None] ** 2 + f**2).sqrt() / 10
    noise = torch.fft.ifft2(torch.fft.fft2(torch.randn(2, 192, 192, generator=g)) / fall).real
    loss, phase = noise / noise.std((1, 2), keepdim=True)
    x = torch.polar(torch.sigmoid(1 + loss), 0.6 * phase)[None]
    radius = torch.tensor(0.1 * field / 532e-9)
    A = FourierPtychography(positions=true, radius=radius, shape=(192, 192), detector=(n, n))
    y = A(x)
    y = (y / y.amax() + 0.01 + 0.002 * torch.randn(y.shape, generator=g)).clamp_min(0)
    found = invcore.read(_series(tmp_path / "moved.mat", y), pitch=4e-3).physics.operator.positions
    assert float((found - true).square().sum(-1).mean().sqrt()) < 0.35
