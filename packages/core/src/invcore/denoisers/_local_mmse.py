"""The best denoiser that sees a window around each pixel, for a finite set of images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import DtypeError, ParameterError
from .._value import complex_dtype
from ._base import Denoiser
from ._empirical import check_images
from ._vote import CHUNK, Part, voted


class LocalMMSEDenoiser(Denoiser):
    r"""What a convolutional network with a small receptive field learns from a finite set of images [1]_.

    .. math::
        D(x, σ)_p = \sum_{i, p'} w_{i,p'} \, x_i[p'], \qquad
        w_{i,p'} \propto \exp\left(-\frac{‖Π_p x - Π_{p'} x_i‖^2}{2σ^2}\right)

    with Π_p the window of ``patch`` pixels a side around p, with periodic edges. It has the least mean
    squared error of all functions of the window that are the same at every pixel, over the images and the
    noise: the reference for a network's receptive field and training set, without training. With
    ``equivariant=False`` the function may be another one at each pixel, and p' = p; with ``patch=None`` the
    window is the whole image. Both together give `EmpiricalDenoiser`.

    Distances are found in double precision, in chunks; the cost for n pixels is that of n² × (number of
    images) × (entries of a window) multiplications.

    Parameters
    ----------
    images : Tensor, shape (item, channel, *spatial)
    patch : int or None
        Side of the window, odd.
    equivariant : bool
        Whether the windows of all pixels are compared. Images of other sizes can be denoised then.

    References
    ----------
    .. [1] M.-H. Nguyen, Q.-B. Do, E. Pauwels, P. Weiss, "An analytic theory of convolutional neural network
       inverse problems solvers", arXiv:2601.10334 (2026).

    Examples
    --------
    >>> D = LocalMMSEDenoiser(torch.tensor([[[-1.0, 1.0]]]), patch=1)  # tanh(x/σ²)
    >>> D(torch.tensor([[0.5, 3.0]]), 1.0)
    tensor([[0.4621, 0.9951]])
    """

    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    identity_at_zero: ClassVar[bool] = False

    images: Tensor
    patch: int | None = 11
    equivariant: bool = True

    def __post_init__(self) -> None:
        check_images("LocalMMSEDenoiser", self.images)
        check_patch("LocalMMSEDenoiser", self.patch)

    @property
    def shape(self) -> tuple[int, ...] | None:  # type: ignore[override]
        """That of one image, unless windows of all pixels are compared."""
        return None if self.equivariant and self.patch is not None else tuple(self.images.shape[1:])

    @property
    def channels(self) -> int:  # type: ignore[override]
        """Those of the images."""
        return self.images.shape[1]

    @property
    def spatial_dims(self) -> int:
        """Those of the images."""
        return self.images.ndim - 2

    @property
    def value_range(self) -> tuple[float, float]:  # type: ignore[override]
        """That of the images."""
        values = torch.view_as_real(self.images) if self.images.is_complex() else self.images
        return float(values.min()), float(values.max())

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if x.is_complex() != self.images.is_complex():
            kind = "complex" if self.images.is_complex() else "real"
            raise DtypeError(f"LocalMMSEDenoiser: its images are {kind}, got {x.dtype}.")
        flat = x.reshape(-1, *x.shape[x.ndim - self.images.ndim + 1 :])
        variance = sigma.double().square().reshape(-1)
        out = local_mean(flat, self.images, self.images, variance, self.patch, equivariant=self.equivariant)
        return out.view(x.shape)


def check_patch(name: str, patch: int | None) -> None:
    """Raise unless it is the side of a window with a center, or None."""
    if patch is not None and not (isinstance(patch, int) and patch >= 1 and patch % 2):
        raise ParameterError(f"{name}: patch must be an odd number of pixels, or None, got {patch!r}.")


def windows(x: Tensor, patch: int | None) -> Tensor:
    """Periodic windows around each pixel of (item, channel, *spatial): (item, pixel, channel × entries).

    A window is no larger than the image.
    """
    dims = x.ndim - 2
    for axis in range(2, 2 + dims):
        n = x.shape[axis]
        width = n if patch is None else min(patch, n)
        around = torch.arange(n, device=x.device)[:, None] + torch.arange(width, device=x.device) - width // 2
        chosen = x.index_select(axis, around.flatten() % n)
        x = chosen.unflatten(axis, (n, width)).movedim(axis + 1, -1)
    return x.flatten(2, 1 + dims).transpose(1, 2).flatten(2)


def local_mean(
    observed: Tensor,
    candidates: Tensor,
    values: Tensor,
    variance: Tensor,
    patch: int | None,
    *,
    equivariant: bool,
    roots: Tensor | None = None,
    logs: Tensor | None = None,
) -> Tensor:
    """The mean of values, one for each pixel, weighted by the likelihood of the windows of what is observed.

    Parameters
    ----------
    observed : Tensor, shape (item, channel, *spatial)
    candidates : Tensor, shape (candidate, channel, *spatial)
        What would be observed of the values without noise.
    values : Tensor, shape (candidate, channel, *spatial)
    variance : Tensor, shape (item) or (1)
        Of the noise, double precision.
    patch : int or None
    equivariant : bool
    roots : Tensor, shape (d, d) or (pixel, d, d), optional
        By which to multiply windows, in real coordinates, so that their noise is white: one, or one for each
        pixel of a candidate.
    logs : Tensor, shape (pixel), optional
        Log determinants of the covariances behind ``roots``.

    Returns
    -------
    Tensor, shape (item, channel, *spatial)
        In the precision of ``observed``.
    """
    if not observed.numel():
        return observed.clone()
    dtype = complex_dtype(torch.float64) if values.is_complex() else torch.float64
    v = real(windows(observed, patch))
    items, pixels, _ = v.shape
    spread = variance[:, None].expand(-1, pixels) if len(variance) > 1 else variance[:, None]
    v = v.reshape(1, items * pixels, -1) if equivariant else v.transpose(0, 1)
    spread = spread.reshape(1, -1, 1) if equivariant else spread.T[..., None]
    if roots is not None and (roots.ndim == 2 or not equivariant):
        v = v @ roots

    def parts() -> Iterator[Part]:
        """Chunks of images, and of their pixels; where each pixel has a root of its own, one pixel each."""
        count = values[0, 0].numel()
        most = max(1, CHUNK // v[..., 0].numel())
        group = max(1, most // count if equivariant else most)
        apart = roots is not None and roots.ndim == 3 and equivariant
        for i in range(0, len(values), group):
            seen, held = candidates[i : i + group], values[i : i + group].to(dtype)
            if not equivariant:
                yield partial(_compared, seen, held, patch, roots, None)
            elif apart:
                assert roots is not None and logs is not None
                for p in range(count):
                    yield partial(_compared_at, seen, held, patch, p, roots[p], logs[p])
            else:
                for j in range(0, min(group, len(seen)) * count, most):
                    yield partial(_compared, seen, held, patch, roots, slice(j, j + most))

    tensors = (v, variance, candidates, values, *(t for t in (roots, logs) if t is not None))
    recompute = torch.is_grad_enabled() and any(t.requires_grad for t in tensors)
    _, total, mean = voted(v, spread, parts(), values.shape[1], dtype=dtype, recompute=recompute)
    out = mean / total[..., None]
    out = out.view(items, pixels, -1) if equivariant else out.transpose(0, 1)
    narrow = observed.dtype if observed.is_complex() == values.is_complex() else values.dtype
    return out.transpose(1, 2).reshape(items, values.shape[1], *observed.shape[2:]).to(narrow)


def _compared(
    seen: Tensor, held: Tensor, patch: int | None, roots: Tensor | None, rows: slice | None, v: Tensor
) -> tuple[Tensor, Tensor]:
    """Distances of the windows of some images; of the same pixel each without ``rows``."""
    points, values = real(windows(seen, patch)), held.flatten(2).transpose(1, 2)
    if rows is None:
        points, values = points.transpose(0, 1), values.transpose(0, 1)
    else:
        points, values = points.flatten(0, 1)[None, rows], values.flatten(0, 1)[None, rows]
    return _squared_distances(v, points if roots is None else points @ roots), values


def _compared_at(
    seen: Tensor, held: Tensor, patch: int | None, pixel: int, root: Tensor, log: Tensor, v: Tensor
) -> tuple[Tensor, Tensor]:
    """Distances of the windows around one pixel of some images, by the covariance there."""
    points = real(windows(seen, patch))[None, :, pixel]
    return _squared_distances(v @ root, points @ root) + log, held.flatten(2)[None, ..., pixel]


def _squared_distances(v: Tensor, points: Tensor) -> Tensor:
    """‖v - c‖² of all pairs, by a matrix product."""
    sizes = v.square().sum(-1)[..., None] + points.square().sum(-1)[..., None, :]
    return (sizes - 2 * v @ points.mT).clamp_min(0)


def real(x: Tensor) -> Tensor:
    """Real coordinates, in double precision."""
    return torch.view_as_real(x).flatten(-2).double() if x.is_complex() else x.double()
