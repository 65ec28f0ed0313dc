"""Linear operators along the frames of a series: differences, Fourier transform, subspace."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from invcore import LinearOperator, ParameterError, ShapeError, Space


class TemporalDifferences(LinearOperator):
    r"""Differences of successive frames, :math:`(D x)_f = x_{f+1} - x_f`.

    Parameters
    ----------
    domain : Space
        ``(channel, frame, *spatial)``, real or complex.
    boundary : {"neumann", "periodic"}
        What follows the last frame: the same again (its difference is 0), or the first one, for a series of
        one cycle.

    Raises
    ------
    ShapeError, ParameterError

    Notes
    -----
    The range is the domain. `norm_bound` is the norm itself.

    Examples
    --------
    >>> D = TemporalDifferences(Space((1, 3, 1)))
    >>> D(torch.tensor([[[1.0], [2.0], [4.0]]])).flatten()
    tensor([1., 2., 0.])
    """

    domain: Space
    boundary: Literal["neumann", "periodic"] = "neumann"

    def __post_init__(self) -> None:
        check_series("TemporalDifferences", self.domain)
        if self.boundary not in ("neumann", "periodic"):
            raise ParameterError(
                f"TemporalDifferences: boundary must be 'neumann' or 'periodic', got {self.boundary!r}"
            )

    @property
    def range(self) -> Space:
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        dim = frame_axis(self.domain)
        last = x.narrow(dim, 0 if self.boundary == "periodic" else x.shape[dim] - 1, 1)
        return x.diff(dim=dim, append=last)

    def adjoint(self, y: Tensor) -> Tensor:
        dim = frame_axis(self.domain)
        n = y.shape[dim]
        if self.boundary == "periodic":
            return y.roll(1, dim) - y
        zero = torch.zeros_like(y.narrow(dim, 0, 1))
        return -torch.diff(y.narrow(dim, 0, n - 1), dim=dim, prepend=zero, append=zero)

    def norm_bound(self) -> Tensor:
        n = self.domain.shape[1]
        if n == 1:
            return torch.zeros(())
        whole = self.boundary == "periodic" and n % 2 == 0
        return torch.tensor((2 if whole else 2 * math.cos(math.pi / (2 * n))) * (1 + 2**-24))


class TemporalFourier(LinearOperator):
    r"""The orthonormal Fourier transform along the frames of a series: its x-f space.

    .. math:: X_k = n^{-1/2} \sum_f x_f \, e^{-2 \pi i k f / n}

    Parameters
    ----------
    domain : Space
        ``(channel, frame, *spatial)``, complex or real (then the adjoint takes the real part).

    Raises
    ------
    ShapeError

    Notes
    -----
    It is an isometry, ``A.H(A(x)) = x``. The range has the shape of the domain and is complex.

    Examples
    --------
    >>> F = TemporalFourier(Space((1, 4, 1), "complex"))
    >>> F(torch.ones(1, 4, 1) + 0j).abs().flatten()
    tensor([2., 0., 0., 0.])
    """

    domain: Space

    def __post_init__(self) -> None:
        check_series("TemporalFourier", self.domain)

    @property
    def range(self) -> Space:
        return Space(self.domain.shape, "complex")

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x, dim=frame_axis(self.domain), norm="ortho")

    def adjoint(self, y: Tensor) -> Tensor:
        x = torch.fft.ifft(y, dim=frame_axis(self.domain), norm="ortho")
        return x.real if self.domain.kind == "real" else x

    def _gram(self, x: Tensor) -> Tensor:
        return x

    def norm_bound(self) -> Tensor:
        return torch.ones(())


class TemporalSubspace(LinearOperator):
    r"""A series as a combination of a few courses in time, :math:`x_{fp} = \sum_k \Phi_{fk} c_{kp}`.

    With the courses known, as singular vectors of a training series or of simulated signals, the unknowns are
    K coefficient images instead of all frames [1]_: ``Frames(...) @ TemporalSubspace(basis, shape)``.

    Parameters
    ----------
    basis : Tensor, shape (..., frame, K)
        Φ, real or complex, as of `temporal_basis`. Leading dimensions are batch.
    shape : tuple of int
        Spatial dimensions.
    channels : int
        Number of channels, each with its coefficients.

    Raises
    ------
    ShapeError

    Notes
    -----
    Domain ``(channel, K, *spatial)``, range ``(channel, frame, *spatial)``, both complex.

    References
    ----------
    .. [1] Z.-P. Liang, "Spatiotemporal imaging with partially separable functions", ISBI (2007); J. Tamir et
       al., "T2 shuffling: sharp, multicontrast, volumetric fast spin-echo imaging", Magn. Reson. Med. 77
       (2017).

    Examples
    --------
    >>> A = TemporalSubspace(torch.tensor([[1.0], [0.5]]), (1,))
    >>> A(torch.ones(1, 1, 1) + 0j).real.flatten()
    tensor([1.0000, 0.5000])
    """

    basis: Tensor
    shape: tuple[int, ...]
    channels: int = 1
    params = ("basis",)

    def __post_init__(self) -> None:
        b = self.basis
        if b.ndim < 2 or not (b.is_floating_point() or b.is_complex()):
            raise ShapeError(
                f"TemporalSubspace: the basis must be floating or complex (..., frame, K), got {b.dtype} "
                f"{tuple(b.shape)}"
            )
        if not self.shape:
            raise ShapeError("TemporalSubspace: shape must be one spatial dimension or more")

    @property
    def domain(self) -> Space:
        return Space((self.channels, self.basis.shape[-1], *self.shape), "complex")

    @property
    def range(self) -> Space:
        return Space((self.channels, self.basis.shape[-2], *self.shape), "complex")

    def forward(self, x: Tensor) -> Tensor:
        return self._times(self.basis, x)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._times(self.basis.mH, y)

    def _gram(self, x: Tensor) -> Tensor:
        return self._times(self.basis.mH @ self.basis, x)

    def norm_bound(self) -> Tensor:
        return torch.linalg.matrix_norm(self.basis, ord=2)

    def _times(self, matrix: Tensor, x: Tensor) -> Tensor:
        flat = x.flatten(-len(self.shape))  # (..., channel, frame, pixel)
        out = matrix.unsqueeze(-3).to(x.dtype) @ flat
        return out.reshape(*out.shape[:-1], *self.shape)


def temporal_basis(series: Tensor, rank: int) -> Tensor:
    """Return the courses in time that explain most of a series: its first left singular vectors.

    Parameters
    ----------
    series : Tensor, shape (frame, ...)
        Frames of low resolution, navigators, or signals simulated for many tissues.
    rank : int
        Number of courses, at most that of frames.

    Returns
    -------
    Tensor, shape (frame, rank)
        Orthonormal columns, in the dtype of the series.

    Raises
    ------
    ShapeError, ParameterError

    Examples
    --------
    >>> temporal_basis(torch.tensor([[3.0, 6.0], [4.0, 8.0]]), 1).abs().flatten()
    tensor([0.6000, 0.8000])
    """
    if series.ndim < 2 or not (series.is_floating_point() or series.is_complex()):
        raise ShapeError(f"temporal_basis: the series must be (frame, ...), got {tuple(series.shape)}")
    if int(rank) != rank or not 1 <= rank <= min(len(series), series[0].numel()):
        raise ParameterError(
            f"temporal_basis: rank must be from 1 to {min(len(series), series[0].numel())}, got {rank!r}"
        )
    matrix = series.reshape(len(series), -1)
    return torch.linalg.svd(matrix, full_matrices=False)[0][:, :rank].contiguous()


def frame_axis(space: Space) -> int:
    """The dimension of frames in (..., channel, frame, *spatial), from the end."""
    return 1 - len(space.shape)


def check_series(name: str, space: Space) -> None:
    """Refuse what is no series."""
    if len(space.shape) < 3 or 0 in space.shape:
        raise ShapeError(f"{name}: the domain must be a series (channel, frame, *spatial), got {space}")
