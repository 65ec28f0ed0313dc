"""`Gains`: visibilities times the complex gains of their antennas."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError
from invcore.operators import LinearOperator, Space


class Gains(LinearOperator):
    """Visibilities times the gains of their two antennas, V_ij ↦ g_i g_j* V_ij.

    A complex gain per antenna and block of time, and optionally per frequency, describes the effect of
    atmosphere, clocks and receivers on the signal. ``Gains(...) @ A`` is an uncalibrated interferometer A;
    gradients flow to the gains.

    Parameters
    ----------
    gains : Tensor, shape (..., antenna, block, frequency or 1)
        Complex gains g, a parameter ξ.
    antenna1, antenna2 : Tensor, shape (row,), int64
        Antennas i and j of each row.
    block : Tensor, shape (row,), int64
        Block of time of each row, see `gain_blocks`.
    frequencies : int
        Number of frequencies of the visibilities.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the parts do not fit together, or an index lies outside the gains.

    References
    ----------
    T. J. Pearson, A. C. S. Readhead, "Image formation by self-calibration in radio astronomy", Annu. Rev.
    Astron. Astrophys. 22 (1984).

    Examples
    --------
    >>> g = torch.tensor([1j, 2 + 0j]).reshape(2, 1, 1)
    >>> zero, one = torch.tensor([0]), torch.tensor([1])
    >>> A = Gains(gains=g, antenna1=zero, antenna2=one, block=zero, frequencies=1)
    >>> A(torch.tensor([[3 + 0j]]))
    tensor([[0.+6.j]])
    """

    gains: Tensor
    antenna1: Tensor
    antenna2: Tensor
    block: Tensor
    frequencies: int
    params = ("gains",)

    def __post_init__(self) -> None:
        g = self.gains
        if not g.is_complex():
            raise DtypeError(f"Gains: gains must be complex, got {g.dtype}")
        if g.ndim < 3 or g.shape[-1] not in (1, self.frequencies):
            raise ShapeError(
                f"Gains: gains must be (..., antenna, block, {self.frequencies} or 1), got {tuple(g.shape)}"
            )
        rows = self.antenna1.shape
        for name, bound in (("antenna1", g.shape[-3]), ("antenna2", g.shape[-3]), ("block", g.shape[-2])):
            t = getattr(self, name)
            if t.dtype != torch.int64 or t.ndim != 1 or t.shape != rows:
                raise ShapeError(
                    f"Gains: {name} must be int64 of shape (row,) = {tuple(rows)}, "
                    f"got {t.dtype} {tuple(t.shape)}"
                )
            if t.numel() and not 0 <= int(t.min()) <= int(t.max()) < bound:
                raise ParameterError(
                    f"Gains: {name} must lie in 0 ... {bound - 1}, as there are {bound} of them in gains"
                )

    @property
    def domain(self) -> Space:
        """Visibilities, ``(row, frequency)`` complex."""
        return Space((len(self.antenna1), self.frequencies), "complex")

    @property
    def range(self) -> Space:
        """Visibilities, ``(row, frequency)`` complex."""
        return self.domain

    def factors(self) -> Tensor:
        """Return g_i g_j* of every visibility, (..., row, frequency or 1)."""
        flat = self.gains.flatten(-3, -2)
        blocks = self.gains.shape[-2]
        first = flat[..., self.antenna1 * blocks + self.block, :]
        return first * flat[..., self.antenna2 * blocks + self.block, :].conj()

    def forward(self, x: Tensor) -> Tensor:
        return self.factors() * x

    def adjoint(self, y: Tensor) -> Tensor:
        return self.factors().conj() * y

    def _gram(self, x: Tensor) -> Tensor:
        f = self.factors()
        return (f.real.square() + f.imag.square()) * x

    def norm_bound(self) -> Tensor:
        return self.factors().abs().amax((-2, -1))


def gain_blocks(time: Tensor, interval: float) -> Tensor:
    """Number the blocks of time in which gains are constant.

    A block begins with the first row at least ``interval`` after the start of the previous block, so that
    simultaneous rows stay together.

    Parameters
    ----------
    time : Tensor, shape (row,)
        Seconds.
    interval : float
        Seconds; 0 gives every time its own block, infinity makes a single block.

    Returns
    -------
    Tensor, shape (row,), int64

    Raises
    ------
    ParameterError
        If the interval is negative.

    Examples
    --------
    >>> gain_blocks(torch.tensor([0.0, 0.0, 4.0, 9.0, 30.0]), 10.0)
    tensor([0, 0, 0, 0, 1])
    """
    if not interval >= 0:
        raise ParameterError(f"interval must be >= 0 seconds, got {interval}")
    stamps, inverse = torch.unique(time, return_inverse=True)
    numbers: list[int] = []
    begin, number = float("-inf"), -1
    for stamp in stamps.tolist():
        if number < 0 or (stamp > begin and stamp - begin >= interval):
            begin, number = stamp, number + 1
        numbers.append(number)
    return torch.tensor(numbers, dtype=torch.int64, device=time.device)[inverse]
