"""Norms of the Hessian against singular values per pixel."""

import pytest
import torch

from invcore import ConvergenceWarning, ShapeError
from invcore.operators import Space
from invcore.priors import HessianSchatten
from invcore.priors._hessian import HessianNuclear, _shrunk_by_svd
from invcore_testsupport import normal

F64, C128 = torch.float64, torch.complex128


@pytest.mark.parametrize("dtype", [F64, C128])
@pytest.mark.parametrize("dims, shape", [(1, (2, 7)), (2, (1, 5, 4)), (3, (1, 3, 4, 3))])
def test_hessian_operator_and_norm(dims, shape, dtype):
    space, prior = Space(shape, "complex" if dtype == C128 else "real"), HessianSchatten(spatial_dims=dims)
    K, h = prior.split(space)
    x, y = normal(2, *shape, dtype=dtype), normal(2, *K.range.shape, dtype=dtype, seed=1)
    left, right = (K(x).conj() * y).sum(), (x.conj() * K.H(y)).sum()
    assert torch.allclose(left, right)
    dense = torch.linalg.matrix_norm(K.dense(dtype=F64), ord=2)
    assert 0.3 * float(K.norm()) < float(dense) <= float(K.norm())
    expected = torch.zeros(2, dtype=F64)  # entry by entry, with a singular value decomposition per pixel
    H = K(x)
    for b in range(2):
        for i in torch.cartesian_prod(*(torch.arange(n) for n in shape)).tolist():
            expected[b] += torch.linalg.svdvals(H[(b, slice(None), slice(None), *i)]).sum()
    assert torch.allclose(prior.value(x, space), expected)
    assert torch.allclose(h.value(K(x), K.range), expected)


def test_hessian_of_polynomials():
    y, x = torch.meshgrid(torch.arange(6.0, dtype=F64), torch.arange(7.0, dtype=F64), indexing="ij")
    K, _ = HessianSchatten().split(Space((1, 6, 7)))
    assert not K((3 * x - 2 * y + 1)[None]).any()
    H = K((x**2 + 3 * x * y - y**2)[None])[:, :, 0, 1:-1, 1:-1]
    assert torch.allclose(H, torch.tensor([[-2.0, 3.0], [3.0, 2.0]], dtype=F64)[..., None, None].expand_as(H))


@pytest.mark.parametrize("dtype", [F64, C128])
def test_outer_norm_of_the_hessian(dtype):
    """The closed form for real 2 x 2 matrices is the shrinkage of singular values; conjugate by Moreau."""
    space = Space((2, 2, 1, 3), "complex" if dtype == C128 else "real")
    z = normal(4, *space.shape, dtype=dtype)
    z = (z + z.transpose(1, 2)) / 2
    _, h = HessianSchatten().split(Space((1, 3)) if dtype == F64 else Space((1, 3), "complex"))
    steps = torch.tensor([0.1, 0.5, 1.0, 4.0], dtype=F64)
    shrunk = h.prox(z, steps, space)
    for b, step in enumerate(steps.tolist()):
        for i in range(3):
            u, s, vh = torch.linalg.svd(z[b, :, :, 0, i])
            expected = u @ torch.diag((s - step).clamp_min(0).to(dtype)) @ vh
            assert torch.allclose(shrunk[b, :, :, 0, i], expected, atol=1e-12)
    p = h.prox_conjugate(z, 0.7, space)
    x = (z - p) / 0.7
    inner = (x.conj() * p).sum((1, 2, 3, 4)).real
    assert torch.allclose(h.value(x, space) + h.conjugate(p, space), inner)
    assert bool(torch.isinf(h.conjugate(50 * z, space)).all())


