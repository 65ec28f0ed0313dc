"""Interferometer: the visibilities of an image on the baselines of an array, with w-term and primary beam."""

from __future__ import annotations

import dataclasses
from functools import cached_property
from numbers import Real
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from invcore import DtypeError, LinearOperator, ParameterError, ShapeError, Space

from .direct import SPEED_OF_LIGHT, check_horizon, direct_adjoint, direct_transform, direction_cosines
from .gridding import Gridder
from .toeplitz import beam_spectrum, convolve


class Interferometer(LinearOperator):
    r"""Visibilities of an image on the baselines of an array,

    .. math:: V_{k,ν} = M_{k,ν} Σ_p B_{p,ν} x_p e^{-2πi ν/c (u_k l_p + v_k m_p + w_k (n_p - 1))},

    with the primary beam B, the mask M and n = √(1 − l² − m²). x is in Jy/pixel, V in Jy, (u, v, w) in
    meters. With row 0 on top, north is up and east is left: l = (nx//2 − column) pixel, m = (ny//2 − row)
    pixel.

    On a CPU the sums are computed by ducc0 to a relative error of ``accuracy``: by improved w-stacking (Arras
    et al., 2021; Ye et al., 2022) or, where w has no effect, by a planned nonuniform FFT. On other devices
    they are computed directly, in torch. ``A.H`` is the exact adjoint; ``A.gram`` is a convolution with the
    dirty beam where w has no effect.

    Parameters
    ----------
    uvw : Tensor, shape (..., row, 3)
        Baselines in meters, preferably float64, as rounding of float32 baselines becomes a phase error. A
        parameter ξ.
    frequencies : Tensor, shape (frequency,)
        Frequencies in Hz.
    shape : (int, int)
        Pixels of the image, ``(ny, nx)``.
    pixel : float or (float, float)
        Size of a pixel in radians (direction cosine); ``(y, x)`` if two.
    channels : int
        1 for an image that is the same at all frequencies, or the number of frequencies.
    w_term : bool
        Include w (n − 1); not needed for narrow fields and coplanar arrays.
    beam : Tensor, shape (..., 1 or frequency, y, x), optional
        Primary beam (power pattern): a parameter ξ.
    mask : Tensor, shape (..., row, frequency), optional
        Factor on the visibilities, 0 where flagged: a parameter ξ. Visibilities with mask 0 cost nothing.
    accuracy : float
        Relative error of the sums, from 1e-12 to 0.1. Sums are in double precision for any type of image,
        except for the faster single precision used at 1e-4 and above for float32 images of at most 2000
        pixels on a side and a million visibilities.

    Notes
    -----
    The domain is ``(channels, ny, nx)`` real, the range ``(row, frequency)`` complex. The number of threads
    is torch's (`torch.set_num_threads`). The result is the same, bit for bit, each time: the adjoint grids
    fixed parts of the visibilities side by side and adds them up in a fixed order.

    References
    ----------
    P. Arras, M. Reinecke, R. Westermann and T. A. Enßlin, "Efficient wide-field radio interferometry
    response", A&A 646 (2021). H. Ye, S. F. Gull, S. M. Tan and B. Nikolic, "High accuracy wide-field imaging
    method in radio interferometry", MNRAS 510 (2022).

    Examples
    --------
    >>> uvw = torch.tensor([[250.0, 0.0, 0.0], [0.0, 250.0, 0.0]])
    >>> A = Interferometer(uvw=uvw, frequencies=torch.tensor([SPEED_OF_LIGHT]), shape=(4, 4), pixel=1e-3)
    >>> x = torch.zeros(1, 4, 4)
    >>> x[0, 2, 1] = 1.0  # a source of 1 Jy, one pixel east of the phase center
    >>> torch.view_as_real(A(x)).round(decimals=2).abs()
    tensor([[[0., 1.]],
    <BLANKLINE>
            [[1., 0.]]])
    """

    uvw: Tensor
    frequencies: Tensor
    shape: tuple[int, int]
    pixel: float | tuple[float, float]
    channels: int = 1
    w_term: bool = True
    beam: Tensor | None = None
    mask: Tensor | None = None
    accuracy: float = 1e-6
    params: ClassVar[tuple[str, ...]] = ("uvw", "beam", "mask")
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        uvw, frequencies = self.uvw, self.frequencies
        for name, t in (("uvw", uvw), ("frequencies", frequencies)):
            if not isinstance(t, Tensor) or not t.is_floating_point():
                got = t.dtype if isinstance(t, Tensor) else type(t).__name__
                raise DtypeError(f"Interferometer: {name} must be a real floating-point tensor, got {got}")
        if uvw.ndim < 2 or uvw.shape[-1] != 3:
            raise ShapeError(f"Interferometer: uvw must be (..., row, 3), got {tuple(uvw.shape)}")
        if frequencies.ndim != 1 or not len(frequencies):
            raise ShapeError(
                f"Interferometer: frequencies must be (frequency,), got {tuple(frequencies.shape)}"
            )
        if (
            not isinstance(self.shape, tuple)
            or len(self.shape) != 2
            or any(not isinstance(n, int) or n < 1 for n in self.shape)
        ):
            raise ParameterError(
                f"Interferometer: shape must be (ny, nx), two positive ints, got {self.shape!r}"
            )
        if not all(isinstance(p, Real) and p > 0 for p in self._pixels):
            raise ParameterError(f"Interferometer: pixel must be positive (radians), got {self.pixel!r}")
        if self.channels not in (1, len(frequencies)):
            raise ParameterError(
                f"Interferometer: channels must be 1 or the number of frequencies {len(frequencies)}, got "
                f"{self.channels!r}"
            )
        if not 1e-12 <= self.accuracy <= 0.1:
            raise ParameterError(f"Interferometer: accuracy must be from 1e-12 to 0.1, got {self.accuracy!r}")
        if self.w_term:
            check_horizon(self.shape, self.pixel, "Interferometer")
        optional: tuple[tuple[str, Tensor | None, set[int], tuple[int, ...]], ...] = (
            ("beam", self.beam, {1, len(frequencies)}, self.shape),
            ("mask", self.mask, {uvw.shape[-2]}, (len(frequencies),)),
        )
        for name, held, planes, rest in optional:
            if held is None:
                continue
            n = len(rest) + 1
            if not isinstance(held, Tensor) or held.is_complex():
                raise DtypeError(f"Interferometer: {name} must be a real tensor")
            if held.ndim < n or held.shape[-n] not in planes or tuple(held.shape[1 - n :]) != tuple(rest):
                wanted = " or ".join(str((k, *rest)) for k in sorted(planes))
                raise ShapeError(
                    f"Interferometer: {name} must have trailing shape {wanted}, got {tuple(held.shape)}"
                )

    @property
    def domain(self) -> Space:
        return Space((self.channels, *self.shape))

    @property
    def range(self) -> Space:
        return Space((self.uvw.shape[-2], len(self.frequencies)), "complex")

    def forward(self, x: Tensor) -> Tensor:
        y = self._transform(self._apparent(x))
        return y if self.mask is None else y * self.mask.to(x.dtype)

    def adjoint(self, y: Tensor) -> Tensor:
        if self.mask is not None:
            y = y * self.mask.to(y.real.dtype)
        return self._combined(self._back(y))

    def vjp_params(self, x: Tensor, v: Tensor) -> dict[str, Tensor]:
        """Gradient of Re⟨v, A x⟩: transforms of l x, m x, (n − 1) x for uvw, one each for beam and mask."""
        found: dict[str, Tensor] = {}
        raw = self._raw
        masked = v if self.mask is None else v * self.mask.to(x.dtype)
        apparent = self._apparent(x)
        n = max(apparent.ndim, self.uvw.ndim + 1)
        apparent = apparent[(None,) * (n - apparent.ndim)]
        l, m, n_minus_one = direction_cosines(self.shape, self._pixels, device=x.device)
        factors = [l.expand(self.shape), m.expand(self.shape)] + ([n_minus_one] if self.w_term else [])
        moments = torch.stack(factors).to(x.dtype)
        z = raw._apply(apparent * moments.reshape(len(factors), *(1,) * (n - 2), *self.shape))
        turns = (2 * torch.pi / SPEED_OF_LIGHT * self.frequencies).to(x.dtype)
        slope = ((masked.conj() * z).imag * turns).sum(-1)
        if not self.w_term:
            slope = torch.cat([slope, torch.zeros_like(slope[:1])])
        found["uvw"] = slope.movedim(0, -1).to(self.uvw.dtype)
        if isinstance(self.beam, Tensor):
            found["beam"] = (x * raw._apply_adjoint(masked)).to(self.beam.dtype)
        if isinstance(self.mask, Tensor) and self.mask.is_floating_point():
            found["mask"] = (v.conj() * raw._apply(self._apparent(x))).real.to(self.mask.dtype)
        return found

    def _gram(self, x: Tensor) -> Tensor:
        learning = self.uvw.requires_grad or (self.mask is not None and self.mask.requires_grad)
        if learning or not self._planar:
            return self._apply_adjoint(self._apply(x))
        return self._combined(convolve(self._apparent(x), self._spectrum(x.dtype)))

    # -- parts ---------------------------------------------------------------------------------------

    @property
    def _pixels(self) -> tuple[float, float]:
        return self.pixel if isinstance(self.pixel, tuple) else (self.pixel, self.pixel)

    @property
    def _planes(self) -> int:
        """Number of apparent images (sky times beam): one, or one for each frequency."""
        return max(self.channels, 1 if self.beam is None else self.beam.shape[-3])

    def _apparent(self, x: Tensor) -> Tensor:
        return x if self.beam is None else x * self.beam.to(x.dtype)

    def _combined(self, x: Tensor) -> Tensor:
        if self.beam is None:
            return x
        x = x * self.beam.to(x.dtype)
        return x.sum(-3, keepdim=True) if x.shape[-3] != self.channels else x

    @cached_property
    def _raw(self) -> Interferometer:
        """The operator on apparent images, without beam and mask."""
        if self.beam is None and self.mask is None:
            return self
        changes: dict[str, Any] = {"channels": self._planes, "beam": None, "mask": None}
        raw: Interferometer = dataclasses.replace(self, **changes)
        return raw

    @cached_property
    def _planar(self) -> bool:
        return not self.w_term or not bool((self.uvw.detach()[..., 2] != 0).any())

    @cached_property
    def _spectra(self) -> dict[torch.dtype, Tensor]:
        return {}

    @torch.no_grad()
    def _spectrum(self, dtype: torch.dtype) -> Tensor:
        """Transfer function of the dirty beam, (..., planes, sy, sx//2 + 1)."""
        if dtype not in self._spectra:
            ny, nx = self.shape
            double: dict[str, Any] = {"shape": (2 * ny, 2 * nx), "w_term": False}
            y = torch.ones(self.range.shape, dtype=torch.complex128, device=self.device)
            if self.mask is not None:
                y = y * self.mask.double() ** 2
            beam = dataclasses.replace(self._raw, **double).adjoint(y)
            self._spectra[dtype] = beam_spectrum(beam, self.shape).to(dtype)
        return self._spectra[dtype]

    def _transform(self, x: Tensor) -> Tensor:
        if x.device.type != "cpu":
            return direct_transform(
                x, uvw=self.uvw, frequencies=self.frequencies, pixel=self.pixel, w_term=self.w_term
            )
        return self._gridder.forward(x)

    def _back(self, y: Tensor) -> Tensor:
        if y.device.type != "cpu":
            return direct_adjoint(
                y,
                uvw=self.uvw,
                frequencies=self.frequencies,
                shape=self.shape,
                pixel=self.pixel,
                channels=self._planes,
                w_term=self.w_term,
            )
        return self._gridder.adjoint(y)

    @property
    def _gridder(self) -> Gridder:
        # nothing that depends on a learned tensor is cached, since an optimizer changes it in place
        return self._new_gridder() if self.uvw.requires_grad else self._kept_gridder

    @cached_property
    def _kept_gridder(self) -> Gridder:
        return self._new_gridder()

    @torch.no_grad()
    def _new_gridder(self) -> Gridder:
        kept = None if self.mask is None or self.mask.requires_grad else self.mask != 0
        return Gridder(
            uvw=self.uvw,
            frequencies=self.frequencies,
            kept=kept,
            shape=self.shape,
            pixel=self._pixels,
            planes=self._planes,
            w_term=self.w_term,
            accuracy=self.accuracy,
        )
