"""The best local estimator for a finite set of images: closed forms, orthogonality, none is better."""

import math

import pytest
import torch

from invcore import DtypeError, ParameterError, Physics, ShapeError
from invcore.denoisers import EmpiricalDenoiser, LocalMMSEDenoiser
from invcore.models import LocalMMSE
from invcore.noises import GaussianNoise, PoissonNoise
from invcore.operators import Convolution, FourierTransform, Identity, Mask, Matrix, Space
from invcore_testsupport import error, normal, rng

F64 = torch.float64


def periodic(x, p, half):
    """The window of a signal (n) around p, with periodic edges."""
    return torch.stack([x[(p + k) % len(x)] for k in range(-half, half + 1)])


def test_windows_of_one_pixel_give_the_hyperbolic_tangent():
    y = normal(3, 1, 4, 5)
    images = torch.tensor([-1.0, 1.0] * 10, dtype=F64).view(1, 1, 4, 5)
    D = LocalMMSEDenoiser(images, patch=1)
    for sigma in (0.7, 2.0):
        assert torch.allclose(D(y, sigma), torch.tanh(y / sigma**2), rtol=0, atol=1e-15)


def test_the_whole_image_at_each_pixel_is_the_empirical_denoiser():
    images, y = normal(7, 2, 3, 5), normal(4, 2, 3, 5, seed=1)
    levels = torch.tensor([0.5, 0.8, 1.0, 3.0], dtype=F64)
    whole = LocalMMSEDenoiser(images, patch=None, equivariant=False)
    assert torch.allclose(whole(y, levels), EmpiricalDenoiser(images)(y, levels), rtol=0, atol=1e-12)
    shifted = torch.cat([images.roll((i, j), (-2, -1)) for i in range(3) for j in range(5)])
    all_shifts = LocalMMSEDenoiser(images, patch=None)
    assert torch.allclose(all_shifts(y, 0.8), EmpiricalDenoiser(shifted)(y, 0.8), rtol=0, atol=1e-12)
    assert torch.allclose(whole(y, 0.0), EmpiricalDenoiser(images)(y, 0.0))


def test_the_sum_over_all_windows(monkeypatch):
    images, y, sigma = normal(3, 1, 6), normal(1, 9, seed=1), 0.6
    D = LocalMMSEDenoiser(images, patch=3)
    away = torch.stack(
        [
            torch.stack(
                [
                    (periodic(y[0], p, 1) - periodic(x[0], q, 1)).square().sum()
                    for x in images
                    for q in range(6)
                ]
            )
            for p in range(9)
        ]
    )
    expected = torch.softmax(-away / (2 * sigma**2), -1) @ images.flatten()
    assert torch.allclose(D(y, sigma)[0], expected, atol=1e-13)
    monkeypatch.setattr("invcore.denoisers._local_mmse.CHUNK", 18)  # pairs: two candidates at a time
    x = y.clone().requires_grad_()
    (slope,) = torch.autograd.grad(D(x, sigma).square().sum(), x)
    assert torch.allclose(D(y, sigma)[0], expected, atol=1e-13)
    again = y.clone().requires_grad_()
    monkeypatch.undo()
    assert torch.allclose(torch.autograd.grad(D(again, sigma).square().sum(), again)[0], slope, atol=1e-12)


def blur(n, boundary="circular"):
    kernel = torch.tensor([[0.2, 0.5, 0.3]], dtype=F64)
    return Convolution(kernel=kernel, domain=Space((1, n)), boundary=boundary)


def inversion(A, inverse):
    """B as a matrix."""
    dense = A.dense(dtype=F64).reshape(-1, math.prod(A.domain.shape))
    eye = torch.eye(dense.shape[1], dtype=F64)
    return {"identity": eye, "adjoint": dense.T}.get(
        inverse, torch.linalg.inv(dense.T @ dense + 0.3 * eye) @ dense.T
    )


