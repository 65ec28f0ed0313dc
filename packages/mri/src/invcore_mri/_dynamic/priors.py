"""Priors on a series of images: how frames follow each other."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from invcore import LinearOperator, Prior, ShapeError, Space
from invcore.operators import SpaceLike
from invcore.priors import L1, Analysis, Nuclear

from .temporal import TemporalDifferences, TemporalFourier


class TemporalTV(Prior):
    r"""Total variation along the frames of a series, :math:`g(x) = \sum_f \|x_{f+1} - x_f\|_1`.

    For pixels whose brightness stays and jumps, as where contrast agent arrives [1]_. The proximal operator
    is an iteration; 'chambolle_pock', 'condat_vu' and 'admm' work with the differences themselves.

    Parameters
    ----------
    boundary : {"neumann", "periodic"}
        As of `TemporalDifferences`: periodic for a series of one cycle.
    rtol, max_steps : float, int
        Relative duality gap at which the proximal operator stops, and its maximum number of steps.

    References
    ----------
    .. [1] L. Feng et al., "Golden-angle radial sparse parallel MRI: combination of compressed sensing,
       parallel imaging, and golden-angle radial sampling for fast and flexible dynamic volumetric MRI", Magn.
       Reson. Med. 72 (2014).

    Examples
    --------
    >>> g = TemporalTV()
    >>> g.value(torch.tensor([[[1.0], [1.0], [3.0]]]))
    tensor(2.)
    """

    degree: ClassVar[int] = 1

    boundary: Literal["neumann", "periodic"] = "neumann"
    rtol: float = 1e-4
    max_steps: int = 1000

    def _inner(self, space: Any) -> Analysis:
        D = TemporalDifferences(space, boundary=self.boundary)
        return Analysis(L1(), D, rtol=self.rtol, max_steps=self.max_steps)

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        return self._inner(space).split(space)

    def _value(self, x: Tensor, space: Space) -> Tensor:
        return self._inner(space).value(x, space)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        found: Tensor = self._inner(space).prox(x, step, space)
        return found

    def memory(self, x: Any, space: SpaceLike | None = None) -> tuple[Tensor, ...]:
        return self._inner(self._item(x, space)).memory(x, space)

    def warm_prox(
        self, x: Any, step: float | Tensor, space: SpaceLike | None, memory: tuple[Tensor, ...]
    ) -> tuple[Any, tuple[Tensor, ...]]:
        return self._inner(self._item(x, space)).warm_prox(x, step, space, memory)


class TemporalSpectrum(Prior):
    r"""The ℓ1 norm of the spectrum of each pixel in time, :math:`g(x) = \|F_t x\|_1`.

    For periodic motion, which has few frequencies [1]_. The proximal operator is exact.

    References
    ----------
    .. [1] M. Lustig, J. Santos, D. Donoho, J. Pauly, "k-t SPARSE: high frame rate dynamic MRI exploiting
       spatio-temporal sparsity", ISMRM (2006); H. Jung, K. Sung, K. Nayak, E. Kim, J. Ye, "k-t FOCUSS", Magn.
       Reson. Med. 61 (2009).

    Examples
    --------
    >>> TemporalSpectrum().value(torch.ones(1, 4, 1))
    tensor(2.)
    """

    degree: ClassVar[int] = 1

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        return TemporalFourier(space), L1()  # type: ignore[arg-type]

    def _value(self, x: Tensor, space: Space) -> Tensor:
        F = TemporalFourier(space)
        return L1().value(F(x), F.range)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        F = TemporalFourier(space)
        found: Tensor = F.H(L1().prox(F(x), step, F.range))
        return found

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        F = TemporalFourier(space)
        return L1().conjugate(F(u), F.range, weight=weight)


class LowRankSparse(Prior):
    r"""A background of low rank and a sparse dynamic part, as two channels of one image.

    .. math:: g(L, S) = \|C(L)\|_* + \mu \, \|F_t S\|_1

    with C(L) the Casorati matrix, a row a frame, and F_t the Fourier transform along frames [1]_. The first
    channel is L, the others are S. The data see their sum: ``superposition(A)`` is the operator of both.
    The proximal operator is exact.

    Parameters
    ----------
    sparse_weight : float or Tensor, shape (batch...)
        μ. By default 1 / sqrt(number of pixels in a frame): a pixel that moves counts about as much as one
        frame of it in the background, as in robust principal component analysis [2]_.
    transform : {"fourier", "none"}
        F_t, or the identity where the dynamic part is sparse itself.

    References
    ----------
    .. [1] R. Otazo, E. Candès, D. Sodickson, "Low-rank plus sparse matrix decomposition for accelerated
       dynamic MRI with separation of background and dynamic components", Magn. Reson. Med. 73 (2015).
    .. [2] E. Candès, X. Li, Y. Ma, J. Wright, "Robust principal component analysis?", J. ACM 58 (2011).

    Examples
    --------
    >>> x = torch.zeros(2, 2, 4)
    >>> x[0] = 1.0  # both frames the same: one singular value, sqrt(8)
    >>> LowRankSparse().value(x)
    tensor(2.8284)
    """

    degree: ClassVar[int] = 1

    sparse_weight: float | Tensor | None = None
    transform: Literal["fourier", "none"] = "fourier"
    params = ("sparse_weight",)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.transform not in ("fourier", "none"):
            raise ShapeError(f"LowRankSparse: transform must be 'fourier' or 'none', got {self.transform!r}")

    def _spaces(self, space: Space) -> tuple[Space, Space]:
        if len(space.shape) < 3 or space.shape[0] < 2:
            raise ShapeError(
                f"LowRankSparse: images must be (2, frame, *spatial), of both parts, got {space}; "
                "superposition(A) is the operator of both"
            )
        return (
            Space((1, *space.shape[1:]), space.kind),
            Space((space.shape[0] - 1, *space.shape[1:]), space.kind),
        )

    def _parts(self, space: Space) -> tuple[Nuclear, Prior]:
        rows = Nuclear(rows=(1 - len(space.shape),))
        return rows, TemporalSpectrum() if self.transform == "fourier" else L1()

    def _weight(self, space: Space) -> float | Tensor:
        if self.sparse_weight is not None:
            return self.sparse_weight
        return Space(space.shape[2:]).size ** -0.5

    def _both(self, x: Tensor, space: Space) -> tuple[Tensor, Tensor]:
        dim = -len(space.shape)
        return x.narrow(dim, 0, 1), x.narrow(dim, 1, x.shape[dim] - 1)

    def _value(self, x: Tensor, space: Space) -> Tensor:
        low, sparse = self._spaces(space)
        (nuclear, h), (a, b) = self._parts(space), self._both(x, space)
        return nuclear.value(a, low) + self._weight(space) * h.value(b, sparse)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        low, sparse = self._spaces(space)
        (nuclear, h), (a, b) = self._parts(space), self._both(x, space)
        parts = nuclear.prox(a, step, low), h.prox(b, self._weight(space) * step, sparse)
        return torch.cat(parts, dim=-len(space.shape))

    def _conjugate(self, u: Tensor, space: Space, weight: float | Tensor) -> Tensor:
        low, sparse = self._spaces(space)
        (nuclear, h), (a, b) = self._parts(space), self._both(u, space)
        inner = weight * self._weight(space)
        return nuclear.conjugate(a, low, weight=weight) + h.conjugate(b, sparse, weight=inner)
