"""Deep equilibrium mirror descent for counts."""

from __future__ import annotations

from typing import Literal

from torch.nn import Module

from invcore.priors import GradientStep
from invcore.solvers import BurgEntropy, MirrorDescent

from .._restoration.denoiser import NetworkDenoiser
from .equilibrium import Equilibrium


def poisson_equilibrium(
    network: Module,
    *,
    weight: float = 1.0,
    backward: Literal["implicit", "jacobian_free"] = "jacobian_free",
    max_steps: int = 1000,
    rtol: float = 1e-5,
) -> Equilibrium:
    r"""Reconstruct from counts at the fixed point of mirror descent, with a learned regularizer [1]_.

    .. math:: \min_{x > 0} \mathrm{KL}(Ax + β; y) + \tfrac{λ}{2}‖x - N(x)‖^2

    in the geometry of Burg's entropy, with step lengths found along the way, so iterates stay positive and
    nothing is tuned when it is used. N and λ are learned through the fixed point.

    Parameters
    ----------
    network : Module
        N, from images to images, without a noise level; smooth where "implicit" is to be exact.
    weight : float
        λ at the start.
    backward : {"implicit", "jacobian_free"}
        As of `Equilibrium`; the paper's is Jacobian-free.
    max_steps : int
    rtol : float
        Of the iteration.

    Returns
    -------
    Equilibrium

    References
    ----------
    .. [1] C. Daniele, S. Villa, S. Vaiter, L. Calatroni, "Deep equilibrium models for Poisson imaging inverse
       problems via mirror descent", arXiv:2507.11461 (2025).

    Examples
    --------
    >>> import torch
    >>> from invcore import Physics
    >>> from invcore.noises import PoissonNoise
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((1, 4, 4)), PoissonNoise())
    >>> R = poisson_equilibrium(torch.nn.AvgPool2d(3, 1, 1), weight=0.01)
    >>> R(torch.full((1, 4, 4), 9.0), physics).detach().mean() < 9
    tensor(True)
    """
    prior = GradientStep(NetworkDenoiser(network, blind=True, value_range=None), sigma=1.0)
    solver = MirrorDescent(
        potential=BurgEntropy(), prior=prior, weight=weight, max_steps=max_steps, rtol=rtol
    )
    return Equilibrium(solver, learn=("weight",), backward=backward)
