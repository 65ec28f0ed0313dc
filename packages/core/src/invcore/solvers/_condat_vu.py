"""The primal-dual method of Condat and Vũ."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from .._problem import Problem
from ..spaces import norm, per_sample, scaled, tree_map
from ._base import Regularized
from ._chambolle_pock import balanced
from ._splitting import minimizer_map, norms, on_image, ones, ratio, simple, terms


class _State(NamedTuple):
    x: Tensor
    u: tuple[Any, ...]
    Bx: tuple[Any, ...]
    slope: Tensor
    gamma: Tensor
    alpha: Tensor
    k: int
    norms: tuple[Tensor, ...]
    size: Tensor
    dual_size: Tensor
    change: Tensor


class CondatVu(Regularized):
    """Minimize f(Ax; y) + λ h(Kx) by gradient steps on the smooth f and proximal steps on h* [1]_, [2]_.

    With B = K/‖K‖ and φ(v) = λ h(‖K‖ v),

    .. math::
        x_{k+1} = x_k - τ (∇f(x_k) + Bᴴ u_k), \\quad
        u_{k+1} = \\operatorname{prox}_{σ φ^*}(u_k + σ B(2 x_{k+1} - x_k))

    with 1/τ = L/2 + σ‖B‖², where L is a certified bound of the Lipschitz constant of ∇f: there is no step
    size to choose. For a sum of priors B is a stack; a term that is proximable in the image itself is a
    proximal step at the end of the first line instead, so that the image keeps its bounds exactly. σ follows
    the primal and dual residuals, per sample, in changes that die out [3]_.

    Parameters
    ----------
    prior : Prior, optional
        λ h(Kx), as its ``split`` says.
    fidelity : Fidelity, optional
        f, with a Lipschitz gradient; by default the likelihood of the noise.
    rtol : float
        Stop, per sample, when the primal and the dual residual are below rtol times the largest ‖x‖ and dual
        variable so far.
    adaptive : bool
        Adapt σ.

    References
    ----------
    .. [1] L. Condat, "A primal-dual splitting method for convex optimization involving Lipschitzian,
       proximable and linear composite terms", J. Optim. Theory Appl. 158 (2013).
    .. [2] B. C. Vũ, "A splitting algorithm for dual monotone inclusions involving cocoercive operators", Adv.
       Comput. Math. 38 (2013).
    .. [3] T. Goldstein, M. Li and X. Yuan, "Adaptive primal-dual splitting methods for statistical learning
       and image processing", NIPS (2015).

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> from invcore.priors import L1
    >>> physics = Physics(Identity((2,)))
    >>> CondatVu(prior=L1(), weight=1.0)(torch.tensor([3.0, 0.5]), physics).abs().round(decimals=3)
    tensor([2., 0.])
    """

    prior_by = "prox"
    fidelity_by = "lipschitz"
    per_step = ("weight",)
    adaptive: bool = True

    def init(self, problem: Problem) -> _State:
        x, space = problem.start(), problem.image_space
        one = ones(x, space)
        lipschitz = problem.lipschitz  # raises where there is none
        alone = simple(problem)
        c = norms(problem, fidelity=False, prior=True, image=alone)
        B = terms(problem, 0, c, fidelity=False, prior=True, image=alone)
        Bx = B.apply(x)
        slope = problem.gradient(x)
        return _State(
            x=x,
            u=tuple(tree_map(torch.zeros_like, part) for part in Bx),
            Bx=Bx,
            slope=slope,
            gamma=one * torch.where(lipschitz > 0, 2 / torch.where(lipschitz > 0, lipschitz, 1), 1),
            alpha=0.5 * one,
            k=0,
            norms=c,
            size=norm(x, space).detach(),
            dual_size=norm(slope, space).detach(),
            change=one * torch.inf,
        )

    def step(self, problem: Problem, state: _State) -> _State:
        x, u, Bx, slope, space = state.x, state.u, state.Bx, state.slope, problem.space
        alone = simple(problem)
        phi = terms(problem, state.k, state.norms, fidelity=False, prior=True, image=alone)
        sigma = 1 / state.gamma
        tau = 1 / (problem.lipschitz / 2 + phi.norm2 * sigma)

        x_new = x - per_sample(tau, space) * slope
        image = None if alone else on_image(problem, state.k)
        if image is not None:
            x_new = image.prior.prox(x_new, image.weight * problem.weight * tau, space)
        Bx_new = phi.apply(x_new)
        ahead = tree_map(lambda new, old: 2 * new - old, Bx_new, Bx)
        u_new = phi.prox_conjugate(tree_map(torch.add, u, scaled(sigma, ahead, phi.space)), sigma)
        slope_new = problem.gradient(x_new) + phi.adjoint(u_new)

        with torch.no_grad():
            size = torch.maximum(state.size, norm(x_new, space))
            dual_size = torch.maximum(state.dual_size, norm(u_new, phi.space))
            du, dBx = tree_map(torch.sub, u, u_new), tree_map(torch.sub, Bx, Bx_new)
            d = tree_map(torch.sub, scaled(1 / sigma, du, phi.space), dBx)
            p = slope_new
            if image is not None:
                p = p - slope + (x - x_new) / per_sample(tau, space)
            primal = ratio(norm(p, space), dual_size)
            dual = ratio(norm(d, phi.space), size)
        gamma, alpha = state.gamma, state.alpha
        if self.adaptive:
            gamma, alpha = balanced(gamma, alpha, primal, dual)
            bound = problem.lipschitz  # τ ≤ 2/L for every σ: a smaller one is only slower
            longest = torch.where(bound > 0, 8 / torch.where(bound > 0, bound, 1), torch.inf)
            gamma = torch.minimum(gamma, longest)
        return state._replace(
            x=x_new,
            u=u_new,
            Bx=Bx_new,
            slope=slope_new,
            gamma=gamma,
            alpha=alpha,
            k=state.k + 1,
            size=size,
            dual_size=dual_size,
            change=torch.maximum(primal, dual),
        )

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol

    def fixed_point(self, problem: Problem, x: Any) -> Any:
        return minimizer_map(self, problem, x)
