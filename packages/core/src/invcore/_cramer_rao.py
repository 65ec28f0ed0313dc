"""The Cramér–Rao bound: how well any unbiased estimate of an image can do."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ._errors import DataError, ParameterError, ShapeError, SolverError
from ._finite import is_finite
from ._krylov.cg import cg
from ._physics import Physics
from ._value import full_precision, real_dtype
from .noises import GaussianMapNoise, GaussianNoise
from .operators import LinearOperator, Operator, Space, SpaceLike
from .spaces import batch_shape, broadcast_shapes, check, dtype_of, flatten, real_size_of, tree_map, unflatten

_DENSE = 2048
"""Unknowns up to which the matrix is inverted by default."""


@full_precision
def cramer_rao(
    physics: Physics,
    x: Any,
    *,
    precision: LinearOperator | None = None,
    probes: int | None = None,
    generator: torch.Generator | None = None,
    rtol: float = 1e-4,
    max_steps: int | None = None,
) -> Any:
    r"""Smallest variance that an unbiased estimate of each pixel can have, from data of this physics [1]_.

    The diagonal of F⁻¹, with the Fisher information

    .. math:: F = J^{\mathsf H} \operatorname{diag}(I(A(x))) J,

    J the Jacobian of A at ``x`` and I the information of the noise: 1/σ² for Gaussian noise, one over γ times
    the mean for Poisson noise, `invcore.Noise.information` for all. It needs no data: for the design of a
    measurement. Its sum bounds the mean squared error; where F is singular pixels that it leaves open get
    infinity.

    The matrix is formed and inverted up to 2048 unknowns. Beyond, ``probes`` random vectors of signs z give
    the mean of z ⊙ F⁻¹z [2]_, by conjugate gradient: unbiased, with a variance of Σ_{j≠i} (F⁻¹)²_ij / probes
    in pixel i; negative values are then possible.

    Parameters
    ----------
    physics : Physics
        Operator, linear or not, and noise that states its information.
    x : Tensor or tuple of Tensor, shape (batch..., *domain.shape)
        The image, real or complex, or several blocks, as maps of parameters are.
    precision : LinearOperator, optional
        C⁻¹ of a Gaussian prior, symmetric, on the domain: F + C⁻¹ is inverted. That is the bound of van Trees
        [3]_ for any estimate, biased or not, and for Gaussian images the error of the best. For a linear
        operator and Gaussian noise only: else F has to be averaged over the prior.
    probes : int, optional
        Number of random vectors.
    generator : torch.Generator, optional
        Source of their signs.
    rtol : float
        Relative residual of conjugate gradient.
    max_steps : int, optional
        Maximum number of its steps, by default five times the unknowns, at most 5000.

    Returns
    -------
    Tensor or tuple of Tensor, shape (batch..., *domain.shape)
        Real. For complex pixels the bound of E |x̂ - x|², the sum of both components. Derivatives reach the
        parameters of the physics, and ``x``, where the matrix is inverted and not singular.

    Raises
    ------
    ShapeError, DtypeError
    DataError
        If the information is not finite: the noise level, or the mean number of counts, is zero somewhere.
    ParameterError
        If the noise states no information, there are too many unknowns and no ``probes``, or ``precision`` is
        given for a nonlinear operator or noise that depends on the image.
    SolverError
        If conjugate gradient does not converge: the information is singular, or nearly so.

    References
    ----------
    .. [1] S. M. Kay, Fundamentals of Statistical Signal Processing: Estimation Theory (1993), chapter 3.
    .. [2] C. Bekas, E. Kokiopoulou, Y. Saad, "An estimator for the diagonal of a matrix", Appl. Numer. Math.
       57 (2007).
    .. [3] H. L. van Trees, Detection, Estimation, and Modulation Theory, part I (1968), section 2.4.

    Examples
    --------
    >>> from invcore.noises import GaussianNoise
    >>> from invcore.operators import Mask
    >>> physics = Physics(Mask(torch.tensor([[2.0, 1.0, 0.0]]), (1, 3)), GaussianNoise(sigma=1.0))
    >>> cramer_rao(physics, torch.ones(1, 3))
    tensor([[0.2500, 1.0000,    inf]])
    """
    domain = physics.domain
    check(x, domain, "cramer_rao: x")
    if precision is not None:
        _check_precision(precision, physics)
    if probes is None and real_size_of(domain) > _DENSE:
        raise ParameterError(
            f"cramer_rao: {real_size_of(domain)} unknowns are too many for a matrix (limit {_DENSE}): pass "
            "probes=100 and a generator."
        )
    if probes is not None and (probes < 1 or generator is None):
        raise ParameterError(
            f"cramer_rao: random vectors need probes >= 1 and a generator, got {probes!r} and {generator!r}."
        )
    dtype = real_dtype(dtype_of(x))
    if probes is None:
        physics = physics.to(torch.float64)
        x = tree_map(lambda t: t.to(torch.complex128 if t.is_complex() else torch.float64), x)
        precision = None if precision is None else precision.to(torch.float64)
    u = physics.A(x)
    weights = flatten(
        tree_map(_per_component, physics.noise.information(u, physics.range), physics.range), physics.range
    )
    if not is_finite(weights):
        raise DataError(
            "cramer_rao: the information of the noise is not finite: a noise level is zero, or a mean number "
            "of counts (add a background)."
        )
    J = physics.A.linearize(x)
    if probes is None:
        variances = _inverted(J, weights, precision)
    else:
        assert generator is not None
        batch = broadcast_shapes(weights.shape[:-1], batch_shape(x, domain))
        like = weights.new_zeros(*batch, real_size_of(domain))
        variances = _probed(J, weights, precision, like, probes, generator, rtol, max_steps)
    return _in_blocks(variances.to(dtype), domain)


def _in_blocks(variances: Tensor, domain: SpaceLike) -> Any:
    """Variances of real components (..., n) as blocks, the sum of both components where they are complex."""
    if isinstance(domain, tuple):
        parts = variances.split([real_size_of(s) for s in domain], dim=-1)
        return tuple(_in_blocks(part, s) for part, s in zip(parts, domain))
    if domain.kind == "complex":
        variances = variances.unflatten(-1, (-1, 2)).sum(-1)
    return variances.unflatten(-1, domain.shape)


def _check_precision(precision: LinearOperator, physics: Physics) -> None:
    if not precision.domain == precision.range == physics.domain:
        raise ShapeError(
            f"cramer_rao: precision maps {physics.domain} to itself, got {precision.domain} to "
            f"{precision.range}."
        )
    constant = isinstance(physics.noise, GaussianNoise | GaussianMapNoise)
    if not constant or not isinstance(physics.operator, LinearOperator):
        raise ParameterError(
            "cramer_rao: with a prior the information is averaged over it, which is done for linear "
            f"operators and Gaussian noise only, not for {type(physics.operator).__name__} and "
            f"{type(physics.noise).__name__}."
        )


def _per_component(weight: Tensor, space: Space) -> Tensor:
    return torch.complex(weight, weight) if space.kind == "complex" else weight


def _matrix(A: Operator) -> Tensor:
    """The matrix of a linear map in real coordinates, (batch..., m, n)."""
    n = real_size_of(A.domain)
    basis = torch.eye(n, dtype=torch.float64, device=A.device)
    batch = batch_shape(A(unflatten(basis[0], A.domain)), A.range)
    columns = flatten(A(unflatten(basis.reshape(n, *(1,) * len(batch), n), A.domain)), A.range)
    return columns.movedim(0, -1)


def _inverted(J: LinearOperator, weights: Tensor, precision: LinearOperator | None) -> Tensor:
    """The diagonal of the inverse, infinite where a direction without information has a share."""
    M = _matrix(J)
    F = M.mT @ (weights.unsqueeze(-1) * M)
    if precision is not None:
        F = F + _matrix(precision)
    with torch.no_grad():
        size = F.diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()
        unit = torch.where(size > 0, size, 1)
        values, vectors = torch.linalg.eigh(F / (unit.unsqueeze(-1) * unit.unsqueeze(-2)))
        floor = F.shape[-1] * torch.finfo(F.dtype).eps * values.amax(-1, keepdim=True)
        blind = values <= floor
    if not bool(blind.any()) and F.requires_grad:
        return torch.linalg.inv(F).diagonal(dim1=-2, dim2=-1)
    shares = vectors.square()
    found = (shares / torch.where(blind, math.inf, values).unsqueeze(-2)).sum(-1) / unit**2
    open_ = (shares * blind.unsqueeze(-2)).sum(-1) > 1e-8
    return torch.where(open_, math.inf, found)


@torch.no_grad()
def _probed(
    J: LinearOperator,
    weights: Tensor,
    precision: LinearOperator | None,
    like: Tensor,
    probes: int,
    generator: torch.Generator,
    rtol: float,
    max_steps: int | None,
) -> Tensor:
    def apply(v: Tensor) -> Tensor:
        z = unflatten(v, J.domain)
        out = flatten(J.H(unflatten(weights * flatten(J(z), J.range), J.range)), J.domain)
        return out if precision is None else out + flatten(precision(z), J.domain)

    steps = min(5 * like.shape[-1], 5000) if max_steps is None else max_steps
    total = torch.zeros_like(like)
    for _ in range(probes):
        signs = 2 * torch.randint(2, like.shape, generator=generator, device=generator.device) - 1
        z = signs.to(like)
        solved = cg(apply, z, rtol=rtol, max_steps=steps)
        if not bool(solved.converged.all()):
            raise SolverError(
                f"cramer_rao: conjugate gradient ended at a relative residual of "
                f"{float(solved.residual.max()):.2g}, not {rtol:g}, in {solved.steps} steps: the information "
                "is singular or nearly so, the bound infinite or nearly so. A smaller image shows where "
                "(without probes), precision= adds a prior, and max_steps= lets it go on."
            )
        total += z * solved.x
    return total / probes
