"""Weighted least squares for counts, unrolled, with given or learned weights."""

from __future__ import annotations

from typing import Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor
from torch.nn import Conv2d, Module, ReLU, Sequential, functional

import invcore
from invcore import Prior, Space
from invcore.fidelities import Fidelity, PoissonKL
from invcore.priors import WaveletL1
from invcore.solvers import Problem, Solver
from invcore.spaces import per_sample, scaled, vdot

from .._networks.base import Network
from .channels import applied, image_space, none_done
from .unrolled import Unrolled

_FLOOR = 1e-3
"""Of the mean of the data: the least variance."""


def weighted_unrolled(
    weights: Literal["pearson", "neyman"] | Module,
    *,
    prior: Prior | None = None,
    steps: int = 10,
    weight: float = 1.0,
    checkpointed: bool = False,
) -> Unrolled:
    r"""Reconstruct from counts by least squares with weights of their own, unrolled [1]_.

    .. math::
        x_{k+1} = \max(0, \operatorname{prox}_{t_k λ_k g}(x_k - t_k A^{\mathsf T}W(Ax_k + β - y))), \quad
        t_k = τ_k/(‖A‖^2 \max W)

    with 1/W the variance of the counts, y = γ Poisson((Ax + β)/γ): γ times the mean, which is Ax + β of the
    present image (``"pearson"``, with the gradient of the Poisson likelihood), the datum itself
    (``"neyman"``), or what a network makes of the data, learned with the rest. λ_k and τ_k in (0, 2) are
    learned for each step.

    Parameters
    ----------
    weights : {"pearson", "neyman"} or Module
        A module that estimates the mean from the data, such as `PoissonMean`.
    prior : Prior, optional
        g, with a proximal operator; `WaveletL1` by default.
    steps : int
    weight : float
        λ at the start.
    checkpointed : bool
        As of `Unrolled`.

    Returns
    -------
    Unrolled

    References
    ----------
    .. [1] A. Singh, E. Soubies, C. Chaux, "Learning weighted least squares data term for Poisson image
       deconvolution", ICASSP (2025).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.noises import PoissonNoise
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((1, 8, 8)), PoissonNoise())
    >>> x = weighted_unrolled("neyman", weight=0.1, steps=20)(torch.full((1, 8, 8), 50.0), physics)
    >>> round(float(x.detach().mean()))
    50
    """
    prior = WaveletL1() if prior is None else prior
    solver = WeightedSteps(weights=weights, prior=prior, weight=weight)
    return Unrolled(solver, steps=steps, per_step=("weight", "step_size"), checkpointed=checkpointed)


class _State(NamedTuple):
    x: Tensor
    w: Tensor
    k: int


