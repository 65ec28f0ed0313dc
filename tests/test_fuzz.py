"""Damaged files and every reader: no crash, no hang, no greed, no error but our own, no silent wrong data.

Some inputs of each here; ``nox -s fuzz`` tries a hundred thousand. What it found is kept beside the readers'
tests as small files made by code, and here as the numbers of the inputs.
"""

import os

import pytest
import torch

import invcore
from invcore.testing import fuzz

READERS = {c.name: c for c in invcore.components("reader") if c.examples and c.status == "available"}
FOUND = {
    "lidar.mat": (20, 129, 191, 286),  # element tags and dimensions: SciPy crashed, or allocated 8 GB
    "lidar.ptu": (116,),  # a text of 2^40 bytes
    "mri.cfl": (219, 243),  # samples of 1e38: whitened to infinity
    "mri.fastmri": (34,),  # names that are no UTF-8
    "radio.oifits": (57, 207, 228, 464),  # TFIELDS, NAXIS, XTENSION that is no table
    "radio.uvfits": (113, 136),
    "tomography.dicom": (52, 121),  # an element of 4 GB
    "tomography.dxchange": (22, 182),
    "tomography.htc": (2, 41, 66, 83),
    "tomography.mrc": (21,),  # no columns
    "tomography.tiff": (112, 182, 72, 145),  # counts, sizes, no values
}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
@pytest.mark.parametrize("name", READERS)
def test_damaged_files(name):
    numbers = [*range(8 if name == "radio.ms" else 60), *FOUND.get(name, ())]
    report = fuzz(READERS[name], inputs=numbers)
    assert report.findings == [], report
    assert report.inputs == len(numbers)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs a system that can fork")
def test_threads_of_the_parent_do_no_harm():
    """A child that is forked beside OpenMP's threads waited for them for ever."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        torch.repeat_interleave(torch.arange(100_000), torch.full((100_000,), 7))
        assert fuzz(READERS["lidar.mat"], inputs=range(8), seconds=5.0).findings == []
    finally:
        torch.set_num_threads(before)
