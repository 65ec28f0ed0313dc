"""ESPIRiT against a dense eigendecomposition, analytic coil maps and SigPy."""

import itertools

import numpy as np
import pytest
import torch

from invcore import DataError, ParameterError, ShapeError
from invcore_mri import Espirit, espirit, prewhiten, read_cfl, simulate


def dense_espirit(kspace, calib, kernel, threshold):
    """The definition: patches by loops, an SVD, at each voxel the projector between plane waves."""
    coils, *spatial = kspace.shape
    box = [slice(n // 2 - c // 2, n // 2 - c // 2 + c) for n, c in zip(spatial, calib)]
    region = kspace[(slice(None), *box)]
    offsets = list(itertools.product(*(range(k) for k in kernel)))
    rows = [
        region[(slice(None), *(slice(p, p + k) for p, k in zip(place, kernel)))].ravel()
        for place in itertools.product(*(range(c - k + 1) for c, k in zip(calib, kernel)))
    ]
    _, s, vh = np.linalg.svd(np.array(rows), full_matrices=False)
    basis = vh[s > threshold * s[0]]  # rows span the patches
    values = np.empty((*spatial, coils))
    vectors = np.empty((*spatial, coils, coils), complex)
    for voxel in np.ndindex(*spatial):
        r = [(v - n // 2) / n for v, n in zip(voxel, spatial)]
        wave = np.array([np.exp(-2j * np.pi * np.dot(o, r)) for o in offsets])
        waves = np.kron(np.eye(coils), wave[:, None])
        part = basis.conj() @ waves
        values[voxel], vectors[voxel] = np.linalg.eigh(part.conj().T @ part / len(offsets))
    return values, vectors


def cosine(a, b):
    """|<a, b>| / |a||b| over the coils (first axis)."""
    inner = (a.conj() * b).sum(0).abs()
    return inner / (torch.linalg.vector_norm(a, dim=0) * torch.linalg.vector_norm(b, dim=0)).clamp_min(1e-30)


@pytest.mark.parametrize(
    "shape, calib, kernel",
    [((24, 19), (12, 11), (4, 4)), ((8, 9, 6), (7, 6, 6), (3, 3, 3)), ((5, 18), (5, 12), (4, 4))],
)
def test_equals_the_dense_definition(shape, calib, kernel, generator):
    scan = simulate(shape, coils=3, sigma=0.01, generator=generator)
    kspace = scan.kspace.to(torch.complex128)
    values, vectors = dense_espirit(kspace.numpy(), calib, kernel, 0.05)
    transform = Espirit(calib=calib, kernel=kernel[0], threshold=0.05, sets=2, spatial_dims=len(shape))
    ours, found = transform.eigen(kspace)
    for which in (0, 1):
        np.testing.assert_allclose(found[which], values[..., -1 - which], atol=1e-10)
    gap = values[..., -1] - values[..., -2] > 1e-3
    inner = np.abs(np.einsum("c...,...c->...", ours[0].numpy().conj(), vectors[..., -1]))
    assert gap.mean() > 0.5
    np.testing.assert_allclose(inner[gap], 1, atol=1e-9)


def test_interpolation_agrees_with_every_voxel(generator):
    """One set interpolates from a coarse grid; several sets decompose every voxel."""
    scan = simulate((150, 131), coils=5, sigma=0.003, generator=generator)
    coarse, coarse_value = Espirit(kernel=4).eigen(scan.kspace)
    exact, value = Espirit(kernel=4, sets=2).eigen(scan.kspace)
    inside = (value[0] > 0.95) & (value[1] < 0.8)
    assert inside.float().mean() > 0.3
    assert cosine(coarse[0], exact[0])[inside].min() > 0.9999
    assert (coarse_value[0] - value[0])[inside].abs().max() < 0.01


@pytest.mark.parametrize("shape, sets", [((96, 80), 1), ((96, 80), 2), ((20, 40, 36), 1)])
def test_finds_the_true_maps(shape, sets, generator):
    scan = simulate(shape, coils=6, sigma=0.002, generator=generator)
    maps = espirit(scan.kspace, calib=20, kernel=5, sets=sets, spatial_dims=len(shape))
    first = maps if sets == 1 else maps[0]
    inside = scan.image[0].abs() > 0.3
    agreement = cosine(first, scan.maps)[inside]
    assert agreement.mean() > 0.998 and agreement.median() > 0.9995
    norm = torch.linalg.vector_norm(first, dim=0)[inside]
    assert (norm > 0.99).float().mean() > 0.97 and norm.max() < 1 + 1e-5


def test_agrees_with_sigpy(generator):
    sigpy_app = pytest.importorskip("sigpy.mri.app")
    scan = simulate((96, 96), coils=8, sigma=0.005, generator=generator)
    theirs, value = sigpy_app.EspiritCalib(
        scan.kspace.numpy().copy(), crop=0, output_eigenvalue=True, show_pbar=False
    ).run()
    theirs, value = torch.from_numpy(theirs.copy()), torch.from_numpy(np.squeeze(value).real.copy())
    ours, ours_value = Espirit().eigen(scan.kspace)
    second = Espirit(sets=2).eigen(scan.kspace)[1][1]
    inside = (value > 0.95) & (second < 0.9)  # where one set of maps is enough, so that it is defined
    assert inside.float().mean() > 0.3
    assert cosine(ours[0], theirs)[inside].min() > 0.999
    assert (ours_value[0] - value)[inside].abs().max() < 0.01


@pytest.mark.parametrize("name, calib", [("brain8_full", 24), ("brain8_und2x2", 20)])
def test_agrees_with_sigpy_on_a_measured_scan(name, calib, mri_data):
    sigpy_app = pytest.importorskip("sigpy.mri.app")
    kspace = read_cfl(mri_data / name)[0].permute(2, 0, 1).contiguous()
    theirs, value = sigpy_app.EspiritCalib(
        kspace.numpy().copy(), calib_width=calib, crop=0, output_eigenvalue=True, show_pbar=False
    ).run()
    theirs, value = torch.from_numpy(theirs.copy()), torch.from_numpy(np.squeeze(value).real.copy())
    ours, _ = Espirit().eigen(kspace)
    inside = value > 0.95
    assert inside.float().mean() > 0.6
    assert cosine(ours[0], theirs)[inside].min() > 0.999


def test_explains_a_measured_scan(mri_data):
    """Combined with its own maps and split again, the fully sampled scan is mostly recovered."""
    kspace = read_cfl(mri_data / "brain8_full")[0].permute(2, 0, 1)
    axes = (-2, -1)
    coils = torch.fft.fftshift(torch.fft.ifft2(torch.fft.ifftshift(kspace, dim=axes), norm="ortho"), dim=axes)
    maps = espirit(kspace)
    left = coils - maps * (maps.conj() * coils).sum(0)
    assert left.norm() / coils.norm() < 0.12


def test_overlap_needs_two_sets(generator):
    """An object folded onto itself: where two parts overlap there are two eigenvalues near 1."""
    scan = simulate((80, 80), coils=8, sigma=0.001, generator=generator)
    folded = 2 * scan.kspace[:, ::2]  # half the field of view along y
    _, value = Espirit(calib=24, kernel=6, sets=3).eigen(folded)
    image = scan.image[0].abs()
    both = torch.minimum(image[20:60], torch.roll(image, 40, 0)[20:60]) > 0.4
    assert both.float().mean() > 0.15
    assert value[1][both].median() > 0.95
    assert value[2][both].median() < 0.8
    maps = espirit(folded, sets=2)
    assert maps.shape == (2, 8, 40, 80)


def test_sets_from_the_data(generator):
    """One set for a whole object in any noise, two or four for one folded along one or two axes."""
    whole = simulate((80, 80), coils=8, sigma=0.002, generator=generator).kspace
    for sigma in (0.005, 0.1, 0.5):
        noisy = simulate((80, 80), coils=8, sigma=sigma, generator=generator).kspace
        assert espirit(noisy, sets="auto").shape == (8, 80, 80)
    assert espirit(whole[:, ::2], sets="auto").shape == (2, 8, 40, 80)
    assert espirit(whole[:, ::2, ::2], sets="auto").shape == (4, 8, 40, 40)
    with pytest.warns(
        UserWarning, match="2 sets of coil maps are needed, 1 is used, so the image shows the fold"
    ):
        espirit(whole[:, ::2], sigma=0.002)


@pytest.mark.parametrize(
    "name, step, sets", [("brain8_full", (1, 1), 1), ("brain8_und2x2", (1, 1), 1), ("brain8_full", (1, 2), 2)]
)
def test_sets_of_a_measured_scan(name, step, sets, mri_data):
    kspace = read_cfl(mri_data / name)[0].permute(2, 0, 1)[:, :: step[0], :: step[1]]
    assert espirit(kspace, sets="auto").ndim == (3 if sets == 1 else 4)


@pytest.mark.parametrize("sets", [1, 2])
def test_memory_bound_changes_nothing(sets, generator):
    kspace = simulate((90, 70), coils=4, generator=generator).kspace.to(torch.complex128)
    whole = espirit(kspace, kernel=4, sets=sets)
    pieces = espirit(kspace, kernel=4, sets=sets, max_bytes=100_000)
    torch.testing.assert_close(whole, pieces, atol=1e-10, rtol=0)


def test_an_eigenproblem_beyond_memory_is_refused(generator, monkeypatch):
    """The side is coils * kernel^2 = 144, or the 3 x 3 positions of the kernel in a small region."""
    kspace = simulate((40, 40), coils=4, generator=generator).kspace.to(torch.complex128)
    monkeypatch.setattr("invcore_mri._coils.espirit._EIGENPROBLEM", 48 * 144**2)
    expected = espirit(kspace, max_bytes=1)
    monkeypatch.setattr("invcore_mri._coils.espirit._EIGENPROBLEM", 48 * 144**2 - 1)
    with pytest.raises(
        ParameterError, match=r"4 coils with a kernel of 6 x 6 is an eigenproblem of side 144.*fewer coils"
    ):
        espirit(kspace, max_bytes=1)
    torch.testing.assert_close(espirit(kspace, max_bytes=48 * 144**2), expected, atol=1e-10, rtol=0)
    monkeypatch.setattr("invcore_mri._coils.espirit._EIGENPROBLEM", 16 * (3 * 9**2 + 9 * 144))
    espirit(kspace, calib=8, max_bytes=1)


def test_batch_equals_loop(generator):
    kspace = torch.stack([simulate((40, 32), coils=3, generator=generator).kspace for _ in range(4)])
    batch = espirit(kspace.reshape(2, 2, 3, 40, 32), calib=16, kernel=4)
    one = torch.stack([espirit(k, calib=16, kernel=4) for k in kspace])
    assert batch.shape == (2, 2, 3, 40, 32)
    torch.testing.assert_close(batch.reshape(4, 3, 40, 32), one, rtol=0, atol=0)
    assert espirit(kspace[:0], calib=16, kernel=4).shape == (0, 3, 40, 32)


def test_phase_is_fixed_by_the_virtual_coil(generator):
    """A common phase or scale of the data leaves the maps alone but for the phase of the DC sample."""
    scan = simulate((48, 48), coils=4, generator=generator)
    kspace = scan.kspace.to(torch.complex128)
    maps = espirit(kspace, calib=20)
    turned = espirit(1e-6 * torch.exp(torch.tensor(2.1j)) * kspace, calib=20)
    inside = torch.linalg.vector_norm(maps, dim=0) > 0.5
    ratio = (maps.conj() * turned).sum(0)[inside]
    torch.testing.assert_close(
        ratio / ratio.abs(), torch.full_like(ratio, torch.exp(torch.tensor(2.1j)).item()), atol=1e-6, rtol=0
    )
    inside &= scan.image[0].abs() > 0.3
    steps = (maps[:, 1:].conj() * maps[:, :-1]).sum(0).angle().abs()
    assert steps[inside[1:] & inside[:-1]].max() < 1.0  # no jumps of the phase inside the object


def test_background_is_zero_and_hard_crop_is_binary(generator):
    scan = simulate((96, 96), coils=6, sigma=0.002, generator=generator)
    maps = espirit(scan.kspace, crop=0.9, soft=0.0)
    norm = torch.linalg.vector_norm(maps, dim=0)
    assert bool(((norm == 0) | ((norm - 1).abs() < 1e-4)).all())
    assert norm[:6, :6].max() == 0 and norm[48, 48] > 0.9


def test_noise_above_the_signal_is_reported(generator):
    kspace = simulate((40, 40), coils=3, generator=generator).kspace
    with pytest.raises(DataError, match="no signal in the calibration region exceeds the noise"):
        espirit(kspace, calib=16, sigma=1e3)


def test_same_maps_after_whitening_with_a_multiple_of_the_identity(generator):
    kspace = simulate((40, 40), coils=3, generator=generator).kspace
    white = prewhiten(kspace, 0.5 * torch.eye(3, dtype=torch.complex64))
    torch.testing.assert_close(espirit(white, calib=16), espirit(kspace, calib=16), atol=1e-4, rtol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("sets", [1, 2])
def test_gpu_equals_cpu(sets, generator):
    if not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    kspace = simulate((160, 128), coils=8, sigma=0.002, generator=generator).kspace
    cpu, cpu_value = Espirit(sets=sets).eigen(kspace)
    gpu, gpu_value = Espirit(sets=sets).eigen(kspace.cuda())
    torch.testing.assert_close(gpu_value.cpu(), cpu_value, atol=1e-4, rtol=0)
    inside = cpu_value[0] > 0.95
    torch.testing.assert_close(gpu[0].cpu()[:, inside], cpu[0][:, inside], atol=2e-3, rtol=0)


def test_errors_say_what_to_do(generator):
    kspace = simulate((32, 32), coils=4, generator=generator).kspace
    with pytest.raises(ShapeError, match="coil, y, x"):
        espirit(kspace[0])
    with pytest.raises(ShapeError, match="native complex"):
        espirit(kspace.real)
    lines = kspace.clone()
    lines[..., 1::2] = 0
    with pytest.raises(DataError, match=r"measures \(24, 1\), smaller than the kernel \(6, 6\)"):
        espirit(lines)
    bad = kspace.clone()
    bad[0, 16, 16] = float("nan")
    with pytest.raises(DataError, match="NaN"):
        espirit(bad)
    with pytest.raises(DataError, match=r"measures \(0, 0\)"):
        espirit(torch.zeros_like(kspace))
    with pytest.raises(ParameterError, match="5 sets of maps from 4 coils"):
        espirit(kspace, sets=5)
    for wrong in ({"crop": 1.2}, {"threshold": 0.0}, {"kernel": 0}, {"calib": (24,)}, {"spatial_dims": 1}):
        with pytest.raises(ParameterError):
            Espirit(**wrong)
