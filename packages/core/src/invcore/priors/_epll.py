"""Priors on patches: the expected patch log-likelihood."""

from __future__ import annotations

import warnings
from functools import cache
from importlib.resources import as_file, files
from typing import Any, Protocol

import torch
from torch import Tensor

from .._errors import ConvergenceWarning, ParameterError, ShapeError
from ..operators import Space
from ..spaces import broadcast_shapes, norm, per_sample, vdot
from ._base import Prior, gradient_by_torch
from ._gaussian_mixture import GaussianMixture
from ._patches import assemble, cosines, counts, extract

SCHEDULE = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
"""Precisions of the patches over that of the image."""


class PatchModel(Protocol):
    """Interface of the patch model of `PatchPrior`."""

    def log_prob(self, v: Tensor) -> Tensor:
        """log p of vectors (n, d), shape (n,)."""


class PatchPrior(Prior):
    r"""Negative log-likelihood of all patches under any model, per pixel of a patch.

    .. math:: g(x) = -\frac{1}{d} \sum_i \log p(P_i x)

    over all overlapping patches of d pixels, P_i x; channels, real and imaginary parts add up.
    The gradient is by torch.

    Parameters
    ----------
    model : PatchModel
        Has ``log_prob(v)`` for vectors of shape (n, d): a `GaussianMixture`, or anything else written in
        torch operations.
    patch : int
        Side of the patches.

    References
    ----------
    D. Zoran and Y. Weiss, "From learning models of natural image patches to whole image restoration", ICCV
    (2011).

    Examples
    --------
    >>> white = GaussianMixture.of_covariances(torch.ones(1), torch.zeros(1, 4), torch.eye(4)[None])
    >>> PatchPrior(white, patch=2).grad(torch.ones(1, 3, 3))  # patches that a pixel lies in, over four
    tensor([[[0.2500, 0.5000, 0.2500],
             [0.5000, 1.0000, 0.5000],
             [0.2500, 0.5000, 0.2500]]])
    """

    model: Any
    patch: int = 8
    spatial_dims: int = 2

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("PatchPrior", self.patch)
        if not callable(getattr(self.model, "log_prob", None)):
            raise ParameterError(
                f"PatchPrior: the model needs a method log_prob(v), got {type(self.model).__name__}"
            )

    def _value(self, x: Tensor, space: Space) -> Tensor:
        planes = _planes("PatchPrior", x, space, self.patch, self.spatial_dims)
        patches = extract(planes, self.patch, self.spatial_dims)
        logs = self.model.log_prob(patches.reshape(-1, patches.shape[-1])).reshape(len(planes), -1)
        return -_per_item(logs.sum(1), x, space) / patches.shape[-1]

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        return gradient_by_torch(self, x, space)


