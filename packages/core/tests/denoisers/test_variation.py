"""Denoising with the total variation and the total generalized variation."""

import numpy as np
import pytest
import torch
from scipy import optimize

import invcore
from invcore.denoisers import TGVDenoiser, TVDenoiser


def rms(x):
    return float(x.square().mean().sqrt())


def test_tv_equals_scikit_image(picture, noisy):
    restoration = pytest.importorskip("skimage.restoration")
    y = noisy(picture(24), 0.1)
    expected = restoration.denoise_tv_chambolle(y[0].numpy(), weight=0.08, eps=1e-12, max_num_iter=5000)
    result = TVDenoiser(strength=0.8, rtol=1e-8, max_steps=20_000)(y, 0.1)
    np.testing.assert_allclose(result[0].numpy(), expected, atol=2e-4)


def test_tv_of_each_channel_and_level(picture, noisy):
    y = torch.stack([noisy(picture(16, channels=2), 0.1)] * 2)
    sigma = torch.tensor([0.1, 0.2], dtype=torch.float64)
    for kind in ("isotropic", "anisotropic"):
        together = TVDenoiser(kind=kind, coupling="separate", rtol=1e-9)(y, sigma)
        for i in range(2):
            for c in range(2):
                alone = TVDenoiser(kind=kind, rtol=1e-9)(y[i, c : c + 1], float(sigma[i]))
                assert torch.allclose(together[i, c : c + 1], alone, atol=1e-5)
    with pytest.raises(invcore.ParameterError, match="strength"):
        TVDenoiser(strength=0.0)
    with pytest.raises(invcore.ParameterError, match="kind"):
        TVDenoiser(kind="round")


def tgv_objective(z, w, x, weight, ratio, eps=1e-8):
    """The definition, difference by difference; magnitudes are rounded off at sqrt(eps) for L-BFGS."""
    rows, columns = x.shape
    total = ((z - x) ** 2).sum() / 2

    def exists(a, i, j):  # the forward difference along axis a
        return i < rows - 1 if a == 0 else j < columns - 1

    for i in range(rows):
        for j in range(columns):
            first = second = torch.tensor(eps, dtype=torch.float64)
            for a, (di, dj) in enumerate(((1, 0), (0, 1))):
                if exists(a, i, j):
                    first = first + (z[i + di, j + dj] - z[i, j] - w[a, i, j]) ** 2
            e = torch.zeros(2, 2, dtype=torch.float64)
            for a, (di, dj) in enumerate(((1, 0), (0, 1))):
                for b in range(2):
                    if i >= di and j >= dj and exists(b, i, j) and exists(b, i - di, j - dj):
                        d = (w[b, i, j] - w[b, i - di, j - dj]) / 2
                        step = torch.zeros(2, 2, dtype=torch.float64)
                        step[a, b] += 1
                        step[b, a] += 1
                        e = e + d * step
            total = total + weight * (first.sqrt() + ratio * (second + e.square().sum()).sqrt())
    return total


def test_tgv_minimizes_its_definition(picture, noisy):
    x = noisy(picture(4)[0, :, :3], 0.1)
    result = TGVDenoiser(strength=0.8, ratio=1.5, rtol=1e-7, max_steps=20_000)(x[None], 0.1)[0]

    def function(v):
        v = torch.tensor(v, requires_grad=True)
        value = tgv_objective(v[:12].view(4, 3), v[12:].view(2, 4, 3), x, 0.08, 1.5)
        (g,) = torch.autograd.grad(value, v)
        return value.item(), g.numpy()

    start = np.concatenate([x.numpy().ravel(), np.zeros(24)])
    found = optimize.minimize(function, start, jac=True, method="L-BFGS-B", options={"maxiter": 400})
    np.testing.assert_allclose(result.numpy().ravel(), found.x[:12], atol=1e-3)


def test_tgv_leaves_affine_images_alone_where_tv_does_not(noisy):
    i = torch.arange(12, dtype=torch.float64)
    ramp = (0.3 * i[:, None] - 0.2 * i[:9] + 1)[None]
    assert torch.allclose(TGVDenoiser(rtol=1e-8)(ramp, 0.5), ramp, atol=1e-3)
    assert rms(TVDenoiser()(ramp, 0.5) - ramp) > 0.05
    y = noisy(ramp, 0.3)
    assert rms(TGVDenoiser()(y, 0.3) - ramp) < rms(TVDenoiser()(y, 0.3) - ramp)


def test_tgv_operators_are_adjoint():
    from invcore._variation.tgv_dual import SecondOrder

    g = torch.Generator().manual_seed(0)
    for shape in ((7,), (4, 5), (3, 4, 5)):
        d, draw = len(shape), lambda *n: torch.randn(*n, generator=g, dtype=torch.complex128)
        K, x, w, q = SecondOrder(d), draw(2, 3, *shape), draw(d, 2, 3, *shape), draw(d, d, 2, 3, *shape)
        dot = lambda a, b: (a.conj() * b).sum()
        assert torch.allclose(dot(K.forward(x), w), dot(x, K.divergence(w)))
        assert torch.allclose(dot(K.symmetrized(w), q), dot(w, K.symmetrized_adjoint(q)))
        assert torch.equal(K.symmetrized(w), K.symmetrized(K.valid(w)))


@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e4])
def test_tgv_reaches_its_gap_whatever_the_contrast(scale, recwarn, picture, noisy):
    y = scale * noisy(picture(16), 0.1)
    out = TGVDenoiser(rtol=1e-4)(y, 0.1)
    assert out.isfinite().all()
    assert not [w for w in recwarn if issubclass(w.category, invcore.ConvergenceWarning)]
    with pytest.warns(invcore.ConvergenceWarning, match="Raise max_steps"):
        TGVDenoiser(rtol=1e-6, max_steps=2)(y, 0.1)
