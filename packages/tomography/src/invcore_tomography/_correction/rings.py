"""Ring artifacts: stripes of the sinogram from detector columns of different sensitivity."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pywt
import torch
from torch import Tensor

from invcore import ParameterError, ShapeError, Value

from .counts import median_filter, real


class RemoveRings(Value):
    """Remove the stripes of a sinogram that would become rings.

    * ``"sorting"``: each column is sorted along the views. Neighboring columns then agree but for the
      detector: a median over the columns of the sorted sinogram removes the difference, and the values return
      to their views. It needs no tuning and changes smooth sinograms little; best against partial and full
      stripes.
    * ``"wavelet"``: stripes are vertical and lie in the vertical detail of a wavelet transform, at the lowest
      frequencies along the views. Those are damped by 1 - exp(-k²/2σ²). Also removes broad stripes, at more
      cost to the object.

    Parameters
    ----------
    method : {"sorting", "wavelet"}
    size : int
        Columns in the median (odd): a stripe up to half as wide is removed.
    sigma : float
        Width of the damping in harmonics along the views.
    level : int or None
        Scales of the wavelet transform; as many as the size allows by default.
    wavelet : str
        Name of a wavelet of PyWavelets.

    References
    ----------
    N. T. Vo, R. C. Atwood, M. Drakopoulos, "Superior techniques for eliminating ring artifacts in X-ray
    micro-tomography", Optics Express 26 (2018), algorithm 3.
    B. Münch, P. Trtik, F. Marone, M. Stampanoni, "Stripe and ring artifact removal with combined
    wavelet-Fourier filtering", Optics Express 17 (2009).

    Examples
    --------
    >>> clean = torch.linspace(0, 1, 40)[:, None] * torch.linspace(1, 2, 64)
    >>> striped = clean.clone()
    >>> striped[:, 30] += 0.2
    >>> bool((RemoveRings()(striped) - clean).abs().max() < 0.03)
    True
    """

    method: Literal["sorting", "wavelet"] = "sorting"
    size: int = 9
    sigma: float = 1.0
    level: int | None = None
    wavelet: str = "db5"

    def __post_init__(self) -> None:
        if self.method not in ("sorting", "wavelet"):
            raise ParameterError(f"method must be 'sorting' or 'wavelet', got {self.method!r}")
        if not isinstance(self.size, int) or self.size < 3 or self.size % 2 == 0:
            raise ParameterError(f"size must be an odd number from 3, got {self.size!r}")
        if not self.sigma > 0:
            raise ParameterError(f"sigma must be positive, got {self.sigma!r}")
        if self.level is not None and (not isinstance(self.level, int) or self.level < 1):
            raise ParameterError(f"level must be a positive integer or None, got {self.level!r}")
        if self.wavelet not in pywt.wavelist(kind="discrete"):
            raise ParameterError(f"{self.wavelet!r} is no discrete wavelet of PyWavelets")

    def __call__(self, sinogram: Tensor) -> Tensor:
        """Clean a sinogram.

        Parameters
        ----------
        sinogram : Tensor, shape (..., view, column)
            Of a 3-D scan, move the detector rows in front of the views.

        Returns
        -------
        Tensor, same shape
        """
        sinogram = real(sinogram, "the sinogram")
        if sinogram.ndim < 2:
            raise ShapeError(f"expected a sinogram (..., view, column), got {tuple(sinogram.shape)}")
        if self.method == "sorting":
            ordered, places = sinogram.sort(dim=-2)
            return torch.zeros_like(sinogram).scatter(-2, places, median_filter(ordered, self.size))
        return self._damped(sinogram)

    def _damped(self, sinogram: Tensor) -> Tensor:
        data = sinogram.detach().cpu().numpy()
        views, columns = data.shape[-2:]
        pad = views // 2  # the views do not close: continue them by reflection
        data = np.pad(data, [(0, 0)] * (data.ndim - 2) + [(pad, pad), (0, 0)], mode="symmetric")
        deepest = max(1, pywt.dwt_max_level(min(data.shape[-2:]), self.wavelet))
        levels = deepest if self.level is None else min(self.level, deepest)
        coefficients = pywt.wavedec2(data, self.wavelet, mode="symmetric", level=levels, axes=(-2, -1))
        cleaned = [coefficients[0]]
        for horizontal, vertical, diagonal in coefficients[1:]:
            n = vertical.shape[-2]
            k = np.fft.rfftfreq(n, 1 / n)[:, None]
            damp = 1 - np.exp(-(k**2) / (2 * self.sigma**2))
            vertical = np.fft.irfft(np.fft.rfft(vertical, axis=-2) * damp, n=n, axis=-2).astype(data.dtype)
            cleaned.append((horizontal, vertical, diagonal))
        out = pywt.waverec2(cleaned, self.wavelet, mode="symmetric", axes=(-2, -1))
        out = np.ascontiguousarray(out[..., pad : pad + views, :columns])
        return torch.from_numpy(out).to(sinogram)
