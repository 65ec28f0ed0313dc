"""Single-pixel cameras."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Literal

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError
from invcore.operators import HadamardTransform, LinearOperator, Space, WaveletTransform

from .pattern_order import HAAR_ORDERS, HADAMARD_ORDERS, haar_order, hadamard_order

Detection = Literal["difference", "pairs", "single"]


class SinglePixel(LinearOperator):
    r"""A single-pixel camera: one detector reads the light that each of a series of patterns lets through.

    The detector reads of pattern :math:`w_i`, of any sign, by ``detection``

    ================  ==================================================================================
    ``"difference"``  :math:`y_i = \langle w_i, x \rangle`, what remains of pairs
    ``"pairs"``       :math:`y_i^\pm = \tfrac T2 \langle (|w_i| \pm w_i) / \max|w_i|,\, x \rangle`
    ``"single"``      :math:`y_i^+` alone
    ================  ==================================================================================

    A modulator shows only transmissions from 0 to 1: pairs show the positive and the negative part of a
    pattern one after the other, and with x in photons per unit of time and the dwell time T their readings
    are photons. `difference` turns pairs into differences. Hadamard's and Haar's bases are orthonormal and
    fast, n log n and n operations.

    Parameters
    ----------
    patterns : {"hadamard", "haar"} or Tensor, shape (..., m, y, x)
        A basis, or any real patterns (`bernoulli_patterns`).
    domain : Space
        ``(channel, y, x)``: powers of two for Hadamard's basis, multiples of ``2**levels`` for Haar's. All
        channels see the same patterns.
    measurements : int, optional
        Patterns that are shown, the first of the order; by default all.
    order : str or Tensor of int64, shape (n)
        ``"natural"``; of Hadamard's basis also those of `hadamard_order`, of Haar's ``"scale"``, coarse ones
        first; or the numbers of patterns themselves (of Haar's basis: places in the layout of
        `invcore.operators.WaveletTransform`).
    levels : int, optional
        Of Haar's basis; by default as many as the image can be halved.
    detection : {"difference", "pairs", "single"}
    dwell : float
        T of each reading, for pairs and single readings.

    Returns
    -------
    Tensor, shape (..., channel, m), or (..., channel, 2, m) for pairs

    Raises
    ------
    ParameterError, ShapeError

    References
    ----------
    M. P. Edgar, G. M. Gibson, M. J. Padgett, "Principles and prospects for single-pixel imaging", Nature
    Photonics 13 (2019). C. Scotté, F. Galland, H. Rigneault, "Photon-noise: is a single-pixel camera better
    than point scanning?", J. Phys. Photonics 5 (2023).

    Examples
    --------
    >>> A = SinglePixel("hadamard", (1, 2, 2), order="cake_cutting", measurements=2, detection="pairs")
    >>> A(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])).round(decimals=3)
    tensor([[[10.,  4.],
             [ 0.,  6.]]])
    """

    patterns: Literal["hadamard", "haar"] | Tensor
    domain: Space
    measurements: int | None = None
    order: str | Tensor = "natural"
    levels: int | None = None
    detection: Detection = "difference"
    dwell: float = 1.0
    params = ("patterns",)

    def __post_init__(self) -> None:
        shape = self.domain.shape
        if len(shape) != 3 or self.domain.kind != "real" or min(shape[1:]) < 1:
            raise ShapeError(f"SinglePixel takes real images (channel, y, x), got {self.domain}")
        if self.detection not in ("difference", "pairs", "single"):
            raise ParameterError(
                f"detection must be 'difference', 'pairs' or 'single', got {self.detection!r}"
            )
        if not 0 < self.dwell < math.inf:
            raise ParameterError(f"dwell must be a positive time, got {self.dwell!r}")
        if isinstance(self.patterns, Tensor):
            self._check_patterns(self.patterns)
        elif self.patterns not in ("hadamard", "haar"):
            raise ParameterError(
                f"patterns must be 'hadamard', 'haar' or a tensor (..., m, y, x), got {self.patterns!r}"
            )
        if self._basis == "haar":
            self._check_haar()
        elif self.levels is not None:
            raise ParameterError("SinglePixel: levels= is for Haar patterns")
        if self._basis == "hadamard":
            HadamardTransform(self.domain, spatial_dims=2)  # checks the sizes
        self._check_order()

    def _check_patterns(self, patterns: Tensor) -> None:
        if not patterns.is_floating_point() or patterns.ndim < 3:
            raise ShapeError(
                f"patterns must be real, (..., m, y, x), got {patterns.dtype} {tuple(patterns.shape)}"
            )
        if tuple(patterns.shape[-2:]) != self.domain.shape[1:]:
            raise ShapeError(
                f"patterns of {tuple(patterns.shape[-2:])} pixels do not fit images of {self.domain}"
            )

    def _check_haar(self) -> None:
        ny, nx = self.domain.shape[1:]
        most = _halvings(ny, nx)
        if self.levels is not None and not (isinstance(self.levels, int) and 0 <= self.levels <= most):
            raise ParameterError(
                f"SinglePixel: an image of {ny} x {nx} can be halved {most} times; levels={self.levels!r}"
            )

    def _check_order(self) -> None:
        count, order, m = self._count, self.order, self.measurements
        if isinstance(order, Tensor):
            good = order.ndim == 1 and order.dtype == torch.int64
            if not good or (order.numel() and not 0 <= int(order.min()) <= int(order.max()) < count):
                raise ShapeError(
                    f"order must hold numbers of patterns from 0 to {count - 1}, one-dimensional int64, got "
                    f"{order.dtype} {tuple(order.shape)}"
                )
            count = order.numel()
        else:
            known = {"hadamard": HADAMARD_ORDERS, "haar": HAAR_ORDERS}
            names = known[self.patterns] if isinstance(self.patterns, str) else ("natural",)
            if order not in names:
                raise ParameterError(f"order must be one of {names} for these patterns, got {order!r}")
        if m is not None and not (isinstance(m, int) and not isinstance(m, bool) and 0 < m <= count):
            raise ParameterError(f"measurements must be between 1 and {count}, got {m!r}")

    @property
    def _basis(self) -> str | None:
        return None if isinstance(self.patterns, Tensor) else self.patterns

    @property
    def _count(self) -> int:
        """How many patterns there are to choose from."""
        if isinstance(self.patterns, Tensor):
            return int(self.patterns.shape[-3])
        return self.domain.shape[1] * self.domain.shape[2]

    @property
    def depth(self) -> int:
        """The number of levels of Haar's basis."""
        return _halvings(*self.domain.shape[1:]) if self.levels is None else self.levels

    @cached_property
    def rows(self) -> Tensor:
        """The numbers of the patterns that are shown, in their order."""
        shape = (self.domain.shape[1], self.domain.shape[2])
        if isinstance(self.order, Tensor):
            rows = self.order
        elif self._basis == "hadamard":
            rows = hadamard_order(shape, self.order)  # type: ignore[arg-type]
        elif self._basis == "haar":
            rows = haar_order(shape, self.depth, self.order)
        else:
            rows = torch.arange(self._count)
        return rows[: self.measurements]

    @property
    def range(self) -> Space:
        m = len(self.rows)
        between = (2,) if self.detection == "pairs" else ()
        return Space((self.domain.shape[0], *between, m))

    @property
    def gain(self) -> Tensor:
        r""":math:`1 / \max|w_i|` of the patterns that are shown, shape (..., m)."""
        if isinstance(self.patterns, Tensor):
            return 1 / self._dense.abs().amax((-2, -1)).clamp_min(torch.finfo(self.patterns.dtype).tiny)
        ny, nx = self.domain.shape[1:]
        if self._basis == "hadamard":
            return torch.full((len(self.rows),), math.sqrt(ny * nx))
        sizes = torch.full((ny, nx), 2.0**self.depth)
        for level in range(1, self.depth + 1):
            y, x = ny >> level, nx >> level
            sizes[y : 2 * y, : 2 * x] = sizes[: 2 * y, x : 2 * x] = 2.0**level
        return sizes.flatten()[self.rows]

    @property
    def _dense(self) -> Tensor:
        assert isinstance(self.patterns, Tensor)
        whole = self.order == "natural" if isinstance(self.order, str) else False
        rows = slice(0, self.measurements) if whole else self.rows.to(self.patterns.device)
        return self.patterns[..., rows, :, :]

    @property
    def _transform(self) -> LinearOperator:
        if self._basis == "haar":
            return WaveletTransform(self.domain, wavelet="haar", levels=self.depth)
        return HadamardTransform(self.domain, spatial_dims=2)

    def forward(self, x: Tensor) -> Tensor:
        signed = self._signed(x)
        if self.detection == "difference":
            return signed
        gain = self.gain.to(signed).unsqueeze(-2)
        signed, whole = gain * signed, gain * self._unsigned(x)
        half = self.dwell / 2
        if self.detection == "single":
            return half * (whole + signed)
        return torch.stack((half * (whole + signed), half * (whole - signed)), -2)

    def _signed(self, x: Tensor) -> Tensor:
        """⟨w, x⟩ of each pattern."""
        if isinstance(self.patterns, Tensor):
            return _product(x.flatten(-2), self._dense.flatten(-2).mT)
        return self._transform(x).flatten(-2)[..., self.rows.to(x.device)]

    def _unsigned(self, x: Tensor) -> Tensor:
        """⟨|w|, x⟩ of each pattern."""
        if isinstance(self.patterns, Tensor):
            return _product(x.flatten(-2), self._dense.abs().flatten(-2).mT)
        if self._basis == "hadamard":
            ny, nx = self.domain.shape[1:]
            return x.sum((-2, -1)).unsqueeze(-1).expand(*x.shape[:-2], len(self.rows)) / math.sqrt(ny * nx)
        return _block_sums(x, self.depth).flatten(-2)[..., self.rows.to(x.device)]

    def adjoint(self, y: Tensor) -> Tensor:
        if self.detection == "difference":
            return self._signed_adjoint(y)
        gain = self.gain.to(y).unsqueeze(-2)
        plus, minus = y.unbind(-2) if self.detection == "pairs" else (y, torch.zeros_like(y))
        half = self.dwell / 2 * gain
        return self._signed_adjoint(half * (plus - minus)) + self._unsigned_adjoint(half * (plus + minus))

    def _signed_adjoint(self, y: Tensor) -> Tensor:
        if isinstance(self.patterns, Tensor):
            return _product(y, self._dense.flatten(-2)).unflatten(-1, self.domain.shape[1:])
        return self._transform.H(self._placed(y))

    def _unsigned_adjoint(self, y: Tensor) -> Tensor:
        if isinstance(self.patterns, Tensor):
            return _product(y, self._dense.abs().flatten(-2)).unflatten(-1, self.domain.shape[1:])
        if self._basis == "hadamard":
            ny, nx = self.domain.shape[1:]
            return (y.sum(-1) / math.sqrt(ny * nx))[..., None, None].expand(*y.shape[:-1], ny, nx)
        return _block_sums_adjoint(self._placed(y), self.depth)

    def _placed(self, y: Tensor) -> Tensor:
        """All coefficients, zero where no pattern was shown; those of a pattern shown twice are summed."""
        whole = y.new_zeros(*y.shape[:-1], self._count)
        return whole.index_add(-1, self.rows.to(y.device), y).unflatten(-1, self.domain.shape[1:])

    def norm_bound(self) -> Tensor | None:
        """1 for differences of an orthonormal basis whose patterns are shown once; None for others."""
        return torch.ones(()) if self._orthonormal else None

    @cached_property
    def _orthonormal(self) -> bool:
        if isinstance(self.patterns, Tensor) or self.detection != "difference":
            return False
        return len(torch.unique(self.rows)) == len(self.rows)

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor | None:
        if not self._orthonormal:
            return None
        w = weight[(..., *(None,) * 3)]
        if z is None:
            return None if y is None else self.adjoint(y) / (1 + w)
        miss = -self.forward(z) if y is None else y - self.forward(z)
        return z + self.adjoint(miss) / (1 + w)

    def difference(self, y: Tensor) -> Tensor:
        """Return ⟨w, x⟩, data of this camera with ``detection="difference"``, from the readings of pairs.

        Parameters
        ----------
        y : Tensor, shape (..., channel, 2, m)

        Returns
        -------
        Tensor, shape (..., channel, m)

        Raises
        ------
        ParameterError
            If the readings are not those of pairs.
        """
        if self.detection != "pairs" or tuple(y.shape[-3:]) != self.range.shape:
            raise ParameterError(
                f"difference takes readings of pairs {self.range if self.detection == 'pairs' else ''}, got "
                f"{tuple(y.shape)} of detection={self.detection!r}"
            )
        return (y[..., 0, :] - y[..., 1, :]) / (self.dwell * self.gain.to(y).unsqueeze(-2))


