"""Antenna arrays and simulated observations: positions, Earth rotation, noise."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor

from invcore import DtypeError, ParameterError, ShapeError, Value

from .visibilities import Visibilities

SIDEREAL = 2 * math.pi / 86164.0905
"""Angular velocity of the Earth in rad/s."""

_EHT = {  # 2017; positions in meters, system equivalent flux densities in Jy
    "AA": ((2225061.164, -5440057.370, -2481681.150), 74.0),
    "AP": ((2225039.530, -5441197.630, -2479303.360), 4700.0),
    "AZ": ((-1828796.200, -5054406.800, 3427865.200), 17100.0),
    "JC": ((-5464584.680, -2493001.170, 2150653.980), 10500.0),
    "LM": ((-768713.964, -5988541.798, 2063275.947), 4500.0),
    "PV": ((5088967.900, -301681.600, 3825015.800), 1900.0),
    "SM": ((-5464523.400, -2493147.080, 2150611.750), 6200.0),
    "SP": ((0.010, 0.010, -6359609.700), 19300.0),
}
_VLA_PLACE = (math.radians(34.0787), math.radians(-107.6184))
_VLA_ARM = {"A": 21000.0, "B": 6400.0, "C": 1950.0, "D": 590.0}


class AntennaArray(Value):
    """Positions and noise levels of the antennas of an interferometer.

    Parameters
    ----------
    names : tuple of str
        Names of the antennas.
    positions : Tensor, shape (antenna, 3)
        Geocentric positions in meters, float64; x points to the equator at Greenwich, z to the north pole.
    sefd : Tensor, shape (antenna,), optional
        System equivalent flux densities in Jy, float64.
    telescope : str
        Name of the array.

    Raises
    ------
    ShapeError, DtypeError, ParameterError
        If the parts do not fit together.

    Examples
    --------
    >>> vis = vla("D").observe(interval=600.0, hour_angles=(-1.0, 1.0))
    >>> len(vis) == 27 * 26 // 2 * 12
    True
    """

    names: tuple[str, ...]
    positions: Tensor
    sefd: Tensor | None = None
    telescope: str = ""

    def __post_init__(self) -> None:
        n = len(self.names)
        for name, shape in (("positions", (n, 3)), ("sefd", (n,))):
            held = getattr(self, name)
            if held is None and name == "sefd":
                continue
            if not isinstance(held, Tensor) or held.dtype != torch.float64:
                kind = getattr(held, "dtype", type(held).__name__)
                raise DtypeError(f"AntennaArray: {name} must be a float64 tensor, got {kind}")
            if tuple(held.shape) != shape:
                raise ShapeError(
                    f"AntennaArray: {name} must be {shape}, of {n} names, got {tuple(held.shape)}"
                )
            if not bool(held.isfinite().all()):
                raise ParameterError(f"AntennaArray: {name} has entries that are not finite")
        if n < 2 or len(set(self.names)) != n:
            raise ParameterError(
                f"AntennaArray: expected two or more antennas with different names, got {self.names}"
            )
        if self.sefd is not None and not bool((self.sefd > 0).all()):
            raise ParameterError("AntennaArray: sefd must be positive")

    def __len__(self) -> int:
        return len(self.names)

    def observe(
        self,
        *,
        phase_center: tuple[float, float] = (0.0, math.pi / 4),
        hour_angles: tuple[float, float] = (-4.0, 4.0),
        interval: float = 60.0,
        frequencies: Sequence[float] | Tensor = (1.4e9,),
        bandwidth: float | None = None,
        sigma: float | None = None,
        elevation: float = 10.0,
        longitude: float | None = None,
        day: float = 60000.0,
        every: int = 1,
        source: str = "",
        polarizations: tuple[str, ...] = ("I",),
        dtype: torch.dtype = torch.float32,
    ) -> Visibilities:
        """Return the baselines of an observation with visibilities of zero, to be filled by `simulate`.

        Parameters
        ----------
        phase_center : (float, float)
            Right ascension and declination in radians.
        hour_angles : (float, float)
            First and last hour angle at ``longitude``, in sidereal hours.
        interval : float
            Integration time in seconds.
        frequencies : sequence of float
            Frequencies in Hz.
        bandwidth : float, optional
            Bandwidth of a channel in Hz; by default the spacing of the frequencies, or a thousandth of a
            single one.
        sigma : float, optional
            Noise of the real and of the imaginary part in Jy; by default √(S₁S₂/(2 Δν Δt)) from the flux
            densities ``sefd`` (divided by √2 for Stokes parameters), or 1.
        elevation : float
            Minimum elevation of the source in degrees.
        longitude : float, optional
            Longitude in radians to the east; by default that of the mean position of the antennas.
        day : float
            Modified Julian date of the first hour angle.
        every : int
            Keep every n-th integration.
        source : str
            Name of the source.
        polarizations : tuple of str
            Names of the correlations.
        dtype : torch.dtype
            Precision of data and weights, float32 or float64.

        Returns
        -------
        Visibilities
            Baselines run from the first to the second antenna.

        References
        ----------
        A. R. Thompson, J. M. Moran, G. W. Swenson, Interferometry and Synthesis in Radio Astronomy, 3rd ed.
        (2017), Eq. (4.1).
        """
        if not (interval > 0 and every >= 1 and hour_angles[0] < hour_angles[1]):
            raise ParameterError(
                "observe: interval must be positive, every 1 or more, hour_angles (first, last) increasing"
            )
        if dtype not in (torch.float32, torch.float64):
            raise ParameterError(f"observe: dtype must be float32 or float64, got {dtype}")
        nu = torch.as_tensor(frequencies, dtype=torch.float64)
        if nu.ndim != 1 or not len(nu) or not bool((nu > 0).all()) or not polarizations:
            raise ParameterError(
                "observe: expected one or more frequencies in Hz, all positive, and polarizations, got "
                f"{frequencies} and "
                f"{polarizations}"
            )
        if not all(given is None or 0 < given < math.inf for given in (sigma, bandwidth)):
            raise ParameterError(
                f"observe: sigma (Jy) and bandwidth (Hz) must be positive, got {sigma} and {bandwidth}"
            )
        if bandwidth is None:
            bandwidth = float(nu.diff().abs().min()) if len(nu) > 1 else float(nu[0]) * 1e-3
        if longitude is None:
            middle = self.positions.mean(0)
            longitude = math.atan2(float(middle[1]), float(middle[0]))
        ra, dec = phase_center
        first, last = (h * math.pi / 12 for h in hour_angles)
        steps = max(1, round((last - first) / SIDEREAL / interval))
        since = (torch.arange(0, steps, every, dtype=torch.float64) + 0.5) * interval
        hour = first - longitude + SIDEREAL * since  # at Greenwich
        begin = (ra + first - longitude - _sidereal_time(day)) % (2 * math.pi) / SIDEREAL
        pairs = torch.combinations(torch.arange(len(self)), 2)
        baselines = self.positions[pairs[:, 1]] - self.positions[pairs[:, 0]]
        uvw = project(baselines, hour[:, None], dec)
        up = self.positions / torch.linalg.vector_norm(self.positions, dim=-1, keepdim=True)
        seen = project(up, hour[:, None], dec)[..., 2] >= math.sin(math.radians(elevation))
        kept = (seen[:, pairs[:, 0]] & seen[:, pairs[:, 1]]).flatten()
        rows = int(kept.sum())
        if rows == 0:
            raise ParameterError(
                "observe: no two antennas see the source; check the declination and the hour angles"
            )
        one, two = (pairs[:, k].repeat(len(since))[kept] for k in (0, 1))
        deviation = (
            torch.ones(rows, dtype=torch.float64)
            if sigma is None
            else torch.full((rows,), float(sigma)).double()
        )
        if sigma is None and self.sefd is not None:
            deviation = (self.sefd[one] * self.sefd[two] / (2 * bandwidth * interval)).sqrt()
            deviation = deviation / math.sqrt(2) if polarizations[0] in ("I", "Q", "U", "V") else deviation
        cube = (rows, len(nu), len(polarizations))
        complex_type = torch.complex64 if dtype == torch.float32 else torch.complex128
        return Visibilities(
            data=torch.zeros(cube, dtype=complex_type),
            uvw=uvw.reshape(-1, 3)[kept],
            frequencies=nu,
            weight=(deviation**-2)[:, None, None].expand(cube).to(dtype).clone(),
            flag=torch.zeros(cube, dtype=torch.bool),
            time=(day * 86400 + begin + since).repeat_interleave(len(pairs))[kept],
            interval=torch.full((rows,), float(interval), dtype=torch.float64),
            antenna1=one,
            antenna2=two,
            antenna_names=self.names,
            antenna_positions=self.positions,
            polarizations=polarizations,
            phase_center=(float(ra), float(dec)),
            channel_width=torch.full_like(nu, bandwidth),
            source=source,
            telescope=self.telescope,
        )


def project(vectors: Tensor, hour: Tensor, declination: float) -> Tensor:
    """Project geocentric vectors to (u, v, w) for a source at an hour angle and declination.

    Parameters
    ----------
    vectors : Tensor, shape (..., 3)
        Geocentric vectors.
    hour : Tensor, shape (...)
        Hour angle at Greenwich in radians.
    declination : float
        Declination in radians.

    Returns
    -------
    Tensor, shape (..., 3)
        Components to the east, to the north and toward the source.
    """
    x, y, z = vectors.unbind(-1)
    sin, cos = hour.sin(), hour.cos()
    sd, cd = math.sin(declination), math.cos(declination)
    toward = cos * x - sin * y
    u = sin * x + cos * y
    return torch.stack(torch.broadcast_tensors(u, cd * z - sd * toward, cd * toward + sd * z), -1)


def vla(configuration: Literal["A", "B", "C", "D"] = "A", *, antennas: int = 27) -> AntennaArray:
    """Return an array like the Very Large Array: three arms with antennas at distances that grow as n^1.716.

    Parameters
    ----------
    configuration : {"A", "B", "C", "D"}
        Arms of 21, 6.4, 1.95 or 0.59 km.
    antennas : int
        Number of antennas, a multiple of 3.

    References
    ----------
    P. J. Napier, A. R. Thompson, R. D. Ekers, "The Very Large Array", Proc. IEEE 71 (1983).

    Examples
    --------
    >>> len(vla("C"))
    27
    """
    if configuration not in _VLA_ARM or antennas < 3 or antennas % 3:
        raise ParameterError(
            f"vla: configuration must be one of {', '.join(_VLA_ARM)} and antennas a multiple of 3, got "
            f"{configuration!r}, {antennas}"
        )
    each = antennas // 3
    radius = _VLA_ARM[configuration] * (torch.arange(1, each + 1, dtype=torch.float64) / each) ** 1.716
    azimuth = torch.deg2rad(torch.tensor([355.0, 115.0, 236.0], dtype=torch.float64))[:, None]
    east, north = (radius * azimuth.sin()).flatten(), (radius * azimuth.cos()).flatten()
    names = tuple(f"{arm}{k:02d}" for arm in ("N", "E", "W") for k in range(1, each + 1))
    sefd = torch.full((antennas,), 400.0, dtype=torch.float64)
    return AntennaArray(
        names=names, positions=local_to_geocentric(east, north), sefd=sefd, telescope="VLA-like"
    )


def eht() -> AntennaArray:
    """Return an array like the Event Horizon Telescope of 2017: eight stations at 230 GHz.

    References
    ----------
    The Event Horizon Telescope Collaboration, "First M87 results II", Astrophys. J. Lett. 875 (2019), Tables
    2 and 3.

    Examples
    --------
    >>> eht().names
    ('AA', 'AP', 'AZ', 'JC', 'LM', 'PV', 'SM', 'SP')
    """
    positions = torch.tensor([place for place, _ in _EHT.values()], dtype=torch.float64)
    sefd = torch.tensor([s for _, s in _EHT.values()], dtype=torch.float64)
    return AntennaArray(names=tuple(_EHT), positions=positions, sefd=sefd, telescope="EHT-like")


def local_to_geocentric(
    east: Tensor, north: Tensor, place: tuple[float, float] = _VLA_PLACE, radius: float = 6.371e6
) -> Tensor:
    """Convert local to geocentric positions, on the tangent plane of a spherical Earth.

    Parameters
    ----------
    east, north : Tensor, shape (antenna,)
        Local coordinates in meters.
    place : (float, float)
        Latitude and longitude in radians of the tangent point.
    radius : float
        Radius of the Earth in meters.

    Returns
    -------
    Tensor, shape (antenna, 3)
    """
    latitude, longitude = place
    sp, cp, sl, cl = math.sin(latitude), math.cos(latitude), math.sin(longitude), math.cos(longitude)
    axes = torch.tensor(
        [[-sl, cl, 0.0], [-sp * cl, -sp * sl, cp], [cp * cl, cp * sl, sp]], dtype=torch.float64
    )
    local = torch.stack([east.double(), north.double(), torch.full_like(east.double(), radius)], -1)
    return local @ axes


def simulate(
    vis: Visibilities,
    image: Tensor,
    *,
    pixel: float,
    generator: torch.Generator | None = None,
    gains: Tensor | None = None,
    w_term: bool = True,
    beam: Tensor | None = None,
    accuracy: float = 1e-6,
) -> Visibilities:
    """Simulate an observation: fill it with the visibilities of an image, and add noise.

    Parameters
    ----------
    vis : Visibilities
        Observation of one correlation; its data are ignored, its weights define the noise.
    image : Tensor, shape (1 or frequency, y, x)
        Image in Jy/pixel.
    pixel : float
        Size of a pixel in radians.
    generator : torch.Generator, optional
        Random numbers for the noise; no noise by default.
    gains : Tensor, shape (antenna,) or (row, antenna), optional
        Complex gains, V ↦ g₁ g₂* V.
    w_term, beam, accuracy
        As in `Visibilities.physics`.

    Returns
    -------
    Visibilities

    Examples
    --------
    >>> vis = vla("D").observe(hour_angles=(0.0, 0.1), sigma=0.1)
    >>> image = torch.zeros(1, 32, 32)
    >>> image[0, 16, 16] = 2.0
    >>> simulate(vis, image, pixel=1e-4).data.real.mean().round(decimals=3)
    tensor(2.)
    """
    if image.ndim != 3:
        raise ShapeError(f"simulate: image must be (1 or frequency, y, x), got {tuple(image.shape)}")
    if image.is_complex():
        raise DtypeError(f"simulate: image must be real, in Jy/pixel, got {image.dtype}")
    shape = (int(image.shape[1]), int(image.shape[2]))
    physics = vis.physics(
        shape=shape, pixel=pixel, channels=image.shape[0], w_term=w_term, beam=beam, accuracy=accuracy
    )
    y = physics.operator(image.to(vis.dtype))
    if gains is not None:
        rows = gains.expand(len(vis), -1)
        at = torch.arange(len(vis), device=gains.device)
        y = y * (rows[at, vis.antenna1] * rows[at, vis.antenna2].conj())[:, None].to(y.dtype)
    if generator is not None:
        y = physics.noise(y, generator=generator)
    return vis.with_data(torch.where(vis.mask[..., 0], y, 0))


def _sidereal_time(day: float) -> float:
    """Mean sidereal time of Greenwich at a modified Julian date of UT1, in radians."""
    from astropy.time import Time

    return float(Time(day, format="mjd", scale="ut1").sidereal_time("mean", "greenwich").rad)
