"""The geometry of a scan, found from the scan: gradients through `XRay` to detector offset and angles."""

import math

import torch

from invcore import Physics
from invcore.noises import GaussianNoise
from invcore.solvers import ConjugateGradient
from invcore_tomography import Grid, XRay, ellipses, parallel

DEGREE = math.pi / 180
WRONG = torch.tensor([10, 40, 70])
VIEWS, SIZE, SIGMA = 180, 64, 0.02


def _geometry(offset, errors):
    angles = 2 * math.pi * torch.arange(VIEWS, dtype=torch.float64) / VIEWS
    angles = angles.index_add(0, WRONG, errors)
    return parallel(angles, columns=96, pitch=1.0, offset=offset, grid=Grid(shape=(SIZE, SIZE), spacing=1.0))


def test_detector_offset_and_three_angles_are_recovered_from_the_sinogram():
    """Variable projection: the image is solved for at every step, L-BFGS finds the geometry."""
    phantom = ellipses(
        center=[(0.0, 0.0), (9.0, 5.0), (-10.0, -3.0), (2.0, -14.0), (-5.0, 14.0)],
        axes=[(26.0, 20.0), (5.0, 8.0), (4.0, 4.0), (6.0, 3.0), (3.0, 2.0)],
        density=[1.0, -0.5, 0.8, 0.6, 1.2],
        profile="bump",
        dtype=torch.float64,
    )
    errors = torch.tensor([2.0, -1.5, 1.0], dtype=torch.float64) * DEGREE
    y = phantom.project(_geometry(1.3, errors))  # exact integrals, not our own projector
    y = y + SIGMA * torch.randn(y.shape, generator=torch.Generator().manual_seed(0), dtype=y.dtype)

    unknown = torch.zeros(
        4, dtype=torch.float64, requires_grad=True
    )  # pixels, and three radians in units of 3

    def geometry(values):
        return _geometry(values[0], 3 * values[1:])

    def fit(free, steps):
        optimizer = torch.optim.LBFGS(
            [unknown], max_iter=steps, line_search_fn="strong_wolfe", tolerance_change=1e-12
        )

        def closure():
            optimizer.zero_grad()
            physics = Physics(XRay(geometry(unknown.detach())), GaussianNoise(sigma=SIGMA))
            solver = ConjugateGradient(weight=10.0, rtol=1e-5, max_steps=100)
            x = solver.solve(y, physics, throw=False).value
            loss = (XRay(geometry(unknown))(x) - y).square().mean()
            loss.backward()
            unknown.grad *= free
            return loss

        optimizer.step(closure)

    fit(torch.tensor([1.0, 0.0, 0.0, 0.0]), 3)
    fit(torch.ones(4), 4)
    assert abs(unknown[0].item() - 1.3) < 0.01
    found = 3 * unknown.detach()[1:]
    assert ((found - errors).abs() < 0.15 * DEGREE).all()  # 0.07 pixel at the edge of the object
