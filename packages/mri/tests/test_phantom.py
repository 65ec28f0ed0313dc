"""The simulated head, its coils and its scan."""

import pytest
import torch

from invcore import ParameterError, ShapeError
from invcore_mri import (
    Sense,
    coil_array,
    head_phantom,
    heart_phantom,
    noise_covariance,
    simulate,
    tissue_phantom,
)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def test_same_seed_same_head():
    assert torch.equal(
        head_phantom((48, 40), generator=seeded(1)), head_phantom((48, 40), generator=seeded(1))
    )
    assert not torch.equal(
        head_phantom((48, 40), generator=seeded(1)), head_phantom((48, 40), generator=seeded(2))
    )
    torch.manual_seed(0)
    state = torch.get_rng_state()
    head_phantom((16, 16))
    assert torch.equal(state, torch.get_rng_state())


def test_same_head_at_any_size():
    small = head_phantom((96, 96), generator=seeded(3))[0].abs()
    large = head_phantom((288, 288), generator=seeded(3))[0].abs()
    pooled = large[1:-1, 1:-1]
    pooled = torch.nn.functional.avg_pool2d(torch.nn.functional.pad(large[None, None], (1, 0, 1, 0)), 3, 3)[
        0, 0
    ]
    assert (pooled - small).norm() / small.norm() < 0.15


def test_looks_like_a_head():
    head = head_phantom((230, 180))[0].abs()
    assert 0.9 < head.max() < 1.2
    assert max(head[:4].max(), head[-4:].max(), head[:, :4].max(), head[:, -4:].max()) < 0.05  # air around it
    assert 0.3 < (head > 0.1).float().mean() < 0.8
    for low, high in ((0.08, 0.2), (0.4, 0.55), (0.65, 0.85), (0.9, 1.2)):  # fluid, gray, white, fat
        assert ((head > low) & (head < high)).float().mean() > 0.02


def test_slices_of_a_volume_are_the_head_and_the_middle_one_is_the_slice():
    volume = head_phantom((5, 64, 64), generator=seeded(0))
    assert volume.shape == (1, 5, 64, 64)
    torch.testing.assert_close(volume[:, 2], head_phantom((64, 64), generator=seeded(0)))


@pytest.mark.parametrize("shape, coils", [((40, 32), 1), ((40, 32), 8), ((6, 20, 24), 12)])
def test_coils_have_norm_one_and_are_smooth(shape, coils):
    maps = coil_array(shape, coils=coils)
    assert maps.shape == (coils, *shape)
    torch.testing.assert_close(torch.linalg.vector_norm(maps, dim=0), torch.ones(shape))
    inner = maps[..., 8:-8]
    assert inner.diff(dim=-1).abs().max() < 0.2
    if coils > 1:
        seen = maps.flatten(1)
        gram = (seen @ seen.mH).abs() / seen.norm(dim=1).square().mean()
        assert (gram - torch.diag(gram.diagonal())).max() < 0.9  # coils that see different things


def test_scan_is_sense_plus_noise():
    mask = (torch.arange(48) % 2 == 0).float()[None]
    scan = simulate((64, 48), coils=5, mask=mask, sigma=0.3, generator=seeded(0))
    clean = Sense(scan.maps, mask)(scan.image)
    noise = scan.kspace - clean
    assert noise[..., 1::2].abs().max() < 1e-5 and scan.mask.shape == (64, 48)
    covariance = noise_covariance(noise[..., ::2])
    assert (covariance - 2 * 0.3**2 * torch.eye(5)).abs().max() < 0.03


def test_errors_say_what_to_do():
    with pytest.raises(ShapeError, match="two or three positive lengths"):
        head_phantom((4,))
    with pytest.raises(ParameterError, match="coils must be at least 1"):
        coil_array((8, 8), coils=0)
    with pytest.raises(ParameterError, match="cannot be negative"):
        simulate((8, 8), sigma=-1.0)
    with pytest.raises(ShapeError, match="does not broadcast"):
        simulate((8, 8), mask=torch.ones(7, 8))


def test_tissues_have_the_published_times_and_the_anatomy_of_the_head():
    shape = (192, 160)
    head, image = tissue_phantom(shape, field=3.0), head_phantom(shape).abs()
    found = torch.stack([head.T1, head.T2, head.T2s, head.M0.abs()])
    for times, least in (((1.084, 0.069, 0.0532, 0.77), 100), ((1.820, 0.099, 0.0660, 0.86), 5)):
        away = (found / torch.tensor(times).reshape(4, 1, 1, 1) - 1).abs()
        assert int((away < 0.04).all(0).sum()) > least
    white = ((head.T1 - 1.084).abs() < 0.02) & ((head.T2 - 0.069).abs() < 0.002)
    assert float(image[white].mean()) == pytest.approx(0.74, abs=0.05)  # where the image has white matter
    assert torch.equal(tissue_phantom(shape, field=1.5).M0, head.M0)
    with pytest.raises(ParameterError, match="tesla"):
        tissue_phantom(shape, field=7.0)


def test_the_heart_beats_and_its_wall_keeps_its_area():
    cine = heart_phantom((192, 192), 20)[0].abs()
    diastole, systole = cine[0], cine[8]  # two fifths of the cycle
    assert torch.equal(heart_phantom((48, 48), 8, beats=2)[0, 0], heart_phantom((48, 48), 8, beats=2)[0, 4])
    box = (slice(58, 126), slice(78, 144))

    def area(image, low, high):
        return float(((image[box] > low) & (image[box] < high)).sum())

    y, x = torch.meshgrid(*(2 * torch.arange(192) / 192 - 191 / 192,) * 2, indexing="ij")
    for image, radius, center in ((diastole, 0.19, 0.14), (systole, 0.114, 0.13)):
        r = ((y + 0.04) ** 2 + (x - center) ** 2).sqrt()
        outer = (0.30**2 - 0.19**2 + radius**2) ** 0.5
        wall = (r > radius + 0.02) & (r < outer - 0.02)
        assert float((image[wall] - 0.33).abs().max()) < 0.05
        assert float(image[r < 0.25 * radius].min()) > 0.9
    assert area(diastole, 0.9, 1.1) > 1.5 * area(systole, 0.9, 1.1)
