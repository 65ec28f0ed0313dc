"""Deconvolution of data whose surroundings nobody measured."""

from __future__ import annotations

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError, Space
from invcore.operators import Convolution


def unknown_boundary(kernel: Tensor, data: tuple[int, ...]) -> Convolution:
    """Return the blur of which data of a shape are the part that needs no guess about the surroundings.

    The image is larger than the data by k − 1 along each axis: everything that was blurred into them. It is
    a crop of the convolution of a larger image, ``Convolution(kernel, domain, boundary="valid")``; an image
    estimated with it has no ringing at the border, as nothing is claimed to be periodic, zero or mirrored
    there.

    Parameters
    ----------
    kernel : Tensor, shape (..., channel or 1, *k)
    data : tuple of int
        Shape ``(channel, *spatial)`` of the data.

    Raises
    ------
    ShapeError

    References
    ----------
    M. S. C. Almeida and M. Figueiredo, "Deconvolving images with unknown boundaries using the alternating
    direction method of multipliers", IEEE Trans. Image Process. 22 (2013).

    Examples
    --------
    >>> unknown_boundary(torch.ones(1, 5, 3) / 15, (1, 100, 80)).domain
    Space((1, 104, 82))
    """
    d = len(data) - 1
    if d not in (1, 2, 3) or kernel.ndim < d + 1:
        raise ShapeError(
            "unknown_boundary takes a kernel (..., channel or 1, *k) and a shape (channel, *spatial), "
            f"got {tuple(kernel.shape)} and {data}"
        )
    spatial = (n + k - 1 for n, k in zip(data[1:], kernel.shape[-d:]))
    return Convolution(kernel, domain=Space((data[0], *spatial)), boundary="valid")


def surrounded(y: Tensor, A: Convolution) -> Tensor:
    r"""Return data continued by their outermost pixels to the domain of `unknown_boundary`: where to start.

    Parameters
    ----------
    y : Tensor, shape (..., channel, *spatial)
    A : Convolution
        With ``boundary="valid"``.

    Returns
    -------
    Tensor, shape (..., channel, \*(spatial + k − 1))

    Raises
    ------
    ParameterError, ShapeError

    Examples
    --------
    >>> A = unknown_boundary(torch.ones(1, 3) / 3, (1, 3))
    >>> surrounded(torch.tensor([[1.0, 2.0, 3.0]]), A)
    tensor([[1., 1., 2., 3., 3.]])
    """
    if A.boundary != "valid":
        raise ParameterError(f"surrounded is for boundary='valid', this one is {A.boundary!r}")
    d = len(A.domain.shape) - 1
    if tuple(y.shape[-d - 1 :]) != A.range.shape:
        raise ShapeError(f"surrounded: data must be (..., {A.range}), got {tuple(y.shape)}")
    for dim, k in zip(range(-d, 0), A.kernel.shape[-d:]):
        n, before = y.shape[dim], k - 1 - k // 2
        place = torch.arange(-before, n + k // 2, device=y.device).clamp(0, n - 1)
        y = y.index_select(dim, place)
    return y
