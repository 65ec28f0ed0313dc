"""Learning beyond the range of the operator: equivariance, several operators, augmentation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import field
from typing import Any, cast

import torch
from torch import Tensor

import invcore
from invcore import Physics
from invcore.metrics import Metric
from invcore.spaces import batch_shape, check

from .._data.sample import noisy, stacked_draws
from .._transforms.base import Transform
from .._transforms.equivariance import transformed
from .base import StochasticLoss, check_metric, distance, expected, support
from .splitting import drawn, masked, need_one_block, over
from .wrapped import WrappingLoss, averaged


class EquivariantImaging(StochasticLoss):
    r"""Reconstruct what the operator would see of the transformed reconstruction [1]_.

    .. math:: L = d\bigl(R(A\, T_g \hat x + n, A),\; T_g \hat x\bigr)

    for a random transform of each sample, of a group under which the set of images does not change. With a
    fit to the data it determines the image also where A sees nothing. Operators in ``physics``, one of which
    takes the place of A in each step, add what each of them sees [2]_ [3]_.

    Parameters
    ----------
    transform : Transform
    physics : tuple of Physics
    noise : bool
        Whether n is drawn, or zero.
    metric : {"mse", "mae"} or Metric
    stop : bool
        Whether no gradient goes through the target T_g x̂.

    References
    ----------
    .. [1] D. Chen, J. Tachella, M. E. Davies, Equivariant imaging: learning beyond the range space, ICCV
       2021.
    .. [2] D. Chen, J. Tachella, M. E. Davies, Robust equivariant imaging, CVPR 2022.
    .. [3] J. Tachella, D. Chen, M. Davies, Unsupervised learning from incomplete measurements for inverse
       problems, NeurIPS 2022.

    Examples
    --------
    >>> from invcore.operators import Mask
    >>> from invcore_learning import Shift
    >>> physics = Physics(Mask(torch.tensor([[[1.0, 0.0]]]), (1, 1, 2)))
    >>> y = physics(torch.ones(1, 1, 2))
    >>> R = lambda y, physics: y
    >>> EquivariantImaging(transform=Shift()).at(1)(R(y, physics), None, y, physics, R)  # a shift by one
    tensor(0.5000)
    """

    transform: Transform = field(kw_only=True)
    physics: tuple[Physics, ...] = ()
    noise: bool = True
    metric: str | Metric = "mse"
    stop: bool = False

    def __post_init__(self) -> None:
        check_metric("EquivariantImaging", self.metric)
        _check_physics("EquivariantImaging", self.physics)

    @property
    def stops_gradients(self) -> bool:
        """True if ``stop``."""
        return self.stop

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        check(x_hat, physics.domain, "x_hat")
        batch = tuple(batch_shape(x_hat, physics.domain))
        g = elements(self, batch)
        target = self.transform.apply(x_hat, g)
        again = remeasured(self, target, _chosen(self, physics), model)
        return distance(self.metric, again, target.detach() if self.stop else target, physics.domain)


class MultiOperator(StochasticLoss):
    r"""Reconstruct what another operator would see of the reconstruction [1]_.

    .. math:: L = d\bigl(R(A_s \hat x + n, A_s),\; \hat x\bigr)

    with A_s one of the operators in ``physics``, or the operator with parameters drawn for each sample. With
    a fit to the data it learns from many operators, each of which sees another part of the image.

    Parameters
    ----------
    physics : tuple of Physics
        One is drawn in each step.
    generate : generator, optional
        ``generate((), generator=g)`` gives a dict for `Physics.bind`, or a tensor, the mask; called for each
        sample.
    noise : bool
        Whether n is drawn, or zero.
    metric : {"mse", "mae"} or Metric
    stop : bool
        Whether no gradient goes through the target x̂.

    Raises
    ------
    ParameterError
        Unless one of ``physics`` and ``generate`` is given.

    References
    ----------
    .. [1] J. Tachella, D. Chen, M. Davies, Unsupervised learning from incomplete measurements for inverse
       problems, NeurIPS 2022.

    Examples
    --------
    >>> from invcore.operators import Mask, RandomMask
    >>> physics = Physics(Mask(torch.ones(1, 4, 4), (1, 4, 4)))
    >>> y = torch.ones(3, 1, 4, 4)
    >>> R = lambda y, physics: y
    >>> MultiOperator(generate=RandomMask((4, 4), keep=0.5, exact=True))(y, None, y, physics, R)
    tensor([0.5000, 0.5000, 0.5000])
    """

    physics: tuple[Physics, ...] = ()
    generate: Any = None
    noise: bool = True
    metric: str | Metric = "mse"
    stop: bool = False

    def __post_init__(self) -> None:
        check_metric("MultiOperator", self.metric)
        _check_physics("MultiOperator", self.physics)
        if bool(self.physics) == (self.generate is not None):
            raise invcore.ParameterError("MultiOperator: expected either physics or generate")

    @property
    def stops_gradients(self) -> bool:
        """True if ``stop``."""
        return self.stop

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        check(x_hat, physics.domain, "x_hat")
        batch = tuple(batch_shape(x_hat, physics.domain))
        other = _chosen(self, physics)
        if self.generate is not None:
            each = [self._generated(g) for g in self.generators("parameters", batch)]
            stacked = {name: torch.stack([one[name] for one in each]) for name in each[0]} if each else {}
            shaped = {name: p.reshape(*batch, *p.shape[1:]) for name, p in stacked.items()}
            other = other.bind(**{name: _like(p, x_hat) for name, p in shaped.items()})
        again = remeasured(self, x_hat, other, model)
        return distance(self.metric, again, x_hat.detach() if self.stop else x_hat, physics.domain)

    def _generated(self, g: torch.Generator) -> dict[str, Tensor]:
        found = self.generate((), generator=g)
        return found if isinstance(found, dict) else {"mask": found}


class EquivariantSplitting(WrappingLoss):
    r"""Splitting with virtual operators: the model sees part of the data and A T_g [1]_.

    .. math:: L = \|A\, T_g R(M_1 y, M_1 A T_g) - y\|^2/m

    over the m entries that are measured, for a random transform and part of each sample. After training it
    averages over both.

    Parameters
    ----------
    transform : Transform
    masks : generator of masks, optional
        As of `Splitting`.
    keep : float
        Share of the positions that the model sees; without `masks` only.
    consistency : float
        Weight of the entries that the model has seen; 0 where the data are noisy.
    samples : int
        Draws that are averaged after training.

    References
    ----------
    .. [1] V. Sechaud, J. Scanvic, Q. Barthélemy, P. Abry, J. Tachella, Equivariant splitting: self-supervised
       learning from incomplete data (2025), arXiv:2510.00929.

    Examples
    --------
    >>> from invcore.operators import Mask
    >>> from invcore_learning import ArtifactRemoval, Shift, UNet
    >>> physics = Physics(Mask(torch.ones(1, 8, 8), (1, 8, 8)))
    >>> loss = EquivariantSplitting(transform=Shift())
    >>> model = loss.wrap(ArtifactRemoval(UNet(features=(4, 8))))
    >>> y = torch.ones(2, 1, 8, 8)
    >>> loss(model(y, physics), None, y, physics, model).shape
    torch.Size([2])
    """

    transform: Transform = field(kw_only=True)
    masks: Any = None
    keep: float = 0.9
    consistency: float = 1.0
    samples: int = 5

    def __post_init__(self) -> None:
        if not 0 < self.keep < 1 or self.samples < 1 or not self.consistency >= 0:
            raise invcore.ParameterError(
                "EquivariantSplitting: expected 0 < keep < 1, samples >= 1 and consistency >= 0, got "
                f"{self.keep!r}, {self.samples!r} and {self.consistency!r}"
            )

    def _mask(self, y: Any, physics: Physics) -> Tensor:
        need_one_block("EquivariantSplitting", physics)
        batch = tuple(batch_shape(y, physics.range))
        return drawn(self.masks, self.keep, batch, y, physics, self.generators("mask", batch))

    def reconstruct(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """See `WrappingLoss.reconstruct`."""
        m = self._mask(y, physics)
        return self._one(model, y, physics, m, elements(self, batch_shape(y, physics.range)))

    def restore(self, model: Any, y: Any, physics: Physics) -> Tensor:
        """See `WrappingLoss.restore`."""

        def once(generators: list[torch.Generator]) -> Tensor:
            m = drawn(self.masks, self.keep, (), y, physics, generators)
            return self._one(model, y, physics, m, self.transform.draw(generator=generators[0]))

        return averaged(self, self.samples, (), once)

    def _one(self, model: Any, y: Any, physics: Physics, m: Tensor, g: Tensor) -> Tensor:
        return self.transform.apply(model(m * y, transformed(masked(physics, m), self.transform, g)), g)

    def compare(self, x_hat: Tensor, y: Any, physics: Physics, model: Any) -> Tensor:
        """See `WrappingLoss.compare`."""
        m, there = self._mask(y, physics), support(physics, y)
        weight = there * (1 - m + self.consistency * m)
        r, dims = expected(physics.operator(x_hat), physics) - y, over(physics.range)
        count = there.expand(y.shape).sum(dims).clamp_min(1)
        return cast(Tensor, (weight * r.abs().square()).sum(dims) / count)


class AugmentConsistency(StochasticLoss):
    r"""Reconstruct alike from perturbed and virtually transformed data [1]_.

    .. math:: L = d\bigl(R(P_h y, A T_g^{-1}),\; T_g \hat x\bigr)

    The data of the image x are also those of T_g x and the operator A T_g⁻¹; a perturbation P_h of the data,
    such as noise or phase errors, must not matter.

    Parameters
    ----------
    transform : Transform, optional
        T, of the image.
    perturbation : Transform, optional
        P, of the data.
    metric : {"mse", "mae"} or Metric
    stop : bool
        Whether no gradient goes through the target T_g x̂.

    References
    ----------
    .. [1] A. D. Desai et al., VORTEX: physics-driven data augmentations using consistency training for robust
       accelerated MRI reconstruction, MIDL 2022.

    Examples
    --------
    >>> from invcore.operators import Mask
    >>> from invcore_learning import AddNoise
    >>> physics = Physics(Mask(torch.ones(1, 50, 50), (1, 50, 50)))
    >>> y = torch.ones(1, 50, 50)
    >>> R = lambda y, physics: y
    >>> loss = AugmentConsistency(perturbation=AddNoise(sigma=0.1))
    >>> round(float(loss(y, None, y, physics, R)), 3)
    0.01
    """

    transform: Transform | None = None
    perturbation: Transform | None = None
    metric: str | Metric = "mse"
    stop: bool = True

    def __post_init__(self) -> None:
        check_metric("AugmentConsistency", self.metric)
        if self.transform is None and self.perturbation is None:
            raise invcore.ParameterError("AugmentConsistency: expected a transform or a perturbation")

    @property
    def stops_gradients(self) -> bool:
        """True if ``stop``."""
        return self.stop

    def __call__(self, x_hat: Tensor, x: Tensor | None, y: Any, physics: Any, model: Any) -> Tensor:
        """See `TrainingLoss`."""
        check(y, physics.range, "y")
        check(x_hat, physics.domain, "x_hat")
        batch = tuple(batch_shape(x_hat, physics.domain))
        target, data, virtual = x_hat, y, physics
        if self.transform is not None:
            g = elements(self, batch)
            target = self.transform.apply(x_hat, g)
            virtual = transformed(physics, self.transform, g, inverted=True)
        if self.perturbation is not None:
            draw = self.perturbation.draw
            h = stacked_draws(lambda g: draw(generator=g), batch, self.generators("perturbation", batch))
            data = self.perturbation.apply(y, h)
        return distance(
            self.metric, model(data, virtual), target.detach() if self.stop else target, physics.domain
        )


# -- their parts ------------------------------------------------------------------------------------------


def _check_physics(name: str, several: Any) -> None:
    if not all(isinstance(p, Physics) for p in several):
        raise invcore.ParameterError(f"{name}: physics must be a tuple of Physics, got {several!r}")


def _chosen(loss: Any, physics: Physics) -> Physics:
    """The physics of this step, on the device and in the precision of that of the data."""
    if not loss.physics:
        return physics
    index = torch.randint(len(loss.physics), (), generator=loss.generator("operator"))
    other: Physics = loss.physics[int(index)]
    if other.domain != physics.domain:
        raise invcore.ShapeError(
            f"{type(loss).__name__}: all physics need the same images, got {other.domain} and "
            f"{physics.domain}"
        )
    return other.to(physics.dtype).to(physics.device)


def _like(p: Any, x: Tensor) -> Any:
    return p.to(device=x.device, dtype=x.real.dtype) if isinstance(p, Tensor) else p


def remeasured(loss: Any, x: Tensor, physics: Physics, model: Any) -> Tensor:
    """R(A x + n, A), with noise where the loss wants it."""
    u = physics.operator(x)
    if loss.noise:
        u = noisy(physics, u, loss.generators("noise", batch_shape(u, physics.range)))
    return cast(Tensor, model(u, physics))


def elements(loss: Any, batch: Sequence[int]) -> Tensor:
    """The parameters of the transform of a loss for each sample, shape (batch..., n)."""
    draw = loss.transform.draw
    return stacked_draws(lambda g: draw(generator=g), batch, loss.generators("transform", batch))
