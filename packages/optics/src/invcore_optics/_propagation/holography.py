"""Holography: the intensity of a field and a reference wave, in line or at an angle, and its sideband."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from invcore import DataError, Operator, ParameterError, ShapeError, Space, Value

from .._phase.ambiguities import dominant_frequency
from .._phase.frames import power
from .propagators import AngularSpectrum


class Hologram(Operator):
    r"""Intensities of a propagated field and a reference wave at one camera, or at several distances.

    .. math:: y_p(k) = \left| a\, e^{2πi f·k} + e^{-2πi n z_p/λ}\, (P_{z_p} x)(k) \right|^2

    with the pixels k = 0, 1, … and `AngularSpectrum` P without its mean phase, so that light which passes
    unscattered stays as it is.

    *In line* (f = 0, the default) the reference is the light that misses the object: for a transmission t
    under a plane wave of intensity a² the unknown is x = a (t - 1), zero where there is no object [1]_. The
    data hardly tell x from its twin, the conjugate of x propagated from -2z: what is known of the object
    (a prior), or a second distance does. *Off axis* (f not 0) x is the object's field itself, and
    `Sideband` reads P x from the data [2]_.

    Parameters
    ----------
    distance : Tensor, shape (..., plane)
        z in meters from object to camera, of each hologram; negative to the other side.
    domain : Space
        ``(1, y, x)``, complex.
    wavelength, pixel : float
        λ of vacuum and pixel in meters.
    refractive_index : float
        n.
    tilt : Tensor, shape (..., 2), optional
        f in cycles a pixel along y and x, below a half.
    amplitude : Tensor, shape (...), optional
        a; by default 1.
    padding : bool
        The field is zero beyond the image; without it periodic.

    Notes
    -----
    Range ``(plane, y, x)``. Derivatives reach distance, tilt and amplitude.

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    .. [1] T. Latychevskaia and H.-W. Fink, "Solution to the twin image problem in holography", Phys. Rev.
       Lett. 98 (2007).
    .. [2] E. Cuche, P. Marquet, C. Depeursinge, "Spatial filtering for zero-order and twin-image elimination
       in digital off-axis holography", Appl. Opt. 39 (2000).

    Examples
    --------
    >>> A = Hologram(torch.tensor([1e-3]), Space((1, 8, 8), "complex"), wavelength=5e-7, pixel=2e-6)
    >>> A(torch.zeros(1, 8, 8) + 0j).mean()
    tensor(1.)
    """

    distance: Tensor
    domain: Space
    wavelength: float
    pixel: float
    refractive_index: float = 1.0
    tilt: Tensor | None = None
    amplitude: Tensor | None = None
    padding: bool = True
    positional: ClassVar[int | None] = 2
    params = ("distance", "tilt", "amplitude")
    param_ndim: ClassVar[dict[str, int]] = {"distance": 1, "tilt": 1, "amplitude": 0}

    def __post_init__(self) -> None:
        if self.domain.shape[0] != 1:
            raise ShapeError(f"Hologram: the field is complex (1, y, x), got {self.domain}")
        if self.distance.ndim < 1 or self.distance.shape[-1] < 1:
            raise ShapeError(f"Hologram: distance must be (..., plane), got {tuple(self.distance.shape)}")
        if self.tilt is not None and self.tilt.shape[-1:] != (2,):
            raise ShapeError(f"Hologram: tilt must be (..., 2), along y and x; got {tuple(self.tilt.shape)}")
        self._made()  # checks lengths and the domain

    @property
    def range(self) -> Space:
        return Space((self.distance.shape[-1], *self.domain.shape[-2:]))

    @property
    def propagation(self) -> AngularSpectrum:
        """P for each plane, a dimension before the channel."""
        return self._made() if self.distance.requires_grad else self._kept

    @cached_property
    def _kept(self) -> AngularSpectrum:
        return self._made()

    def _made(self) -> AngularSpectrum:
        return AngularSpectrum(
            self.distance,
            self.domain,
            wavelength=self.wavelength,
            pixel=self.pixel,
            refractive_index=self.refractive_index,
            padding=self.padding,
        )

    def reference(self) -> Tensor:
        """The reference wave at the camera, (..., 1, y, x)."""
        ny, nx = self.domain.shape[-2:]
        like: Any = {"dtype": self.distance.dtype, "device": self.distance.device}
        phase = torch.zeros(1, ny, nx, **like)
        if self.tilt is not None:
            y, x = torch.arange(ny, **like)[:, None], torch.arange(nx, **like)
            fy, fx = (f[..., None, None, None] for f in self.tilt.unbind(-1))
            phase = 2 * math.pi * (fy * y + fx * x)
        size = torch.ones((), **like) if self.amplitude is None else self.amplitude[..., None, None, None]
        return torch.polar(torch.ones_like(phase), phase) * size

    def field(self, x: Tensor) -> Tensor:
        """The propagated field of the object alone, (..., plane, y, x)."""
        waves = self.propagation(x.unsqueeze(-4)).squeeze(-3)
        turns = self.distance.double() * (self.refractive_index / self.wavelength)
        back = -2 * math.pi * (turns - turns.detach().round())[..., None, None]
        return waves * torch.polar(torch.ones_like(back), back).to(waves.dtype)

    def forward(self, x: Tensor) -> Tensor:
        return power(self.reference() + self.field(x))


class Sideband(Value):
    r"""Read the field of an off-axis hologram from its sideband.

    .. math:: a\, u = L\, [y\, e^{2πi f·k}]

    L passes frequencies up to ``radius`` with a soft edge. What is read is exact if the reference wave is
    plane and the field u has frequencies up to a third of \|f\|: then its square, which fills twice that
    about zero, stays outside.

    Parameters
    ----------
    tilt : tuple of float, optional
        f of the reference wave in cycles a pixel along (y, x), as of `Hologram`. By default the strongest
        peak of the spectrum away from zero, found to a fraction of a sample. Its sign cannot be seen, as the
        conjugate field gives the same hologram: f with a positive x (or y, if x is 0) is taken.
    radius : float, optional
        Cycles a pixel; by default a third of \|f\|.

    Raises
    ------
    ShapeError, ParameterError
    DataError
        If no peak stands out.

    References
    ----------
    M. Takeda, H. Ina, S. Kobayashi, "Fourier-transform method of fringe-pattern analysis for computer-based
    topography and interferometry", J. Opt. Soc. Am. 72 (1982).

    Examples
    --------
    >>> f = torch.tensor([0.0, 0.25])
    >>> A = Hologram(torch.zeros(1), Space((1, 16, 16), "complex"), wavelength=5e-7, pixel=2e-6, tilt=f)
    >>> u = Sideband()(A(0.5j * torch.ones(1, 16, 16)))
    >>> u.mean().resolve_conj().numpy().round(1)
    np.complex64(0.5j)
    """

    tilt: tuple[float, float] | None = None
    radius: float | None = None

    def __post_init__(self) -> None:
        f = self.tilt
        if f is not None and not (len(f) == 2 and math.hypot(*f) > 0 and max(map(abs, f)) <= 0.5):
            raise ParameterError(f"Sideband: tilt must be two numbers up to 0.5, not both 0; got {f!r}")
        if self.radius is not None and not 0 < self.radius <= 0.5:
            raise ParameterError(f"Sideband: radius must lie in (0, 0.5], got {self.radius!r}")

    def __call__(self, y: Tensor) -> Tensor:
        """Return a u, complex, of the shape of the holograms.

        Parameters
        ----------
        y : Tensor, shape (..., y, x)
        """
        if y.ndim < 2 or not y.is_floating_point():
            raise ShapeError(f"Sideband takes real holograms (..., y, x), got {y.dtype} {tuple(y.shape)}")
        f = self.found(y)
        rows, columns = (torch.arange(n, dtype=y.dtype, device=y.device) for n in y.shape[-2:])
        phase = 2 * math.pi * (f[..., 0, None, None] * rows[:, None] + f[..., 1, None, None] * columns)
        radius = f.norm(dim=-1)[..., None, None] / 3 if self.radius is None else self.radius
        spectrum = torch.fft.fft2(y * torch.polar(torch.ones_like(phase), phase))
        distance = _frequencies(y).norm(dim=-1)
        width = 1 / max(y.shape[-2:])
        return torch.fft.ifft2(spectrum * torch.sigmoid((radius - distance) * (4 / width)))

    def found(self, y: Tensor) -> Tensor:
        """The tilt f of each hologram, (..., 2)."""
        if self.tilt is not None:
            return torch.tensor(self.tilt, dtype=y.dtype, device=y.device).expand(*y.shape[:-2], 2)
        frequencies = _frequencies(y)
        half = (frequencies[..., 1] > 1e-9) | ((frequencies[..., 1].abs() < 1e-9) & (frequencies[..., 0] > 0))
        window = torch.hann_window(y.shape[-2], periodic=False, dtype=y.dtype, device=y.device)[:, None]
        window = window * torch.hann_window(y.shape[-1], periodic=False, dtype=y.dtype, device=y.device)
        spectrum = torch.fft.fft2((y - y.mean((-2, -1), keepdim=True)) * window)
        side = spectrum * (half & (frequencies.norm(dim=-1) > 0.05))
        usual = spectrum.abs().flatten(-2).median(-1).values
        if not bool((side.abs().amax((-2, -1)) > 10 * usual).all()):
            raise DataError(
                "Sideband: the spectrum of the hologram has no peak away from zero frequency: is it in line? "
                "Else give tilt="
            )
        return dominant_frequency(torch.fft.ifft2(side))


def _frequencies(y: Tensor) -> Tensor:
    """Frequencies (y, x) of the FFT in cycles a pixel, (y, x, 2)."""
    fy, fx = (torch.fft.fftfreq(n, dtype=y.dtype, device=y.device) for n in y.shape[-2:])
    return torch.stack(torch.meshgrid(fy, fx, indexing="ij"), -1)
