"""Maps of relaxation times and proton density of the head phantom."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from invcore import ParameterError

from .fields import RandomFields, axes_of, grid_of
from .head import draw_head

# Proton density; T1, T2 and T2* in milliseconds at 1.5 T and at 3 T. Sources in `tissue_phantom`.
_TISSUES: dict[str, tuple[float, tuple[float, float], tuple[float, float], tuple[float, float]]] = {
    "white": (0.77, (884, 1084), (72, 69), (66.2, 53.2)),
    "gray": (0.86, (1124, 1820), (95, 99), (84.0, 66.0)),
    "fluid": (1.00, (4200, 4200), (2000, 2000), (1000, 800)),
    "fat": (1.00, (343, 382), (58, 68), (40, 30)),
    "skin": (0.80, (1008, 1412), (44, 50), (35, 30)),
    "marrow": (0.80, (549, 586), (49, 49), (20, 12)),
    "bone": (0.05, (549, 586), (20, 20), (5, 3)),
    "lesion": (0.95, (1350, 1900), (180, 180), (120, 100)),
    "plexus": (0.90, (1600, 2000), (200, 200), (100, 80)),
    "nucleus": (0.84, (1050, 1500), (85, 80), (57, 36)),
    "pallidum": (0.79, (930, 1200), (70, 60), (45, 25)),
    "thalamus": (0.83, (1030, 1450), (85, 80), (60, 50)),
}


class Tissues(NamedTuple):
    """Maps of tissue parameters.

    Attributes
    ----------
    M0 : Tensor
        Proton density with a smooth phase, complex64, zero outside of the head.
    T1, T2, T2s : Tensor
        In seconds, float32; T2s is T2*. Outside of the head those of skin.
    df : Tensor
        Off-resonance in Hz, float32.

    All have the shape ``(1, *spatial)``.
    """

    M0: Tensor
    T1: Tensor
    T2: Tensor
    T2s: Tensor
    df: Tensor


def tissue_phantom(
    shape: tuple[int, ...], *, field: float = 3.0, generator: torch.Generator | None = None
) -> Tissues:
    """Draw relaxation times, proton density and the field of the head of `head_phantom`.

    White and gray matter and muscle (for the scalp) as measured by Stanisz et al. [1]_, subcutaneous fat and
    marrow by de Bazelaire et al. [2]_, T2* of white and gray matter by Peters et al. [3]_; proton densities
    are those of BrainWeb [4]_. Cerebrospinal fluid is a liquid of 4.2 s and 2 s; deep nuclei lie between
    white and gray matter with the shorter T2* of iron; lesions are chosen to stand out. Times are mixed
    in proportion where tissues share a voxel.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)``.
    field : {1.5, 3.0}
        Field strength in tesla.
    generator : torch.Generator, optional
        Source of the anatomy's variation; seed 0 if not given. The same seed is the same head as of
        `head_phantom`.

    Returns
    -------
    Tissues

    Raises
    ------
    ShapeError, ParameterError

    References
    ----------
    .. [1] G. Stanisz et al., "T1, T2 relaxation and magnetization transfer in tissue at 3T", Magn. Reson.
       Med. 54 (2005).
    .. [2] C. de Bazelaire, G. Duhamel, N. Rofsky, D. Alsop, "MR imaging relaxation times of abdominal and
       pelvic tissues measured in vivo at 3.0 T", Radiology 230 (2004).
    .. [3] A. Peters et al., "T2* measurements in human brain at 1.5, 3 and 7 T", Magn. Reson. Imaging 25
       (2007).
    .. [4] R. Kwan, A. Evans, G. Pike, "MRI simulation-based evaluation of image-processing and classification
       methods", IEEE Trans. Med. Imaging 18 (1999).

    Examples
    --------
    >>> head = tissue_phantom((64, 64), field=1.5)
    >>> head.T1.shape, float(head.T1.min()) > 0.3, float(head.T2.max()) <= 2
    (torch.Size([1, 64, 64]), True, True)
    """
    if field not in (1.5, 3.0):
        raise ParameterError(f"tissue_phantom: field must be 1.5 or 3.0 (tesla), got {field!r}")
    axes, _ = axes_of(shape)
    random = RandomFields(generator, axes, shape)
    which = int(field == 3.0)
    values = {
        name: torch.tensor([density, t1[which] / 1e3, t2[which] / 1e3, t2s[which] / 1e3], dtype=torch.float64)
        for name, (density, t1, t2, t2s) in _TISSUES.items()
    }
    values["air"] = torch.cat([torch.zeros(1, dtype=torch.float64), values["skin"][1:]])
    values["lesion spread"] = torch.zeros(4, dtype=torch.float64)
    column = (-1, *(1,) * len(shape))
    density, t1, t2, t2s = draw_head(shape, random, {n: v.reshape(column) for n, v in values.items()})
    phase = 0.45 * random.field(scale=1.5, waves=10)
    m0 = torch.polar(density.clamp_min(0), phase).to(torch.complex64)
    t1, t2, t2s = (t.float().unsqueeze(0) for t in (t1, t2, t2s))
    return Tissues(m0.unsqueeze(0), t1, t2, t2s, off_resonance(shape, field=field))


def off_resonance(shape: tuple[int, ...], *, field: float = 3.0) -> Tensor:
    """Draw the off-resonance of a shimmed head: about 200 Hz above the sinuses at 3 T, less at the ears.

    A model of what shims leave, not of a head's susceptibility: Gaussian bumps over air-filled cavities and a
    smooth slope.

    Parameters
    ----------
    shape : tuple of int
        ``(y, x)`` or ``(z, y, x)``.
    field : float
        Field strength in tesla, to which it is proportional.

    Returns
    -------
    Tensor, shape (1, *shape), float32
        In Hz.

    Raises
    ------
    ShapeError

    Examples
    --------
    >>> off_resonance((64, 48)).shape
    torch.Size([1, 64, 48])
    """
    z, y, x = grid_of(axes_of(shape)[0], shape)
    bumps = [(200.0, (-0.10, -0.66, 0.0), 0.20), (90.0, (-0.10, 0.10, 0.56), 0.17)]
    bumps += [(90.0, (-0.10, 0.10, -0.56), 0.17)]
    total = 12 * y - 8 * x + 10 * (z - 0.3 * y) ** 2 - 10
    for height, (cz, cy, cx), width in bumps:
        away = (z - cz) ** 2 + (y - cy) ** 2 + (x - cx) ** 2
        total = total + height * torch.exp(-away / (2 * width**2))
    return (total * field / 3).float().unsqueeze(0)
