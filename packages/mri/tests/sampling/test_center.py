"""The fully sampled center of k-space against brute force and a measured scan."""

import torch

from invcore_mri import calibration_shape, read_cfl


def test_calibration_region_of_an_undersampled_scan(mri_data):
    kspace = read_cfl(mri_data / "brain8_und2x2")[0].permute(2, 0, 1)
    assert calibration_shape((kspace != 0).any(0), (64, 64)) == (20, 20)


def test_calibration_shape_by_brute_force(generator):
    for _ in range(20):
        mask = (torch.rand(9, 12, generator=generator) < 0.97).int()
        sizes = [
            (a, b)
            for a in range(1, 9)
            for b in range(1, 9)
            if mask[4 - a // 2 : 4 - a // 2 + a, 6 - b // 2 : 6 - b // 2 + b].all()
        ]
        found = calibration_shape(mask, (8, 8))
        assert found[0] * found[1] == max((a * b for a, b in sizes), default=0)
        assert found in sizes or found == (0, 0)
