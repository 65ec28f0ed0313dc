"""The exact denoiser of a finite set of images."""

from __future__ import annotations

import math
from collections.abc import Iterator
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import DataError, ParameterError, ShapeError
from ._gaussian_field import at_precision
from ._mmse import MMSEDenoiser, squared
from ._vote import CHUNK, Part, voted


class EmpiricalDenoiser(MMSEDenoiser):
    r"""The mean of stored images, each weighted by how likely it is to be the one behind the noise [1]_.

    .. math:: D(x, σ) = \sum_i w_i x_i, \qquad w_i \propto \exp\left(-\frac{‖x - x_i‖^2}{2σ^2}\right)

    It is what a network of unlimited capacity learns from these images, and its reverse diffusion ends at one
    of them. As σ → 0 it gives the nearest image, and at σ = 0 too (the mean of several that are equally
    near). Images are compared in chunks, with a running sum of exponentials, and again in the backward pass,
    so that memory is bounded; derivatives keep one image of each sample for every chunk.

    Parameters
    ----------
    images : Tensor, shape (item, channel, *spatial)

    References
    ----------
    .. [1] T. Karras, M. Aittala, T. Aila, S. Laine, "Elucidating the design space of diffusion-based
       generative models", NeurIPS (2022), appendix B.3.

    Examples
    --------
    >>> D = EmpiricalDenoiser(torch.tensor([[[-1.0, 0.0]], [[1.0, 0.0]]]))  # tanh(x/σ²)
    >>> D(torch.tensor([[0.5, 3.0]]), 1.0), D(torch.tensor([[0.5, 3.0]]), 0.0)
    (tensor([[0.4621, 0.0000]]), tensor([[1., 0.]]))
    """

    sigma_range: ClassVar[tuple[float, float]] = (0.0, math.inf)
    identity_at_zero: ClassVar[bool] = False

    images: Tensor

    def __post_init__(self) -> None:
        check_images("EmpiricalDenoiser", self.images)

    @property
    def shape(self) -> tuple[int, ...]:  # type: ignore[override]
        """That of one image."""
        return tuple(self.images.shape[1:])

    @property
    def kind(self) -> str:
        """That of the images."""
        return "complex" if self.images.is_complex() else "real"

    @property
    def value_range(self) -> tuple[float, float]:  # type: ignore[override]
        """That of the images."""
        values = torch.view_as_real(self.images) if self.images.is_complex() else self.images
        return float(values.min()), float(values.max())

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        if not x.numel():
            return x.clone()
        _, total, mean = self._summed(x, sigma)
        return (mean / total[:, None]).view(x.shape)

    def _log_density(self, x: Tensor, sigma: Tensor) -> Tensor:
        if not bool((sigma > 0).all()):
            raise ParameterError("EmpiricalDenoiser: images have a density for sigma > 0, got sigma = 0.")
        batch = x.shape[: x.ndim - len(self.shape)]
        if not x.numel():
            return torch.zeros(batch, dtype=sigma.dtype, device=x.device)
        nearest, total, _ = self._summed(x, sigma)
        variance = sigma.square().flatten()
        n = self.images[0].numel() * (2 if x.is_complex() else 1)
        log = total.log() - nearest / (2 * variance) - n / 2 * (2 * math.pi * variance).log()
        return (log - math.log(len(self.images))).view(batch)

    def sample(self, batch: tuple[int, ...] = (), *, generator: torch.Generator) -> Tensor:
        drawn = torch.randint(len(self.images), batch, generator=generator, device=generator.device)
        return self.images[drawn.to(self.images.device)]

    def _summed(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Squared distance of the nearest image, and in its units Σ exp and Σ exp x_i, for each sample."""
        v = x.reshape(-1, self.images[0].numel())
        parts = list(self._chunks(v))
        differentiated = torch.is_grad_enabled() and (v.requires_grad or sigma.requires_grad)
        again = differentiated and len(parts) > 1
        variance = sigma.square().reshape(-1, 1)
        return voted(v, variance, parts, v.shape[-1], dtype=v.dtype, recompute=again)

    def _chunks(self, v: Tensor) -> Iterator[Part]:
        for images in self.images.flatten(1).split(max(1, CHUNK // max(v.numel(), 1))):
            yield partial(_compared, at_precision(images, v.dtype))


def _compared(images: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
    """Squared distances of a chunk of images, and these."""
    return squared(v[:, None] - images).sum(-1), images


def check_images(name: str, images: Tensor) -> None:
    """Raise unless these are images (item, channel, *spatial), at least one, and finite."""
    if images.ndim < 3 or not images.numel() or not (images.is_floating_point() or images.is_complex()):
        raise ShapeError(
            f"{name}: expected images (item, channel, *spatial), at least one, floating-point or complex, "
            f"got {images.dtype} {tuple(images.shape)}."
        )
    if not bool(torch.isfinite(images).all()):
        raise DataError(f"{name}: the images contain NaN or infinity.")
