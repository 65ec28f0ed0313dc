"""Motions that map the pixel grid to itself, and the operators that see a moved image."""

from __future__ import annotations

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from .._errors import ShapeError
from ..spaces import Space
from ._axes import Isometry
from ._base import LinearOperator, Operator
from ._coordinates import rigid_coordinates
from ._warp import Interpolation, Warp


class Symmetry(Isometry):
    """Mirror, turn and shift an image by whole steps, exactly: x ↦ shift(turn(mirror(x))).

    Parameters
    ----------
    domain : Space
        ``(channel, *spatial)``, real or complex, with at least two spatial dimensions for turns.
    shift : tuple of int, optional
        Pixels along each spatial axis, periodic.
    quarter_turns : int
        In the plane of the last two axes, from the first of them towards the second (as `torch.rot90` turns
        against the clock, rows down).
    flip : bool
        Mirror along the last axis.

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> A = Symmetry((1, 2, 2), quarter_turns=1)
    >>> A(torch.tensor([[[1.0, 2.0], [3.0, 4.0]]]))
    tensor([[[2., 4.],
             [1., 3.]]])
    """

    domain: Space
    shift: tuple[int, ...] | None = None
    quarter_turns: int = 0
    flip: bool = False

    def __post_init__(self) -> None:
        d = len(self.domain.shape) - 1
        if d < (2 if self.quarter_turns % 4 else 1):
            raise ShapeError(
                f"Symmetry: the image must be (channel, *spatial), in 2-D to turn; got {self.domain}"
            )
        if self.shift is not None and len(self.shift) != d:
            raise ShapeError(f"Symmetry: shift needs one number for each of {d} axes, got {self.shift}")

    @property
    def range(self) -> Space:
        *others, y, x = self.domain.shape
        return Space((*others, x, y) if self.quarter_turns % 2 else self.domain.shape, self.domain.kind)

    def forward(self, x: Tensor) -> Tensor:
        x = x.flip(-1) if self.flip else x
        x = torch.rot90(x, self.quarter_turns, (-2, -1)) if self.quarter_turns % 4 else x
        return x.roll(self.shift, tuple(range(-len(self.shift), 0))) if self.shift else x

    def adjoint(self, y: Tensor) -> Tensor:
        if self.shift:
            y = y.roll(tuple(-s for s in self.shift), tuple(range(-len(self.shift), 0)))
        y = torch.rot90(y, -self.quarter_turns, (-2, -1)) if self.quarter_turns % 4 else y
        return y.flip(-1) if self.flip else y


def dihedral_group(domain: Space) -> tuple[Symmetry, ...]:
    """The eight turns and mirror images of a square image; the first is the identity.

    Raises
    ------
    ShapeError
        If the image is not square.

    Examples
    --------
    >>> len(dihedral_group(Space((1, 8, 8))))
    8
    """
    if len(domain.shape) < 3 or domain.shape[-1] != domain.shape[-2]:
        raise ShapeError(f"dihedral_group: the image must be square, got {domain}")
    return tuple(Symmetry(domain, quarter_turns=k, flip=f) for f in (False, True) for k in range(4))


def random_shifts(domain: Space, count: int, *, generator: torch.Generator) -> tuple[Symmetry, ...]:
    """Periodic shifts by whole pixels, uniform over the image.

    Examples
    --------
    >>> len(random_shifts(Space((1, 8, 8)), 3, generator=torch.Generator().manual_seed(0)))
    3
    """

    def one(n: int) -> int:
        return int(torch.randint(n, (), generator=generator, device=generator.device))

    return tuple(Symmetry(domain, shift=tuple(one(n) for n in domain.shape[1:])) for _ in range(count))


def rotations(
    domain: Space, count: int, *, interpolation: Interpolation = "cubic"
) -> tuple[LinearOperator, ...]:
    """The turns of an image about its middle by multiples of 2π / count; quarter turns of a square are exact.

    Examples
    --------
    >>> [type(T).__name__ for T in rotations(Space((1, 4, 4)), 8)][:3]
    ['Symmetry', 'Warp', 'Symmetry']
    """
    if len(domain.shape) != 3:
        raise ShapeError(f"rotations: the image must be (channel, y, x), got {domain}")
    size = domain.shape[1], domain.shape[2]
    square = size[0] == size[1]

    def one(k: int) -> LinearOperator:
        if (4 * k) % count == 0 and (square or (2 * k) % count == 0):
            return Symmetry(domain, quarter_turns=4 * k // count)
        turned = rigid_coordinates(2 * math.pi * k / count, size=size)
        return Warp(turned, domain, interpolation=interpolation)

    return tuple(one(k) for k in range(count))


def virtual_operators(A: Operator, transforms: Iterable[LinearOperator]) -> tuple[Operator, ...]:
    """The operators A T_g that see each transformed image, for equivariant imaging.

    If images come as likely transformed as not, data of A are data of any A T_g for another image; together
    they see what A alone does not [1]_.

    Parameters
    ----------
    A : Operator
    transforms : iterable of LinearOperator
        T_g, from the domain of A to itself: `dihedral_group`, `random_shifts`, `rotations`, any `Warp`.

    Raises
    ------
    ShapeError

    References
    ----------
    .. [1] D. Chen, J. Tachella, M. E. Davies, "Equivariant imaging: learning beyond the range space", ICCV
       (2021).

    Examples
    --------
    >>> from invcore.operators import Identity
    >>> [B.domain for B in virtual_operators(Identity((1, 4, 4)), dihedral_group(Space((1, 4, 4))))][0]
    Space((1, 4, 4))
    """
    transforms = tuple(transforms)
    for T in transforms:
        if T.domain != A.domain or T.range != A.domain:
            raise ShapeError(
                f"virtual_operators: a transform must map {A.domain} to itself; {type(T).__name__} maps "
                f"{T.domain} to {T.range}"
            )
    return tuple(A @ T for T in transforms)
