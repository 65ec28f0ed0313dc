"""`Prior`: a penalty on images."""

from __future__ import annotations

import math
import warnings
from abc import abstractmethod
from typing import Any, ClassVar, NamedTuple, Self

import torch
from torch import Tensor

from .._errors import ConvergenceWarning, ParameterError, ShapeError
from .._fit import fitted
from .._physics import Physics
from .._value import Value, real_dtype
from .._weights import Weight, weight_of_scale
from ..fidelities import Fidelity
from ..fidelities._conjugate import numeric_conjugate
from ..operators import Identity, LinearOperator, Space, SpaceLike, under_transform
from ..spaces import batch_shape, one_per_sample, real_size_of, scaled, space_of, tree_map


class Part(NamedTuple):
    """One of the terms w h(Kx) that a prior is the sum of: ``operator`` K, ``prior`` h and ``weight`` w."""

    operator: LinearOperator
    prior: Prior
    weight: float | Tensor = 1.0

    @property
    def on_image(self) -> bool:
        """True if K is the identity, so that h is proximable in the image itself."""
        return isinstance(self.operator, Identity)


class Prior(Value, abstract=True):
    """A penalty g(x).

    Priors add up and have multiples: ``TV() + 0.1 * L1() + NonNegative()`` is a `SumPrior`.

    To write one, provide ``_value(x, space)`` and, as available, ``_prox(x, step, space)`` and ``_grad(x,
    space)``. Dimensions before those of ``space`` are batch. Users may leave ``space`` out, and then all of
    ``x`` is one item; the methods with an underscore always get it.

    Options that several priors share are described here; a prior has those that it declares as fields, and
    checks them by `super().__post_init__()`.

    Parameters
    ----------
    spatial_dims : int
        Number of spatial dimensions, 1 to 3: the last ones of the image. Those before are channels.
    spacing : tuple of float, optional
        Distance of the samples along each spatial axis, in any one unit; 1 by default.
    smoothing : float
        δ ≥ 0 of Huber's function, in the units of the gradient, in place of a magnitude.
    rtol : float
        Relative duality gap at which `prox` stops, for each sample; below a few ulps of the precision it
        stops there.
    max_steps : int
        Maximum number of steps of `prox`, beyond which it issues a `ConvergenceWarning`.

    Attributes
    ----------
    degree : int or None
        d, where g(s x) = s^d g(x) for s > 0; it gives the prior an automatic weight (`suggested_weight`).
    power : float or None
        The power of the unit of the image by which g scales if the fields named in `units` do too: Huber's
        function of ``smoothing`` scales as a magnitude. By default the ``degree``; None: not known.
    blocks : bool
        Whether an image may be a tuple of tensors.
    maps : tuple of str
        The parameters with a value for each entry of the image; the others have one per sample. Others than
        these shapes are refused.

    Examples
    --------
    >>> class Peak(Prior):
    ...     degree = 1
    ...     def _value(self, x, space): return x.abs().flatten(-len(space.shape)).amax(-1)
    >>> x = torch.tensor([[1.0, -3.0], [0.0, 2.0]])
    >>> Peak().value(x), Peak().value(x, Space((2,)))
    (tensor(3.), tensor([3., 2.]))
    """

    degree: ClassVar[int | None] = None
    power: ClassVar[float | None] = None
    units: ClassVar[dict[str, int] | None] = {}
    blocks: ClassVar[bool] = False
    maps: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self) -> None:
        name = type(self).__name__
        dims = getattr(self, "spatial_dims", 1)
        if dims not in (1, 2, 3):
            raise ParameterError(f"{name}: spatial_dims must be 1, 2 or 3, got {dims!r}")
        spacing = getattr(self, "spacing", None)
        if spacing is not None and not (
            isinstance(spacing, tuple) and len(spacing) == dims and all(h > 0 for h in spacing)
        ):
            raise ParameterError(
                f"{name}: spacing must be a tuple of {dims} positive numbers, got {spacing!r}"
            )
        smoothing = getattr(self, "smoothing", 0.0)
        if not (isinstance(smoothing, int | float) and 0 <= smoothing < math.inf):
            raise ParameterError(f"{name}: smoothing must be a finite number >= 0, got {smoothing!r}")
        rtol, max_steps = getattr(self, "rtol", 1.0), getattr(self, "max_steps", None)
        if not rtol > 0 or (max_steps is not None and max_steps < 1):
            raise ParameterError(
                f"{name}: rtol must be positive and max_steps at least 1, got {rtol!r} and {max_steps!r}"
            )

    def value(self, x: Any, space: SpaceLike | None = None) -> Tensor:
        """g(x) of each batch item, shape (batch...)."""
        return self._value(x, self._item(x, space))

    def prox(self, x: Any, step: float | Tensor, space: SpaceLike | None = None) -> Any:
        """argmin over z of g(z) + ‖z - x‖² / (2 step); ``step`` is one value or one per sample."""
        if isinstance(step, int | float) and not 0 <= step < math.inf:
            raise ParameterError(
                f"{type(self).__name__}.prox: step must be a finite number >= 0, got {step!r}"
            )
        item = self._item(x, space)
        return self._prox(x, one_per_sample(step, item, batch_shape(x, item)), item)

    def memory(self, x: Any, space: SpaceLike | None = None) -> tuple[Tensor, ...]:
        """What `warm_prox` starts from the first time; empty where `prox` is no iteration."""
        return ()

    def warm_prox(
        self, x: Any, step: float | Tensor, space: SpaceLike | None, memory: tuple[Tensor, ...]
    ) -> tuple[Any, tuple[Tensor, ...]]:
        """`prox` that starts where that of a similar image ended, and what it leaves for the next one."""
        return self.prox(x, step, space), memory

    def grad(self, x: Any, space: SpaceLike | None = None) -> Any:
        """∇g(x)."""
        return self._grad(x, self._item(x, space))

    def prox_conjugate(
        self, u: Any, step: float | Tensor, space: SpaceLike | None = None, *, weight: float | Tensor = 1.0
    ) -> Any:
        """prox of step · (weight g)*."""
        item = self._item(u, space)
        batch = batch_shape(u, item)
        step, weight = (one_per_sample(s, item, batch) for s in (step, weight))
        return self._prox_conjugate(u, step, item, weight)

    def conjugate(self, u: Any, space: SpaceLike | None = None, *, weight: float | Tensor = 1.0) -> Tensor:
        """(weight g)*(u) = sup over x of Re⟨u, x⟩ - weight g(x), of each batch item, shape (batch...).

        Infinite outside its domain. By the proximal point method where no closed form is known.
        """
        return self._conjugate(u, self._item(u, space), weight)

    @abstractmethod
    def _value(self, x: Any, space: Any) -> Tensor:
        """`value`, with a space."""

    def _prox(self, x: Any, step: float | Tensor, space: Any) -> Any:
        """`prox`, with a space."""
        raise ParameterError(
            f"{type(self).__name__} has no proximal operator: choose a solver that uses its gradient"
        )

    def _grad(self, x: Any, space: Any) -> Any:
        """`grad`, with a space."""
        raise ParameterError(
            f"{type(self).__name__} has no gradient: choose a proximal solver, such as 'fista'"
        )

    def _prox_conjugate(self, u: Any, step: float | Tensor, space: Any, weight: float | Tensor) -> Any:
        """`prox_conjugate`, by Moreau's identity: u - s prox_{λg/s}(u/s)."""
        inner = self._prox(scaled(1 / step, u, space), weight / step, space)
        return tree_map(torch.sub, u, scaled(step, inner, space))

    def _conjugate(self, u: Any, space: Any, weight: float | Tensor) -> Tensor:
        """`conjugate`, with a space."""
        return numeric_conjugate(
            lambda x: weight * self._value(x, space),
            lambda x, t: self._prox(x, weight * t, space),
            u,
            space,
            what=type(self).__name__,
            tolerance=self.tolerance**0.5,  # a duality gap is a squared distance
        )

    def majorizer(self, space: SpaceLike) -> LinearOperator | float | Tensor | None:
        """M with g(u) ≤ g(x) + Re⟨∇g(x), u - x⟩ + ⟨u - x, M (u - x)⟩/2: what 'scaled_pgd' works with.

        A positive semidefinite operator, or a number (one per sample) c for c times the identity. None where
        it is not known. By default Kᴴ M_h K for g(x) = h(Kx), as `split` gives it.
        """
        K, h = self.split(space)
        inner = None if isinstance(K, Identity) else h.majorizer(K.range)
        if inner is None:
            return None
        found: Any = K.H @ inner @ K if isinstance(inner, LinearOperator) else K.gram * inner
        return found

    def curvature(self, space: SpaceLike) -> float | Tensor | None:
        """A bound of all eigenvalues of the Hessian of g, for all or one per sample; None if none is known.

        The norm of `majorizer`, from which it follows how long a gradient step may be.
        """
        M = self.majorizer(space)
        return M.norm() if isinstance(M, LinearOperator) else M

    def split(self, space: SpaceLike) -> tuple[LinearOperator, Prior]:
        """(K, h) with g(x) = h(Kx) and h proximable: what primal-dual solvers and ADMM work with.

        The identity and the prior itself unless a prior says otherwise (total variation: differences, and the
        sum of their magnitudes).
        """
        return Identity(domain=space), self

    def parts(self, space: SpaceLike) -> tuple[Part, ...]:
        """The terms w h(Kx) of which g is the sum, each with its own K: one, `split`, unless g is a sum.

        At most one of them is a function of the image itself where their joint proximal operator is known; it
        is then the last.
        """
        return (Part(*self.split(space)),)

    def __add__(self, other: Prior) -> Prior:
        """The sum g + h."""
        from ._sum import SumPrior

        return SumPrior.of(self, other) if isinstance(other, Prior) else NotImplemented

    def __rmul__(self, factor: float | Tensor) -> Prior:
        """The multiple c g, c >= 0: a number, or a tensor with one per sample."""
        from ._sum import SumPrior

        number = isinstance(factor, int | float | Tensor)
        return SumPrior.of(self).times(factor) if number else NotImplemented

    def at(self, k: int) -> Self:
        """The prior that iteration ``k`` of a solver uses: a stochastic prior draws here, from its seed."""
        return self

    @property
    def tolerance(self) -> float:
        """Relative duality gap to which `prox` is solved: ``rtol``, or 0 where `prox` is exact."""
        return getattr(self, "rtol", 0.0)

    @property
    def stochastic(self) -> bool:
        """True if `at` gives another prior in each iteration."""
        return False

    @property
    def settles(self) -> bool:
        """True if iterates converge to arbitrary accuracy; False with random draws or a denoiser in `prox`.

        Where it is False solvers stop at 100 times their ``rtol``, at most at 1e-3 (unless ``rtol`` is more).
        """
        return not self.stochastic

    @property
    def longest_step(self) -> float:
        """The longest step that `prox` takes: infinite, but for a denoiser that is for small noise."""
        return math.inf

    @property
    def has_prox(self) -> bool:
        """True unless `prox` is known to be refused."""
        return type(self)._prox is not Prior._prox

    @property
    def has_grad(self) -> bool:
        """True unless `grad` is known to be refused."""
        return type(self)._grad is not Prior._grad

    def suggested_weight(self, y: Any, physics: Physics, fidelity: Fidelity | None = None) -> Weight:
        """The regularization weight that suits the noise level and, if available, a starting point.

        Solvers with ``weight="auto"`` ask for it. A prior that states its ``degree`` d of homogeneity gets λ
        = n/(d g(x)) of a Tikhonov solution x with n real unknowns: the most likely weight of the density ∝
        exp(-λ g(x)), whose normalization is λ^(-n/d) times a constant, whatever g [1]_.

        Parameters
        ----------
        y : Tensor or tuple of Tensor, shape (batch..., *range.shape)
        physics : Physics
        fidelity : Fidelity, optional
            By default the likelihood of the noise.

        Raises
        ------
        ParameterError
            If the prior has no rule, or the rule does not apply to the problem.

        References
        ----------
        .. [1] M. Pereyra, J. Bioucas-Dias, M. Figueiredo, "Maximum-a-posteriori estimation with unknown
           regularization parameters", EUSIPCO (2015).
        """
        if self.degree is None:
            raise ParameterError(
                f"{type(self).__name__} has no rule for its weight: give the solver one, "
                "weight=<number> in Python, --weight <number> on the command line"
            )
        degree, space = self.degree, physics.domain
        n = real_size_of(space)
        return weight_of_scale(y, physics, fidelity, lambda x: degree * self.value(x, space) / n)

    def _item(self, x: Any, space: SpaceLike | None) -> Any:
        """The space of one item. Check its blocks and number of dimensions, and the shapes of parameters."""
        item = space_of(x) if space is None else space
        if not isinstance(item, Space):
            if not self.blocks:
                raise ShapeError(
                    f"{type(self).__name__} acts on single images; the operator's domain is a tuple of blocks"
                )
        elif len(item.shape) < getattr(self, "spatial_dims", 0):
            dims = getattr(self, "spatial_dims", 0)
            raise ShapeError(
                f"{type(self).__name__}(spatial_dims={dims}) needs images (channel, *spatial) with {dims} "
                f"spatial dimensions, got {item}"
            )
        if self.params:
            self._fit(item, batch_shape(x, item))
        return item

    def _fit(self, space: Any, batch: tuple[int, ...]) -> None:
        """Raise a `ShapeError` unless the parameters fit images of this space and batch."""
        fitted(self, space, batch)

    def _steps(self, step: float | Tensor, x: Tensor) -> Tensor:
        """The steps of `prox` in the precision and on the device of an image; none may be negative."""
        t = torch.as_tensor(step, dtype=real_dtype(x.dtype), device=x.device)
        if not bool((t >= 0).all()):
            raise ParameterError(
                f"{type(self).__name__}.prox: step must not be negative, got {float(t.min()):g}"
            )
        return t

    def _warn(self, what: str, gap: Tensor) -> None:
        """Warn where a relative duality gap is above ``rtol``, or above what the precision allows."""
        rtol, max_steps = getattr(self, "rtol", 0.0), getattr(self, "max_steps", 0)
        worst = float(gap.max()) if gap.numel() else 0.0
        if worst > max(rtol, 100 * torch.finfo(gap.dtype).eps):
            warnings.warn(
                f"{type(self).__name__}.{what}: relative duality gap {worst:.1e} after {max_steps} steps, "
                f"wanted {rtol:.1e}. Raise max_steps or rtol.",
                ConvergenceWarning,
                stacklevel=4,
            )


def gradient_is_recorded(prior: Prior, x: Tensor, space: Space) -> bool:
    """True if a gradient that torch finds is to be differentiated: in x, or in the prior itself."""
    return torch.is_grad_enabled() and (x.requires_grad or prior.value(x, space).requires_grad)


def gradient_by_torch(prior: Prior, x: Tensor, space: Space) -> Tensor:
    """∇g(x) by differentiation of the value; itself differentiable in x and in the prior, forward too."""
    if under_transform():
        return torch.func.grad(lambda point: prior.value(point, space).sum())(x)
    again = gradient_is_recorded(prior, x, space)
    with torch.enable_grad():
        point = x if x.requires_grad else x.detach().requires_grad_()
        total = prior.value(point, space).sum()
        if not total.requires_grad:
            raise ParameterError(f"{type(prior).__name__}: torch cannot differentiate {prior!r:.100}")
        (gradient,) = torch.autograd.grad(total, point, create_graph=again)
    return gradient
