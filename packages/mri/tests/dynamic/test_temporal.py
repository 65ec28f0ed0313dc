"""Operators along time against matrices, and priors against their definitions."""

import torch

from invcore import Space
from invcore.testing import check
from invcore_mri import (
    Frames,
    LowRankSparse,
    Sense,
    TemporalDifferences,
    TemporalFourier,
    TemporalSpectrum,
    TemporalSubspace,
    TemporalTV,
    coil_array,
    temporal_basis,
)


def series(*shape, seed=0):
    return torch.randn(*shape, dtype=torch.complex128, generator=torch.Generator().manual_seed(seed))


def test_frames_are_what_the_operator_does_to_each():
    masks = (torch.rand(3, 1, 5, generator=torch.Generator().manual_seed(0)) > 0.4).double()
    maps = coil_array((4, 5), coils=2).to(torch.complex128)
    x = series(2, 1, 3, 4, 5)
    A = Frames(Sense(maps, masks), 3)
    y = A(x)
    assert y.shape == (2, 3, 2, 4, 5)
    for f in range(3):
        one = Sense(maps, masks[f])
        torch.testing.assert_close(y[:, f], one(x[:, :, f]))
        torch.testing.assert_close(A.H(y)[:, :, f], one.H(y[:, f]))
        torch.testing.assert_close(A.gram(x)[:, :, f], one.gram(x[:, :, f]))
    batch = torch.stack([masks, 1 - masks]).unsqueeze(2)[:, :, 0]  # (batch, frame, y, x)
    B = Frames(Sense(maps, batch), 3)
    torch.testing.assert_close(B(x)[1], Frames(Sense(maps, 1 - masks), 3)(x[1]))


def test_operators_along_time_are_their_matrices():
    x = series(2, 5, 3)
    space = Space((2, 5, 3), "complex")
    F = torch.fft.fft(torch.eye(5, dtype=torch.complex128), norm="ortho")
    D = torch.diag(torch.ones(4, dtype=torch.complex128), 1) - torch.eye(5, dtype=torch.complex128)
    D[4] = 0
    basis = series(5, 2, seed=1)
    for A, matrix, value in (
        (TemporalFourier(space), F, x),
        (TemporalDifferences(space), D, x),
        (TemporalSubspace(basis, (3,), channels=2), basis, x[:, :2]),
    ):
        torch.testing.assert_close(A(value), torch.einsum("fg,cgp->cfp", matrix, value))
    cyclic = D.clone()
    cyclic[4, 4], cyclic[4, 0] = -1, 1
    periodic = TemporalDifferences(space, boundary="periodic")
    torch.testing.assert_close(periodic(x), torch.einsum("fg,cgp->cfp", cyclic, x))
    torch.testing.assert_close(
        float(periodic.norm_bound()), float(torch.linalg.matrix_norm(cyclic, ord=2)), rtol=1e-6, atol=0
    )


def test_a_basis_spans_what_has_its_rank():
    x = series(6, 2) @ series(2, 40, seed=1)
    basis = temporal_basis(x.reshape(6, 8, 5), 2)
    torch.testing.assert_close(basis @ (basis.mH @ x), x)
    torch.testing.assert_close(basis.mH @ basis, torch.eye(2, dtype=torch.complex128))


def test_values_of_the_priors():
    x = series(2, 4, 3, 2)
    space = Space((2, 4, 3, 2), "complex")
    torch.testing.assert_close(TemporalTV().value(x, space), x.diff(dim=1).abs().sum())
    cycle = (x.roll(-1, 1) - x).abs().sum()
    torch.testing.assert_close(TemporalTV(boundary="periodic").value(x, space), cycle)
    spectrum = torch.fft.fft(x, dim=1, norm="ortho").abs()
    torch.testing.assert_close(TemporalSpectrum().value(x, space), spectrum.sum())
    nuclear = torch.linalg.svdvals(x[0].reshape(4, 6)).sum()
    expected = nuclear + 0.3 * spectrum[1].sum()
    torch.testing.assert_close(LowRankSparse(sparse_weight=0.3).value(x, space), expected)
    torch.testing.assert_close(LowRankSparse().value(x, space), nuclear + spectrum[1].sum() / 6**0.5)


def test_a_series_of_one_frame_has_no_differences():
    D = TemporalDifferences(Space((1, 1, 2)))
    assert not D(torch.ones(1, 1, 2)).any()
    assert float(D.norm_bound()) == 0
    check(TemporalDifferences(Space((1, 2, 2))))
