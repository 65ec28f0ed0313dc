"""Log amplitudes of visibilities, with marginalized antenna gains."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import Operator, Space

from .._noise.closure_errors import log_amplitude_error, signal_to_noise, with_fraction
from .._noise.covariance import BlockCovariance


class LogAmplitudes(Operator):
    r"""Log amplitudes ln|V| of selected visibilities.

    Unknown gains, |V'_ij| = |g_i||g_j||V_ij|, add an error ln|g_i| + ln|g_j| to log amplitudes. For
    independent normal ln|g_i| of standard deviation s_i the errors of all amplitudes at one time have the
    covariance

    .. math:: Σ = G \,\mathrm{diag}(s^2) G^T + \mathrm{diag}(σ_{\ln|V|}^2),

    with the incidence matrix G of visibilities and antennas. For s → 0 these are calibrated amplitudes; for s
    → ∞ the likelihood is that of a complete set of log closure amplitudes. In between, the gains are
    marginalized, which replaces self-calibration.

    Parameters
    ----------
    index : Tensor, shape (n,), int64
        Selected visibilities, as indices into the flattened array (row, frequency).
    shape : tuple of int
        ``(rows, frequencies)``.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If an index is not one of the visibilities.

    References
    ----------
    L. Blackburn et al., "Closure statistics in interferometric data", ApJ 894 (2020) 31, Section 5
    (marginalized gains).

    Examples
    --------
    >>> A = LogAmplitudes(index=torch.tensor([0, 2]), shape=(3, 1))
    >>> A(torch.tensor([[1.0 + 0j], [5j], [-1j]]))
    tensor([0., 0.])
    """

    index: Tensor
    shape: tuple[int, int]

    def __post_init__(self) -> None:
        if self.index.dtype != torch.int64:
            raise DtypeError(f"LogAmplitudes: index must be int64, got {self.index.dtype}")
        if self.index.ndim != 1:
            raise ShapeError(f"LogAmplitudes: index must have shape (n,), got {tuple(self.index.shape)}")
        size = self.shape[0] * self.shape[1]
        if len(self.index) and not 0 <= int(self.index.min()) <= int(self.index.max()) < size:
            raise ParameterError(
                f"LogAmplitudes: an index lies outside the {size} visibilities of shape {self.shape}"
            )

    @property
    def domain(self) -> Space:
        """Visibilities, ``(row, frequency)`` complex."""
        return Space(self.shape, "complex")

    @property
    def range(self) -> Space:
        """Log amplitudes, ``(n,)``."""
        return Space((len(self.index),))

    def forward(self, x: Tensor) -> Tensor:
        return x.flatten(-2)[..., self.index].abs().log()

    def covariance(
        self,
        visibilities: Tensor,
        sigma: Tensor,
        *,
        antenna1: Tensor,
        antenna2: Tensor,
        group: Tensor,
        gain_error: Tensor,
        fraction: float = 0.0,
    ) -> BlockCovariance:
        """Compute the covariance of the log amplitudes for unknown gains, independent between groups.

        Parameters
        ----------
        visibilities : Tensor, shape (row, frequency), complex
            Measured visibilities.
        sigma : Tensor, shape (row, frequency)
            Standard deviation of their real and imaginary part.
        antenna1, antenna2 : Tensor, shape (row,), int64
            Antennas i and j of each row.
        group : Tensor, shape (row,), int64
            Rows of one group, such as a scan, have the same gains.
        gain_error : Tensor, shape (antenna,)
            Standard deviation s of ln|g| of each antenna, 0.1 for 10 %.
        fraction : float
            Error of each visibility as a fraction of its amplitude, added in quadrature.

        Returns
        -------
        BlockCovariance
        """
        at = self.index
        data = visibilities.reshape(-1)[at]
        snr = signal_to_noise(data, with_fraction(sigma.reshape(-1)[at], data, fraction))
        own = log_amplitude_error(snr).square()
        rows, channel = at // self.shape[1], at % self.shape[1]
        a, b = antenna1[rows], antenna2[rows]
        block = torch.unique(torch.stack([group[rows], channel], 1), dim=0, return_inverse=True)[1]
        order = block.argsort(stable=True)
        counts = torch.bincount(block)
        k = int(counts.max()) if len(counts) else 0
        column = torch.arange(len(order), device=order.device) - (counts.cumsum(0) - counts)[block[order]]
        index = torch.full((len(counts), k), -1, dtype=torch.int64, device=order.device)
        index[block[order], column] = order
        ends = torch.stack([a, b], 1)[index.clamp_min(0)]  # (block, k, 2)
        s2 = gain_error.to(own).square()[ends]
        shared = ends[:, :, None, :, None] == ends[:, None, :, None, :]
        matrix = torch.where(shared, s2[:, :, None, :, None], 0).sum((-2, -1))
        matrix = matrix + torch.diag_embed(own[index.clamp_min(0)])
        return BlockCovariance(index=index, matrix=matrix)
