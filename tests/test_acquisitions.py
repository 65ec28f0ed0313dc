"""Measured data of a plugin's format as a data set to train on."""

import torch

from invcore_learning import Acquisitions, ArtifactRemoval, ComplexNetwork, DnCNN, Optimization, ssdu, train
from invcore_mri import write_fastmri
from invcore_testsupport import rng


def test_a_network_learns_from_slices_of_fastmri_files(tmp_path):
    for i in range(2):
        image = torch.zeros(3, 1, 32, 24)
        image[:, :, 8:24, 6:18] = 1 + torch.rand(3, 1, 16, 12, generator=rng(i))
        ramp = torch.linspace(0.2, 1, 24).expand(32, 24)
        seen = torch.fft.ifftshift(image * torch.stack([ramp, ramp.flip(-1)]), (-2, -1))
        kspace = torch.fft.fftshift(torch.fft.fft2(seen, norm="ortho"), (-2, -1))
        kspace = kspace + 0.01 * torch.randn(kspace.shape, generator=rng(9), dtype=torch.complex64)
        write_fastmri(tmp_path / f"scan{i}.h5", kspace, reference=image[:, 0])
    scans = Acquisitions(tmp_path, pattern="*.h5", options=[{"slice": k} for k in range(3)])
    assert len(scans) == 6
    assert scans[0].y.shape == (2, 32, 24) and scans[0].y.is_complex()
    loss = ssdu((32, 24))
    model = loss.wrap(
        ArtifactRemoval(ComplexNetwork(DnCNN(in_channels=2, out_channels=2, depth=2, features=4)))
    )
    done = train(model, scans.physics, scans, loss=loss, optimization=Optimization(steps=3))
    assert done.status == "finished"
