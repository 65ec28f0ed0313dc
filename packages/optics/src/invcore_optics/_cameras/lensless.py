"""Lensless cameras: a sensor behind a diffuser."""

from __future__ import annotations

from functools import cached_property

from torch import Tensor

from invcore import ShapeError
from invcore.operators import Convolution, LinearOperator, Pad, Space


class Lensless(LinearOperator):
    r"""A camera without a lens: its sensor sees part of the convolution of scene and measured pattern [1]_.

    .. math:: y[n] = \sum_j h[n + c - j]\, x[j], \qquad c = \lfloor N/2 \rfloor

    for the pixels n of the sensor. The pattern h, what the central pixel c of the scene throws onto the
    sensor, is as large as the sensor, K pixels along an axis, and zero beyond. The scene may have up to
    N = 2 K - 1 pixels: those far out throw only the edge of their pattern onto the sensor, as they do in the
    camera, so that no boundary condition is assumed.

    Parameters
    ----------
    psf : Tensor, shape (..., channel or 1, ky, kx)
        Measured pattern, with the background subtracted; one for each color, or one for all. Leading
        dimensions are batch. The range has its ky × kx pixels.
    domain : Space
        ``(channel, y, x)`` of the scene.

    Returns
    -------
    Tensor, shape (..., channel, ky, kx)

    Raises
    ------
    ShapeError
        If the scene is larger than what any point can throw onto the sensor.

    Notes
    -----
    Two FFTs of the size of scene and pattern together.

    References
    ----------
    .. [1] N. Antipa, G. Kuo, R. Heckel, B. Mildenhall, E. Bostan, R. Ng, L. Waller, "DiffuserCam: lensless
       single-exposure 3D imaging", Optica 5 (2018).

    Examples
    --------
    >>> import torch
    >>> A = Lensless(psf=torch.tensor([[[1.0, 2.0, 3.0]]]), domain=(1, 1, 5))
    >>> A(torch.tensor([[[0.0, 0.0, 1.0, 0.0, 10.0]]]))
    tensor([[[ 1.,  2., 13.]]])
    """

    psf: Tensor
    domain: Space
    params = ("psf",)

    def __post_init__(self) -> None:
        shape = self.domain.shape
        if len(shape) != 3 or self.domain.kind != "real" or min(shape) < 1:
            raise ShapeError(f"Lensless takes real images (channel, y, x), got {self.domain}")
        held = tuple(self.psf.shape[-3:])
        if not self.psf.is_floating_point() or len(held) < 3 or held[0] not in (1, shape[0]):
            raise ShapeError(
                f"Lensless: psf must be real, (..., 1 or {shape[0]}, ky, kx), got {self.psf.dtype} "
                f"{tuple(self.psf.shape)}"
            )
        for n, k in zip(shape[1:], held[1:]):
            if k < 1 or n > 2 * k - 1:
                raise ShapeError(
                    f"Lensless: a sensor of {k} pixels sees at most {2 * k - 1} pixels of the scene, got {n}"
                )

    @property
    def range(self) -> Space:
        return Space((self.domain.shape[0], *self.psf.shape[-2:]))

    @cached_property
    def _pad(self) -> Pad:
        """Into the largest scene, whose central pixel is k - 1."""
        sizes = zip(self.domain.shape[1:], self.psf.shape[-2:])
        pairs = [(k - 1 - n // 2, k - n + n // 2) for n, k in sizes]
        return Pad(self.domain, padding=tuple(pairs))

    def _convolution(self) -> Convolution:
        return Convolution(self.psf, self._pad.range, boundary="valid")

    @cached_property
    def _kept(self) -> Convolution:
        return self._convolution()

    @property
    def _blur(self) -> Convolution:
        return self._convolution() if self.psf.requires_grad else self._kept

    def forward(self, x: Tensor) -> Tensor:
        return self._blur.forward(self._pad.forward(x))

    def adjoint(self, y: Tensor) -> Tensor:
        return self._pad.adjoint(self._blur.adjoint(y))
