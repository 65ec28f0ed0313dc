"""Transforms against numpy and scipy, group laws, and what is made equivariant."""

import math

import numpy as np
import pytest
import scipy.ndimage
import torch

import invcore
from invcore import Physics, Space
from invcore.denoisers import Median, WaveletDenoiser
from invcore.noises import GaussianNoise
from invcore.operators import Mask
from invcore_learning import (
    AddNoise,
    Diffeomorphism,
    EquivariantDenoiser,
    EquivariantModel,
    Homography,
    Reflect,
    Rotate,
    Scale,
    Shift,
    TimeShift,
    Transformed,
    at_step,
    symmetrized,
)
from invcore_testsupport import error, normal, rng


def bump(n=48, m=48, at=(0.0, 0.0), width=0.12):
    """A smooth spot, centered coordinates relative to half the longer side."""
    unit = max(n, m) / 2
    v = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) / unit
    u = (torch.arange(m, dtype=torch.float64) - (m - 1) / 2) / unit
    return torch.exp(-((v[:, None] - at[0]) ** 2 + (u - at[1]) ** 2) / (2 * width**2))[None]


def center(x):
    """Center of mass (y, x) in the same coordinates."""
    n, m = x.shape[-2:]
    unit = max(n, m) / 2
    v = (torch.arange(n, dtype=torch.float64) - (n - 1) / 2) / unit
    u = (torch.arange(m, dtype=torch.float64) - (m - 1) / 2) / unit
    return float((x[0] * v[:, None]).sum() / x.sum()), float((x[0] * u).sum() / x.sum())


# -- against numpy and scipy ------------------------------------------------------------------------------


def test_shifts_and_reflections_are_those_of_numpy():
    x = normal(4, 2, 5, 7)
    g = Shift().draw((4,), generator=rng())
    expected = [np.roll(i.numpy(), tuple(int(s) for s in p), (-2, -1)) for i, p in zip(x, g)]
    assert np.array_equal(Shift().apply(x, g).numpy(), np.stack(expected))
    g = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]])
    expected = [np.flip(i.numpy(), [a for a, bit in zip((-2, -1), p) if bit]) for i, p in zip(x, g.tolist())]
    assert np.array_equal(Reflect().apply(x, g).numpy(), np.stack(expected))
    assert int(Shift(limit=2).draw((500,), generator=rng()).abs().max()) == 2
    film = normal(3, 2, 5, 3, 3)
    g = torch.tensor([[1.0], [4.0], [7.0]])
    expected = [np.roll(i.numpy(), int(p), -3) for i, p in zip(film, g)]
    assert np.array_equal(TimeShift().apply(film, g).numpy(), np.stack(expected))


def test_quarter_turns_are_those_of_numpy():
    x = normal(4, 2, 5, 5)
    g = torch.tensor([[0.0], [math.pi / 2], [math.pi], [-math.pi / 2]], dtype=torch.float64)
    expected = np.stack([np.rot90(i.numpy(), k, (-2, -1)) for i, k in zip(x, (0, 1, 2, -1))])
    assert np.array_equal(Rotate().apply(x, g).numpy(), expected)
    with pytest.raises(invcore.ShapeError, match="need square images"):
        Rotate().apply(normal(4, 2, 5, 6), g)
    Rotate(step=math.pi).apply(normal(2, 2, 5, 6), g[::2])


@pytest.mark.parametrize("method", ["interpolation", "shear"])
@pytest.mark.parametrize("n", [40, 41])
@pytest.mark.parametrize("angle", [0.3, -0.7, 1.2, 2.5])
def test_rotations_are_those_of_scipy(angle, n, method):
    x = bump(n, n, (0.3, -0.1)) + 0.5 * bump(n, n, (-0.2, 0.25))
    T = Rotate(step=0.0, method=method)
    expected = scipy.ndimage.rotate(x[0].numpy(), math.degrees(angle), reshape=False, order=5)
    found = T.apply(x, torch.tensor([angle], dtype=torch.float64))
    assert error(found[0], torch.from_numpy(expected)) < 0.01


def test_a_shear_rotation_is_undone_to_rounding():
    x = normal(3, 1, 12, 15)
    T = Rotate(step=0.0, limit=0.7, method="shear")
    g = T.draw((3,), generator=rng())
    assert error(T.inverse(T.apply(x, g), g), x) < 1e-12
    assert abs(float(T.apply(x, g).norm() / x.norm()) - 1) < 1e-12