def test_hessian_denoising_keeps_ramps_where_total_variation_makes_stairs():
    x = torch.linspace(0, 1, 24, dtype=F64)
    ramp = (x[:, None] + x).clamp_max(1.2)[None]
    z, gap = HessianSchatten(rtol=1e-3).denoise(ramp + 0.05 * normal(1, 24, 24), 0.1)
    assert float(gap) <= 1e-3
    assert float((z - ramp).square().mean().sqrt()) < 0.02
    noisy = ramp + 0.05 * normal(1, 24, 24)

    def objective(v):
        return float(HessianSchatten().value(v) + (v - noisy).square().sum() / 0.2)

    assert all(
        objective(z) < objective(z + s * normal(1, 24, 24, seed=k)) for k in range(5) for s in (0.01, 0.1)
    )
    with pytest.warns(ConvergenceWarning, match="duality gap"):
        HessianSchatten(max_steps=3).prox(noisy, 0.1)
    with pytest.raises(ShapeError, match="2 spatial"):
        HessianSchatten().value(ramp[0, 0])


def small_real(dtype):
    return torch.float32 if dtype == torch.float32 else F64


@pytest.mark.parametrize("dtype", [torch.float32, F64, C128])
@pytest.mark.parametrize("size", [2, 3])
def test_shrinkage_of_small_matrices_is_that_of_the_svd(size, dtype):
    z = normal(size, size, 1, 400, dtype=dtype)
    z = z + z.transpose(0, 1)
    z[..., 0] = 0
    z[..., 1] = torch.eye(size, dtype=dtype)[..., None]  # all singular values alike
    z[..., 2] = torch.ones(size, size, 1, dtype=dtype)  # rank one
    z[..., 3:40] = z[..., 3:40] * 10.0 ** -torch.arange(37).to(dtype)
    for n, i in enumerate(range(40, 80)):  # two of them nearly alike
        q, _ = torch.linalg.qr(normal(size, size, seed=i))
        s = torch.tensor([1.0, 1.0 + 10.0 ** -(n / 3), -2.0][:size], dtype=F64)
        z[:, :, 0, i] = ((q * s) @ q.T).to(dtype)
    h, small = HessianNuclear(), 2e-6 if dtype == torch.float32 else 1e-14
    for t in (0.0, 0.3, 2.0):
        away = (h.prox(z, t) - _shrunk_by_svd(z, t, 0)).abs().amax((0, 1))
        assert bool((away <= 20 * small * (z.abs().amax((0, 1)) + 1)).all())
    values = torch.linalg.svdvals(z.movedim((0, 1), (-2, -1))).sum()
    assert torch.isclose(h.value(z), values, rtol=small * 100)
    steps = torch.tensor([0.1, 0.7], dtype=small_real(dtype))
    space = Space((size, size, 1, 200), "complex" if dtype == C128 else "real")
    pair = torch.stack([z[..., :200], z[..., 200:]])
    both = h.prox(pair, steps, space)
    assert all(torch.allclose(both[i], h.prox(pair[i], float(steps[i]))) for i in range(2))


def test_second_derivatives_are_those_per_unit_of_the_spacing():
    h = (0.5, 2.0)
    y, x = torch.meshgrid(*(n * torch.arange(k, dtype=F64) for n, k in zip(h, (6, 7))), indexing="ij")
    prior = HessianSchatten(spacing=h)
    K, _ = prior.split(Space((1, 6, 7)))
    H = K((x**2 + 3 * x * y - y**2)[None])[:, :, 0, 1:-1, 1:-1]
    assert torch.allclose(H, torch.tensor([[-2.0, 3.0], [3.0, 2.0]], dtype=F64)[..., None, None].expand_as(H))
    assert torch.allclose(K.H.dense(dtype=F64), K.dense(dtype=F64).mT)
    assert float(torch.linalg.matrix_norm(K.dense(dtype=F64), ord=2)) <= float(K.norm())
    z, same = normal(1, 6, 7, dtype=F64), HessianSchatten(spacing=(2.0, 2.0), rtol=1e-8)
    expected = HessianSchatten(rtol=1e-8).prox(z, 0.1)
    assert torch.allclose(same.prox(z, 0.4), expected, atol=1e-3)
