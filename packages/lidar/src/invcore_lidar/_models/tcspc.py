"""From depths and reflectivities to histograms of photon arrival times."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from invcore import Operator, Physics, ShapeError, Space
from invcore.noises import PoissonNoise
from invcore.operators import Convolution
from invcore.spaces import broadcast_shapes

from .._photons.impulse import ImpulseResponse
from .._photons.tags import Histogram
from .returns import Gate, check_gate, check_impulse, check_pixels, check_trailing, returns


class Scene(NamedTuple):
    """Parts of an image.

    Attributes
    ----------
    depth : Tensor, shape (..., surface, y, x)
        Meters.
    reflectivity : Tensor, shape (..., surface, y, x)
        Expected signal photons.
    background : Tensor, shape (..., 1, y, x)
        Expected photons per bin.
    """

    depth: Tensor
    reflectivity: Tensor
    background: Tensor


class TCSPC(Operator):
    r"""Time-correlated single-photon counting: expected counts in the bins of each pixel's histogram,

    .. math:: y_b = \sum_k r_k ∫_{t_b}^{t_{b+1}} h(t - 2 d_k/c - τ) dt + β,
        \quad t_b = start + b \, bin\_width,

    where surface k at depth dₖ returns rₖ photons over the acquisition, h is the impulse response, τ the
    delay of the pixel and β the background of each bin. A point spread function p blurs each bin of the
    signal, y = p * signal + β, since pixels then see light of their neighbors at the neighbors' depths.
    Nonlinear in the depths, linear in the rest.

    Parameters
    ----------
    impulse : ImpulseResponse
        h. Gradients reach its parameters.
    bins : int
        Number of bins in the gate.
    bin_width : float
        Seconds.
    shape : tuple of int
        Pixels (ny, nx).
    start : float
        Start of the gate in seconds after the laser pulse.
    surfaces : int
        K, the number of surfaces per pixel.
    psf : Tensor, shape (..., ky, kx), optional
        p, centered on its pixel ``(ky // 2, kx // 2)``; a sum of 1 keeps the photons. Leading dimensions are
        batch.
    boundary : {"replicate", "reflect", "zero", "circular"}
        Continuation of the image beyond its edges.
    delay : Tensor, shape (..., ny, nx), optional
        τ in seconds, as the pixels of a detector array differ; leading dimensions are batch. It applies
        before the blur: light from a neighbor has the neighbor's delay.

    Notes
    -----
    Domain ``(2 K + 1, y, x)``, channels in the order d₁ … d_K in meters, r₁ … r_K in photons, β in photons
    per bin; range ``(bin, y, x)``. Counts are those of an ideal detector; compose with `DeadTime` for a real
    one. The work grows with the bins under h, not with those of the gate. Tails of h below 10⁻¹⁵ of its mass
    (10⁻⁹ in single precision) are neglected, as are returns outside of the gate. Times of flight are computed
    in double precision, but the depths have that of the image: single precision resolves 2 mm at 20 km; use
    double precision for counts and images if that is too coarse.

    Raises
    ------
    ParameterError, ShapeError
        If the fields do not describe a gate, an image, or a point spread function.

    References
    ----------
    J. Rapp, J. Tachella, Y. Altmann, S. McLaughlin, V. K. Goyal, "Advances in single-photon lidar for
    autonomous vehicles", IEEE Signal Process. Mag. 37 (2020).

    Examples
    --------
    >>> A = TCSPC(impulse=ImpulseResponse.gaussian(fwhm=300e-12), bins=100, bin_width=100e-12, shape=(1, 1))
    >>> pixel = torch.ones(1, 1, 1)
    >>> x = A.image(depth=0.75 * pixel, reflectivity=20 * pixel, background=0.1 * pixel)
    >>> y = A(x)
    >>> int(y.argmax()), round(float(y.sum()), 3)
    (50, 30.0)
    """

    impulse: ImpulseResponse
    bins: int
    bin_width: float
    shape: tuple[int, int]
    start: float = 0.0
    surfaces: int = 1
    psf: Tensor | None = None
    boundary: Literal["replicate", "reflect", "zero", "circular"] = "replicate"
    delay: Tensor | None = None
    params = ("psf", "delay")

    def __post_init__(self) -> None:
        check_impulse(self, self.impulse)
        check_gate(self, self.bins, self.bin_width, self.start)
        check_pixels(self, self.shape, self.surfaces)
        check_trailing(self, "psf", self.psf, None)
        check_trailing(self, "delay", self.delay, self.shape)

    @staticmethod
    def of(histogram: Histogram, *, impulse: ImpulseResponse, surfaces: int = 1) -> TCSPC:
        """Return the model of a histogram's pixels and gate.

        Parameters
        ----------
        histogram : Histogram
        impulse : ImpulseResponse
        surfaces : int

        Returns
        -------
        TCSPC
        """
        bins, ny, nx = histogram.counts.shape[-3:]
        return TCSPC(
            impulse=impulse,
            bins=bins,
            bin_width=histogram.bin_width,
            shape=(ny, nx),
            start=histogram.start,
            surfaces=surfaces,
        )

    @property
    def domain(self) -> Space:
        return Space((2 * self.surfaces + 1, *self.shape))

    @property
    def range(self) -> Space:
        return Space((self.bins, *self.shape))

    @property
    def gate(self) -> Gate:
        """Start, bin width and number of bins."""
        return Gate(self.start, self.bin_width, self.bins)

    def forward(self, x: Tensor) -> Tensor:
        depth, reflectivity, background = self.scene(x)
        delay = None if self.delay is None else self.delay.to(x.dtype)
        base = background if self.psf is None else None
        cube = returns(depth, reflectivity, self.impulse, self.gate, delay=delay, base=base)
        return cube if self.psf is None else blurred(cube, self.psf, self.boundary) + background

    def scene(self, x: Tensor) -> Scene:
        """Split an image (..., 2 K + 1, y, x) into depth, reflectivity and background.

        Parameters
        ----------
        x : Tensor, shape (..., 2 K + 1, y, x)

        Returns
        -------
        Scene
            ``depth`` and ``reflectivity`` (..., K, y, x), ``background`` (..., 1, y, x).
        """
        return Scene(*x.split([self.surfaces, self.surfaces, 1], dim=-3))

    def image(self, *, depth: Tensor, reflectivity: Tensor, background: Tensor | float = 0.0) -> Tensor:
        """Assemble an image.

        Parameters
        ----------
        depth, reflectivity : Tensor, shape (..., K, y, x)
            Meters; expected signal photons.
        background : float or Tensor, shape (..., 1, y, x)
            Expected photons per bin.

        Returns
        -------
        Tensor, shape (..., 2 K + 1, y, x)
        """
        if not isinstance(background, Tensor):
            background = reflectivity.new_full((1, *self.shape), background)
        parts, sizes = (depth, reflectivity, background), (self.surfaces, self.surfaces, 1)
        for name, part, size in zip(Scene._fields, parts, sizes):
            if tuple(part.shape[-3:]) != (size, *self.shape):
                raise ShapeError(
                    f"TCSPC.image: {name} must be (..., {size}, {self.shape[0]}, {self.shape[1]}), "
                    f"got {tuple(part.shape)}"
                )
        batch = broadcast_shapes(*(p.shape[:-3] for p in parts))
        return torch.cat([p.expand(*batch, *p.shape[-3:]) for p in parts], dim=-3)

    def physics(self) -> Physics:
        """Return the measurement: these rates, counted with Poisson noise."""
        return Physics(operator=self, noise=PoissonNoise())


def blurred(
    cube: Tensor, psf: Tensor, boundary: Literal["replicate", "reflect", "zero", "circular"]
) -> Tensor:
    """Convolve each bin of (..., bin, y, x) with a point spread function (..., ky, kx)."""
    space = Space(tuple(cube.shape[-3:]))
    kernel = psf.to(cube.dtype).unsqueeze(-3)
    return Convolution(kernel=kernel, domain=space, boundary=boundary)._apply(cube)
