"""Gain-independent data of very long baseline arrays: closure phases, amplitudes, and their physics."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics
from invcore.fidelities import BlockFidelity
from invcore.io import Acquisition, Output
from invcore.noises import BlockNoise, GaussianNoise, Noise
from invcore.operators import Operator, stack

from .._data.visibilities import Visibilities
from .._noise.correlated import CorrelatedNoise
from .._noise.scatter import scatter_scale
from .._operators.closure import closure_phases, log_closure_amplitudes
from .._operators.log_amplitudes import LogAmplitudes

COMPACT_FLUX = {"M87": 0.6}
"""Flux in Jy at 1.3 mm of the compact part of a source, by name. M87 in April 2017: EHT Collaboration, ApJL
875 (2019) L4, Section 6 (0.6 Jy in the pipeline based on regularized maximum likelihood)."""

GAIN_ERROR = {"LM": 1.0}
"""Standard deviation of ln|gain| of antennas with known large errors. LM, the Large Millimeter Telescope,
lost up to half of its amplitude by pointing errors in 2017: EHT Collaboration, ApJL 875 (2019) L3, Section
6."""

_USUAL_GAIN_ERROR = 0.1
_FLUX_ERROR = 0.1
_PIXELS_PER_BEAM = 12
_SHORT = 10  # fields of view in a fringe spacing


def vlbi_acquisition(
    visibilities: Visibilities,
    *,
    amplitudes: bool = True,
    shape: tuple[int, int] = (64, 64),
    pixel: float | None = None,
    flux: float | None = None,
    fraction: float = 0.01,
    gain_error: float | Mapping[str, float] | None = None,
    min_snr: float = 2.0,
    noise_scale: float | Literal["scatter"] = "scatter",
    metadata: Mapping[str, Any] | None = None,
    output: Output | None = None,
) -> Acquisition:
    r"""Convert visibilities to gain-independent VLBI data, closure phases and amplitudes, with their physics.

    Visibilities are combined to Stokes I and averaged over each scan. The blocks of data are, in this order,

    * ``"closure_phases"``, minimal sets without the short baselines;
    * with ``amplitudes`` the ``"log_amplitudes"`` of all visibilities, marginalized over the gains of each
      scan (`LogAmplitudes`);
    * otherwise the ``"log_closure_amplitudes"``, minimal sets, and the ``"log_flux"``, which only fixes the
      scale.

    Phases of visibilities are not used. Short baselines, with fringe spacings above 10 fields of view,
    measure the total flux of the source, including extended parts far outside the image. Their amplitudes are
    scaled so that their median is the flux in the image.

    Parameters
    ----------
    visibilities : Visibilities
        Visibilities at the time resolution of the recording.
    amplitudes : bool
        Use amplitudes besides closure phases, or closure quantities only.
    shape : (int, int)
        Pixels of the image, (y, x).
    pixel : float, optional
        Size of a pixel in radians; a twelfth of the resolution by default.
    flux : float, optional
        Total flux in the field of view in Jy; by default the published one (`COMPACT_FLUX`), else that on
        short baselines.
    fraction : float
        Systematic error of each visibility as a fraction of its amplitude (polarization leakage, ...).
    gain_error : float or mapping of str to float, optional
        Standard deviation of ln|g|, of all antennas or by name; by default 0.1 and, for some antennas,
        `GAIN_ERROR`.
    min_snr : float
        Ignore averages with a smaller |V|/σ.
    noise_scale : float or "scatter"
        Factor on the σ of the weights; ``"scatter"`` estimates it from the scatter of consecutive data, see
        `scatter_scale`.
    metadata : mapping, optional
        Additional metadata.
    output : Output, optional
        Files and pictures of the result.

    Returns
    -------
    Acquisition
        ``y`` is a tuple of real float64 tensors, named in ``metadata["quantities"]``.

    Raises
    ------
    DataError
        If there are no data.
    ParameterError
        If there are no closures, an antenna is unknown, or a number is out of range.

    References
    ----------
    The Event Horizon Telescope Collaboration, "First M87 Event Horizon Telescope results. IV. Imaging the
    central supermassive black hole", ApJL 875 (2019) L4; L. Blackburn et al., "Closure statistics in
    interferometric data", ApJ 894 (2020) 31.

    Examples
    --------
    >>> acquisition = vlbi_acquisition(visibilities, amplitudes=False)  # doctest: +SKIP
    >>> image = RegularizedMaximumLikelihood()(acquisition.y, acquisition.physics)  # doctest: +SKIP
    """
    vis = visibilities if len(visibilities.polarizations) == 1 else visibilities.stokes("I")
    vis = vis.to(torch.float64).unflagged()
    if not len(vis):
        raise DataError("vlbi_acquisition: there are no data, or all are flagged")
    if flux is not None and not 0 < flux < math.inf:
        raise ParameterError(f"vlbi_acquisition: flux must be positive, in Jy, got {flux!r}")
    if not 0 <= fraction < math.inf:
        raise ParameterError(f"vlbi_acquisition: fraction must be finite and not negative, got {fraction!r}")
    scale = scatter_scale(vis) if noise_scale == "scatter" else float(noise_scale)
    vis, scan = _by_scan(vis.replace(weight=vis.weight / scale**2))
    beam = vis.resolution()
    pixel = beam / _PIXELS_PER_BEAM if pixel is None else float(pixel)
    short = vis.uv_distance()[..., None] < 1 / (_SHORT * max(shape) * pixel)
    short &= vis.mask
    total = flux if flux is not None else COMPACT_FLUX.get(vis.source)
    if total is None and bool(short.any()):
        total = float(vis.data.abs()[short].median())
    if total is not None:
        vis = _rescaled(vis, short, total)

    y0, sigma = vis.values(), vis.sigma[..., 0]
    phases = closure_phases(vis.replace(flag=vis.flag | short), min_snr=min_snr)
    parts: list[tuple[str, Operator, Tensor, Noise]] = [
        (
            "closure_phases",
            phases,
            phases.measured(y0),
            phases.noise(y0, sigma, fraction=fraction, correlated=True),
        )
    ]
    if amplitudes:
        good = vis.mask[..., 0] & (y0.abs() >= min_snr * sigma)
        logs = LogAmplitudes(index=good.reshape(-1).nonzero()[:, 0], shape=(y0.shape[0], y0.shape[1]))
        covariance = logs.covariance(
            y0,
            sigma,
            antenna1=vis.antenna1,
            antenna2=vis.antenna2,
            group=scan,
            gain_error=_gain_errors(vis.antenna_names, gain_error),
            fraction=fraction,
        )
        parts.append(("log_amplitudes", logs, logs(y0), CorrelatedNoise(covariance=covariance)))
    else:
        ratios = log_closure_amplitudes(vis, min_snr=min_snr)
        noise = ratios.noise(y0, sigma, fraction=fraction, correlated=True)
        parts.append(("log_closure_amplitudes", ratios, ratios.measured(y0), noise))
        if total is not None and bool(short.any()):
            parts.append(_flux_datum(short[..., 0], total))
    facts = {
        "source": vis.source,
        "telescope": vis.telescope,
        "antennas": list(vis.antenna_names),
        "frequency_hz": float(vis.frequencies.mean()),
        "scans": int(scan.max()) + 1,
        "quantities": [name for name, *_ in parts],
        "pixel_rad": pixel,
        "resolution_rad": beam,
        "flux_jy": total,
        "noise_scale": scale,
        "systematic_fraction": fraction,
    }
    image = vis.physics(shape=shape, pixel=pixel, w_term=False, accuracy=1e-9).operator
    physics = Physics(
        operator=stack([operator for _, operator, *_ in parts]) @ image,
        noise=BlockNoise(parts=tuple(noise for *_, noise in parts)),
    )
    return Acquisition(
        y=tuple(y for _, _, y, _ in parts),
        physics=physics,
        metadata={**facts, **dict(metadata or {})},
        solver={"name": "radio.rml", "rtol": 1e-2},
        output=output or Output(),
    )


def reduced_chi_square(acquisition: Acquisition, x: Tensor) -> dict[str, float]:
    """Compute χ² per datum of an image, for each kind of data of a `vlbi_acquisition`.

    χ² includes correlations and the systematic error. The number of data is not reduced by the parameters of
    the image.

    Parameters
    ----------
    acquisition : Acquisition
        Result of `vlbi_acquisition`.
    x : Tensor, shape (1, y, x)
        Image in Jy/pixel.

    Returns
    -------
    dict of str to float
        χ² per datum by kind of data.
    """
    physics = acquisition.physics
    predicted = physics.operator(x.to(torch.float64))
    joint = physics.likelihood()
    if not isinstance(joint, BlockFidelity):
        raise ParameterError(
            f"reduced_chi_square takes an acquisition of several kinds of data, not {type(joint).__name__}"
        )
    names = acquisition.metadata["quantities"]
    return {
        name: 2 * float(f.value(u, y)) / y.numel()
        for name, f, u, y in zip(names, joint.parts, predicted, acquisition.y, strict=True)
    }


def _by_scan(vis: Visibilities) -> tuple[Visibilities, Tensor]:
    """Average over scans, with one time for all rows of a scan; also return the scan number of each row."""
    number = vis.scan_numbers()
    starts = torch.stack([vis.time[number == k].min() for k in range(int(number.max()) + 1)])
    mean = vis.average(time="scan").unflagged()
    scan = torch.searchsorted(starts, mean.time, right=True) - 1
    middle = torch.stack([mean.time[scan == k].mean() for k in range(len(starts))])
    return dataclasses.replace(mean, time=middle[scan]), scan


def _rescaled(vis: Visibilities, short: Tensor, flux: float) -> Visibilities:
    """Scale the data of each short baseline by one factor, so that their median amplitude is ``flux``."""
    factor = torch.ones_like(vis.weight)
    baseline = vis.antenna1 * len(vis.antenna_names) + vis.antenna2
    for b in torch.unique(baseline[short.flatten(1).any(1)]):
        at = (baseline == b)[:, None, None] & short
        factor = torch.where(at, flux / vis.data[at].abs().median(), factor)
    return vis.replace(data=vis.data * factor, weight=vis.weight / factor**2)


def _gain_errors(names: tuple[str, ...], given: float | Mapping[str, float] | None) -> Tensor:
    if isinstance(given, int | float):
        errors: Mapping[str, float] = dict.fromkeys(names, float(given))
    elif given is None:
        errors = {n: s for n, s in GAIN_ERROR.items() if n in names}
    else:
        errors = given
    unknown = sorted(set(errors) - set(names))
    if unknown:
        raise ParameterError(f"gain_error names antennas {unknown}, which are not among {list(names)}")
    if not all(0 <= s < math.inf for s in errors.values()):
        raise ParameterError(f"gain_error must be finite and not negative, got {dict(errors)}")
    return torch.tensor([errors.get(n, _USUAL_GAIN_ERROR) for n in names], dtype=torch.float64)


def _flux_datum(short: Tensor, flux: float) -> tuple[str, Operator, Tensor, Noise]:
    """The log amplitude of one short baseline, set to that of the flux."""
    index = short.reshape(-1).nonzero()[:1, 0]
    operator = LogAmplitudes(index=index, shape=(short.shape[0], short.shape[1]))
    y = torch.full((1,), math.log(flux), dtype=torch.float64)
    return "log_flux", operator, y, GaussianNoise(sigma=_FLUX_ERROR)
