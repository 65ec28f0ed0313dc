"""Public sets of real measurements, on small files in their layout."""

import numpy as np
import PIL.Image
import pytest
import torch

import invcore
from invcore import DataError, ParameterError, Physics, Space
from invcore.noises import PoissonGaussianNoise
from invcore.operators import Identity
from invcore_learning import FMD, NBU, Kohler, Loading, Optimization, UNet, train


def picture(path, value, shape=(8, 10)):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.full(shape, value, np.uint8)
    pixels[0, 0] = 255
    PIL.Image.fromarray(pixels).save(path)


@pytest.fixture
def microscopes(tmp_path):
    """Two kinds, two views, three exposures."""
    for kind in ("Confocal_FISH", "TwoPhoton_MICE"):
        for view in (1, 19):
            picture(tmp_path / kind / "gt" / str(view) / "avg50.png", 100 + view)
            for level in ("raw", "avg4"):
                for k in (2, 10, 1):
                    picture(tmp_path / kind / level / str(view) / f"HV110_P05_{k}.png", 10 * k + view)
    return tmp_path


def test_microscopy_pairs_each_exposure_with_the_mean_of_its_view(microscopes):
    images = FMD(microscopes, views=(1, 19), averages=(1, 4))
    assert len(images) == 2 * 2 * 2 * 3
    x, y, params = images[1]
    assert x.shape == y.shape == (1, 8, 10) and params == {}
    assert float(x[0, 4, 4]) == pytest.approx(101 / 255) and float(y[0, 4, 4]) == pytest.approx(21 / 255)
    assert float(images[-1].y[0, 4, 4]) == pytest.approx(119 / 255)  # view 19, tenth exposure
    part = FMD(microscopes, kinds=["TwoPhoton_MICE"], views=[19], crop=4)
    assert len(part) == 3 and part[0].y.shape == (1, 4, 4)
    with pytest.raises(IndexError):
        part[3]


def test_microscopy_says_what_is_missing_and_where_it_is(microscopes):
    with pytest.raises(DataError, match=r"holds no Confocal_FISH/raw/2/\*\.png\. Get it from https://github"):
        FMD(microscopes)
    (microscopes / "Confocal_FISH/gt/1/avg50.png").unlink()
    with pytest.raises(DataError, match=r"Confocal_FISH/gt/1/avg50\.png.*no archive may be fetched"):
        FMD(microscopes, views=[1])
    with pytest.raises(ParameterError, match="kinds are among .*; got 'Confocal_Fish'"):
        FMD(microscopes, kinds=["Confocal_Fish"])
    with pytest.raises(ParameterError, match="averages are among 1, 2, 4, 8, 16; got 3"):
        FMD(microscopes, averages=[3])
    with pytest.raises(ParameterError, match="kinds are among"):
        FMD(microscopes, kinds="Confocal_FISH")
    with pytest.raises(DataError, match="no square of side 9"):
        FMD(microscopes, kinds=["TwoPhoton_MICE"], views=[1], crop=9)[0]


def test_a_model_trains_on_the_pairs(microscopes):
    noise = PoissonGaussianNoise(gain=0.02, sigma=0.01)
    done = train(
        UNet(features=(4, 4), blocks=1),
        Physics(Identity((1, 8, 8)), noise),
        FMD(microscopes, views=(1, 19), crop=8),
        optimization=Optimization(steps=2),
        loading=Loading(batch=4),
    )
    assert done.steps == 2


@pytest.fixture
def shaken(tmp_path):
    for p in range(1, 5):
        for k in range(1, 13):
            picture(tmp_path / f"Blurry{p}_{k}.png", 20 * p + k, (6, 6, 3))
            for frame in (1, 99, 100):
                where = tmp_path / f"Image{p}" / f"Kernel{k}" / f"GroundTruth{p}_{k}_{frame}.png"
                picture(where, frame, (6, 6, 3))
    return tmp_path


