"""`Transform`: random transforms of images with explicit draws, their chains and choices."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor

import invcore
from invcore import Value
from invcore.spaces import broadcast_shapes


class Transform(Value, abstract=True, fields=True):
    """Base class of transforms T_g of images, with parameters g that are drawn explicitly.

    ``g = transform.draw(batch, generator=...)`` gives a tensor (batch..., n) of parameters,
    ``transform.apply(x, g)`` transforms each sample, and ``transform.inverse(x, g)`` undoes it. ``a @ b``
    applies b, then a, and ``a | b`` one of both at random. A finite group lists its `elements`.

    Write `_draw` for one sample, and `_apply` and `_undo` for images (n, channel, *spatial) with parameters
    (n, p).

    Parameters
    ----------
    spatial_dims : int
        Number of trailing spatial dimensions of the images.

    Attributes
    ----------
    exact : bool
        Whether the inverse undoes the transform to rounding; else to the error of an interpolation.
    linear : bool
        Whether T_g x is linear in x.

    Examples
    --------
    >>> from invcore_learning import Shift
    >>> x = torch.arange(4.0).reshape(1, 1, 4)
    >>> T = Shift()
    >>> g = T.draw(generator=torch.Generator().manual_seed(0))
    >>> torch.equal(T.inverse(T.apply(x, g), g), x)
    True
    """

    exact: ClassVar[bool] = True
    linear: ClassVar[bool] = True
    spatial_dims: int = 2

    @abstractmethod
    def _draw(self, generator: torch.Generator) -> Tensor:
        """Draw the parameters of one sample, float64, shape (n,)."""

    @abstractmethod
    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        """Transform images (n, channel, *spatial), real or complex, by parameters (n, p)."""

    @abstractmethod
    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        """The inverse of `_apply`, of the same arguments."""

    def compose(self, a: Tensor, b: Tensor) -> Tensor:
        """The parameters of T_a T_b: first b, then a.

        Raises
        ------
        ParameterError
            If the product is not a transform of this kind.
        """
        raise invcore.ParameterError(
            f"{type(self).__name__}: the product of two of them is none of them; a @ b applies both"
        )

    def elements(self, shape: tuple[int, ...]) -> Tensor:
        """The parameters of all elements of a finite group, shape (count, n).

        Parameters
        ----------
        shape : tuple of int
            The spatial shape of the images.

        Raises
        ------
        ParameterError
            If the group is not finite.
        """
        raise invcore.ParameterError(
            f"{type(self).__name__} is no finite group: there is no mean over its elements; draw some of them"
        )

    def draw(self, batch: tuple[int, ...] = (), *, generator: torch.Generator) -> Tensor:
        """Draw parameters, one sample after the other.

        Returns
        -------
        Tensor, shape (*batch, n), float64, on the CPU
        """
        if not isinstance(generator, torch.Generator):
            raise invcore.ParameterError(
                f"{type(self).__name__}.draw: generator must be a torch.Generator, got {generator!r}"
            )
        one = self._draw(generator) if math.prod(batch) else self._draw(torch.Generator())
        rest = [self._draw(generator) for _ in range(math.prod(batch) - 1)]
        drawn = torch.stack([one, *rest]) if math.prod(batch) else one.new_zeros(0, *one.shape)
        return drawn.reshape(*batch, *one.shape)

    def apply(self, x: Tensor, g: Tensor) -> Tensor:
        """Transform images.

        Parameters
        ----------
        x : Tensor, shape (batch..., channel, *spatial)
        g : Tensor, shape (n,) or (batch..., n)

        Returns
        -------
        Tensor, shape (batch..., channel, *spatial)

        Raises
        ------
        ShapeError, DtypeError
        """
        return self._each(self._apply, x, g)

    def inverse(self, x: Tensor, g: Tensor) -> Tensor:
        """Undo `apply`, of the same arguments."""
        return self._each(self._undo, x, g)

    def _each(self, function: Callable[[Tensor, Tensor], Tensor], x: Tensor, g: Tensor) -> Tensor:
        name, d = type(self).__name__, self.spatial_dims
        if not isinstance(x, Tensor) or not (x.is_floating_point() or x.is_complex()):
            got = x.dtype if isinstance(x, Tensor) else type(x).__name__
            raise invcore.DtypeError(f"{name}: expected a floating-point or complex image, got {got}")
        if x.ndim < d + 1:
            raise invcore.ShapeError(
                f"{name}: expected images (batch..., channel, *spatial) with {d} spatial dimensions, got "
                f"{tuple(x.shape)}"
            )
        batch = x.shape[: x.ndim - d - 1]
        if g.ndim > 1:
            try:
                batch = broadcast_shapes(batch, g.shape[:-1])
            except RuntimeError as error:
                raise invcore.ShapeError(
                    f"{name}: parameters of batch {tuple(g.shape[:-1])} do not fit images of batch "
                    f"{tuple(batch)}"
                ) from error
        flat = x.expand(*batch, *x.shape[x.ndim - d - 1 :]).reshape(-1, *x.shape[x.ndim - d - 1 :])
        if not len(flat):
            return x.clone()
        out = function(flat, g.expand(*batch, g.shape[-1]).reshape(-1, g.shape[-1]))
        return out.reshape(*batch, *out.shape[1:])

    def __call__(self, x: Tensor, *, generator: torch.Generator) -> Tensor:
        """Transform each sample by parameters of its own."""
        batch = tuple(x.shape[: x.ndim - self.spatial_dims - 1]) if isinstance(x, Tensor) else ()
        return self.apply(x, self.draw(batch, generator=generator))

    def __matmul__(self, other: Any) -> Any:
        if not isinstance(other, Transform):
            return NotImplemented
        parts = [t.transforms if isinstance(t, Chain) else (t,) for t in (self, other)]
        return Chain(transforms=parts[0] + parts[1], spatial_dims=self.spatial_dims)

    def __or__(self, other: Any) -> Any:
        if not isinstance(other, Transform):
            return NotImplemented
        parts = [t.transforms if isinstance(t, Choice) else (t,) for t in (self, other)]
        return Choice(transforms=parts[0] + parts[1], spatial_dims=self.spatial_dims)


class _Several(Transform, abstract=True):
    """What is made of several transforms."""

    transforms: tuple[Transform, ...] = ()

    def __post_init__(self) -> None:
        name = type(self).__name__
        if not self.transforms or not all(isinstance(t, Transform) for t in self.transforms):
            raise invcore.ParameterError(f"{name}: expected transforms, got {self.transforms!r}")
        if {t.spatial_dims for t in self.transforms} != {self.spatial_dims}:
            raise invcore.ParameterError(
                f"{name}: the transforms have {[t.spatial_dims for t in self.transforms]} spatial "
                f"dimensions, expected {self.spatial_dims}"
            )

    @property
    def exact(self) -> bool:  # type: ignore[override]
        """True if all are."""
        return all(t.exact for t in self.transforms)

    @property
    def linear(self) -> bool:  # type: ignore[override]
        """True if all are."""
        return all(t.linear for t in self.transforms)

    def _draw(self, generator: torch.Generator) -> Tensor:
        return torch.cat([t._draw(generator) for t in self.transforms])

    def _parts(self, g: Tensor) -> list[Tensor]:
        sizes = [len(t._draw(torch.Generator())) for t in self.transforms]
        return list(g.split(sizes, -1))


class Chain(_Several):
    """One transform after the other, the last first: ``a @ b``.

    Parameters
    ----------
    transforms : tuple of Transform

    Examples
    --------
    >>> from invcore_learning import Reflect, Rotate
    >>> dihedral = Rotate() @ Reflect(axes=(-1,))
    >>> len(dihedral.elements((8, 8)))
    8
    """

    transforms: tuple[Transform, ...] = ()

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        for transform, part in reversed(list(zip(self.transforms, self._parts(g)))):
            x = transform._apply(x, part)
        return x

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        for transform, part in zip(self.transforms, self._parts(g)):
            x = transform._undo(x, part)
        return x

    def elements(self, shape: tuple[int, ...]) -> Tensor:
        """All combinations of their elements."""
        total = self.transforms[0].elements(shape)
        for transform in self.transforms[1:]:
            more = transform.elements(shape)
            total = torch.cat([total.repeat_interleave(len(more), 0), more.repeat(len(total), 1)], -1)
        return total


class Choice(_Several):
    """One of several transforms, drawn for each sample: ``a | b``.

    Parameters
    ----------
    transforms : tuple of Transform

    Examples
    --------
    >>> from invcore_learning import Reflect, Shift
    >>> T = Shift(limit=2) | Reflect()
    >>> T.draw((5,), generator=torch.Generator().manual_seed(0))[:, 0]
    tensor([0., 1., 1., 0., 0.], dtype=torch.float64)
    """

    transforms: tuple[Transform, ...] = ()

    def _draw(self, generator: torch.Generator) -> Tensor:
        index = torch.randint(len(self.transforms), (1,), generator=generator).double()
        return torch.cat([index, super()._draw(generator)])

    def _chosen(self, name: str, x: Tensor, g: Tensor) -> Tensor:
        chosen = g[:, 0].long().to(x.device)
        out = x
        for i, (transform, part) in enumerate(zip(self.transforms, self._parts(g[:, 1:]))):
            where = (chosen == i).reshape(-1, *(1,) * (x.ndim - 1))
            out = torch.where(where, getattr(transform, name)(x, part), out)
        return out

    def _apply(self, x: Tensor, g: Tensor) -> Tensor:
        return self._chosen("_apply", x, g)

    def _undo(self, x: Tensor, g: Tensor) -> Tensor:
        return self._chosen("_undo", x, g)
