"""Structured illumination microscopy: images of one sample under fringes."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, ShapeError, Space

from .._pupils.objective import Objective
from .._pupils.otf import otf
from .patterns import Patterns
from .spectra import place_kernel


class StructuredIllumination(LinearOperator):
    r"""Images of one fluorescent sample under fringes of several orientations and phases.

    .. math::
        y_{op} = D\left(h * (w_{op} ⊙ x)\right), \qquad
        w_{op}(r) = 1 + a_{op} \cos(2π k_o \cdot r + φ_{op})

    Multiplication by a fringe moves frequencies of the sample by ±k into the passband of the objective:
    together the images hold those up to the cutoff plus \|k\| [1]_. The sample is on a grid ``zoom`` times
    finer than the camera; D is the mean over zoom × zoom of its pixels. Positions r are in camera pixels, 0
    at the center of the first one. Blurs are periodic. All parameters have gradients, so that patterns can
    be refined with the image; `SimPatterns` estimates them from the data.

    Parameters
    ----------
    psf : Tensor, shape (..., ky, kx)
        h on the fine grid, centered at ``k // 2``; a sum of 1 keeps the photons. Leading dimensions are
        batch, here and below.
    wave_vectors : Tensor, shape (..., orientation, 2)
        k in cycles per camera pixel, order (y, x).
    phases : Tensor, shape (..., orientation, phase)
        φ in radians.
    modulation : Tensor, shape (..., orientation, phase or 1)
        a, the contrast of the fringes, 0 to 1.
    shape : tuple of int
        Camera pixels (ny, nx).
    zoom : int
        Fine pixels along a camera pixel.

    Notes
    -----
    Domain ``(1, zoom y, zoom x)``, range ``(frame, y, x)`` with the phases of the first orientation first. A
    fringe is written as two complex waves, so that the cost does not depend on the number of phases:
    1 + orientations transforms of the fine grid, in place of two for each frame.

    Raises
    ------
    ShapeError, DtypeError, ParameterError

    References
    ----------
    .. [1] M. G. L. Gustafsson, "Surpassing the lateral resolution limit by a factor of two using structured
       illumination microscopy", J. Microsc. 198 (2000).

    Examples
    --------
    >>> k = torch.tensor([[0.0, 0.25]])
    >>> A = StructuredIllumination(psf=torch.ones(1, 1), wave_vectors=k, phases=torch.zeros(1, 1),
    ...                            modulation=torch.ones(1, 1), shape=(1, 4), zoom=1)
    >>> A(torch.ones(1, 1, 4)).round(decimals=2)
    tensor([[[2., 1., 0., 1.]]])
    """

    psf: Tensor
    wave_vectors: Tensor
    phases: Tensor
    modulation: Tensor
    shape: tuple[int, int]
    zoom: int = 2
    params = ("psf", "wave_vectors", "phases", "modulation")

    def __post_init__(self) -> None:
        for name in self.params:
            value = getattr(self, name)
            if not isinstance(value, Tensor) or not value.is_floating_point():
                got = getattr(value, "dtype", type(value).__name__)
                raise DtypeError(f"StructuredIllumination: {name} must be a real floating tensor, got {got}")
            if value.ndim < 2 or 0 in value.shape:
                raise ShapeError(
                    f"StructuredIllumination: {name} must have two dimensions or more, got "
                    f"{tuple(value.shape)}"
                )
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ShapeError(f"StructuredIllumination: shape must be pixels (ny, nx), got {self.shape}")
        if not (isinstance(self.zoom, int) and self.zoom >= 1):
            raise ParameterError(
                f"StructuredIllumination: zoom must be a whole number >= 1, got {self.zoom!r}"
            )
        orientations, phases = self.phases.shape[-2:]
        if tuple(self.wave_vectors.shape[-2:]) != (orientations, 2):
            raise ShapeError(
                f"StructuredIllumination: wave_vectors must be (..., {orientations}, 2) for phases of "
                f"{orientations} orientations, got {tuple(self.wave_vectors.shape)}"
            )
        if self.modulation.shape[-2] != orientations or self.modulation.shape[-1] not in (1, phases):
            raise ShapeError(
                f"StructuredIllumination: modulation must be (..., {orientations}, {phases} or 1), got "
                f"{tuple(self.modulation.shape)}"
            )

    @staticmethod
    def of(
        patterns: Patterns, *, objective: Objective, pixel: float, shape: tuple[int, int], zoom: int = 2
    ) -> StructuredIllumination:
        """Return the model of estimated patterns and a clear pupil in focus.

        Parameters
        ----------
        patterns : Patterns
            As `SimPatterns` gives them.
        objective : Objective
            Its wavelength is that of emission.
        pixel : float
            Of the camera in the object, in meters.
        shape : tuple of int
            Camera pixels (ny, nx).
        zoom : int
        """
        dtype = patterns.phases.dtype
        fine = (zoom * shape[0], zoom * shape[1])
        transfer = otf(objective, pixel=pixel / zoom, shape=fine, dtype=dtype).to(patterns.phases.device)
        return StructuredIllumination(
            psf=torch.fft.fftshift(torch.fft.ifft2(transfer).real),
            wave_vectors=patterns.wave_vectors,
            phases=patterns.phases,
            modulation=patterns.modulation,
            shape=shape,
            zoom=zoom,
        )

    @property
    def domain(self) -> Space:
        ny, nx = self._fine
        return Space((1, ny, nx))

    @property
    def range(self) -> Space:
        return Space((self.phases.shape[-2:].numel(), *self.shape))

    @property
    def _fine(self) -> tuple[int, int]:
        return self.zoom * self.shape[0], self.zoom * self.shape[1]

    @property
    def illumination(self) -> Tensor:
        """The fringes w on the fine grid, (..., frame, zoom y, zoom x)."""
        waves = self._waves().unsqueeze(-3)
        fringes = 1 + (self._weights()[..., None, None] * waves).real
        return fringes.flatten(-4, -3)

    def _waves(self) -> Tensor:
        """exp(2πi k·r) on the fine grid, (..., orientation, Y, X)."""
        axes = [
            (torch.arange(n, dtype=torch.float64, device=self.wave_vectors.device) - (self.zoom - 1) / 2)
            / self.zoom
            for n in self._fine
        ]
        ky, kx = (2 * math.pi * self.wave_vectors.to(torch.float64)).unbind(-1)
        along_y, along_x = (
            torch.polar(torch.ones_like(t), t)
            for t in (ky.unsqueeze(-1) * axes[0], kx.unsqueeze(-1) * axes[1])
        )
        waves = along_y.unsqueeze(-1) * along_x.unsqueeze(-2)
        return waves.to(torch.complex64 if self.wave_vectors.dtype == torch.float32 else torch.complex128)

    def _weights(self) -> Tensor:
        """a exp(iφ), (..., orientation, phase)."""
        return self.modulation * torch.polar(torch.ones_like(self.phases), self.phases)

    def _transferred(self) -> Tensor:
        """The transfer function of the blur and of the mean over a camera pixel, (..., 1, Y, X)."""
        blur = torch.fft.fft2(place_kernel(self.psf, self._fine))
        y, x = (_box(n, self.zoom, self.psf) for n in self._fine)
        return (blur * (y.unsqueeze(-1) * x)).unsqueeze(-3)

    @cached_property
    def _kept(self) -> tuple[Tensor, Tensor]:
        with torch.inference_mode(False):
            return self._waves(), self._transferred()

    def _plan(self) -> tuple[Tensor, Tensor]:
        """Waves and transfer function, kept unless one needs a gradient."""
        if self.psf.requires_grad or self.wave_vectors.requires_grad:
            return self._waves(), self._transferred()
        return self._kept

    def forward(self, x: Tensor) -> Tensor:
        waves, transfer = self._plan()
        orders = torch.cat(torch.broadcast_tensors(x + 0j, waves[..., :1, :, :])[:1] + (x * waves,), -3)
        blurred = self._to_camera(torch.fft.fft2(orders) * transfer)
        plain, carried = blurred[..., :1, :, :].real, blurred[..., 1:, :, :].unsqueeze(-3)
        frames = (self._weights()[..., None, None] * carried).real
        return (plain.unsqueeze(-3) + frames).flatten(-4, -3)

    def adjoint(self, y: Tensor) -> Tensor:
        waves, transfer = self._plan()
        frames = y.unflatten(-3, tuple(self.phases.shape[-2:]))
        carried = (self._weights().conj()[..., None, None] * frames).sum(-3)
        plain = y.sum(-3, keepdim=True) + torch.zeros_like(carried[..., :1, :, :])
        spectra = self._to_fine(torch.cat((plain, carried), -3)) * transfer.conj()
        orders = torch.fft.ifft2(spectra)
        return (orders[..., :1, :, :] + (waves.conj() * orders[..., 1:, :, :]).sum(-3, keepdim=True)).real

    def _to_camera(self, spectra: Tensor) -> Tensor:
        """Every zoom-th pixel of the images with these spectra: aliases added up."""
        (ny, nx), z = self.shape, self.zoom
        folded = spectra.unflatten(-1, (z, nx)).sum(-2).unflatten(-2, (z, ny)).sum(-3)
        return torch.fft.ifft2(folded) / z**2

    def _to_fine(self, images: Tensor) -> Tensor:
        """The adjoint of the above up to the scale of `torch.fft.ifft2`: spectra repeated."""
        return torch.fft.fft2(images).repeat(*(1,) * (images.ndim - 2), self.zoom, self.zoom)


def _box(n: int, zoom: int, like: Tensor) -> Tensor:
    """The transfer function of the mean of ``zoom`` pixels from the given one on, (n,)."""
    f = 2 * math.pi * torch.fft.fftfreq(n, dtype=torch.float64, device=like.device)
    steps = torch.arange(zoom, dtype=torch.float64, device=like.device)
    turned = torch.polar(torch.ones((), dtype=torch.float64, device=like.device), f.unsqueeze(-1) * steps)
    return turned.mean(-1).to(torch.complex64 if like.dtype == torch.float32 else torch.complex128)
