"""A network that was trained for a diffusion, as a denoiser."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor
from torch.nn import Module

from invcore import Denoiser, DtypeError, ParameterError, ShapeError
from invcore.samplers import Schedule
from invcore_learning import padded

from .._schedules.edm import EDM
from .._schedules.flow import Flow
from .._schedules.process import Process
from .._schedules.scaled import Scaled

Prediction = Literal["epsilon", "x0", "v", "score", "velocity", "edm", "consistency"]


class DiffusionDenoiser(Denoiser):
    r"""The denoiser of a network that sees z = s (clean + σ · noise) and a time.

    ================  =========================================  =================================
    prediction        what the network estimates                 D(x, σ) with x = z / s
    ================  =========================================  =================================
    ``epsilon``       the noise                                  x - σ ε
    ``x0``            the clean image                            x₀
    ``v``             v = s noise - s σ clean                    (x - σ v / s) / (1 + σ²)
    ``score``         the gradient of the log density at z       x + s σ² score
    ``velocity``      v = clean - noise, with `Flow`             z + (1 - t) v
    ``edm``           F, with `EDM`                              c_skip x + c_out F
    ``consistency``   F, with `EDM`: D goes along the            c_skip x + c_out F
                      probability flow to σ_min
    ================  =========================================  =================================

    The v is that of [1]_, the F of "edm" that of [2]_, the F of "consistency" that of [3]_.

    Networks are called live, as ``network(z, t)`` or ``network(z, t, condition)``, with images
    ``(n, channel, *spatial)`` in their own precision and one time each. If they give twice as many channels,
    the second half is a variance, which samplers do not need.

    Parameters
    ----------
    network : Module
    process : Process
        What the network was trained for; in its units.
    prediction : str
        As above.
    condition : Tensor, optional
        What the network is told of each image: a class, a text. Before its own dimensions it may have those
        of the batch.
    condition_dims : int
        Number of dimensions of the condition of one image: 0 for the number of a class.
    channels : int, optional
        The number of channels it takes.
    value_range : tuple of float
        The values of black and white in the images.
    network_range : tuple of float
        Those that the network was trained for. Noise scales alike: at (-1, 1) it sees twice that of images in
        [0, 1].
    multiple : int
        Images are padded by reflection to sizes that are multiples of it.
    spatial_dims : int

    References
    ----------
    .. [1] T. Salimans, J. Ho, Progressive distillation for fast sampling of diffusion models, ICLR 2022.
    .. [2] T. Karras, M. Aittala, T. Aila, S. Laine, Elucidating the design space of diffusion-based
       generative models, NeurIPS 2022, table 1.
    .. [3] Y. Song, P. Dhariwal, M. Chen, I. Sutskever, Consistency models, ICML 2023, appendix C.

    Examples
    --------
    >>> import torch
    >>> from invcore_diffusion import VariancePreserving
    >>> class Silent(Module):
    ...     def forward(self, z, t): return 0 * z
    >>> D = DiffusionDenoiser(Silent(), VariancePreserving())  # which finds no noise anywhere
    >>> D(torch.full((1, 2, 2), 0.25), 1.0).unique()
    tensor([0.2500])
    >>> [round(float(sigma), 2) for sigma in D.schedule.levels(3)]  # half of those in [-1, 1]
    [76.08, 1.71, 0.01, 0.0]
    """

    network: Module
    process: Process
    prediction: Prediction = "epsilon"
    condition: Tensor | None = None
    condition_dims: int = 0
    channels: int | None = None  # type: ignore[misc]
    value_range: tuple[float, float] = (0.0, 1.0)  # type: ignore[misc]
    network_range: tuple[float, float] = (-1.0, 1.0)
    multiple: int = 1
    spatial_dims: int = 2
    identity_at_zero: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.prediction not in get_args(Prediction):
            raise ParameterError(
                f"DiffusionDenoiser: prediction must be one of {', '.join(get_args(Prediction))}, got "
                f"{self.prediction!r}"
            )
        wanted = {"velocity": Flow, "edm": EDM, "consistency": EDM}.get(self.prediction)
        if wanted is not None and not isinstance(self.process, wanted):
            raise ParameterError(
                f"DiffusionDenoiser: a network with prediction={self.prediction!r} is one of the process "
                f"{wanted.__name__}, got {type(self.process).__name__}"
            )
        for name in ("value_range", "network_range"):
            low, high = getattr(self, name)
            if not low < high:
                raise ParameterError(f"DiffusionDenoiser: {name} must increase, got {(low, high)}")
        if self.multiple < 1 or self.condition_dims < 0:
            raise ParameterError(
                f"DiffusionDenoiser: expected multiple >= 1 and condition_dims >= 0, got {self.multiple!r} "
                f"and {self.condition_dims!r}"
            )

    @property
    def _unit(self) -> float:
        """One of the network's units, in the image's."""
        (low, high), (first, last) = self.value_range, self.network_range
        return (high - low) / (last - first)

    @property
    def sigma_range(self) -> tuple[float, float]:  # type: ignore[override]
        """What the network was trained for, in units of the image."""
        low, high = self.process.sigma_range
        return self._unit * low, self._unit * high

    @property
    def schedule(self) -> Schedule:
        """The levels of the process in units of the image: for a sampler."""
        return self.process if self._unit == 1 else Scaled(self.process, factor=self._unit)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """See `Denoiser.denoise`."""
        if x.is_complex():
            raise DtypeError(
                "DiffusionDenoiser is for real images; ComplexParts(denoiser) is for complex ones"
            )
        batch = x.shape[: x.ndim - self.spatial_dims - 1]
        one = (1,) * (self.spatial_dims + 1)
        sigma = (sigma / self._unit).expand(*batch, *one).reshape(-1, *one)
        size = x.shape[len(batch) + 1 :]
        seen = self.network_range[0] + (x - self.value_range[0]) / self._unit
        seen = seen.reshape(-1, *x.shape[len(batch) :])
        if not len(seen):
            return x.clone()
        seen = padded(seen, self.multiple, self.spatial_dims)
        scale = self.process.scale(sigma)
        told = () if self.condition is None else (self._conditions(tuple(batch)),)
        out = self._called(scale * seen, self.process.time(sigma.reshape(-1)), told)
        clean = _CLEAN[self.prediction](self.process, seen, sigma, scale, out)
        for dim, n in zip(range(-self.spatial_dims, 0), size):
            clean = clean.narrow(dim, 0, n)
        return (self.value_range[0] + (clean - self.network_range[0]) * self._unit).reshape(x.shape)

    def _called(self, z: Tensor, time: Tensor, told: tuple[Tensor, ...]) -> Tensor:
        """What the network says, in the precision of the images."""
        own = next((p.dtype for p in self.network.parameters() if p.is_floating_point()), z.dtype)
        time = time.to(own) if time.is_floating_point() else time
        out = self.network(z.to(own), time, *told).to(z.dtype)
        if out.shape == (z.shape[0], 2 * z.shape[1], *z.shape[2:]):
            return out[:, : z.shape[1]]
        if out.shape != z.shape:
            raise ShapeError(
                f"DiffusionDenoiser: the network made {tuple(out.shape)} of {tuple(z.shape)}; expected the "
                "same shape, or twice the channels. A network that halves sizes n times needs multiple=2**n."
            )
        return out

    def _conditions(self, batch: tuple[int, ...]) -> Tensor:
        """The condition of each image, (n, ...)."""
        assert self.condition is not None
        lead = self.condition.ndim - self.condition_dims
        own = self.condition.shape[max(lead, 0) :]
        try:
            if lead < 0:
                raise RuntimeError
            each = self.condition.expand(*batch, *own)
        except RuntimeError:
            raise ShapeError(
                f"DiffusionDenoiser: the condition of one image has {self.condition_dims} dimensions "
                f"(condition_dims); before them stands nothing or the batch {batch}, got "
                f"{tuple(self.condition.shape)}"
            ) from None
        return each.reshape(-1, *own)


def _edm(process: Any, x: Tensor, sigma: Tensor, scale: Tensor, out: Tensor) -> Tensor:
    data = process.sigma_data
    return (data * scale) ** 2 * x + data * sigma * scale * out


def _consistency(process: Any, x: Tensor, sigma: Tensor, scale: Tensor, out: Tensor) -> Tensor:
    data, above = process.sigma_data, sigma - process.sigma_min
    return data**2 / (above**2 + data**2) * x + data * above * scale * out


_CLEAN: dict[str, Callable[[Process, Tensor, Tensor, Any, Tensor], Tensor]] = {
    "epsilon": lambda process, x, sigma, scale, out: x - sigma * out,
    "x0": lambda process, x, sigma, scale, out: out,
    "v": lambda process, x, sigma, scale, out: (x - sigma / scale * out) / (1 + sigma**2),
    "score": lambda process, x, sigma, scale, out: x + scale * sigma**2 * out,
    "velocity": lambda process, x, sigma, scale, out: scale * (x + sigma * out),  # z + (1 - t) v
    "edm": _edm,
    "consistency": _consistency,
}
