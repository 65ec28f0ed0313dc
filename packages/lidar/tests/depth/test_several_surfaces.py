"""Several surfaces in a pixel against the truth of a simulated scene."""

import torch

from invcore_lidar import ImpulseResponse, RegularizedDepth, count_surfaces, find_surfaces

H = ImpulseResponse.gaussian(fwhm=300e-12)


def test_two_surfaces_pixelwise_and_together(scan):
    scene, tags = scan(30.0, 2.0, surfaces=2)
    data = tags.histogram(100)
    both = (scene.reflectivity > 0.02).all(0) & (scene.depth[1] - scene.depth[0] > 0.15)
    assert int(both.sum()) > 100
    assert count_surfaces(data, H, share=0.1) == 2
    for estimate in (find_surfaces(data, H), RegularizedDepth(max_steps=15).estimate(data, H, surfaces=2)):
        error = (estimate.depth - scene.depth)[:, both].abs()
        assert float(error.nanmedian()) < 0.01
        assert float((error < 0.05).double().mean()) > 0.75


def test_find_surfaces_finds_no_more_than_there_are(scan):
    _, tags = scan(30.0, 2.0)
    estimate = find_surfaces(tags.histogram(100), H, significance=8.0)
    assert float(torch.isfinite(estimate.depth[1]).double().mean()) < 0.03
    assert count_surfaces(tags, H) == 1
