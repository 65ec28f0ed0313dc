"""Image scanning microscopy: a confocal scan seen by an array of detectors."""

from __future__ import annotations

import math
from functools import cached_property

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, ShapeError, Space

from .spectra import place_kernel, shifted


class ImageScanning(LinearOperator):
    r"""Images of all elements of a detector array behind a scanning microscope.

    .. math:: y_d = \sum_z h_{dz} * x_z

    with one kernel for each detector element d and plane z. One plane is image scanning microscopy; with a
    second, out-of-focus one the light of the background gets a place of its own [1]_. Blurs are periodic;
    ``Crop(...) @ ImageScanning(...)`` on a larger image leaves the boundary unknown. `RichardsonLucy` on
    this operator is multi-image deconvolution; `detector_psfs` makes the kernels.

    Parameters
    ----------
    psfs : Tensor, shape (..., detector, plane, ky, kx)
        h, centered at ``k // 2``; leading dimensions are batch. With a sum of 1 over detectors and pixels in
        focus, x is in photons, and the relative light of the elements is kept.
    shape : tuple of int
        Pixels of the scan (ny, nx).

    Notes
    -----
    Domain ``(plane, y, x)``, range ``(detector, y, x)``. One transform of each plane serves all elements.
    With one plane, AᴴA takes one pair of transforms, and ridge solutions are a closed form.

    Raises
    ------
    ShapeError, DtypeError

    References
    ----------
    .. [1] A. Zunino et al., "Structured detection for simultaneous super-resolution and optical sectioning in
       laser scanning microscopy", Nature Photonics 19 (2025).

    Examples
    --------
    >>> A = ImageScanning(torch.tensor([[[[1.0, 0.0, 0.0]]], [[[0.0, 0.0, 1.0]]]]), shape=(1, 4))
    >>> A(torch.tensor([[[0.0, 1.0, 0.0, 0.0]]]))
    tensor([[[1., 0., 0., 0.]],
    <BLANKLINE>
            [[0., 0., 1., 0.]]])
    """

    psfs: Tensor
    shape: tuple[int, int]
    params = ("psfs",)

    def __post_init__(self) -> None:
        if not isinstance(self.psfs, Tensor) or not self.psfs.is_floating_point():
            got = getattr(self.psfs, "dtype", type(self.psfs).__name__)
            raise DtypeError(f"ImageScanning: psfs must be a real floating tensor, got {got}")
        if self.psfs.ndim < 4 or 0 in self.psfs.shape:
            raise ShapeError(
                "ImageScanning: psfs must be (..., detector, plane, ky, kx), got "
                f"{tuple(self.psfs.shape)}; without planes use psfs.unsqueeze(-3)"
            )
        if len(self.shape) != 2 or min(self.shape) < 1:
            raise ShapeError(f"ImageScanning: shape must be pixels (ny, nx), got {self.shape}")

    @property
    def domain(self) -> Space:
        return Space((self.psfs.shape[-3], *self.shape))

    @property
    def range(self) -> Space:
        return Space((self.psfs.shape[-4], *self.shape))

    @property
    def fingerprint(self) -> Tensor:
        """The light of each element, Σ h over the pixels in the first plane, (..., detector)."""
        return self.psfs[..., 0, :, :].sum((-2, -1))

    @cached_property
    def _kept(self) -> Tensor:
        with torch.inference_mode(False):
            return self._transferred()

    def _transferred(self) -> Tensor:
        return torch.fft.rfft2(place_kernel(self.psfs, self.shape))

    def _transfer(self) -> Tensor:
        """Transfer functions (..., detector, plane, fy, fx)."""
        return self._transferred() if self.psfs.requires_grad else self._kept

    def forward(self, x: Tensor) -> Tensor:
        spectra = (self._transfer() * torch.fft.rfft2(x).unsqueeze(-4)).sum(-3)
        return torch.fft.irfft2(spectra, s=self.shape)

    def adjoint(self, y: Tensor) -> Tensor:
        spectra = (self._transfer().conj() * torch.fft.rfft2(y).unsqueeze(-3)).sum(-4)
        return torch.fft.irfft2(spectra, s=self.shape)

    def _power(self) -> Tensor:
        """Σ_d |H_d|² of one plane, (..., 1, fy, fx)."""
        return self._transfer().abs().square().sum(-4)

    def _gram(self, x: Tensor) -> Tensor:
        if self.psfs.shape[-3] > 1:
            return self.adjoint(self.forward(x))
        return torch.fft.irfft2(self._power() * torch.fft.rfft2(x), s=self.shape)

    def norm_bound(self) -> Tensor | None:
        """The norm, exact, for one plane."""
        if self.psfs.shape[-3] > 1:
            return None
        return self._power().amax((-3, -2, -1)).sqrt()

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor | None:
        if self.psfs.shape[-3] > 1:
            return None
        w = weight.reshape(*weight.shape, 1, 1, 1)
        solved: Tensor | float = 0.0
        if y is not None:
            solved = (self._transfer().conj() * torch.fft.rfft2(y).unsqueeze(-3)).sum(-4)
        if z is not None:
            solved = solved + w * torch.fft.rfft2(z)
        return torch.fft.irfft2(solved / (self._power() + w), s=self.shape)