class WeightedSteps(Solver):
    """The steps of `weighted_unrolled`."""

    units: ClassVar[dict[str, int] | None] = None
    bounds: ClassVar[dict[str, tuple[float, float]]] = {"step_size": (0.0, 2.0)}
    weights: str | Module
    prior: Prior | None = None
    weight: float | Tensor | tuple[float | Tensor, ...] = 1.0
    step_size: float | Tensor | tuple[float | Tensor, ...] = 1.0
    fidelity: Fidelity | None = None
    max_steps: int = 10
    rtol: float = 1e-5
    params = ("weight", "step_size")
    per_step = ("weight", "step_size")

    def __post_init__(self) -> None:
        if not (isinstance(self.weights, Module) or self.weights in ("pearson", "neyman")):
            raise invcore.ParameterError(
                f"weighted_unrolled: weights is 'pearson', 'neyman' or a module that estimates the mean of "
                f"the data, got {self.weights!r:.80}"
            )

    def init(self, problem: Problem) -> _State:
        """The multiple of the adjoint that fits best, and the weights that the data say."""
        A, y, (_, range_, f) = problem.linear, problem.y, _parts(problem)
        back = A.H(y)
        shown = A(back)
        fits, size = vdot(y, shown, range_), vdot(shown, shown, range_)
        x = scaled(fits / torch.where(size > 0, size, 1), back, problem.space).clamp_min(0)
        mean = y
        if isinstance(self.weights, Module):
            mean = applied(self.weights, y, len(range_.shape) - 1)
        least = per_sample(f.gain, range_) if isinstance(f.gain, Tensor) else f.gain
        return _State(x, self._inverse(problem, torch.clamp(mean, min=least)), 0)

    def _inverse(self, problem: Problem, mean: Tensor) -> Tensor:
        """1/(γ mean), of means that are not below a thousandth of the data's."""
        _, range_, f = _parts(problem)
        dims = tuple(range(-len(range_.shape), 0))
        floor = _FLOOR * problem.y.mean(dims, keepdim=True)
        mean = torch.maximum(mean, torch.where(floor > 0, floor, 1))
        return 1 / (mean * per_sample(f.gain, range_))

    def step(self, problem: Problem, state: _State) -> _State:
        """A proximal gradient step, of length τ over the largest curvature."""
        A, (space, range_, f) = problem.linear, _parts(problem)
        u = A(state.x) + f.background
        w = self._inverse(problem, u) if self.weights == "pearson" else state.w
        steepest = A.norm() ** 2 * w.amax(tuple(range(-len(range_.shape), 0)))
        step_size: Any = self.step_size  # the driver gives each step its own
        t = step_size / torch.where(steepest > 0, steepest, 1)
        x = state.x - scaled(t, A.H(w * (u - problem.y)), space)
        if problem.prior is not None:
            x = problem.prior.at(state.k).prox(x, problem.weight * t, space)
        return _State(x.clamp_min(0), state.w, state.k + 1)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        """Never."""
        return none_done(state.x, _parts(problem)[0])


def _parts(problem: Problem) -> tuple[Space, Space, PoissonKL]:
    """The spaces of image and data, and the likelihood of counts."""
    if not isinstance(problem.fidelity, PoissonKL):
        raise invcore.ParameterError(
            f"weighted_unrolled is for counts: the noise must be Poisson, and the data fidelity is "
            f"{type(problem.fidelity).__name__}"
        )
    name = "weighted_unrolled"
    return image_space(problem.space, name), image_space(problem.A.range, name), problem.fidelity


class PoissonMean(Network):
    r"""Estimate the mean of counts: a local average times a learned correction.

    .. math:: m = (\bar y_5 + ε) \exp(N(a)), \quad a = 2\sqrt{y + 3/8}

    with the average over 5 × 5 pixels, ε a thousandth of that of the picture, and N three convolutions of the
    counts after Anscombe's transform, in units of its mean. N is zero at the start.

    Parameters
    ----------
    features : int

    Examples
    --------
    >>> PoissonMean()(torch.full((1, 8, 8), 4.0)).detach().mean().round(decimals=3)
    tensor(4.0040)
    """

    in_channels = out_channels = 1
    spatial_dims = 2

    def __init__(self, *, features: int = 16) -> None:
        super().__init__()
        self.features = features
        last = Conv2d(features, 1, 3, padding=1)
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)  # type: ignore[arg-type]
        self.correction = Sequential(
            Conv2d(1, features, 3, padding=1),
            ReLU(),
            Conv2d(features, features, 3, padding=1),
            ReLU(),
            last,
        )

    def restore(self, x: Tensor, sigma: Tensor | None) -> Tensor:
        """See `Network.restore`."""
        whole = x.mean((-2, -1), keepdim=True)
        local = functional.avg_pool2d(x, 5, 1, 2, count_include_pad=False)
        steady = 2 * torch.sqrt(x.clamp_min(0) + 3 / 8)
        mean = steady.mean((-2, -1), keepdim=True)
        return (local + _FLOOR * whole) * torch.exp(self.correction(steady / mean))
