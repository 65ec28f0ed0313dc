"""Coded-aperture snapshot spectral imaging, against sums written out pixel by pixel."""

import numpy as np
import pytest
import torch
from scipy.ndimage import shift as spline_shift

from invcore import ParameterError, ShapeError
from invcore.operators import Space
from invcore_optics import CASSI


def random(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def written_out(x, mask, dispersion, width, dual=False):
    """The sums over bands and pixels of the definition, in loops."""
    x, mask = x.numpy(), np.broadcast_to(mask.numpy(), (len(x), *mask.shape[1:]))
    y = np.zeros((1, x.shape[1], width))
    for k, d in enumerate(dispersion.tolist()):
        whole, part = int(np.floor(d)), d - np.floor(d)
        for p in range(x.shape[1]):
            for q in range(x.shape[2]):
                for step, weight in ((0, 1 - part), (1, part)):
                    at = q + whole + step
                    if dual and 0 <= at < mask.shape[2]:
                        y[0, p, q] += weight * mask[k, p, at] * x[k, p, q]
                    if not dual and 0 <= at < width:
                        y[0, p, at] += weight * mask[k, p, q] * x[k, p, q]
    return torch.tensor(y)


@pytest.mark.parametrize("shape", [(3, 4, 6), (4, 5, 7)])
@pytest.mark.parametrize("dispersion", ["whole", "parts", "beyond"])
@pytest.mark.parametrize("disperser", ["single", "dual"])
@pytest.mark.parametrize("axis", [-1, -2])
def test_matrix_and_its_transpose(shape, dispersion, disperser, axis):
    channels, n = shape[0], shape[axis]
    d = {"whole": 2.0 * torch.arange(channels), "parts": 0.7 * torch.arange(channels) - 0.4}
    d["beyond"] = 1.7 * n * (torch.arange(channels) - 1.0)
    d = d[dispersion].double()
    mask = random(1 if channels == 3 else channels, *shape[1:])
    A = CASSI(mask=mask, dispersion=d, domain=Space(shape), disperser=disperser, axis=axis)
    x, width = random(*shape, seed=1), A.range.shape[axis]
    turned = (lambda t: t) if axis == -1 else (lambda t: t.mT)
    expected = written_out(turned(x), turned(mask), d, width, disperser == "dual")
    torch.testing.assert_close(A(x), turned(expected))
    M = A.dense(dtype=torch.float64)
    y = random(*A.range.shape, seed=2)
    torch.testing.assert_close(A.H(y).flatten(), M.T @ y.flatten())
    assert A.norm_bound() >= 0.999 * torch.linalg.matrix_norm(M, 2)


@pytest.mark.parametrize("dispersion", [[0.0, 2.0, 4.0], [0.3, 1.1, 2.5]])
@pytest.mark.parametrize("disperser", ["single", "dual"])
def test_ridge_is_the_closed_form(dispersion, disperser):
    A = CASSI(
        mask=random(1, 4, 6),
        dispersion=torch.tensor(dispersion, dtype=torch.float64),
        domain=Space((3, 4, 6)),
        disperser=disperser,
    )
    y, z, D = random(*A.range.shape, seed=1), random(3, 4, 6, seed=2), A.dense(dtype=torch.float64)
    w = torch.tensor(0.2, dtype=torch.float64)
    for data, center in ((y, z), (y, None), (None, z)):
        right = torch.zeros(72, dtype=torch.float64)
        right = right if data is None else right + D.T @ data.flatten()
        right = right if center is None else right + w * center.flatten()
        expected = torch.linalg.solve(D.T @ D + w * torch.eye(72).double(), right)
        torch.testing.assert_close(A._ridge(data, center, w).flatten(), expected)


def test_norm_is_exact_at_whole_pixels():
    A = CASSI(mask=random(1, 5, 6), dispersion=torch.tensor([0.0, 1.0, 3.0]), domain=Space((3, 5, 6)))
    A = A.to(torch.float64)
    torch.testing.assert_close(A.norm_bound(), torch.linalg.matrix_norm(A.dense(dtype=torch.float64), 2))


def test_light_is_conserved_and_moves_by_parts_of_pixels():
    x = random(1, 6, 16)
    A = CASSI(
        mask=torch.ones(1, 6, 16).double(),
        dispersion=torch.tensor([2.4], dtype=torch.float64),
        domain=Space((1, 6, 16)),
    )
    torch.testing.assert_close(A(x).sum(-1), x.sum(-1))
    moved = spline_shift(np.pad(x[0], ((0, 0), (0, 3))), (0, 2.4), order=1, mode="constant")
    np.testing.assert_allclose(A(x)[0, :, 3:-1], moved[:, 3:-1])


def test_a_wrong_dispersion_is_found_by_its_gradient():
    # three wavelengths through a known mask; the dispersion is 0.35 pixels off
    scene, mask, true = random(3, 24, 32), random(1, 24, 32, seed=3).round(), torch.tensor([0.2, 2.6, 5.4])
    A = CASSI(mask=mask, dispersion=true.double(), domain=Space((3, 24, 32)), detector=40)
    y = A(scene)
    found = (true + 0.35).double().requires_grad_()
    step = torch.optim.LBFGS([found], max_iter=40, line_search_fn="strong_wolfe")

    def misfit():
        step.zero_grad()
        loss = (A.bind(dispersion=found)(scene) - y).square().sum()
        loss.backward()
        return loss

    step.step(misfit)
    torch.testing.assert_close(found.detach(), true.double(), atol=1e-3, rtol=0)


def test_cost_is_linear_in_the_bands(monkeypatch):
    # no convolution, no transform, no matrix: only sums of products of narrow views
    for name in ("conv2d", "pad"):
        monkeypatch.setattr(torch.nn.functional, name, None)
    monkeypatch.setattr(torch.fft, "fft2", None)
    A = CASSI(mask=random(1, 8, 8), dispersion=1.5 * torch.arange(4).double(), domain=Space((4, 8, 8)))
    A.H(A(random(4, 8, 8)))


@pytest.mark.parametrize(
    "change, error, match",
    [
        ({"domain": (3, 4)}, ShapeError, "channel, y, x"),
        ({"mask": torch.ones(2, 4, 6)}, ShapeError, "1 or 3"),
        ({"mask": torch.ones(1, 4, 9)}, ShapeError, "mask must be"),
        ({"dispersion": torch.ones(4)}, ShapeError, "one for each band"),
        ({"dispersion": torch.arange(3)}, ShapeError, "real"),
        ({"axis": 0}, ParameterError, "axis -1 or -2"),
        ({"disperser": "triple"}, ParameterError, "'dual'"),
        ({"detector": 0}, ParameterError, "detector"),
        ({"disperser": "dual", "detector": 9}, ParameterError, "6 of the image"),
    ],
)
def test_wrong_input(change, error, match):
    given = {"mask": torch.ones(1, 4, 6), "dispersion": torch.ones(3), "domain": (3, 4, 6)} | change
    with pytest.raises(error, match=match):
        CASSI(**given)