def test_camera_shake(shaken):
    images = Kohler(shaken)
    assert len(images) == 48
    x, y, _ = images[13]  # the second picture with the second motion
    assert x.shape == (3, 6, 6)
    assert float(y[1, 4, 4]) == pytest.approx(42 / 255) and float(x[1, 4, 4]) == pytest.approx(100 / 255)
    assert float(images[9].x[0, 4, 4]) == pytest.approx(99 / 255)  # 198 frames
    assert float(Kohler(shaken, frame=1, crop=2)[0].x[0, 1, 1]) == pytest.approx(1 / 255)
    with pytest.raises(DataError, match=r"Image1/Kernel1/GroundTruth1_1_7\.png.*rolfk"):
        Kohler(shaken, frame=7)
    with pytest.raises(ParameterError, match="has 198 frames, there is none of number 199"):
        Kohler(shaken, frame=199) if _filled(shaken) else None
    with pytest.raises(ParameterError, match="'middle' or a number from 1"):
        Kohler(shaken, frame="last")
    (shaken / "BlurryImages").mkdir()
    for path in shaken.glob("Blurry*.png"):
        path.rename(shaken / "BlurryImages" / path.name)
    assert torch.equal(Kohler(shaken)[13].y, y)
    (shaken / "BlurryImages/Blurry3_3.png").unlink()
    with pytest.raises(DataError, match=r"holds no Blurry3_3\.png"):
        Kohler(shaken)


def _filled(folder):
    """Give the motions before the one with 198 frames a frame 199."""
    for k in range(1, 10):
        picture(folder / "Image1" / f"Kernel{k}" / f"GroundTruth1_{k}_199.png", 1, (6, 6, 3))
    return True


@pytest.fixture
def satellite(tmp_path):
    savemat = pytest.importorskip("scipy.io", reason="SciPy writes the files").savemat
    for folder, name, shape in (("MS_256", "imgMS", (8, 8, 4)), ("PAN_1024", "imgPAN", (32, 32))):
        (tmp_path / "ikonos" / folder).mkdir(parents=True)
        for k in (1, 2, 10):
            values = np.arange(np.prod(shape), dtype=np.uint16).reshape(shape) + k
            savemat(tmp_path / "ikonos" / folder / f"{k}.mat", {name: values})
    return tmp_path


def test_satellites(satellite):
    images = NBU(satellite, satellite="ikonos")
    assert len(images) == 3 and len(NBU(satellite / "ikonos", satellite="ikonos")) == 3
    x, (bands, sharp), _ = images[2]  # 10.mat
    assert x is None and bands.shape == (4, 8, 8) and sharp.shape == (1, 32, 32)
    values = np.arange(8 * 8 * 4).reshape(8, 8, 4) + 10
    np.testing.assert_allclose(bands[3].numpy(), values[..., 3] / 2047, rtol=1e-6)
    assert float(sharp[0, 1, 2]) == pytest.approx((34 + 10) / 2047)
    A = invcore.operators.pansharpen(domain=Space((4, 32, 32)))
    assert Physics(A).range == (Space((4, 8, 8)), Space((1, 32, 32)))
    assert [tuple(t.shape) for t in A(A.H((bands, sharp)))] == [(4, 8, 8), (1, 32, 32)]
    alone = NBU(satellite, satellite="ikonos", pan=False)
    assert torch.equal(alone[2], bands)


def test_satellites_say_what_is_wrong(satellite):
    with pytest.raises(ParameterError, match="satellites are among .*got 'landsat'"):
        NBU(satellite, satellite="landsat")
    with pytest.raises(DataError, match=r"holds no MS_256/\*\.mat. Get it from https://doi"):
        NBU(satellite, satellite="quickbird")
    images = NBU(satellite, satellite="ikonos")
    path = satellite / "ikonos/MS_256/1.mat"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"1\.mat"):
        images[0]
    path.write_bytes((satellite / "ikonos/PAN_1024/1.mat").read_bytes())
    with pytest.raises(DataError, match=r"1\.mat has no array 'imgMS' with 3 dimensions, but \{'imgPAN'"):
        images[0]
    path.unlink()
    with pytest.raises(DataError, match=r"holds no MS_256/1\.mat"):
        NBU(satellite, satellite="ikonos")