def bernoulli_patterns(measurements: int, shape: tuple[int, int], *, generator: torch.Generator) -> Tensor:
    """Draw random patterns of ±1, each with probability one half, for `SinglePixel`.

    Parameters
    ----------
    measurements : int
    shape : tuple of int
        ``(y, x)``.
    generator : torch.Generator

    Returns
    -------
    Tensor, shape (measurements, y, x)
        Divided by √measurements, so that the mean of ‖A x‖² is ‖x‖².

    Raises
    ------
    ParameterError

    References
    ----------
    M. F. Duarte et al., "Single-pixel imaging via compressive sampling", IEEE Signal Process. Mag. 25 (2008).

    Examples
    --------
    >>> bernoulli_patterns(4, (1, 2), generator=torch.Generator().manual_seed(0)).abs().unique()
    tensor([0.5000])
    """
    if measurements < 1 or len(shape) != 2 or min(shape) < 1:
        raise ParameterError(
            f"bernoulli_patterns: measurements and (y, x) must be positive, got {measurements!r}, {shape!r}"
        )
    signs = torch.randint(0, 2, (measurements, *shape), generator=generator, device=generator.device)
    return (2.0 * signs - 1) / math.sqrt(measurements)


def _product(a: Tensor, b: Tensor) -> Tensor:
    """The matrix product, in the wider of two precisions."""
    wide = torch.promote_types(a.dtype, b.dtype)
    return a.to(wide) @ b.to(wide)


def _halvings(*sizes: int) -> int:
    return min((n & -n).bit_length() - 1 for n in sizes)


def _block_sums(x: Tensor, levels: int) -> Tensor:
    """⟨|w|, x⟩ of every Haar pattern, in the layout of the transform."""
    sums = [x]
    for _ in range(levels):
        sums.append(sums[-1].unflatten(-1, (-1, 2)).sum(-1).unflatten(-2, (-1, 2)).sum(-2) / 2)
    out = sums[-1]
    for block in reversed(sums[1:]):
        out = torch.cat((torch.cat((out, block), -1), torch.cat((block, block), -1)), -2)
    return out


def _block_sums_adjoint(c: Tensor, levels: int) -> Tensor:
    blocks = []
    for _ in range(levels):
        ny, nx = c.shape[-2] // 2, c.shape[-1] // 2
        blocks.append(c[..., :ny, nx:] + c[..., ny:, :nx] + c[..., ny:, nx:])
        c = c[..., :ny, :nx]
    for block in reversed(blocks):
        c = c + block
        c = c.repeat_interleave(2, -1).repeat_interleave(2, -2) / 2
    return c
