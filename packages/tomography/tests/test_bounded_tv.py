"""Total variation between bounds."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import Space
from invcore.priors import TV
from invcore.solvers import FISTA
from invcore_tomography import BoundedTV, XRay, ellipses, parallel
from invcore_tomography._io.acquire import acquire


def test_the_proximal_operator_solves_the_dual_problem(generator):
    """In one dimension the dual has bounds only: scipy solves it."""
    v = torch.randn(30, generator=generator, dtype=torch.float64)
    lower, t = -0.4, 0.6
    upper = np.where(np.arange(30) % 10 < 5, 0.7, 0.1)
    D = np.diff(np.eye(30), axis=0)

    def dual(p):
        w = v.numpy() - D.T @ p
        z = w.clip(lower, upper)
        return 0.5 * (w @ w - (w - z) @ (w - z)), -D @ z

    best = minimize(
        dual,
        np.zeros(29),
        jac=True,
        bounds=[(-t, t)] * 29,
        method="L-BFGS-B",
        options={"ftol": 1e-16, "gtol": 1e-12, "maxiter": 10000},
    )
    expected = (v.numpy() - D.T @ best.x).clip(lower, upper)
    bounds = {"lower": lower, "upper": torch.from_numpy(upper)}
    found = BoundedTV(**bounds, spatial_dims=1, rtol=1e-12, max_steps=20000).prox(v[None], t)[0]
    assert np.allclose(found.numpy(), expected, atol=1e-4)
    one_after_the_other = TV(spatial_dims=1).prox(v[None], t)[0].numpy().clip(lower, upper)
    assert np.abs(found.numpy() - one_after_the_other).max() > 0.02


def test_without_bounds_it_is_total_variation(generator):
    x = torch.randn(2, 3, 12, 9, generator=generator, dtype=torch.float64)
    free = BoundedTV(lower=-torch.inf, rtol=1e-8)
    steps = torch.tensor([0.2, 0.0], dtype=torch.float64)
    space = Space((3, 12, 9))
    assert torch.allclose(free.prox(x, steps, space), TV(rtol=1e-8).prox(x, steps, space), atol=1e-3)
    assert torch.allclose(free.value(x, space), TV().value(x, space))


def test_bounds_help_where_directions_are_missing(generator):
    geometry = parallel(torch.arange(40) * torch.pi / 120, columns=40, pitch=1 / 20)  # a third of half a turn
    disk = ellipses(center=[(0.0, 0.0), (0.3, 0.2)], axes=[(0.8, 0.8), (0.2, 0.25)], density=[1.0, -1.0])
    truth = disk.rasterize(geometry.grid, samples=4).float()
    lines = XRay(geometry)(truth)
    acquisition = acquire(lines + 0.01 * torch.randn(lines.shape, generator=generator), geometry, sigma=0.01)
    error = {}
    for name, prior in {"free": TV(), "bounded": BoundedTV(upper=(truth > 0) * 1.0)}.items():
        image = FISTA(prior=prior, rtol=1e-4, max_steps=200)(acquisition.y, acquisition.physics)
        error[name] = float((image - truth).norm() / truth.norm())
    # the map of bounds knows where there is air: this is the least that can be expected of it
    assert error["bounded"] < 0.5 * error["free"]


def test_what_is_refused():
    with pytest.raises(ParameterError, match="dims"):
        BoundedTV(spatial_dims=4)
    with pytest.raises(ParameterError, match="lower"):
        BoundedTV(lower=1.0, upper=0.0)
    with pytest.raises(ParameterError, match="finite number >= 0"):
        BoundedTV().prox(torch.zeros(1, 3, 3), -1.0)
    with pytest.raises(DtypeError, match="real"):
        BoundedTV().prox(torch.zeros(1, 3, 3, dtype=torch.complex64), 1.0)


def test_bounds_of_another_shape_are_named():
    g = BoundedTV(upper=torch.ones(5, 7))
    with pytest.raises(ShapeError, match=r"BoundedTV: upper .*; expected \(batch\.\.\., 1, 8, 8\)"):
        g.prox(torch.ones(1, 8, 8), 1.0)