def of_definition(images, y, A, sigma, inverse, half, equivariant):
    """The conditional mean given a window, candidate by candidate."""
    n = images.shape[-1]
    B, dense = inversion(A, inverse), A.dense(dtype=F64).reshape(-1, n)
    observed, seen = B @ y.flatten(), images[:, 0] @ (B @ dense).T
    out = []
    for p in range(n):
        logs, values = [], []
        for q in range(n) if equivariant else (p,):
            rows = [(q + k) % n for k in range(-half, half + 1)]
            law = torch.distributions.MultivariateNormal(
                torch.zeros(2 * half + 1, dtype=F64), sigma**2 * (B @ B.T)[rows][:, rows]
            )
            for i in range(len(images)):
                logs.append(law.log_prob(periodic(observed, p, half) - periodic(seen[i], q, half)))
                values.append(images[i, 0, q])
        out.append(torch.softmax(torch.stack(logs), 0) @ torch.stack(values))
    return torch.stack(out)


@pytest.mark.parametrize("equivariant", [True, False])
@pytest.mark.parametrize("inverse", ["identity", "adjoint", 0.3])
@pytest.mark.parametrize("boundary", ["circular", "zero"])
def test_colored_noise_after_the_inversion(equivariant, inverse, boundary):
    images, A = normal(4, 1, 6), blur(6, boundary)
    y = A(images[:1]) + 0.5 * normal(1, 1, 6, seed=2)
    found = LocalMMSE(images, patch=3, equivariant=equivariant, inverse=inverse)(
        y, Physics(A, GaussianNoise(sigma=0.5))
    )
    expected = of_definition(images, y, A, 0.5, inverse, 1, equivariant)
    assert torch.allclose(found[0, 0], expected, atol=1e-9)


def test_without_an_operator_it_is_the_denoiser():
    images, y = normal(5, 2, 4, 6), normal(3, 2, 4, 6, seed=1)
    physics = Physics(Identity((2, 4, 6)), GaussianNoise(sigma=0.8))
    for options in ({"patch": 3}, {"patch": 3, "equivariant": False}, {"patch": None}):
        found = LocalMMSE(images, **options)(y, physics)
        assert torch.allclose(found, LocalMMSEDenoiser(images, **options)(y, 0.8), atol=1e-11)


def test_pixels_that_see_the_same_entries_vote():
    """Where the mask hides entries, their values are known to be zero: pixels with the same ones vote."""
    images = normal(6, 1, 8)
    mask = torch.tensor([[1.0, 0.0] * 4], dtype=F64)
    y = mask * images[0]
    found = LocalMMSE(images, patch=3)(y, Physics(Mask(mask, Space((1, 8))), GaussianNoise(sigma=1e-3)))
    assert torch.allclose(found[mask > 0], y[mask > 0], atol=1e-2)  # windows (0, y, 0)
    hidden = torch.cat([x[0, 1::2] for x in images])
    assert all((hidden - value).abs().min() < 1e-6 for value in found[mask == 0])  # windows (y, 0, y)


def test_complex_windows_are_compared_in_both_parts():
    images = torch.complex(normal(4, 1, 3, 4), normal(4, 1, 3, 4, seed=1))
    F = FourierTransform(domain=Space((1, 3, 4), "complex"))
    y = F(images[:1]) + 0.3 * torch.complex(normal(1, 1, 3, 4, seed=2), normal(1, 1, 3, 4, seed=3))
    found = LocalMMSE(images, patch=3)(y, Physics(F, GaussianNoise(sigma=0.3)))
    assert torch.allclose(found, LocalMMSEDenoiser(images, patch=3)(F.H(y), 0.3), atol=1e-11)


def random_steps(count, n=12):
    """Images that are not translation invariant among themselves."""
    t = torch.arange(n)
    return torch.stack([(t >= k % n).to(F64) + 0.5 * torch.sin(t * k / 5.0) for k in range(count)])[:, None]


