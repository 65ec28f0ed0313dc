"""Warps against scipy's interpolation, thin-plate splines against scipy's RBFInterpolator."""

import math

import numpy as np
import pytest
import scipy.interpolate
import scipy.ndimage
import torch

from invcore import DtypeError, ParameterError, ShapeError, Space
from invcore.operators import (
    Mask,
    Symmetry,
    Warp,
    affine_coordinates,
    dihedral_group,
    random_shifts,
    rigid_coordinates,
    rotations,
    thin_plate_spline,
    virtual_operators,
)

SCIPY = {"zero": "grid-constant", "replicate": "nearest", "circular": "grid-wrap", "symmetric": "reflect"}


def rand(*shape, seed=0):
    return torch.rand(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("boundary", SCIPY)
@pytest.mark.parametrize("shape", [(7,), (6, 5), (4, 5, 3)])
def test_linear_interpolation_is_scipys(boundary, shape):
    x, u = rand(2, *shape), 14 * rand(len(shape), 3, 5, seed=1) - 5
    u = u.flatten(1) if len(shape) == 1 else u if len(shape) == 2 else u[..., None]
    got = Warp(u, (2, *shape), boundary=boundary)(x)
    expected = [scipy.ndimage.map_coordinates(a, u.numpy(), order=1, mode=SCIPY[boundary]) for a in x.numpy()]
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-12)


def keys(t):
    t = abs(t)
    if t <= 1:
        return 1.5 * t**3 - 2.5 * t**2 + 1
    return -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2 if t < 2 else 0.0


def test_cubic_interpolation_is_keys_kernel_and_keeps_parabolas():
    u = 5 * rand(1, 9) + 1
    matrix = np.array([[keys(t - n) for n in range(8)] for t in u[0].tolist()])
    A = Warp(u, (1, 8), interpolation="cubic")
    np.testing.assert_allclose(A.dense().numpy(), matrix, atol=1e-12)
    np.testing.assert_allclose(A.H.dense().numpy(), matrix.T, atol=1e-12)
    n = torch.arange(8.0).double()
    assert torch.allclose(A((n**2 - 3 * n)[None]), u**2 - 3 * u)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_derivatives_reach_the_coordinates_twice(interpolation):
    u = (torch.tensor([[0, 2, 1], [1, 0, 3]])[..., None] + 0.2 + 0.6 * rand(2, 3, 2)).requires_grad_()
    x = rand(2, 4, 5, seed=1).requires_grad_()

    def sampled(x, u):
        return Warp(u, (2, 4, 5), interpolation=interpolation)(x)

    def spread(y, u):
        return Warp(u, (2, 4, 5), interpolation=interpolation).H(y)

    y = rand(2, 3, 2, seed=2).requires_grad_()
    for function, given in ((sampled, x), (spread, y)):
        assert torch.autograd.gradcheck(function, (given, u))
        assert torch.autograd.gradgradcheck(function, (given, u))


def test_coordinates_may_differ_between_samples():
    u, x = 4 * rand(3, 2, 4, 4), rand(3, 1, 5, 5, seed=1)
    each = [Warp(a, (1, 5, 5))(b) for a, b in zip(u, x)]
    assert torch.equal(Warp(u, (1, 5, 5))(x), torch.stack(each))
    assert Warp(u, (1, 5, 5))(x[0]).shape == (3, 1, 4, 4)


def test_affine_coordinates_are_the_map_about_the_middle():
    M, offset = rand(2, 2), rand(2, seed=1)
    u = affine_coordinates(M, size=(4, 5), offset=offset)
    middle = torch.tensor([1.5, 2.0]).double()
    p = torch.tensor([3.0, 1.0]).double()
    assert torch.allclose(u[:, 3, 1], M @ (p - middle) + middle + offset)


def test_turns_by_warp_and_exact_turns_agree():
    x = rand(1, 6, 6)
    for k in range(-1, 5):
        turned = Warp(rigid_coordinates(torch.tensor(k * math.pi / 2).double(), size=(6, 6)), (1, 6, 6))
        exact = Symmetry((1, 6, 6), quarter_turns=k)(x)
        assert torch.allclose(turned(x)[:, 1:-1, 1:-1], exact[:, 1:-1, 1:-1])
        assert torch.equal(exact[0], torch.as_tensor(np.rot90(x[0].numpy(), k).copy()))
    moved = Warp(rigid_coordinates(0.0, size=(6, 6), shift=torch.tensor([1.0, -2.0])), (1, 6, 6))(x.float())
    assert torch.equal(moved[:, 1:, :-2], x.float()[:, :-1, 2:])


