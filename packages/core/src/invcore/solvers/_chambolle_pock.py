"""The primal-dual hybrid gradient method of Chambolle and Pock."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._problem import Problem
from ..operators import Space
from ..spaces import norm, per_sample, randn, scaled, tree_map
from ._base import Regularized
from ._splitting import Terms, curvature, minimizer_map, norms, on_image, ones, ratio, simple, terms

_PROBES = 32


class _State(NamedTuple):
    x: Tensor
    u: tuple[Any, ...]
    Bx: tuple[Any, ...]
    Bu: Tensor
    gamma: Tensor
    alpha: Tensor
    k: int
    norms: tuple[Tensor, ...]
    diagonal: Tensor | None
    size: Tensor
    dual_size: Tensor
    change: Tensor


class ChambollePock(Regularized):
    """Minimize f(Ax; y) + λ h(Kx) by primal-dual hybrid gradient [1]_: no linear solves, no smoothness.

    With B the stack of A/‖A‖ and K/‖K‖, and F the sum of the two functions on it,

    .. math::
        x_{k+1} = x_k - τ Bᴴ u_k, \\quad u_{k+1} = \\operatorname{prox}_{σ F^*}(u_k + σ B(2 x_{k+1} - x_k)).

    Each term of a sum of priors is one more row of B. What is proximable in the image itself (K = 1) stays
    there, and the first line ends with prox_{τλg}: the image keeps its bounds exactly. The norms are
    certified, so τσ‖B‖² ≤ 1 holds and there is no step size to choose; the ratio of τ and σ follows the
    primal and dual residuals, per sample, in changes that die out [2]_.

    Parameters
    ----------
    prior : Prior, optional
        λ h(Kx), as its ``split`` says.
    fidelity : Fidelity, optional
        f, with a proximal operator; by default the likelihood of the noise.
    rtol : float
        Stop, per sample, when the primal and the dual residual are below rtol times the largest ‖x‖ and ‖u‖
        so far.
    adaptive : bool
        Adapt the ratio of the steps.
    precondition : bool
        One primal step for each pixel, from the norms of the columns of B [3]_. These are estimated from
        random probes (an operator gives no entries), and a certified norm of the preconditioned operator
        keeps the guarantee.

    References
    ----------
    .. [1] A. Chambolle and T. Pock, "A first-order primal-dual algorithm for convex problems with
       applications to imaging", J. Math. Imaging Vis. 40 (2011).
    .. [2] T. Goldstein, M. Li and X. Yuan, "Adaptive primal-dual splitting methods for statistical learning
       and image processing", NIPS (2015).
    .. [3] T. Pock and A. Chambolle, "Diagonal preconditioning for first order primal-dual algorithms in
       convex optimization", ICCV (2011).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((2,)))
    >>> ChambollePock(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics).round(decimals=3)
    tensor([2., 0.])
    """

    prior_by = "prox"
    per_step = ("weight",)
    adaptive: bool = True
    precondition: bool = False

    def init(self, problem: Problem) -> _State:
        x, space = problem.start(), problem.image_space
        one = ones(x, space)
        dual = self._dual_prior(problem)
        diagonal = _diagonal(problem, dual) if self.precondition else None
        image = self.precondition
        c = norms(problem, fidelity=True, prior=dual, image=image, diagonal=diagonal)
        if diagonal is not None:
            x = x / diagonal
        F = terms(problem, 0, c, fidelity=True, prior=dual, image=image, diagonal=diagonal)
        Bx = F.apply(x)
        u = tuple(tree_map(torch.zeros_like, part) for part in Bx)
        if problem.fidelity.lipschitz() is not None:  # the dual variable that belongs to x
            first = problem.fidelity.grad(scaled(c[0], Bx[0], F.space[0]), problem.y, problem.A.range)
            u = (scaled(c[0], first, F.space[0]), *u[1:])
        gamma = one / curvature(problem)
        if diagonal is not None:  # in the units of x/D
            scale = problem.linear.norm().to(one) / c[0]
            gamma = gamma * torch.where(scale > 0, scale, 1) ** 2
        return _State(
            x=x,
            u=u,
            Bx=Bx,
            Bu=F.adjoint(u),
            gamma=gamma,
            alpha=0.5 * one,
            k=0,
            norms=c,
            diagonal=diagonal,
            size=norm(x, space).detach(),
            dual_size=norm(u, F.space).detach(),
            change=one * torch.inf,
        )

    def _dual_prior(self, problem: Problem) -> bool:
        """True if the prior, or all of it but what is proximable in the image, is among the terms on Bx."""
        return problem.prior is not None and (self.precondition or not simple(problem))

    def _terms(self, problem: Problem, state: _State) -> Terms:
        dual = self._dual_prior(problem)
        options: Any = {"fidelity": True, "prior": dual, "image": self.precondition}
        return terms(problem, state.k, state.norms, diagonal=state.diagonal, **options)

    def step(self, problem: Problem, state: _State) -> _State:
        x, u, Bx, Bu, space = state.x, state.u, state.Bx, state.Bu, problem.space
        F = self._terms(problem, state)
        tau, sigma = state.gamma / F.norm2**0.5, 1 / (state.gamma * F.norm2**0.5)

        x_new = x - per_sample(tau, space) * Bu
        image = None if self.precondition else on_image(problem, state.k)
        if image is not None:
            x_new = image.prior.prox(x_new, image.weight * problem.weight * tau, space)
        Bx_new = F.apply(x_new)
        ahead = tree_map(lambda new, old: 2 * new - old, Bx_new, Bx)
        u_new = F.prox_conjugate(tree_map(torch.add, u, scaled(sigma, ahead, F.space)), sigma)
        Bu_new = F.adjoint(u_new)

        with torch.no_grad():
            size = torch.maximum(state.size, norm(x_new, space))
            dual_size = torch.maximum(state.dual_size, norm(u_new, F.space))
            p = (x - x_new) / per_sample(tau, space) - (Bu - Bu_new)
            du, dBx = tree_map(torch.sub, u, u_new), tree_map(torch.sub, Bx, Bx_new)
            d = tree_map(torch.sub, scaled(1 / sigma, du, F.space), dBx)
            primal, dual = ratio(norm(p, space), dual_size), ratio(norm(d, F.space), size)
        gamma, alpha = state.gamma, state.alpha
        if self.adaptive:
            gamma, alpha = balanced(gamma, alpha, primal, dual)
        change = torch.maximum(primal, dual)
        return state._replace(
            x=x_new,
            u=u_new,
            Bx=Bx_new,
            Bu=Bu_new,
            gamma=gamma,
            alpha=alpha,
            k=state.k + 1,
            size=size,
            dual_size=dual_size,
            change=change,
        )

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def value(self, problem: Problem, state: _State) -> Any:
        return state.x if state.diagonal is None else state.diagonal * state.x

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return minimizer_map(self, problem, x)


def balanced(gamma: Tensor, alpha: Tensor, primal: Tensor, dual: Tensor) -> tuple[Tensor, Tensor]:
    """Balance the primal and the dual residual (Goldstein, Li and Yuan, 2015).

    Primal steps grow where the primal residual is the larger one, and conversely, by ever less. Residuals
    that are rounding say nothing.
    """
    seen = torch.maximum(primal, dual) > 100 * torch.finfo(gamma.dtype).eps
    longer, shorter = seen & (primal > 1.5 * dual), seen & (dual > 1.5 * primal)
    gamma = torch.where(longer, gamma / (1 - alpha), torch.where(shorter, gamma * (1 - alpha), gamma))
    return gamma, torch.where(longer | shorter, 0.95 * alpha, alpha)


def _diagonal(problem: Problem, dual: bool) -> Tensor:
    """1/‖column‖ of B for each pixel: Bᴴz for white z has the squared norms as its variance."""
    space = problem.space
    assert isinstance(space, Space)
    c = norms(problem, fidelity=True, prior=dual)
    F = terms(problem, 0, c, fidelity=True, prior=dual)
    b = problem.backprojection
    generator = torch.Generator().manual_seed(0)
    power: Any = 0.0
    for _ in range(_PROBES):
        z = randn(F.space, generator=generator, dtype=b.dtype, device=b.device)
        power = power + F.adjoint(z).abs() ** 2
    top = power.amax(dim=tuple(range(-len(space.shape), 0)), keepdim=True)
    power = torch.where(top > 0, power / torch.where(top > 0, top, 1), 1)
    return power.clamp_min(1e-6).rsqrt()
