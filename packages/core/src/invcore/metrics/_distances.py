"""Metrics of the difference as a whole: SNR, mixed and p-norms, the cosine."""

from __future__ import annotations

import math
from typing import ClassVar

import torch
from torch import Tensor

from .._errors import ParameterError
from ._base import Comparison, decibel, energy_of, image_dims


class SNR(Comparison):
    r"""Signal-to-noise ratio in decibel; infinite for equal images.

    .. math:: 10 \log_{10} \frac{\|x\|^2}{\|\hat x - x\|^2}

    Unlike `PSNR` it needs no data range, and differs between a dark and a bright image with the same error.

    Raises
    ------
    DataError
        If the reference is zero everywhere.

    Examples
    --------
    >>> x = torch.tensor([[[3.0, 4.0]]])
    >>> SNR()(0.9 * x, x)
    tensor(20.0000)
    """

    higher_is_better: ClassVar[bool] = True

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        signal = self._reference_energy(x)
        return decibel(signal, energy_of(x_hat - x, self.spatial_dims))


class CosineSimilarity(Comparison):
    r"""Cosine of the angle between two images as vectors, from -1 to 1.

    .. math:: \frac{\mathrm{Re} ⟨x, \hat x⟩}{\|x\| \, \|\hat x\|}

    It does not depend on the scale of either image. An ``x_hat`` of zeros, which points nowhere, has the
    value 0.

    Raises
    ------
    DataError
        If the reference is zero everywhere.

    Examples
    --------
    >>> x = torch.tensor([[[3.0, 4.0]]])
    >>> CosineSimilarity()(7 * x, x)
    tensor(1.)
    """

    higher_is_better: ClassVar[bool] = True

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        reference = self._reference_energy(x)
        energy = energy_of(x_hat, self.spatial_dims)
        product = torch.real(x.conj() * x_hat).sum(image_dims(self.spatial_dims))
        return product / (reference.sqrt() * torch.where(energy == 0, 1, energy).sqrt())


class L1L2(Comparison):
    r"""Mean absolute and mean squared error, mixed.

    .. math:: \frac1N \sum_i α |{\hat x}_i - x_i| + (1 - α) |{\hat x}_i - x_i|^2

    Parameters
    ----------
    alpha : float
        The weight of the absolute error, from 0 (`MSE`) to 1 (`MAE`).

    Examples
    --------
    >>> x = torch.tensor([[[3.0, 4.0]]])
    >>> L1L2(alpha=0.5)(x + 2, x)
    tensor(3.)
    """

    higher_is_better: ClassVar[bool] = False

    alpha: float = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.alpha <= 1:
            raise ParameterError(f"L1L2: alpha must be from 0 to 1, got {self.alpha!r}.")

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        dims = image_dims(self.spatial_dims)
        difference = x_hat - x
        squared = energy_of(difference, self.spatial_dims) / math.prod(x.shape[dims[0] :])
        return self.alpha * difference.abs().mean(dims) + (1 - self.alpha) * squared


class LpNorm(Comparison):
    r"""The p-norm of the difference, or of the violated signs.

    .. math:: \Bigl(\sum_i |{\hat x}_i - x_i|^p\Bigr)^{1/p} \quad\text{or}\quad
        \Bigl(\sum_i \max(0, -{\hat x}_i x_i)^p\Bigr)^{1/p}

    The second, with ``onesided=True``, judges measurements of which only the sign is known (Jacques et al.,
    2013): where the signs agree it is zero, whatever the sizes.

    Parameters
    ----------
    p : float
        The exponent, positive; ``float("inf")`` takes the largest. Below 1 it is no norm.
    onesided : bool
        Count only what has the wrong sign. For real images.

    References
    ----------
    L. Jacques, J. Laska, P. Boufounos, R. Baraniuk, "Robust 1-bit compressive sensing via binary stable
    embeddings of sparse vectors", IEEE Trans. Inf. Theory 59 (2013).

    Examples
    --------
    >>> x = torch.tensor([[[3.0, 4.0]]])
    >>> LpNorm(p=2)(torch.zeros_like(x), x)
    tensor(5.)
    >>> LpNorm(p=1, onesided=True)(torch.tensor([[[9.0, -0.5]]]), x)
    tensor(2.)
    """

    higher_is_better: ClassVar[bool] = False

    p: float = 2.0
    onesided: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.p > 0:
            raise ParameterError(f"LpNorm: p must be positive, got {self.p!r}.")

    def _value(self, x_hat: Tensor, x: Tensor) -> Tensor:
        dims = image_dims(self.spatial_dims)
        if self.onesided:
            if x_hat.is_complex():
                raise ParameterError("LpNorm: a complex image has no sign, so onesided=True needs real ones.")
            size = (-x_hat * x).clamp_min(0)
        else:
            size = (x_hat - x).abs()
        if self.p == math.inf:
            return size.amax(dims)
        largest = size.detach().amax(dims, keepdim=True)  # out of the powers, lest they overflow
        zero = size == 0  # where the power has no derivative, take zero
        scaled = torch.where(zero, 1, size) / torch.where(largest == 0, 1, largest)
        total = torch.where(zero, 0, scaled**self.p).sum(dims)
        root = torch.where(total == 0, 1, total) ** (1 / self.p)
        return largest.squeeze(dims) * root
