"""Total variation."""

from __future__ import annotations

import math
from typing import ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._variation.dual import dual_prox
from .._variation.tv_dual import solve
from ..operators import Differences, LinearOperator, Space, SpaceLike
from ..spaces import broadcast_shapes
from ._base import Part, Prior
from ._group import GroupL12


class TVSolution(NamedTuple):
    """Result of `TV.denoise`: image, dual field, and the relative duality gap and steps of each sample."""

    x: Tensor
    dual: Tensor
    gap: Tensor
    steps: Tensor


class TV(Prior):
    r"""Total variation: the sum of the magnitudes of the gradient [1]_.

    .. math:: g(x) = \sum_i \varphi_δ\bigl((\textstyle\sum_{a,c} |D_a x_c|_i^2)^{1/2}\bigr), \qquad
       φ_δ(r) = r^2/2δ \text{ for } r ≤ δ, \quad r - δ/2 \text{ beyond},

    with D_a the forward difference along axis a (zero at the end of the axis). ``"isotropic"`` couples the
    axes a as above, ``"anisotropic"`` adds them up; ``coupling="joint"`` couples the channels c (vectorial
    total variation [2]_: edges at the same place), ``"separate"`` adds them up. Real and imaginary parts are
    always coupled. With smoothing δ > 0 (Huber) there is a gradient too, and less staircasing.

    The proximal operator solves the dual problem by accelerated projected gradients [3]_ with restarts, each
    sample until its duality gap is below ``rtol`` times the primal value, and warns (`ConvergenceWarning`)
    where ``max_steps`` come first. Where derivatives are asked for they go through the iterations, all of
    which are then kept in memory.

    Parameters
    ----------
    kind : {"isotropic", "anisotropic"}
    coupling : {"joint", "separate"}
        All dimensions of an image before the spatial ones are channels.

    References
    ----------
    .. [1] L. Rudin, S. Osher, E. Fatemi, "Nonlinear total variation based noise removal algorithms", Physica
       D 60 (1992).
    .. [2] X. Bresson and T. Chan, "Fast dual minimization of the vectorial total variation norm and
       applications to color image processing", Inverse Probl. Imaging 2 (2008).
    .. [3] A. Beck and M. Teboulle, "Fast gradient-based algorithms for constrained total variation image
       denoising and deblurring problems", IEEE Trans. Image Process. 18 (2009).

    Examples
    --------
    >>> step = torch.tensor([[0.0, 0.0, 0.0, 1.0, 1.0, 1.0]])
    >>> g = TV(spatial_dims=1)
    >>> g.value(step)
    tensor(1.)
    >>> g.prox(step, 0.3).round(decimals=3)  # both sides move by 0.3 over their length
    tensor([[0.1000, 0.1000, 0.1000, 0.9000, 0.9000, 0.9000]])
    """

    units = {"smoothing": 1}
    degree: ClassVar[int] = 1

    kind: Literal["isotropic", "anisotropic"] = "isotropic"
    coupling: Literal["joint", "separate"] = "joint"
    smoothing: float = 0.0
    spatial_dims: int = 2
    spacing: tuple[float, ...] | None = None
    rtol: float = 1e-5
    max_steps: int = 2000

    def __post_init__(self) -> None:
        if self.kind not in ("isotropic", "anisotropic"):
            raise ParameterError(f"TV: kind must be 'isotropic' or 'anisotropic', got {self.kind!r}")
        if self.coupling not in ("joint", "separate"):
            raise ParameterError(f"TV: coupling must be 'joint' or 'separate', got {self.coupling!r}")
        super().__post_init__()

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        """Finite differences, and the sum of their magnitudes (`GroupL12`)."""
        image = self._item(None, space)
        return self._differences(image), self._outer(image)

    def _value(self, x: Tensor, space: Space) -> Tensor:
        K = self._differences(space)
        return self._outer(space).value(K._apply(x), K.range)

    @property
    def has_grad(self) -> bool:
        """True with ``smoothing`` > 0."""
        return self.smoothing > 0

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        if not self.smoothing:
            raise ParameterError(
                "TV has a gradient with smoothing > 0 only: set it, or choose a proximal solver"
            )
        K = self._differences(space)
        return K._apply_adjoint(self._outer(space).grad(K._apply(x), K.range))

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        if not (
            torch.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in (x, step))
        ):
            return self.denoise(x, step, space).x
        K, h = self._differences(space), self._outer(space)
        out, gap, _ = dual_prox(x, step, [Part(K, h)], rtol=self.rtol, max_steps=self.max_steps)
        self._warn("prox", gap)
        return out

    def memory(self, x: Tensor, space: SpaceLike | None = None) -> tuple[Tensor, ...]:
        """The dual field of `denoise`, at first zero; empty where derivatives go through the iterations."""
        if torch.is_grad_enabled():
            return ()
        image = self._item(x, space)
        lead = x.shape[: x.ndim - len(image.shape)]
        return (x.new_zeros(*lead, self.spatial_dims, *image.shape),)

    def warm_prox(
        self, x: Tensor, step: float | Tensor, space: SpaceLike | None, memory: tuple[Tensor, ...]
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """`prox` that starts from the dual field of the last one: a tenth of the iterations in a solver."""
        if not memory:
            return self.prox(x, step, space), memory
        found = self.denoise(x, step, space, dual=memory[0])
        return found.x, (found.dual,)

    @torch.no_grad()
    def denoise(
        self,
        x: Tensor,
        step: float | Tensor,
        space: SpaceLike | None = None,
        *,
        dual: Tensor | None = None,
    ) -> TVSolution:
        """argmin over z of g(z) + ‖z - x‖²/(2 step) as `prox`, with the certificate; without derivatives.

        Parameters
        ----------
        x : Tensor, shape (batch..., channel, *spatial)
        step : float or Tensor, shape (batch...)
        space : Space, optional
        dual : Tensor, shape (batch..., axis, channel, *spatial), optional
            Where to start: the ``dual`` of a similar problem.

        Returns
        -------
        TVSolution
            x; the dual field, of magnitude at most 1, with x = input - step Kᴴ dual; relative duality gap
            (the distance to the exact result is at most √(2 gap · primal value · step)); steps.
        """
        image, t = self._item(x, space), self._steps(step, x)
        lead = x.shape[: x.ndim - len(image.shape)]
        batch = broadcast_shapes(lead, t.shape)
        count = math.prod(batch)
        flat = self._flat(x.expand(*batch, *image.shape).reshape(count, *image.shape), image)
        t = t.expand(batch).reshape(count)
        moving = t > 0
        mean = flat.mean(-1, keepdim=True)  # costs nothing and stays; without it x is as exact as it varies
        scale = torch.where(moving, t, 1).view(-1, 1, 1, 1)
        start = None
        if dual is not None:
            field = Space((self.spatial_dims, *image.shape))
            whole = dual.expand(*batch, *field.shape).reshape(count, *field.shape)
            start = torch.stack([self._flat(whole[:, a], image) for a in range(self.spatial_dims)])
            self._clear_ends(start, image)
        spatial = image.shape[len(image.shape) - self.spatial_dims :]
        result = solve(
            (flat - mean).div_(scale),
            spatial,
            scales=tuple(1 / h for h in self.spacing or (1.0,) * self.spatial_dims),
            isotropic=self.kind == "isotropic",
            smoothing=self.smoothing / scale.view(-1),
            rtol=self.rtol,
            max_steps=self.max_steps,
            start=start,
        )
        z = result.x.mul_(scale).add_(mean)
        if not bool(moving.all()):
            z = torch.where(moving.view(-1, 1, 1, 1), z, flat)
        gap = torch.where(moving, result.gap, 0)
        self._warn("prox", gap)
        fields = torch.stack([self._image_of(p, image) for p in result.p], dim=1)
        return TVSolution(
            self._image_of(z, image).reshape(*batch, *image.shape),
            fields.reshape(*batch, self.spatial_dims, *image.shape),
            gap.reshape(batch),
            result.steps.reshape(batch),
        )

    def _differences(self, image: Space) -> Differences:
        return Differences(domain=image, spatial_dims=self.spatial_dims, spacing=self.spacing)

    def _outer(self, image: Space) -> GroupL12:
        ndim = len(image.shape)
        dims = tuple(range(-ndim, -self.spatial_dims)) if self.coupling == "joint" else ()
        if self.kind == "isotropic":
            dims = (-ndim - 1, *dims)
        return GroupL12(dims=dims, smoothing=self.smoothing)

    def _flat(self, x: Tensor, image: Space) -> Tensor:
        """(sample, group, component, pixels), real: what is coupled lies along ``component``."""
        count, spatial = len(x), image.shape[len(image.shape) - self.spatial_dims :]
        pixels = math.prod(spatial)
        channels = math.prod(image.shape) // pixels if pixels else 0
        if x.is_complex():
            x = torch.view_as_real(x.resolve_conj()).movedim(-1, -self.spatial_dims - 1)
        groups = 1 if self.coupling == "joint" else channels
        return (
            x.reshape(count, groups, -1, pixels).contiguous() if x.numel() else x.real.reshape(count, 0, 0, 0)
        )

    def _image_of(self, flat: Tensor, image: Space) -> Tensor:
        """The inverse of `_flat`."""
        spatial = image.shape[len(image.shape) - self.spatial_dims :]
        if image.kind == "real":
            return flat.reshape(len(flat), *image.shape)
        lead = image.shape[: len(image.shape) - self.spatial_dims]
        parts = flat.reshape(len(flat), *lead, 2, *spatial).movedim(-self.spatial_dims - 1, -1)
        if not parts.numel():  # strides of an empty tensor are arbitrary, and view_as_complex looks at them
            return torch.complex(parts[..., 0], parts[..., 1])
        return torch.view_as_complex(parts.contiguous())

    def _clear_ends(self, dual: Tensor, image: Space) -> None:
        """The last slice of each field along its axis plays no part; `solve` wants it zero."""
        spatial = image.shape[len(image.shape) - self.spatial_dims :]
        for axis, field in enumerate(dual):
            field.view(*field.shape[:3], *spatial).select(3 + axis, spatial[axis] - 1).zero_()
