"""Natural image quality evaluator."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import field
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import DataError, ParameterError, ShapeError
from ._base import Judgment, check_image, check_shape
from ._natural import check_range, gray, halved, normalized, shipped, statistics


class NIQE(Judgment, eq=False):
    r"""Natural image quality evaluator (Mittal et al., 2013): distance from the statistics of natural images.

    .. math:: \Bigl((μ - \hat μ)^\mathsf{T} \bigl(\tfrac{1}{2}(Σ + \hat Σ)\bigr)^{-1} (μ - \hat μ)\Bigr)^{1/2}

    An image is cut into patches; 36 features of each (two scales of `BRISQUE`'s 18) have the mean and the
    covariance with a hat. Those without are of sharp patches of undistorted photographs. Smaller is better.
    Red, green and blue are weighted to luminance. Two patches are needed, and a dozen or more for a value
    that can be relied on. Not differentiable: the fits count signs.

    The values are **not** on the published scale: without ``mean`` and ``covariance`` the model is one that
    was fitted for this package on 400 crops of photographs (BSDS), as ``metrics/data/niqe.card.toml`` says.
    `fit` makes a model of other images, which is what medical or microscopic ones need.

    Parameters
    ----------
    data_range : float
        The span of possible values (1.0 for images in [0, 1]). There is no default: the value depends on it.
    patch_size : int
        Side of the patches in pixels, even. The shipped model has 96.
    mean, covariance : Tensor, optional
        The model, ``(36,)`` and ``(36, 36)``; the shipped one by default.
    complex : {"magnitude"}, optional
        Must be given for a complex image, of which the magnitude is judged; a real one ignores it.

    Raises
    ------
    ShapeError
        If the image has neither 1 nor 3 channels, or room for fewer than 2 patches.
    ParameterError
        If an option is unknown, a reference is given, or ``patch_size`` is not 96 without a model of one's
        own.

    References
    ----------
    A. Mittal, R. Soundararajan, A. Bovik, "Making a 'completely blind' image quality analyzer", IEEE Signal
    Process. Lett. 20 (2013).

    Examples
    --------
    >>> noise = torch.rand(1, 192, 192, generator=torch.Generator().manual_seed(0))
    >>> NIQE(data_range=1.0)(noise).shape
    torch.Size([])
    """

    higher_is_better: ClassVar[bool] = False
    dimensions: ClassVar[tuple[int, ...]] = (2,)
    magnitude_only: ClassVar[bool] = True

    data_range: float
    patch_size: int = 96
    mean: Tensor | None = field(default=None, repr=False)
    covariance: Tensor | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_range("NIQE", self.data_range)
        if isinstance(self.patch_size, bool) or self.patch_size < 16 or self.patch_size % 2:
            raise ParameterError(
                f"NIQE: patch_size must be an even number, at least 16, got {self.patch_size!r}."
            )
        if (self.mean is None) != (self.covariance is None):
            raise ParameterError("NIQE: give both mean and covariance, or neither.")
        if self.mean is None:
            if self.patch_size != 96:
                raise ParameterError(
                    "NIQE: the shipped model is for patch_size=96. Make one for other sizes with NIQE.fit."
                )
        elif self.mean.shape != (36,) or self.covariance.shape != (36, 36):  # type: ignore[union-attr]
            raise ShapeError("NIQE: mean must have shape (36,) and covariance (36, 36).")

    @classmethod
    def fit(
        cls,
        images: Iterable[Tensor],
        *,
        data_range: float,
        patch_size: int = 96,
        stride: int | None = None,
        sharpness: float = 0.75,
    ) -> NIQE:
        """A metric whose model is that of the sharp patches of given images.

        Parameters
        ----------
        images : iterable of Tensor
            Undistorted images, each ``(channel, y, x)``; their sizes may differ. A tensor
            ``(batch, channel, y, x)`` will do.
        data_range : float
            The span of possible values.
        patch_size : int
            Side of the patches in pixels, even.
        stride : int, optional
            Pixels from patch to patch, even; ``patch_size`` by default, less for overlapping patches.
        sharpness : float
            Patches count whose mean local deviation exceeds this fraction of the largest in their image.

        Returns
        -------
        NIQE
            With the mean and the covariance of the features.

        Raises
        ------
        DataError
            If fewer than 37 patches remain, too few for the covariance to have an inverse.
        """
        step = patch_size if stride is None else stride
        if step < 2 or step % 2:
            raise ParameterError(f"NIQE.fit: stride must be a positive even number, got {stride!r}.")
        if not 0 <= sharpness < 1:
            raise ParameterError(
                f"NIQE.fit: sharpness must be at least 0 and less than 1, got {sharpness!r}."
            )
        check_range("NIQE.fit", data_range)
        kept = []
        for image in images:
            check_image("NIQE.fit", "an image", image)
            check_shape("NIQE.fit", image, 2)
            features, deviation = _features(gray("NIQE.fit", image, data_range), patch_size, step)
            kept.append(features[deviation > sharpness * deviation.amax(-1, keepdim=True)])
        rows = torch.cat(kept) if kept else torch.empty(0, 36)
        if len(rows) < 37:
            raise DataError(
                f"NIQE.fit: {len(rows)} patches, of which at least 37 are needed. Give more or larger images."
            )
        return cls(
            data_range=data_range, patch_size=patch_size, mean=rows.mean(0), covariance=torch.cov(rows.T)
        )

    @torch.no_grad()
    def _value(self, image: Tensor) -> Tensor:
        x = gray("NIQE", image, self.data_range)
        patches = (x.shape[-2] // self.patch_size) * (x.shape[-1] // self.patch_size)
        if patches < 2:
            raise ShapeError(
                f"NIQE: an image {tuple(x.shape[-2:])} has {patches} patches of {self.patch_size} pixels; at "
                "least 2 are needed. Make a model for smaller patches with NIQE.fit."
            )
        features, _ = _features(x, self.patch_size, self.patch_size)
        model = (
            shipped("niqe.npz")
            if self.mean is None or self.covariance is None
            else {"mean": self.mean, "covariance": self.covariance}
        )
        mean, covariance = (model[key].to(features) for key in ("mean", "covariance"))
        centered = features - features.mean(-2, keepdim=True)
        spread = centered.mT @ centered / (patches - 1)
        offset = (mean - features.mean(-2)).unsqueeze(-1)
        squared = (offset * torch.linalg.solve((covariance + spread) / 2, offset)).sum((-2, -1))
        return squared.clamp_min(1e-30).sqrt().to(image.dtype).reshape(image.shape[:-3])


def _features(x: Tensor, size: int, stride: int) -> tuple[Tensor, Tensor]:
    """Features ``(n, patch, 36)`` of the patches of images ``(n, y, x)``, and their mean local deviation."""
    rows, columns = ((n - size) // stride * stride + size for n in x.shape[-2:])
    if min(rows, columns) < size:
        raise ShapeError(f"NIQE: an image {tuple(x.shape[-2:])} is smaller than a patch of {size} pixels.")
    x = x[..., :rows, :columns]
    found, sharp = [], torch.empty(0)
    for scale in (1, 2):
        v, deviation = normalized(x)
        patches, local = (
            u.unfold(-2, size // scale, stride // scale)
            .unfold(-2, size // scale, stride // scale)
            .flatten(1, 2)
            for u in (v, deviation)
        )
        found.append(statistics(patches, variances=False))
        if scale == 1:
            sharp = local.mean((-2, -1))
            x = halved(x)
    return torch.cat(found, -1), sharp