def test_a_homography_maps_points_as_its_matrix_says():
    T = Homography(shift=0.15, tilt=0.1, zoom=1.2)
    x = bump(64, 48, (0.15, 0.1), width=0.06)
    for seed in range(5):
        H = T.draw(generator=rng(seed))
        p, q, r = (H.reshape(3, 3) @ torch.tensor([0.1, 0.15, 1.0], dtype=torch.float64)).tolist()
        v, u = center(T.apply(x, H))
        assert abs(u - p / r) < 0.01 and abs(v - q / r) < 0.01


def test_families_of_homographies():
    def drawn(family):
        return Homography(family=family).draw((20,), generator=rng()).reshape(-1, 3, 3)

    bottom = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    euclidean, similarity, affine = (drawn(f) for f in ("euclidean", "similarity", "affine"))
    for H in (euclidean, similarity, affine):
        assert torch.equal(H[:, 2], bottom.expand(20, 3))
    det = torch.linalg.det(euclidean[:, :2, :2])
    assert torch.allclose(det, torch.ones_like(det))
    R = similarity[:, :2, :2]
    squared = R.mT @ R / torch.linalg.det(R)[:, None, None]
    assert torch.allclose(squared, torch.eye(2, dtype=R.dtype).expand(20, 2, 2))
    R = affine[:, :2, :2]
    assert not torch.allclose(R.mT @ R / torch.linalg.det(R)[:, None, None], torch.eye(2, dtype=R.dtype))
    camera = drawn("pan_tilt_rotate")
    camera = camera / torch.linalg.det(camera)[:, None, None] ** (1 / 3)
    assert torch.allclose(camera.mT @ camera, torch.eye(3, dtype=camera.dtype).expand(20, 3, 3), atol=1e-9)
    whole = drawn("projective")
    assert float((whole[:, 2, :2].abs()).min()) > 0


def test_a_scaling_is_a_homography_and_changes_areas():
    x = bump(64, 64, (0.1, -0.1))
    factor, p, q = 0.8, 0.2, -0.3
    found = Scale().apply(x, torch.tensor([math.log(factor), p, q], dtype=torch.float64))
    assert abs(float(found.sum() / x.sum()) - factor**2) < 1e-3
    v, u = center(found)
    assert abs(v - (p + factor * (0.1 - p))) < 1e-3 and abs(u - (q + factor * (-0.1 - q))) < 1e-3


def test_a_diffeomorphism_is_a_flow():
    """T(2g) is T(g) twice, and the border stays; one mode alone moves the center by a known amount."""
    T = Diffeomorphism(modes=3, strength=0.02)
    x = bump(64, 48, (0.1, 0.1))
    g = T.draw(generator=rng(3))
    assert error(T.apply(T.apply(x, g), g), T.apply(x, 2 * g)) < 0.01
    assert error(T.apply(x, g), x) > 0.05
    assert abs(float(torch.stack([T.draw(generator=rng(s)) for s in range(400)]).std()) - 0.0133) < 0.003
    one = torch.zeros(2, 3, 3, dtype=torch.float64)
    one[0, 0, 0] = 0.05  # dy/dt = 0.05 sin(πy) sin(πx), for x = 1/2: tan(πy/2) grows by e^(0.05π)
    found = T.apply(bump(128, 128, (0.0, 0.0), width=0.03), one.flatten())
    expected = 2 / math.pi * math.atan(math.exp(0.05 * math.pi))
    assert abs(center(found)[0] - (2 * expected - 1)) < 2e-3 and abs(center(found)[1]) < 1e-6


# -- groups -----------------------------------------------------------------------------------------------


def test_group_laws_are_exact():
    x = normal(2, 1, 6, 6)
    for T in (Shift(), Reflect(), Rotate(), Rotate() @ Reflect(axes=(-1,)), Shift() | Rotate()):
        for seed in range(8):
            g = T.draw((2,), generator=rng(seed))
            assert torch.equal(T.inverse(T.apply(x, g), g), x)
            assert torch.equal(T.apply(T.inverse(x, g), g), x)
    assert len(Shift().elements((6, 6))) == 36 and len(Rotate(step=math.pi).elements((6, 6))) == 2


def test_a_chain_applies_the_last_first():
    x = normal(1, 5, 5)
    T = Shift(limit=1) @ Rotate()
    g = torch.tensor([0.0, 1.0, math.pi / 2], dtype=torch.float64)
    assert torch.equal(T.apply(x, g), torch.rot90(x, 1, (-2, -1)).roll(1, -1))


def test_symmetrized_functions_commute_with_the_group():
    weight = normal(1, 6, 6)
    f = lambda x: torch.tanh(weight * x).cumsum(-1)
    x = normal(2, 1, 6, 6, seed=1)
    for T in (Shift(), Reflect(), Rotate(), Rotate() @ Reflect(axes=(-1,))):
        e = symmetrized(f, T)
        g = T.draw(generator=rng(2))
        assert error(f(T.apply(x, g)), T.apply(f(x), g)) > 0.1
        assert error(e(T.apply(x, g)), T.apply(e(x), g)) < 1e-13
        assert error(symmetrized(e, T)(x), e(x)) < 1e-13  # a projection
    with pytest.raises(invcore.ParameterError, match="no finite group"):
        symmetrized(f, Homography())(x)


