"""`Physics`: an operator and the noise of its measurements."""

from __future__ import annotations

from typing import Any

import torch

from ._value import Value
from .fidelities import Fidelity
from .noises import Noise, NoNoise
from .operators import Operator, SpaceLike


class Physics(Value):
    """The measurement model y = noise(A_ξ(x)), frozen.

    Parameters
    ----------
    operator : Operator
        A.
    noise : Noise, optional
        By default `NoNoise`.

    Raises
    ------
    ParameterError
        If one of them is not of its kind.

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Mask
    >>> A = Mask(torch.tensor([1.0, 0.0]), domain=(2,))
    >>> physics = Physics(A, GaussianNoise(sigma=0.1))
    >>> y = physics(torch.ones(2), generator=torch.Generator().manual_seed(0))
    >>> physics(torch.ones(2), mask=torch.zeros(2), sigma=0.0, generator=torch.Generator())
    tensor([0., 0.])
    """

    operator: Operator
    noise: Noise = NoNoise()
    positional = 2

    @property
    def A(self) -> Operator:
        """The operator, under its name in the formulas."""
        return self.operator

    @property
    def domain(self) -> SpaceLike:
        """Space of the image."""
        return self.operator.domain

    @property
    def range(self) -> SpaceLike:
        """Space of the data."""
        return self.operator.range

    def likelihood(self) -> Fidelity:
        """The data fidelity that the noise implies."""
        return self.noise.likelihood()

    def __call__(self, x: Any, *, generator: torch.Generator | None = None, **params: Any) -> Any:
        """Measure ``x``: apply the operator, then the noise.

        Parameters
        ----------
        x : Tensor, shape (batch..., *domain.shape)
        generator : torch.Generator
            Needed when the noise is random.
        **params
            Parameters for this measurement only, as in ``physics.bind(mask=m)(x)``; ``self`` stays as it is.

        Returns
        -------
        Tensor or tuple of Tensor, shape (batch..., *range.shape)
        """
        bound = self.bind(**params)
        return bound.noise(bound.operator(x), space=bound.range, generator=generator)
