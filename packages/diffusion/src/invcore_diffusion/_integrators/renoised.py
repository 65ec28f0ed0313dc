"""The step of DiffPIR and FlowDPS: the estimate with a given share of new noise."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from invcore import ParameterError, Sampler
from invcore.samplers import Integrator


class Renoised(Integrator):
    """x' = x̂ + σ' (√(1-ζ) (x - x̂)/σ + √ζ n): at each step the share ζ of the noise is new [1]_.

    ζ = 0 is Euler's method, and ζ = 1 forgets all but the estimate. For 0 < ζ < 1 the share does not vanish
    with the length of the step, so that the process between is another one for each number of steps.

    Parameters
    ----------
    zeta : float, optional
        ζ, from 0 to 1. None is 1/(1 + σ'), the share of FlowDPS [2]_: all of it at the end.

    References
    ----------
    .. [1] Y. Zhu et al., Denoising diffusion models for plug-and-play image restoration, CVPR workshops 2023.
    .. [2] J. Kim, B. S. Kim, J. C. Ye, FlowDPS: flow-driven posterior sampling for inverse problems, ICCV
       2025.

    Examples
    --------
    >>> g = torch.Generator().manual_seed(0)
    >>> x, _ = Renoised(zeta=0.0).step(lambda x, sigma: 0 * x, torch.ones(1), 2.0, 1.0, None, g)
    >>> x
    tensor([0.5000])
    """

    zeta: float | None = 0.3

    @property
    def bias(self) -> str:  # type: ignore[override]
        """Where all of the noise is new, in every step or in the last ones."""
        whole = self.zeta is None or self.zeta == 1
        return "all new noise takes the denoised image, a mean, for a draw" if whole else ""

    def __post_init__(self) -> None:
        if self.zeta is not None and not 0 <= self.zeta <= 1:
            raise ParameterError(f"Renoised: zeta must lie in [0, 1], got {self.zeta!r}")

    def step(
        self,
        estimate: Any,
        x: Tensor,
        sigma: float,
        following: float,
        memory: Any,
        generator: torch.Generator,
    ) -> tuple[Tensor, Any]:
        """See `Integrator.step`."""
        clean = estimate(x, sigma)
        zeta = 1 / (1 + following) if self.zeta is None else self.zeta
        noise = (1 - zeta) ** 0.5 / sigma * (x - clean)
        return clean + following * (noise + zeta**0.5 * Sampler.noise(x, generator)), None