def test_an_equivariant_denoiser():
    x = normal(2, 1, 8, 8)
    plain = WaveletDenoiser(wavelet="haar", levels=2)
    for T in (Shift(), Rotate() @ Reflect(axes=(-1,))):
        D = EquivariantDenoiser(plain, T)
        g = T.draw(generator=rng(1))
        assert error(D(T.apply(x, g), 0.5), T.apply(D(x, 0.5), g)) < 1e-12
    core = invcore.denoiser("equivariant", denoiser=plain)
    assert error(EquivariantDenoiser(plain, Rotate() @ Reflect(axes=(-1,)))(x, 0.5), core(x, 0.5)) < 1e-12
    random = EquivariantDenoiser(plain, Shift(), draw="random")
    draws = torch.stack([random.at(k)(x, 0.5) for k in range(64)])
    assert torch.equal(random.at(3)(x, 0.5), draws[3]) and float(draws.std(0).max()) > 0
    mean = EquivariantDenoiser(plain, Shift())(x, 0.5)
    assert float((draws.mean(0) - mean).abs().max()) < 4 * float(draws.std(0).max()) / 8
    with pytest.raises(invcore.ParameterError, match="spatial dimensions"):
        EquivariantDenoiser(plain, Shift(spatial_dims=3))
    assert EquivariantDenoiser(Median(), Scale()).identity_at_zero is False


class Crooked(torch.nn.Module):
    """Not equivariant: weights depend on the place."""

    def __init__(self):
        super().__init__()
        self.weight = 1 + 0.3 * normal(1, 6, 6, seed=5)

    def forward(self, y, physics):
        return torch.tanh(self.weight * physics.operator.H(y))


def test_an_equivariant_model():
    """The image T_h x measured by A T_h⁻¹ gives the same data, and T_h times the reconstruction."""
    mask = (torch.rand(1, 6, 6, generator=rng(1)) > 0.4).double()
    physics = Physics(Mask(mask, (1, 6, 6)), GaussianNoise(sigma=0.1))
    y = normal(2, 1, 6, 6)
    for T in (Rotate(), Shift(), Reflect()):
        R = EquivariantModel(Crooked(), T)
        h = T.elements((6, 6))[-1]
        moved = Transformed(transform=T, element=h, domain=Space((1, 6, 6)), inverted=True)
        other = Physics(physics.operator @ moved, physics.noise)
        assert error(R(y, other), T.apply(R(y, physics), h)) < 1e-12
        plain = R.model
        assert error(plain(y, other), T.apply(plain(y, physics), h)) > 0.1
    R = EquivariantModel(Crooked(), Shift(), draw="random")
    first = R(y, physics)
    at_step(R, 3)
    other = R(y, physics)
    at_step(R, 0)
    assert torch.equal(R(y, physics), first) and not torch.equal(other, first)
    with pytest.raises(invcore.ParameterError, match="not linear"):
        EquivariantModel(Crooked(), AddNoise())


def test_a_transform_as_an_operator_is_its_matrix():
    T = Rotate(step=0.0)
    g = torch.tensor([0.4], dtype=torch.float64)
    A = Transformed(transform=T, element=g, domain=Space((1, 5, 4)))
    columns = torch.stack([T.apply(e.reshape(1, 5, 4), g).flatten() for e in torch.eye(20).double()], 1)
    assert error(A.dense(dtype=torch.float64), columns) < 1e-12
    y = normal(1, 5, 4)
    assert error(A.H(y).flatten(), columns.mT @ y.flatten()) < 1e-12


def test_wrong_options_are_refused():
    for make in (
        lambda: Rotate(step=-1.0),
        lambda: Rotate(method="fft"),
        lambda: Rotate(spatial_dims=1),
        lambda: Reflect(axes=(1,)),
        lambda: Shift(limit=-1),
        lambda: Scale(low=2.0, high=1.0),
        lambda: Homography(family="isometric"),
        lambda: Homography(zoom=0.5),
        lambda: Diffeomorphism(modes=0),
        lambda: TimeShift(padding="zeros"),
        lambda: Shift() @ Shift(spatial_dims=3),
        lambda: Transformed(transform=AddNoise(), element=torch.zeros(1), domain=Space((1, 4, 4))),
    ):
        with pytest.raises(invcore.ParameterError):
            make()