class EPLL(Prior):
    r"""Expected patch log-likelihood [1]_: patches are draws from a mixture of normal densities.

    .. math:: g(x) = -\frac{1}{d} \sum_i \log p(B P_i x/s), \qquad p = \sum_k w_k N(μ_k, C_k)

    over all overlapping patches of d pixels. Where the mixture has dimension d - 1, as the default has, B
    takes a patch to its d - 1 cosine coefficients without the mean, on which g does not depend; else B = 1.
    Channels, real and imaginary parts add up. With weight λ = 1 and the likelihood of the
    noise this is the criterion of [1]_.

    g is not convex. ``prox`` is half-quadratic splitting: seven times the patches are estimated in noise of
    variance t/β, β = 1, 2, 4, ..., 64, each with its most likely component, and averaged with the image, as
    in [1]_ (which has β = 1, 4, 8, 16, 32). ``refine`` takes that approximation on to a local minimum.

    Parameters
    ----------
    mixture : GaussianMixture, optional
        By default 200 components on patches of 8 x 8 pixels, fitted to photographs; the card beside its file
        says how.
    patch : int
        Side of the patches.
    peak : float
        s: the value of white. The default mixture is one of images with values from 0 to 1.
    refine : int
        Maximum number of gradient steps that follow the approximation; 0 for none.
    rtol : float
        Relative size of the gradient of g(z) + ‖z - x‖²/(2 step), compared with that of g, at which they
        stop.

    References
    ----------
    .. [1] D. Zoran and Y. Weiss, "From learning models of natural image patches to whole image restoration",
       ICCV (2011).

    Examples
    --------
    A mixture of one's own images:

    >>> x = torch.rand(1, 12, 12, generator=torch.Generator().manual_seed(0))
    >>> g = EPLL(mixture=fit_patches(x[None], patch=3, components=2), patch=3)
    >>> g.prox(x, 0.01).shape
    torch.Size([1, 12, 12])
    """

    power = 0
    units = {"peak": 1}
    mixture: GaussianMixture | None = None
    patch: int = 8
    spatial_dims: int = 2
    peak: float = 1.0
    refine: int = 0
    rtol: float = 1e-3

    def __post_init__(self) -> None:
        super().__post_init__()
        _check("EPLL", self.patch)
        d = self.patch**self.spatial_dims
        size = 63 if self.mixture is None else self.mixture.dimension
        if size not in (d, d - 1):
            raise ParameterError(
                f"EPLL: patches of {d} pixels need a mixture of dimension {d - 1} (without the mean) "
                f"or {d}, got {size}"
            )
        if not (self.peak > 0 and self.refine >= 0):
            raise ParameterError(
                f"EPLL: expected peak > 0 and refine >= 0, got {self.peak!r} and {self.refine!r}"
            )

    def _value(self, x: Tensor, space: Space) -> Tensor:
        planes = _planes("EPLL", x, space, self.patch, self.spatial_dims) / self.peak
        if torch.is_grad_enabled() and planes.requires_grad:
            return _per_item(_Value.apply(planes, self), x, space)
        return _per_item(self._of_planes(planes), x, space)

    def _grad(self, x: Tensor, space: Space) -> Tensor:
        planes = _planes("EPLL", x, space, self.patch, self.spatial_dims) / self.peak
        return _images(self._slope(planes) / self.peak, x)

    def _prox(self, x: Tensor, step: float | Tensor, space: Space) -> Tensor:
        t = self._steps(step, x)
        batch = broadcast_shapes(x.shape[: x.ndim - len(space.shape)], t.shape)
        x = x.expand(*batch, *space.shape)
        planes = _planes("EPLL", x, space, self.patch, self.spatial_dims) / self.peak
        if not x.numel():
            return x.clone()
        t = t.expand(batch)
        levels = t.reshape(-1, 1) / self.peak**2
        each = levels.expand(-1, len(planes) // max(len(levels), 1)).reshape(-1)
        moving = (each > 0).view(-1, *(1,) * self.spatial_dims)
        z = torch.where(moving, self._split(planes, torch.where(each > 0, each, 1.0)), planes)
        out = _images(z * self.peak, x)
        return self._refined(x, out, t, space) if self.refine else out

    def _split(self, y: Tensor, t: Tensor) -> Tensor:
        """Half-quadratic splitting for planes (n, *spatial) in noise of variance t (n,)."""
        d = self.patch**self.spatial_dims
        cover = counts(tuple(y.shape[1:]), self.patch, y) / d
        x = y
        for beta in SCHEDULE:
            patches = extract(x, self.patch, self.spatial_dims)
            v, back = self._coordinates(patches.reshape(-1, d))
            noise = (t / beta).repeat_interleave(patches[0, ..., 0].numel())
            moved = patches + back(self._model(y).map_estimate(v, noise) - v).reshape(patches.shape)
            x = (y + beta / d * assemble(moved, self.patch, self.spatial_dims)) / (1 + beta * cover)
        return x

    def _refined(self, x: Tensor, z: Tensor, t: Tensor, image: Space) -> Tensor:
        """Descend from z on t g(z) + ‖z - x‖²/2 by accelerated gradients, with restarts per sample.

        The curvature of g is at most 1/(s² λ), λ being the smallest eigenvalue of the covariances.
        """
        smallest = self._model(x.real)._spectrum[0].min() * self.peak**2
        step = per_sample(1 / (1 + t / smallest), image)
        rounding = 4 * torch.finfo(x.dtype).eps * norm(x.detach(), image)
        q, momentum = z, torch.zeros_like(rounding)
        for _ in range(self.refine):
            slope = per_sample(t, image) * self.grad(q, image)
            residual = slope + q - x
            size, goal = norm(residual.detach(), image), norm(slope.detach(), image)
            done = size <= self.rtol * goal + rounding
            if bool(done.all()):
                break
            new = q - step * residual
            momentum = torch.where(vdot(residual, new - z, image) > 0, 0, momentum + 1)
            ahead = new + per_sample(momentum / (momentum + 3), image) * (new - z)
            q = torch.where(per_sample(done, image), q, ahead)
            z = new
        worst = float((size / goal.clamp_min(torch.finfo(size.dtype).tiny)).max())
        if worst > max(10 * self.rtol, 1e-3):
            warnings.warn(
                f"EPLL.prox: the gradient is {worst:.1e} of that of g after {self.refine} steps. "
                "Raise refine or rtol.",
                ConvergenceWarning,
                stacklevel=3,
            )
        return q

    def _of_planes(self, planes: Tensor) -> Tensor:
        patches = extract(planes, self.patch, self.spatial_dims)
        v, _ = self._coordinates(patches.reshape(-1, patches.shape[-1]))
        logs = self._model(planes).log_prob(v)
        return -logs.reshape(len(planes), -1).sum(1) / patches.shape[-1]

    def _slope(self, planes: Tensor) -> Tensor:
        patches = extract(planes, self.patch, self.spatial_dims)
        v, back = self._coordinates(patches.reshape(-1, patches.shape[-1]))
        score = back(self._model(planes).score(v)).reshape(patches.shape)
        return -assemble(score, self.patch, self.spatial_dims) / patches.shape[-1]

    def _model(self, like: Tensor) -> GaussianMixture:
        if self.mixture is None:
            return _default(like.dtype, like.device)
        return self.mixture if self.mixture.means.dtype == like.dtype else self.mixture.to(like.dtype)

    def _coordinates(self, patches: Tensor) -> tuple[Tensor, Any]:
        d = patches.shape[1]
        if self.mixture is not None and self.mixture.dimension == d:
            return patches, lambda v: v
        B = cosines(self.patch, self.spatial_dims, patches)
        return patches @ B.T, lambda v: v @ B


class _Value(torch.autograd.Function):
    """The value, with the gradient in closed form."""

    @staticmethod
    def forward(ctx: Any, planes: Tensor, prior: EPLL) -> Tensor:
        ctx.save_for_backward(planes)
        ctx.prior = prior
        return prior._of_planes(planes)

    @staticmethod
    def backward(ctx: Any, weight: Tensor) -> tuple[Tensor, None]:
        (planes,) = ctx.saved_tensors
        return weight.view(-1, *(1,) * (planes.ndim - 1)) * ctx.prior._slope(planes), None


def fit_patches(
    images: Tensor,
    *,
    patch: int = 8,
    components: int = 64,
    count: int = 50000,
    spatial_dims: int = 2,
    seed: int = 0,
) -> GaussianMixture:
    """Fit the mixture of `EPLL` to one's own images: patches without their mean, means of zero.

    Parameters
    ----------
    images : Tensor, shape (..., *spatial)
        Real, with values of about 0 to 1. All dimensions before the spatial ones are images.
    patch, components : int
    count : int
        Patches drawn, with all images alike.
    spatial_dims : int
        Number of spatial dimensions.
    seed : int
    """
    planes = images.reshape(-1, *images.shape[images.ndim - spatial_dims :])
    patches = extract(planes, patch, spatial_dims).reshape(-1, patch**spatial_dims)
    chosen = torch.randperm(len(patches), generator=torch.Generator().manual_seed(seed))[:count]
    v = patches[chosen.to(patches.device)]
    v = v @ cosines(patch, spatial_dims, v).T
    return GaussianMixture.fit(v, components, seed=seed, centered=True, max_steps=30)


@cache
def _default(dtype: torch.dtype, device: torch.device) -> GaussianMixture:
    with as_file(files(__package__) / "epll_8x8_200.safetensors") as path:
        return GaussianMixture.load(path).to(dtype).to(device)


def _check(name: str, patch: int) -> None:
    if patch < 2:
        raise ParameterError(f"{name}: patch must be at least 2, got {patch!r}")


def _planes(name: str, x: Tensor, image: Space, patch: int, dims: int) -> Tensor:
    """(plane, *spatial), real."""
    spatial = image.shape[len(image.shape) - dims :]
    if len(image.shape) < dims or min(spatial, default=0) < patch:
        raise ShapeError(
            f"{name}: patches of {patch} pixels along {dims} axes do not fit into an image "
            f"of shape {image.shape}"
        )
    if x.is_complex():
        x = torch.view_as_real(x.resolve_conj()).movedim(-1, -dims - 1)
    return x.reshape(-1, *spatial)


def _images(planes: Tensor, like: Tensor) -> Tensor:
    """The inverse of `_planes`."""
    if not like.is_complex():
        return planes.reshape(like.shape)
    spatial = planes.shape[1:]
    parts = planes.reshape(*like.shape[: like.ndim - len(spatial)], 2, *spatial).movedim(
        -len(spatial) - 1, -1
    )
    return torch.view_as_complex(parts.contiguous())


def _per_item(values: Tensor, x: Tensor, image: Space) -> Tensor:
    """Sums over the planes of an item."""
    batch = x.shape[: x.ndim - len(image.shape)]
    return values.reshape(*batch, -1).sum(-1) if values.numel() else values.new_zeros(batch)