def detector_psfs(
    excitation: Tensor,
    emission: Tensor,
    positions: Tensor,
    *,
    pinhole: Tensor | None = None,
    orientation: int = 1,
    rotation: float | Tensor = 0.0,
) -> Tensor:
    r"""Point spread functions of the elements of a detector array in a scanning microscope,

    .. math:: h_d(r) = h_{exc}(r) \, (h_{em} * pinhole)(r - s R(ψ) d)

    divided by the sum over elements and pixels, so that the relative light of the elements remains.

    Parameters
    ----------
    excitation, emission : Tensor, shape (..., ky, kx)
        Of illumination and detection on one grid, centered at ``k // 2`` and small at its border.
    positions : Tensor, shape (detector, 2)
        d, the elements in the plane of the sample, in pixels, order (y, x): see `detector_grid`.
    pinhole : Tensor, shape (ky, kx), optional
        Area of an element, of sum 1, on the same grid; a point by default.
    orientation : {1, -1}
        s: -1 for an array that is turned by half a turn.
    rotation : float or Tensor
        ψ in radians, from the axis y to x.

    Returns
    -------
    Tensor, shape (..., detector, 1, ky, kx)
        Gradients reach all tensors.

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    C. J. R. Sheppard, "Super-resolution in confocal imaging", Optik 80 (1988).

    Examples
    --------
    >>> from invcore.operators import gaussian_kernel
    >>> h = gaussian_kernel(2.0, size=15)[0]
    >>> psfs = detector_psfs(h, h, detector_grid(3, 2.0))
    >>> psfs.shape, round(float(psfs.sum()), 4)
    (torch.Size([9, 1, 15, 15]), 1.0)
    """
    if excitation.shape[-2:] != emission.shape[-2:] or excitation.ndim < 2:
        raise ShapeError(
            "detector_psfs: excitation and emission must be (..., ky, kx) on one grid, got "
            f"{tuple(excitation.shape)} and {tuple(emission.shape)}"
        )
    if positions.ndim != 2 or positions.shape[-1] != 2:
        raise ShapeError(f"detector_psfs: positions must be (detector, 2), got {tuple(positions.shape)}")
    if orientation not in (1, -1):
        raise ParameterError(f"detector_psfs: orientation must be 1 or -1, got {orientation!r}")
    if pinhole is not None:
        kernel = torch.fft.rfft2(place_kernel(pinhole, tuple(emission.shape[-2:])))  # type: ignore[arg-type]
        emission = torch.fft.irfft2(torch.fft.rfft2(emission) * kernel, s=emission.shape[-2:])
    psi = torch.as_tensor(rotation, dtype=positions.dtype, device=positions.device)
    y, x = positions.unbind(-1)
    turned = torch.stack((psi.cos() * y - psi.sin() * x, psi.sin() * y + psi.cos() * x), -1)
    seen = shifted(emission.unsqueeze(-3), (orientation * turned).to(emission.dtype))
    psfs = (excitation.unsqueeze(-3) * seen).clamp(min=0)
    return (psfs / psfs.sum((-3, -2, -1), keepdim=True)).unsqueeze(-3)


def detector_grid(side: int, pitch: float, *, dtype: torch.dtype = torch.float32) -> Tensor:
    """Positions of a square array of detectors about its center, row by row, (side², 2).

    Parameters
    ----------
    side : int
    pitch : float
        Distance of neighbors, in pixels of the scan.
    dtype : torch.dtype

    Raises
    ------
    ParameterError

    Examples
    --------
    >>> detector_grid(2, 1.0).tolist()
    [[-0.5, -0.5], [-0.5, 0.5], [0.5, -0.5], [0.5, 0.5]]
    """
    if side < 1 or not 0 < pitch < math.inf:
        raise ParameterError(f"detector_grid: side >= 1 and pitch > 0 are needed, got {side!r} and {pitch!r}")
    line = pitch * (torch.arange(side, dtype=dtype) - (side - 1) / 2)
    return torch.cartesian_prod(line, line).reshape(-1, 2)
