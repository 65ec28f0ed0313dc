"""Constrained imaging: least penalty subject to the noise bound, by a primal-dual method, reweighted."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from invcore import DataError, ParameterError, Physics, SolverError
from invcore.fidelities import L2Ball, LeastSquares, WeightedLeastSquares
from invcore.operators import LinearOperator, Mask, Space
from invcore.priors import Prior
from invcore.solvers import ChambollePock
from invcore.spaces import broadcast_shapes

from .sara import Sara

_BALANCE = 0.01
"""Scale of the penalty relative to the one at which its dual variable has the size of the image. With many
short baselines the dual variable of the data is a hundred times larger. Affects the speed only."""

_LEAST = 20
"""Minimum number of steps per problem, so that new weights take effect."""


class ConstrainedImage(NamedTuple):
    """Result of `constrained`.

    Attributes
    ----------
    value : Tensor, shape (..., channel, y, x)
        The image.
    radius : Tensor, shape (batch...)
        Noise bound ε.
    distance : Tensor, shape (batch...)
        ‖W^{1/2}(Ax - y)‖ of the image.
    converged : Tensor, shape (batch...)
        Bool, true where the last problem was solved to the tolerances.
    steps : tuple of int
        Steps of the first problem and of each reweighted one.
    """

    value: Tensor
    radius: Tensor
    distance: Tensor
    converged: Tensor
    steps: tuple[int, ...]


def noise_radius(physics: Physics, y: Tensor, *, deviations: float = 2.0) -> Tensor:
    """Return a bound ε that the noise rarely exceeds, ‖W^{1/2} n‖ ≤ ε with W = 1/σ².

    ε² = N + deviations √(2N) for N real data, the mean and standard deviation of χ². Data with a mask or
    weight of 0 do not count.

    Parameters
    ----------
    physics : Physics
        Physics with Gaussian noise.
    y : Tensor, shape (..., row, frequency)
        Visibilities.
    deviations : float
        Standard deviations of χ² above its mean.

    Returns
    -------
    Tensor, shape (batch...)

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((50,)), GaussianNoise(sigma=0.1))
    >>> round(float(noise_radius(physics, torch.ones(50)) ** 2), 3)
    70.0
    """
    whitening, space = _whitening(physics, y)
    counted = (whitening > 0).expand(broadcast_shapes(whitening.shape, y.shape))
    mask = getattr(physics.operator, "mask", None)
    if isinstance(mask, Tensor):
        counted = counted & (mask != 0)
    n = counted.sum(tuple(range(-len(space.shape), 0))).to(y.real.dtype)
    n = n * (2 if space.kind == "complex" else 1)
    return (n + deviations * (2 * n).sqrt()).sqrt()


def constrained(
    y: Tensor,
    physics: Physics,
    *,
    prior: Prior | None = None,
    radius: float | Tensor | None = None,
    reweights: int = 0,
    floor: float | Tensor | None = None,
    x0: Tensor | None = None,
    max_steps: int = 2000,
    rtol: float = 1e-3,
    feasibility: float = 1e-2,
) -> ConstrainedImage:
    r"""Find the image of least penalty that agrees with the data to within their noise [1]_,

    .. math:: \min_x g(x) \quad \text{such that} \quad ‖W^{1/2}(Ax - y)‖ ≤ ε,

    with W = 1/σ². There is no regularization weight to choose: ε follows from the number of data. The problem
    is solved by `invcore.solvers.ChambollePock`, with A in units of the noise and the penalty scaled so that
    image and dual variable have similar size, which affects the speed only. With averaged sparsity the
    problem may be solved repeatedly with weights from the previous image (`Sara.reweighted`), starting from
    that image.

    Parameters
    ----------
    y : Tensor, shape (..., row, frequency)
        Visibilities.
    physics : Physics
        Physics with Gaussian noise of known level, one for all data or one for each.
    prior : Prior, optional
        Penalty g; averaged sparsity (`Sara`) by default.
    radius : float or Tensor, shape (batch...), optional
        Noise bound ε; `noise_radius` by default.
    reweights : int
        Number of reweighted problems after the first one.
    floor : float or Tensor, shape (batch...), optional
        δ of the weights δ/(δ + \|Ψᴴx\|). By default the noise per coefficient, σ over the norm of A, times a
        factor that starts at 100 and is halved each time [2]_, down to 1.
    x0 : Tensor, shape (..., channel, y, x), optional
        Starting point.
    max_steps : int
        Maximum number of steps for each problem.
    rtol : float
        Tolerance of the primal and dual residuals relative to the largest image and dual variable so far, as
        in `invcore.solvers.ChambollePock`.
    feasibility : float
        Tolerance of the constraint: a problem is solved when also ‖W^{1/2}(Ax - y)‖ ≤ (1 + feasibility) ε.

    Returns
    -------
    ConstrainedImage

    Raises
    ------
    ParameterError
        If the noise is not Gaussian or of unknown level, or reweighting is requested for a prior other than
        `Sara`.
    DataError
        If the data are not finite.
    SolverError
        If the iterates diverge.

    References
    ----------
    .. [1] R. E. Carrillo, J. D. McEwen and Y. Wiaux, "Sparsity Averaging Reweighted Analysis (SARA): a novel
       algorithm for radio-interferometric imaging", MNRAS 426 (2012).
    .. [2] A. Onose et al., "Scalable splitting algorithms for big-data interferometric imaging in the SKA
       era", MNRAS 462 (2016).

    Examples
    --------
    >>> from invcore_radio import vla
    >>> plan = vla("D", antennas=9).observe(hour_angles=(-2.0, 2.0), interval=600.0, sigma=0.01)
    >>> physics = plan.physics(shape=(16, 16), pixel=1e-4, w_term=False)
    >>> x = torch.zeros(1, 16, 16)
    >>> x[0, 5, 9] = 1.0
    >>> y = physics(x, generator=torch.Generator().manual_seed(0))
    >>> found = constrained(y, physics)
    >>> bool(found.converged), bool((found.value - x).abs().max() < 0.1)
    (True, True)
    """
    g: Prior = Sara() if prior is None else prior
    if reweights and not isinstance(g, Sara):
        raise ParameterError(f"constrained: reweighting is for Sara, not for {type(g).__name__}")
    whitening, space = _whitening(physics, y)
    operator = physics.operator
    if not isinstance(operator, LinearOperator):
        raise ParameterError(f"constrained: {type(operator).__name__} is not linear")
    A = Mask(mask=whitening, domain=space) @ operator
    assert isinstance(A, LinearOperator)
    if not bool(torch.isfinite(y.abs()).all()):
        raise DataError(
            "constrained: y has values that are NaN or infinite: repair them, or set them to zero and mask "
            "them"
        )
    z = whitening * y
    epsilon = noise_radius(physics, y) if radius is None else torch.as_tensor(radius, dtype=y.real.dtype)
    with torch.no_grad():
        norm = A.norm().to(y.real.dtype)
        guess = _first_guess(A, z)
        size = _norm(guess)
        unit = torch.where(size > 0, _BALANCE * size / math.sqrt(math.prod(guess.shape[-3:])), 1)
        solver = ChambollePock(prior=g, weight=unit, fidelity=L2Ball(radius=epsilon), rtol=rtol)
        problem = solver.problem(z, Physics(A), x0)
        state = solver.init(problem)
        noise, steps, value = 1 / norm, [], state.x
        for k in range(reweights + 1):
            if k:
                assert isinstance(g, Sara)
                g = g.reweighted(
                    value, floor if floor is not None else noise * max(1.0, 100 * 0.5 ** (k - 1))
                )
                problem = problem.replace(prior=g)
            value, done, number = state.x, torch.zeros_like(state.change, dtype=torch.bool), 0
            while number < max_steps and not bool(done.all()):
                state = solver.step(problem, state)
                value = torch.where(_image(done), value, state.x)
                distance = _distance(state.Bx[0] * norm, z, space)
                number += 1
                if number >= min(_LEAST, max_steps):
                    done = done | ((state.change <= rtol) & (distance <= (1 + feasibility) * epsilon))
                if number % 16 == 0 and not bool(torch.isfinite(distance).all()):
                    raise SolverError(
                        "constrained: the iterates became infinite or NaN: is the operator's adjoint exact? "
                        "Run invcore.testing.check(operator)"
                    )
            steps.append(number)
        distance = _distance(A(value), z, space)
    return ConstrainedImage(value, epsilon, distance, done, tuple(steps))


def _whitening(physics: Physics, y: Tensor) -> tuple[Tensor, Space]:
    """1/σ, which broadcasts against the data, and the space of the data."""
    space, likelihood = physics.range, physics.likelihood()
    if not isinstance(space, Space):
        raise ParameterError("constrained: the data of a stacked operator have several blocks; expected one")
    if not physics.noise.random or not isinstance(likelihood, LeastSquares | WeightedLeastSquares):
        raise ParameterError(
            f"constrained: expected Gaussian noise of known level, got {type(physics.noise).__name__}. State "
            "it, "
            "as in Physics(A, GaussianNoise(sigma=...)), or use a solver with a weight"
        )
    if isinstance(likelihood, WeightedLeastSquares):
        return likelihood.weight.to(y.real).sqrt(), space
    precision = torch.as_tensor(likelihood.precision(), dtype=y.real.dtype, device=y.device)
    return precision.sqrt().reshape(*precision.shape, *(1,) * len(space.shape)), space


def _first_guess(A: LinearOperator, z: Tensor) -> Tensor:
    """One step of steepest descent, an image of the right magnitude."""
    b = A.H(z)
    Ab = A(b)
    power, curved = _norm(b) ** 2, Ab.abs().square().sum(tuple(range(-len(A.range.shape), 0)))  # type: ignore[union-attr]
    return _image(torch.where(curved > 0, power / torch.where(curved > 0, curved, 1), 0)) * b


def _norm(x: Tensor) -> Tensor:
    return torch.linalg.vector_norm(x.flatten(-3), dim=-1)


def _image(t: Tensor) -> Tensor:
    return t[..., None, None, None]


def _distance(u: Tensor, z: Tensor, space: Space) -> Tensor:
    return torch.linalg.vector_norm((u - z).flatten(-len(space.shape)), dim=-1)
