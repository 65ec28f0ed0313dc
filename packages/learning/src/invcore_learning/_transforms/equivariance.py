"""Operators after a transform, and denoisers and models made equivariant by averages over a group."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any, Literal, Self, cast

import torch
from torch import Tensor
from torch.nn import Module

import invcore
from invcore import Denoiser, LinearOperator, Physics, Space
from invcore.denoisers import Wrapper
from invcore.generators import seeded
from invcore.spaces import batch_shape

from .._data.sample import sample_generators, stacked_draws
from .base import Transform
from .rotate import Rotate


class Transformed(LinearOperator):
    """A transform with fixed parameters as a linear operator, x ↦ T_g x or T_g⁻¹ x.

    ``A @ Transformed(T, g, domain=A.domain)`` measures the transformed image: a virtual operator, which sees
    another part of the images than A.

    Parameters
    ----------
    transform : Transform
    element : Tensor, shape (n,) or (batch..., n)
        The parameters g.
    domain : Space
    inverted : bool

    Raises
    ------
    ParameterError
        If the transform is not linear.

    Examples
    --------
    >>> from invcore_learning import Shift
    >>> T = Transformed(transform=Shift(), element=torch.tensor([0.0, 1.0]), domain=Space((1, 1, 3)))
    >>> T(torch.tensor([[[1.0, 2.0, 3.0]]]))
    tensor([[[3., 1., 2.]]])
    """

    transform: Transform
    element: Tensor
    domain: Space
    inverted: bool = False

    def __post_init__(self) -> None:
        if not self.transform.linear:
            raise invcore.ParameterError(f"Transformed: {type(self.transform).__name__} is not linear")

    @property
    def range(self) -> Space:
        """The domain."""
        return self.domain

    def forward(self, x: Tensor) -> Tensor:
        """Transform ``x``."""
        return (self.transform.inverse if self.inverted else self.transform.apply)(x, self.element)


def transformed(physics: Physics, transform: Transform, g: Tensor, *, inverted: bool = False) -> Physics:
    """The physics of A T_g, or of A T_g⁻¹, with the same noise."""
    domain = physics.domain
    if not isinstance(domain, Space):
        raise invcore.ParameterError("a transform acts on images of one block; these have several")
    T = Transformed(transform=transform, element=g, domain=domain, inverted=inverted)
    return Physics(physics.operator @ T, physics.noise)


def symmetrized(function: Callable[[Tensor], Tensor], transform: Transform) -> Callable[[Tensor], Tensor]:
    """Return x ↦ mean over the group of T_g⁻¹ f(T_g x): the equivariant part of a function (Reynolds).

    Parameters
    ----------
    function : callable
        From images to images of the same shape.
    transform : Transform
        A finite group.

    Examples
    --------
    >>> from invcore_learning import Reflect
    >>> f = symmetrized(lambda x: x * torch.tensor([1.0, 3.0]), Reflect(axes=(-1,)))
    >>> f(torch.ones(1, 1, 2))
    tensor([[[2., 2.]]])
    """

    def mean(x: Tensor) -> Tensor:
        elements = transform.elements(tuple(x.shape[-transform.spatial_dims :]))
        total = torch.zeros_like(x)
        for g in elements:
            total = total + transform.inverse(function(transform.apply(x, g)), g)
        return total / len(elements)

    return mean


class EquivariantDenoiser(Wrapper):
    """A denoiser made equivariant to a group of transforms.

    ``draw="mean"``: the mean over a finite group of T_g⁻¹ D(T_g x), which commutes with the group;
    ``draw="random"``: that of one element, drawn anew by `at` for each iteration.

    Parameters
    ----------
    denoiser : Denoiser
    transform : Transform
    draw : {"mean", "random"}
    seed : int
    k : int
        The iteration, which `at` fills in.

    Raises
    ------
    ParameterError
        If the transforms are no finite group and ``draw`` is "mean".

    References
    ----------
    M. Terris, T. Moreau, N. Pustelnik, J. Tachella, Equivariant plug-and-play image reconstruction, CVPR
    2024.

    Examples
    --------
    >>> from invcore.denoisers import WaveletDenoiser
    >>> from invcore_learning import Shift
    >>> D = EquivariantDenoiser(WaveletDenoiser(wavelet="haar", levels=1), Shift())
    >>> x = torch.arange(16.0).reshape(1, 4, 4) % 5
    >>> torch.allclose(D(x.roll(1, -1), 1.0), D(x, 1.0).roll(1, -1))
    True
    """

    denoiser: Denoiser
    transform: Transform
    draw: Literal["mean", "random"] = "mean"
    seed: int = 0
    k: int = 0

    def __post_init__(self) -> None:
        if self.draw not in ("mean", "random"):
            raise invcore.ParameterError(
                f"EquivariantDenoiser: draw must be 'mean' or 'random', got {self.draw!r}"
            )
        if self.denoiser.spatial_dims != self.transform.spatial_dims:
            raise invcore.ParameterError(
                f"EquivariantDenoiser: the denoiser has {self.denoiser.spatial_dims} spatial dimensions, the "
                f"transform {self.transform.spatial_dims}"
            )

    @property
    def identity_at_zero(self) -> bool:  # type: ignore[override]
        """As the denoiser, unless the transform interpolates."""
        return self.denoiser.identity_at_zero and self.transform.exact

    @property
    def stochastic(self) -> bool:
        """True if `at` gives another denoiser in each iteration."""
        return self.draw == "random" or self.denoiser.stochastic

    def at(self, k: int) -> Self:
        """The denoiser that iteration ``k`` uses."""
        return dataclasses.replace(self, denoiser=self.denoiser.at(k), k=k)

    def denoise(self, x: Tensor, sigma: Tensor) -> Tensor:
        """See `Denoiser.denoise`."""
        level = sigma.reshape(x.shape[: x.ndim - self.spatial_dims - 1]) if sigma.ndim else sigma
        D = lambda z: self.denoiser(z, level)
        if self.draw == "mean":
            return symmetrized(D, self.transform)(x)
        g = self.transform.draw(generator=seeded(f"EquivariantDenoiser, seed {self.seed}, step {self.k}"))
        return self.transform.inverse(D(self.transform.apply(x, g)), g)


class EquivariantModel(Module):
    """A model made equivariant: the mean over g of T_g R(y, A T_g), which sees A T_g as the operator.

    It commutes with the group: for an image T x measured by A T⁻¹ it gives T times what it gives for x and A,
    exactly for a finite group with ``draw="mean"``. ``draw="random"`` takes one element for each sample,
    drawn for the training step that `at_step` sets.

    Parameters
    ----------
    model : Module
        A model R(y, physics).
    transform : Transform
        By default quarter turns.
    draw : {"mean", "random"}
    seed : int

    References
    ----------
    V. Sechaud, J. Scanvic, Q. Barthélemy, P. Abry, J. Tachella, Equivariant splitting: self-supervised
    learning from incomplete data (2025), arXiv:2510.00929.

    Examples
    --------
    >>> from invcore.operators import Mask
    >>> from invcore_learning import ArtifactRemoval, UNet
    >>> R = EquivariantModel(ArtifactRemoval(UNet(features=(4, 8))))
    >>> R(torch.ones(2, 1, 8, 8), Physics(Mask(torch.ones(1, 8, 8), (1, 8, 8)))).shape
    torch.Size([2, 1, 8, 8])
    """

    k: int = 0
    positions: tuple[int, ...] = ()

    def __init__(
        self,
        model: Module,
        transform: Transform = Rotate(),
        *,
        draw: Literal["mean", "random"] = "mean",
        seed: int = 0,
    ) -> None:
        super().__init__()
        if draw not in ("mean", "random"):
            raise invcore.ParameterError(f"EquivariantModel: draw must be 'mean' or 'random', got {draw!r}")
        if not transform.linear:
            raise invcore.ParameterError(f"EquivariantModel: {type(transform).__name__} is not linear")
        self.model, self.transform, self.draw, self.seed = model, transform, draw, seed

    def set_step(self, k: int) -> None:
        """Draw for training step ``k``."""
        self.k, self.positions = k, ()

    def set_positions(self, positions: tuple[int, ...]) -> None:
        """Draw for the samples of these positions in the step."""
        self.positions = tuple(positions)

    def forward(self, y: Any, physics: Physics) -> Tensor:
        """Reconstruct."""
        if self.draw == "random":
            batch = tuple(batch_shape(y, physics.range))
            name = f"EquivariantModel, seed {self.seed}, step {self.k}"
            generators = sample_generators(name, batch, self.positions)
            g = stacked_draws(lambda g: self.transform.draw(generator=g), batch, generators)
            return self._one(y, physics, g)
        space = cast(Space, physics.domain)
        elements = self.transform.elements(space.shape[-self.transform.spatial_dims :])
        total = self._one(y, physics, elements[0])
        for g in elements[1:]:
            total = total + self._one(y, physics, g)
        return total / len(elements)

    def _one(self, y: Any, physics: Physics, g: Tensor) -> Tensor:
        x = self.model(y, transformed(physics, self.transform, g))
        return self.transform.apply(x, g)
