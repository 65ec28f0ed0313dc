"""Deblurring of a photograph by an unknown kernel, from coarse to fine."""

from __future__ import annotations

import dataclasses
import math
from typing import Any, NamedTuple, Self

import torch
from torch import Tensor

from invcore import ParameterError, Physics, Solver
from invcore.operators import Convolution
from invcore.priors import TV, Prior, Simplex
from invcore.solvers import BlindWithSolver, CondatVu, Problem

from . import blind_steps as steps
from .unknown_boundary import surrounded

_FALL = 1.1  # of λ and of the threshold of edges, in each turn
_LEAST = 40  # λ falls to this part of its start


class State(NamedTuple):
    """Image and kernels after some scales."""

    x: Tensor
    parameter: Tensor
    kernel: Tensor  # (batch..., *k), at the last scale
    level: Tensor  # scales that are left; 0: the final image is, −1: nothing
    edges: Tensor  # λ
    threshold: Tensor  # of strong edges; infinite before the first


def _total_variation() -> Solver:
    return CondatVu(prior=TV(), max_steps=500, rtol=1e-4)


class BlindMultiscale(BlindWithSolver):
    r"""A photograph and the kernel of its blur, from coarse to fine, by means of its strong edges.

    At each scale, from one where the kernel has about five pixels to that of the data, take turns at

    .. math::
        x &= \arg\min_x \|k * x - y\|^2 + λ \, \#\{p : (\nabla x)_p \ne 0\} \\
        k &= \arg\min_k \|k * \nabla_{\!s} x - \nabla y\|^2 + γ \|k\|^2,
            \qquad k \ge 0, \quad \textstyle\sum k = 1,

    with ∇ₛx the strong gradients alone [1]_ [2]_. The count of edges makes x flat with sharp edges and no
    texture, which no blurred image is: the trivial pair of the data and a point, best for usual priors, is
    not a solution. From turn to turn λ falls and more gradients count. Weak and stray entries of k are
    removed. Last, ``solver`` finds the image for the kernel.

    **Nobody needs to know what lies beyond the border.** A kernel is fitted where all that it sees is
    known. Give the operator ``boundary="valid"``, so that the final image has an unknown boundary too.

    The kernel that the operator has is only looked at for its size, which should be that of the true one or a
    little more: 31 × 31 for a shake of 25 pixels. Of several channels their mean serves to find the kernel.

    Parameters
    ----------
    solver : Solver
        For the final image; by default total variation with an automatic weight.
    edges : float
        λ at the start, for data of contrast one (the range between their quantiles 0.005 and 0.995); it falls
        by a tenth in each turn, down to a fortieth.
    ridge : float
        γ over the number of pixels, in the same unit.
    turns : int
        At each scale.
    ratio : float
        Of neighboring scales.
    max_steps : int
        A step is one scale, the last one the final image; it stops by itself.

    Raises
    ------
    ParameterError
        If the operator is not a two-dimensional `Convolution` of real images with one kernel for all channels

    References
    ----------
    .. [1] J. Pan, Z. Hu, Z. Su, M.-H. Yang, "Deblurring text images via L0-regularized intensity and gradient
       prior", CVPR (2014).
    .. [2] L. Xu and J. Jia, "Two-phase kernel estimation for robust motion deblurring", ECCV (2010).

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> rows, columns = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    >>> disk = ((rows - 30).square() + (columns - 30).square() < 200).float()[None]
    >>> shake = torch.eye(5)[None] / 5
    >>> camera = Convolution(shake, domain=(1, 64, 64), boundary="valid")
    >>> unknown = Physics(camera.bind(kernel=torch.ones(1, 5, 5) / 25), GaussianNoise(sigma=0.01))
    >>> found = BlindMultiscale().solve(camera(disk), unknown).physics.operator.kernel
    >>> bool((found * shake).sum() / found.norm() / shake.norm() > 0.9)
    True
    """

    solver: Solver = dataclasses.field(default_factory=_total_variation)
    edges: float = 1.6e-2
    ridge: float = 4e-4
    turns: int = 5
    ratio: float = math.sqrt(0.5)
    max_steps: int = 100
    rtol: float = 0.0

    def __post_init__(self) -> None:
        for name in ("edges", "ridge"):
            if not 0 < getattr(self, name) < math.inf:
                raise ParameterError(
                    f"BlindMultiscale: {name} must be finite and positive, got {getattr(self, name)!r}"
                )
        if not (isinstance(self.turns, int) and self.turns > 0):
            raise ParameterError(f"BlindMultiscale: turns must be a positive number, got {self.turns!r}")
        if not 0 < self.ratio <= 0.9:
            raise ParameterError(f"BlindMultiscale: ratio must be between 0 and 0.9, got {self.ratio!r}")

    @property
    def parameter_prior(self) -> Prior:
        """Kernels are positive, of sum one."""
        return Simplex()

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        A = physics.operator
        if not isinstance(A, Convolution) or len(A.domain.shape) != 3 or A.domain.kind != "real":
            raise ParameterError(
                "BlindMultiscale deblurs images (channel, y, x) of a real Convolution, got "
                f"{type(A).__name__} on {A.domain}"
            )
        if A.kernel.shape[-3] != 1 or min(A.kernel.shape[-2:]) < 3:
            raise ParameterError(
                "BlindMultiscale finds one kernel (1, ky, kx) for all channels, from 3 x 3 entries on, got "
                f"{tuple(A.kernel.shape)}"
            )
        if not self._automatic:
            return super().problem(y, physics, x0)
        ready: Any = dataclasses.replace(self.solver, weight=1.0)  # type: ignore[call-arg]
        return ready.problem(y, physics, x0)  # the weight waits for the kernel

    @property
    def _automatic(self) -> bool:
        return isinstance(self.weight, str)

    def _in_unit(self, unit: float) -> Self | None:
        """Itself: kernels are the same in any unit of the data."""
        return self

    def scales(self, taps: tuple[int, ...]) -> list[float]:
        """Return the scales of a kernel of ``taps`` entries, the finest (1) first."""
        return [self.ratio**i for i in range(1 + max(0, int(math.log(5 / min(taps), self.ratio))))]

    def init(self, problem: Problem) -> State:
        x, kernel = problem.start(), self.first(problem)
        A = problem.A
        if problem.x0 is None and isinstance(A, Convolution) and A.boundary == "valid":
            x = surrounded(problem.y, A).expand_as(x)
        one = x.new_ones(x.shape[:-3])
        return State(
            x=x,
            parameter=kernel,
            kernel=kernel.squeeze(-3),
            level=one * len(self.scales(tuple(kernel.shape[-2:]))),
            edges=one * self.edges,
            threshold=one * math.inf,
        )

    def step(self, problem: Problem, state: State) -> State:
        level = int(state.level.max())
        if level == 0:
            x = self._final(problem, state)
            return state._replace(x=x, level=state.level - 1)
        scales = self.scales(tuple(state.parameter.shape[-2:]))
        batch = state.x.shape[:-3]
        gray = problem.y.mean(-3).expand(*batch, *problem.y.shape[-2:])
        each = zip(_listed(gray, 2), _listed(state.kernel, 2), state.edges.view(-1), state.threshold.view(-1))
        taps = tuple(odd(n * scales[level - 1]) for n in state.parameter.shape[-2:])
        done = [self._scale(*one, taps, scales[level - 1], first=level == len(scales)) for one in each]
        kernel, edges, threshold = (torch.stack(t).reshape((*batch, *t[0].shape)) for t in zip(*done))
        full = [steps.windowed(k, tuple(state.parameter.shape[-2:])) for k in _listed(kernel, 2)]
        parameter = torch.stack(full).reshape(state.parameter.shape) if level == 1 else state.parameter
        return state._replace(
            parameter=parameter, kernel=kernel, edges=edges, threshold=threshold, level=state.level - 1
        )

    def _final(self, problem: Problem, state: State) -> Tensor:
        if not self._automatic:
            return self.image(problem, state.parameter, state.x)
        mode: Any = "unroll" if torch.is_grad_enabled() else "none"
        physics = self.bound(problem, state.parameter).physics
        return self.solver.solve(problem.y, physics, x0=state.x, differentiate=mode).value

    def _scale(
        self,
        y: Tensor,
        kernel: Tensor,
        edges: Tensor,
        threshold: Tensor,
        taps: tuple[int, ...],
        scale: float,
        *,
        first: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Take the turns at one scale, for one image."""
        ridge = self.ridge * y.numel()
        y = y / steps.contrast(y)
        y = steps.resized(y, tuple(max(8, round(n * scale)) for n in y.shape))
        k = steps.pair(taps, y) if first else steps.cleaned(steps.resized(kernel, taps))
        observed = steps.differences(y)
        for _ in range(self.turns):
            gradients = steps.differences(steps.sharpened(y, k, edges))
            if bool(threshold.isinf()):
                threshold = steps.edge_threshold(gradients, taps)
            strong = steps.strong_edges(gradients, threshold)
            k = steps.cleaned(steps.fitted_kernel(strong, observed, k, ridge))
            edges = (edges / _FALL).clamp_min(self.edges / _LEAST)
            threshold = threshold / _FALL
        return k, edges, threshold

    def converged(self, problem: Problem, state: State) -> Tensor:
        return state.level < 0


def odd(size: float) -> int:
    """Return the least odd number that is at least ``size`` and 3."""
    return max(3, math.ceil(size) // 2 * 2 + 1)


def _listed(x: Tensor, ndim: int) -> list[Tensor]:
    """Return the items of a batch."""
    return list(x.reshape(-1, *x.shape[x.ndim - ndim :]).unbind())