@pytest.mark.parametrize("d, kernel", [(2, "thin_plate_spline"), (3, "linear")])
@pytest.mark.parametrize("smoothing", [0.0, 3.0])
def test_thin_plate_spline_is_scipys(d, kernel, smoothing):
    size = (7, 6, 5)[:d]
    p, v = 6 * rand(9, d), 6 * rand(9, d, seed=1)
    u = thin_plate_spline(p, v, size=size, smoothing=smoothing)
    grid = np.stack(np.meshgrid(*map(np.arange, size), indexing="ij"), -1).reshape(-1, d)
    theirs = scipy.interpolate.RBFInterpolator(p, v, kernel=kernel, degree=1, smoothing=smoothing)(grid)
    np.testing.assert_allclose(u.reshape(d, -1).T.numpy(), theirs, atol=1e-9)


def test_thin_plate_spline_interpolates_its_points_and_reproduces_affine_maps():
    p = torch.tensor([[0, 0], [0, 5], [6, 0], [6, 5], [2, 3], [4, 1]]).double()
    v = p + rand(6, 2)
    u = thin_plate_spline(p, v, size=(7, 6))
    assert torch.allclose(u[:, p[:, 0].long(), p[:, 1].long()].T, v)
    M, t = rand(2, 2, seed=3), rand(2, seed=4)
    affine = thin_plate_spline(p, p @ M.T + t, size=(7, 6))
    expected = affine_coordinates(M, size=(7, 6), offset=t, center=torch.zeros(2))
    assert torch.allclose(affine, expected)


def test_thin_plate_spline_has_derivatives_and_refuses_degenerate_points():
    p, v = 6 * rand(5, 2), 6 * rand(5, 2, seed=1)
    spline = lambda p, v: thin_plate_spline(p, v, size=(2, 3))
    assert torch.autograd.gradcheck(spline, (p.requires_grad_(), v.requires_grad_()))
    with pytest.raises(ParameterError, match="coincide"):
        thin_plate_spline(torch.zeros(4, 2), torch.zeros(4, 2), size=(3, 3))
    with pytest.raises(ShapeError, match="k > d"):
        thin_plate_spline(torch.zeros(2, 2), torch.zeros(2, 2), size=(3, 3))


def test_dihedral_group_holds_eight_different_isometries_closed_under_composition():
    group = dihedral_group(Space((1, 3, 3)))
    dense = [T.dense() for T in group]
    assert len({tuple(m.flatten().tolist()) for m in dense}) == 8
    products = {tuple((a @ b).flatten().tolist()) for a in dense for b in dense}
    assert products == {tuple(m.flatten().tolist()) for m in dense}


def test_virtual_operators_see_the_moved_image():
    domain = Space((1, 4, 4))
    A, x = Mask((rand(4, 4) > 0.5).double(), domain), rand(1, 4, 4, seed=1)
    group = (*dihedral_group(domain), *random_shifts(domain, 3, generator=torch.Generator().manual_seed(0)))
    for T, B in zip(group, virtual_operators(A, group)):
        assert torch.equal(B(x), A(T(x)))
    together = torch.cat([B.dense(dtype=torch.float64) for B in virtual_operators(A, group)])
    assert int(torch.linalg.matrix_rank(together)) == 16 > int(torch.linalg.matrix_rank(A.dense()))
    assert [type(T).__name__ for T in rotations(domain, 8)] == 4 * ["Symmetry", "Warp"]
    with pytest.raises(ShapeError, match="to itself"):
        virtual_operators(A, [Symmetry((1, 4, 5))])


def test_what_is_no_warp_is_refused():
    with pytest.raises(ShapeError, match="coordinates must be"):
        Warp(torch.zeros(3, 4, 4), (1, 4, 4))
    with pytest.raises(DtypeError, match="floating"):
        Warp(torch.zeros(2, 4, 4, dtype=torch.long), (1, 4, 4))
    with pytest.raises(ParameterError, match="interpolation"):
        Warp(torch.zeros(2, 4, 4), (1, 4, 4), interpolation="nearest")
    with pytest.raises(ShapeError, match="square"):
        dihedral_group(Space((1, 4, 5)))
