"""Random measurements: dense Gaussian ones, and fast structured ones."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor

from .._errors import ParameterError, ShapeError
from ..spaces import Space
from ._base import LinearOperator
from ._fourier import FourierTransform
from ._hadamard import HadamardTransform
from ._products import product
from ._trigonometric import CosineTransform, SineTransform

_EXACT_NORM = 2**20


class CompressedSensing(LinearOperator):
    r"""Inner products of the whole image, or of each channel, with the rows of a dense matrix: y = Φ vec(x).

    `compressed_sensing` draws Φ at random.

    Parameters
    ----------
    matrix : Tensor, shape (..., m, n)
        Real, or complex on a complex domain; leading dimensions are batch. n is the number of entries of the
        image, or of one channel.
    domain : Space
        ``(channel, *spatial)``.
    channelwise : bool
        Whether each channel is measured separately, with the same matrix; the range is then
        ``(channel, m)``, else ``(m,)``.

    Raises
    ------
    ShapeError

    References
    ----------
    .. [1] E. J. Candès and T. Tao, "Near-optimal signal recovery from random projections: universal encoding
       strategies?", IEEE Trans. Inf. Theory 52 (2006).

    Examples
    --------
    >>> A = CompressedSensing(torch.ones(2, 4), domain=(1, 2, 2))
    >>> A(torch.ones(1, 2, 2))
    tensor([4., 4.])
    """

    matrix: Tensor
    domain: Space
    channelwise: bool = False
    params = ("matrix",)

    def __post_init__(self) -> None:
        size = math.prod(self.domain.shape[1:]) if self.channelwise else self.domain.size
        if self.matrix.ndim < 2 or self.matrix.shape[-1] != size:
            raise ShapeError(
                f"matrix must have shape (..., m, {size}) for "
                f"{'each channel of ' if self.channelwise else ''}{self.domain}, "
                f"got {tuple(self.matrix.shape)}"
            )
        if self.matrix.is_complex() and self.domain.kind == "real":
            raise ShapeError("a complex matrix needs a complex domain: Space(shape, 'complex')")

    @property
    def range(self) -> Space:
        m = self.matrix.shape[-2]
        return Space((self.domain.shape[0], m) if self.channelwise else (m,), self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        flat = x.reshape(*x.shape[: x.ndim - len(self.domain.shape)], -1, self.matrix.shape[-1])
        y = product(flat, self.matrix.mT)
        return y if self.channelwise else y.squeeze(-2)

    def adjoint(self, y: Tensor) -> Tensor:
        x = product(y if self.channelwise else y.unsqueeze(-2), self.matrix.conj())
        return x.reshape(*x.shape[:-2], *self.domain.shape)

    def norm_bound(self) -> Tensor | None:
        """The norm itself for matrices of up to 2²⁰ entries; Lanczos iteration is faster for larger ones."""
        if self.matrix.shape[-1] * self.matrix.shape[-2] > _EXACT_NORM:
            return None
        return torch.linalg.matrix_norm(self.matrix, ord=2)


def compressed_sensing(
    *, domain: Space, measurements: int, seed: int = 0, channelwise: bool = False
) -> CompressedSensing:
    r"""Dense Gaussian measurements: `CompressedSensing` with independent entries of variance 1/m.

    :math:`\mathbb{E}\,\|\Phi x\|^2 = \|x\|^2`. Complex on a complex domain, with independent real and
    imaginary parts of variance 1/2m each.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex.
    measurements : int
        m, of the whole image or of each channel.
    seed : int
        Of the generator that draws the matrix.
    channelwise : bool
        See `CompressedSensing`.

    Returns
    -------
    CompressedSensing

    Raises
    ------
    ParameterError
        If ``measurements`` is not positive.

    References
    ----------
    .. [1] D. L. Donoho, "Compressed sensing", IEEE Trans. Inf. Theory 52 (2006).

    Examples
    --------
    >>> A = compressed_sensing(domain=Space((1, 8, 8)), measurements=20, seed=1)
    >>> A.range, A.matrix.shape
    (Space((20,)), torch.Size([20, 64]))
    """
    if measurements < 1:
        raise ParameterError(f"compressed_sensing: measurements must be positive, got {measurements}")
    size = math.prod(domain.shape[1:]) if channelwise else domain.size
    dtype = torch.complex64 if domain.kind == "complex" else torch.float32
    matrix = torch.randn(measurements, size, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    return CompressedSensing(matrix=matrix / math.sqrt(measurements), domain=domain, channelwise=channelwise)


class StructuredRandom(LinearOperator):
    r"""Fast random measurements: some rows of a product of random diagonals and a fast transform.

    .. math:: A = R \; F D_L \cdots F D_1 \; (F),

    with an orthogonal transform F, diagonals D of signs or phases, and R that selects rows; the last F only
    with ``half``. n log n operations instead of mn. With unit diagonals ‖A‖ = 1 and A Aᴴ = I.
    `structured_random` draws signs and rows; for more measurements than pixels apply it after `Pad`.

    Parameters
    ----------
    signs : Tensor, shape (..., layers, *domain.shape)
        The diagonals, first applied first; real, or complex on a complex domain. Leading dimensions are
        batch.
    transform : LinearOperator
        F, from ``domain`` to itself.
    domain : Space
    rows : Tensor of int64, shape (m,), optional
        Which entries of the (flattened) result are kept; by default all of them, as an image.
    half : bool

    Raises
    ------
    ShapeError

    References
    ----------
    .. [1] T. T. Do, L. Gan, N. H. Nguyen and T. D. Tran, "Fast and efficient compressive sensing using
       structurally random matrices", IEEE Trans. Signal Process. 60 (2012).
    .. [2] Z. Hu, J. Tachella, M. Unser and J. Dong, "Structured random model for fast and robust phase
       retrieval", ICASSP (2025).

    Examples
    --------
    >>> space = Space((1, 4))
    >>> A = StructuredRandom(
    ...     signs=torch.tensor([[[1.0, -1.0, 1.0, 1.0]]]), transform=HadamardTransform(space), domain=space
    ... )
    >>> A(torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]])
    """

    signs: Tensor
    transform: LinearOperator
    domain: Space
    rows: Tensor | None = None
    half: bool = False
    params = ("signs",)

    def __post_init__(self) -> None:
        ndim = len(self.domain.shape)
        if (
            self.signs.ndim < ndim + 1
            or tuple(self.signs.shape[self.signs.ndim - ndim :]) != self.domain.shape
        ):
            raise ShapeError(
                f"signs must have shape (..., layers, *{self.domain.shape}), got {tuple(self.signs.shape)}"
            )
        if self.signs.is_complex() and self.domain.kind == "real":
            raise ShapeError("complex signs need a complex domain: Space(shape, 'complex')")
        if (self.transform.domain, self.transform.range) != (self.domain, self.domain):
            raise ShapeError(
                f"the transform must map {self.domain} to itself, got {self.transform.domain} to "
                f"{self.transform.range}"
            )
        if self.rows is None:
            return
        if self.rows.ndim != 1 or self.rows.dtype != torch.int64:
            raise ShapeError(
                f"rows must be a list of indices, int64 (m,), got {self.rows.dtype} {tuple(self.rows.shape)}"
            )
        if len(self.rows) and not 0 <= int(self.rows.min()) <= int(self.rows.max()) < self.domain.size:
            raise ShapeError(
                f"rows must be indices from 0 to {self.domain.size - 1}, got {int(self.rows.min())} to "
                f"{int(self.rows.max())}"
            )

    @property
    def range(self) -> Space:
        return self.domain if self.rows is None else Space((len(self.rows),), self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        x = self._before_last_transform(x)
        y = self.transform._apply(x)
        if self.rows is None:
            return y
        return y.reshape(*y.shape[: y.ndim - len(self.domain.shape)], -1)[..., self.rows]

    def adjoint(self, y: Tensor) -> Tensor:
        if self.rows is not None:
            full = y.new_zeros((*y.shape[:-1], self.domain.size)).index_add(-1, self.rows, y)
            y = full.reshape(*y.shape[:-1], *self.domain.shape)
        return self._before_last_transform_adjoint(self.transform._apply_adjoint(y))

    def _gram(self, x: Tensor) -> Tensor:
        if self.rows is not None:
            return self.adjoint(self.forward(x))
        return self._before_last_transform_adjoint(self.transform._gram(self._before_last_transform(x)))

    def norm_bound(self) -> Tensor | None:
        """‖F‖ of each transform times the largest magnitude of each diagonal; None if rows repeat."""
        base = self.transform.norm_bound()
        if base is None or (self.rows is not None and len(self.rows.unique()) < len(self.rows)):
            return None
        count = len(self._diagonals())
        largest = self.signs.abs().flatten(-len(self.domain.shape)).amax(-1).prod(-1)
        return largest * base ** (count + self.half)

    def _diagonals(self) -> tuple[Tensor, ...]:
        return self.signs.unbind(-len(self.domain.shape) - 1)

    def _before_last_transform(self, x: Tensor) -> Tensor:
        if self.half:
            x = self.transform._apply(x)
        for k, d in enumerate(self._diagonals()):
            x = d * (x if k == 0 else self.transform._apply(x))
        return x

    def _before_last_transform_adjoint(self, y: Tensor) -> Tensor:
        for k, d in reversed(list(enumerate(self._diagonals()))):
            y = d.conj() * y
            if k > 0 or self.half:
                y = self.transform._apply_adjoint(y)
        return y


_TRANSFORMS = {
    "dct": CosineTransform,
    "dst": SineTransform,
    "fft": FourierTransform,
    "hadamard": HadamardTransform,
}


def structured_random(
    *,
    domain: Space,
    measurements: int | None = None,
    layers: int = 2,
    transform: Literal["dct", "dst", "fft", "hadamard"] = "dst",
    diagonals: Literal["signs", "phases"] = "signs",
    half: bool = False,
    seed: int = 0,
) -> StructuredRandom:
    r"""`StructuredRandom` with diagonals and rows drawn at random.

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex. F acts on each channel.
    measurements : int, optional
        How many rows are kept, without replacement; by default all.
    layers : int
        Number of diagonals.
    transform : {"dst", "dct", "fft", "hadamard"}
        F: `SineTransform` of type I, `CosineTransform` of type II, `FourierTransform` (complex domain),
        `HadamardTransform` (powers of two).
    diagonals : {"signs", "phases"}
        ±1 with equal probability, or e^{iθ} with uniform θ (complex domain).
    half : bool
        One more F before everything else.
    seed : int
        Of the generator that draws everything.

    Returns
    -------
    StructuredRandom

    Raises
    ------
    ParameterError

    References
    ----------
    .. [1] T. T. Do, L. Gan, N. H. Nguyen and T. D. Tran, "Fast and efficient compressive sensing using
       structurally random matrices", IEEE Trans. Signal Process. 60 (2012).

    Examples
    --------
    >>> A = structured_random(domain=Space((1, 8, 8)), measurements=20, seed=1)
    >>> A.range, A.norm()
    (Space((20,)), tensor(1.))
    """
    if transform not in _TRANSFORMS:
        raise ParameterError(f"transform must be one of {sorted(_TRANSFORMS)}, got {transform!r}")
    if diagonals not in ("signs", "phases"):
        raise ParameterError(f"diagonals must be 'signs' or 'phases', got {diagonals!r}")
    if domain.kind == "real" and (transform == "fft" or diagonals == "phases"):
        raise ParameterError(
            f"the FFT and random phases need complex images, Space({domain.shape}, 'complex'); got {domain}"
        )
    if layers < 1:
        raise ParameterError(f"layers must be at least 1, got {layers}")
    if measurements is not None and not 1 <= measurements <= domain.size:
        raise ParameterError(
            f"measurements must be between 1 and the {domain.size} entries of {domain}, got {measurements}. "
            "For more, pad the image first: structured_random(...) @ Pad(...)."
        )
    generator = torch.Generator().manual_seed(seed)
    shape = (layers, *domain.shape)
    if diagonals == "signs":
        signs = 1.0 - 2.0 * torch.randint(2, shape, generator=generator)
    else:
        angles = 2 * math.pi * torch.rand(shape, generator=generator)
        signs = torch.polar(torch.ones_like(angles), angles)
    rows = None
    if measurements is not None:
        rows = torch.randperm(domain.size, generator=generator)[:measurements].sort().values
    return StructuredRandom(
        signs=signs, transform=_TRANSFORMS[transform](domain=domain), domain=domain, rows=rows, half=half
    )
