"""Operators that measure intensities: the squared modulus of a linear map."""

from __future__ import annotations

from abc import abstractmethod
from typing import ClassVar

from torch import Tensor

from invcore import LinearOperator, Operator, ShapeError, Space

from .frames import power


class Intensity(Operator, abstract=True):
    """Base class of operators y = Σ_m |B x|², with a linear B that gives complex fields.

    Attributes
    ----------
    field : LinearOperator
        B. Solvers for phase retrieval work with it.
    mode_axis : int or None
        The axis of the range of B over which intensities add, as those of mutually incoherent modes.
    """

    mode_axis: ClassVar[int | None] = None

    @property
    @abstractmethod
    def field(self) -> LinearOperator:
        """The linear operator B."""

    def intensity(self, u: Tensor) -> Tensor:
        """The intensities of fields."""
        found = power(u)
        return found if self.mode_axis is None else found.sum(self.mode_axis)

    def forward(self, x: Tensor) -> Tensor:
        return self.intensity(self.field(x))


class PhaseRetrieval(Intensity):
    """Intensities of any linear operator, y = |B x|².

    Parameters
    ----------
    operator : LinearOperator
        B, with a single complex range.

    Raises
    ------
    ShapeError
        If the range of B is real or has several blocks.

    Notes
    -----
    x and e^{iα} x give the same data for any α: compare them after `aligned_phase`.

    References
    ----------
    E. J. Candès, X. Li, M. Soltanolkotabi, "Phase retrieval via Wirtinger flow: theory and algorithms", IEEE
    Trans. Inf. Theory 61 (2015).

    Examples
    --------
    >>> import torch
    >>> from invcore.operators import FourierTransform
    >>> A = PhaseRetrieval(FourierTransform(Space((1, 2), "complex")))
    >>> A(torch.tensor([[1.0, 1j]])).round(decimals=4)
    tensor([[1., 1.]])
    """

    operator: LinearOperator

    def __post_init__(self) -> None:
        space = self.operator.range
        if not isinstance(space, Space) or space.kind != "complex":
            raise ShapeError(
                f"PhaseRetrieval: the operator must give one complex field, its range is {space}. A real one "
                "needs no phase retrieval but its sign: make its domain complex."
            )

    @property
    def domain(self) -> Space:
        return self.operator.domain  # type: ignore[return-value]

    @property
    def range(self) -> Space:
        return Space(self.operator.range.shape)  # type: ignore[union-attr]

    @property
    def field(self) -> LinearOperator:
        return self.operator
