"""What the readers say of a scan that lacks something."""

import numpy as np
import pytest
import scipy.io
import tifffile

from invcore.io import NearMiss
from invcore_tomography import MatReader, MrcReader, TiffReader


def test_a_tiff_without_angles(tmp_path):
    tifffile.imwrite(tmp_path / "scan.tif", np.ones((3, 4, 5), np.float32), photometric="minisblack")
    (tmp_path / "views").mkdir()
    tifffile.imwrite(tmp_path / "views" / "0.tif", np.ones((4, 5), np.float32), photometric="minisblack")
    for path, name in ((tmp_path / "scan.tif", "scan.angles.txt"), (tmp_path / "views", "angles.txt in it")):
        found = TiffReader().sniff(path)
        assert isinstance(found, NearMiss) and name in found.reason and "angles=" in found.reason
    (tmp_path / "scan.angles.txt").write_text("0\n60\n120\n")
    assert TiffReader().sniff(tmp_path / "scan.tif") is True


def test_a_sinogram_without_angles(tmp_path):
    scipy.io.savemat(tmp_path / "a.mat", {"sinogram": np.ones((3, 4))})
    found = MatReader().sniff(tmp_path / "a.mat")
    assert isinstance(found, NearMiss) and "it lacks angles, a variable called anglesRad" in found.reason
    scipy.io.savemat(tmp_path / "b.mat", {"something": np.ones((3, 4))})
    assert MatReader().sniff(tmp_path / "b.mat") is False


def test_an_aligned_stack_without_an_ending(tmp_path):
    """Tomo5 writes aligned stacks whose name has no ending (tomotools#50)."""
    mrcfile = pytest.importorskip("mrcfile")
    with mrcfile.new(tmp_path / "tomo.mrc") as file:
        file.set_data(np.ones((3, 8, 8), np.float32))
    (tmp_path / "tomo.mrc").rename(tmp_path / "tomo")
    assert "tomo.angles.txt, .tlt, .rawtlt or .mdoc beside it" in MrcReader().sniff(tmp_path / "tomo").reason
    (tmp_path / "tomo.tlt").write_text("-60\n0\n60\n")
    assert MrcReader().sniff(tmp_path / "tomo") is True
    (tmp_path / "notes").write_text("no stack")
    assert MrcReader().sniff(tmp_path / "notes") is False
