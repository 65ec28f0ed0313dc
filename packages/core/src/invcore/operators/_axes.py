"""Which trailing axes of an image an operator acts along."""

from __future__ import annotations

from .._errors import ShapeError
from ..spaces import Space


def spatial_axes(domain: Space, spatial_dims: int | None, what: str) -> tuple[int, ...]:
    """The last ``spatial_dims`` axes, counted from the end; by default all but the first (the channels).

    Raises
    ------
    ShapeError
        If they are not 1 to 3 axes of ``domain`` with at least one sample each.
    """
    ndim = len(domain.shape)
    count = ndim - 1 if spatial_dims is None else spatial_dims
    if not isinstance(count, int) or not 1 <= count <= min(3, ndim):
        raise ShapeError(
            f"{what} acts along the last 1 to 3 axes; {domain} with spatial_dims={spatial_dims!r} means "
            f"{count!r}. Give an image (channel, *spatial), or say spatial_dims."
        )
    if any(n < 1 for n in domain.shape[ndim - count :]):
        raise ShapeError(f"{what} needs at least one sample along every axis, got {domain}")
    return tuple(range(-count, 0))