def test_its_error_is_uncorrelated_with_what_it_sees_and_no_linear_filter_is_better():
    images, sigma, draws = normal(6, 1, 12).sign(), 0.5, 3000
    physics = Physics(blur(12), GaussianNoise(sigma=sigma))
    x = images[torch.randint(len(images), (draws,), generator=rng(1))]
    y = physics(x, generator=rng(2))
    left = LocalMMSE(images, patch=5)(y, physics) - x
    observed = physics.operator.H(y)
    for offset in (-2, -1, 0, 1, 2):
        statistic = torch.tanh(observed.roll(-offset, -1))
        each = (left * statistic).mean((-2, -1))
        assert abs(float(each.mean() / (each.std() / math.sqrt(draws)))) < 3
    columns = [observed.roll(-k, -1).flatten() for k in range(-2, 3)] + [torch.ones(x.numel(), dtype=F64)]
    design = torch.stack(columns, -1)
    fit = design @ torch.linalg.lstsq(design, x.flatten()[:, None]).solution
    assert left.square().mean() < 0.8 * (fit[:, 0] - x.flatten()).square().mean()


@pytest.mark.slow
def test_a_trained_network_of_the_same_receptive_field_approaches_it_from_above():
    images, sigma = random_steps(6), 0.5
    D, generator = LocalMMSEDenoiser(images, patch=5), rng(0)

    def pairs(count):
        x = images[torch.randint(len(images), (count,), generator=generator)]
        return x, x + sigma * torch.randn(x.shape, generator=generator, dtype=F64)

    with torch.random.fork_rng():
        torch.manual_seed(0)
        layers = (torch.nn.Conv1d(1, 64, 5, padding=2, padding_mode="circular"), torch.nn.ReLU())
        more = (torch.nn.Conv1d(64, 64, 1), torch.nn.ReLU(), torch.nn.Conv1d(64, 1, 1))
        network = torch.nn.Sequential(*layers, *more).double()
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 1000)
    for _ in range(1000):
        x, y = pairs(128)
        optimizer.zero_grad()
        (network(y) - x).square().mean().backward()
        optimizer.step()
        schedule.step()
    x, y = pairs(10_000)
    best = (D(y, sigma) - x).square().mean()
    trained = (network(y) - x).square().mean().detach()
    assert best < trained < 1.1 * best


def test_unusable_problems_are_refused():
    images = normal(3, 1, 6)
    gaussian = GaussianNoise(sigma=0.1)
    with pytest.raises(ParameterError, match="odd"):
        LocalMMSEDenoiser(images, patch=4)
    with pytest.raises(ShapeError, match="item, channel"):
        LocalMMSE(images[0, 0])
    with pytest.raises(DtypeError, match="real"):
        LocalMMSEDenoiser(images)(images + 0j, 0.1)
    with pytest.raises(ParameterError, match="inverse"):
        LocalMMSE(images, inverse=0.0)
    R, A = LocalMMSE(images, patch=3, inverse="identity"), blur(6)
    with pytest.raises(ParameterError, match="must be Gaussian"):
        R(images, Physics(A, PoissonNoise()))
    with pytest.raises(ParameterError, match="one sigma > 0"):
        R(images, Physics(A, GaussianNoise(sigma=0.0)))
    with pytest.raises(ShapeError, match="its images are"):
        R(normal(1, 8), Physics(blur(8), gaussian))
    with pytest.raises(ParameterError, match="data that are images"):
        LocalMMSE(images[:, 0, None, :].reshape(3, 1, 6), inverse="identity")(
            normal(4), Physics(Matrix(normal(4, 6)) @ _flat(6), gaussian)
        )


def _flat(n):
    """(1, n) as (n)."""
    from invcore import LinearOperator

    class Flat(LinearOperator):
        domain: Space
        range: Space

        def forward(self, x):
            return x.flatten(-2)

        def adjoint(self, y):
            return y.unflatten(-1, (1, n))

    return Flat(domain=Space((1, n)), range=Space((n,)))


def test_precision_follows_the_data():
    images = normal(4, 1, 6)
    D, y = LocalMMSEDenoiser(images, patch=3), normal(2, 1, 6, seed=1)
    assert D.to(torch.float32)(y.float(), 0.3).dtype == torch.float32
    assert error(D.to(torch.float32)(y.float(), 0.3).double(), D(y, 0.3)) < 1e-5
