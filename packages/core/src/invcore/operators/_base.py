"""`Operator` and `LinearOperator`: frozen values that map one space to another."""

from __future__ import annotations

import inspect
from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, overload
from weakref import WeakValueDictionary

import torch
from torch import Tensor

from .._contract import check_stated
from .._errors import ParameterError, ShapeError
from .._value import Value, full_precision, real_dtype
from ..spaces import (
    Space,
    SpaceLike,
    Vector,
    as_space,
    batch_shape,
    broadcast_shapes,
    check,
    device_of,
    dtype_of,
    expand_batch,
    flatten,
    randn,
    real_size_of,
    size_of,
    space_of,
    spaces_of,
    tensor_dtype,
    tree_map,
    unflatten,
    zeros,
)
from . import _least_squares, _spectrum
from ._autograd import call_foreign, plainly_saved
from ._failures import explained

if TYPE_CHECKING:
    from ._svd import SVD


class Operator(Value, abstract=True):
    """A map A from `domain` to `range`; the base class of everything that turns an image into data.

    To write one, declare its tensors as fields and provide ``domain``, ``range`` (as fields or properties)
    and ``forward``. The class becomes a frozen dataclass (see `Value` for what may be given by position), and
    a field annotated as a `Space` also takes a shape. Nothing is ever mutated: `bind` gives a copy with other
    parameters.

    Attributes
    ----------
    domain, range : Space or tuple of Space
        The trailing dimensions of input and output. Dimensions before them are batch.
    params : tuple of str
        The fields that are parameters ξ. They may carry leading batch dimensions.
    autograd : {"torch", "adjoint"}
        How derivatives are found: through the torch code of ``forward``, or, for a foreign backend, by
        applying the adjoint.
    batched : bool
        False if ``forward`` and ``adjoint`` take one item; the batch is then looped over
        (``autograd="adjoint"`` only).
    param_ndim : dict of str to int
        The number of dimensions of each parameter without batch; operators with ``batched=False`` must
        declare it.

    Examples
    --------
    >>> class Square(Operator):
    ...     domain: Space
    ...     @property
    ...     def range(self): return self.domain
    ...     def forward(self, x): return x ** 2
    >>> A = Square((1, 2))
    >>> A(torch.tensor([[1.0, 3.0]]))
    tensor([[1., 9.]])
    """

    autograd: ClassVar[Literal["torch", "adjoint"]] = "torch"
    batched: ClassVar[bool] = True
    param_ndim: ClassVar[dict[str, int]] = {}

    if TYPE_CHECKING:

        @property
        def domain(self) -> SpaceLike:
            """Space of the input."""

        @property
        def range(self) -> SpaceLike:
            """Space of the output."""

    def __init_subclass__(cls, *, abstract: bool = False, **kwargs: Any) -> None:
        if not abstract:
            _shapes_as_spaces(cls)
        super().__init_subclass__(abstract=abstract, **kwargs)
        if abstract:
            return
        check_stated(cls, ("domain", "range"), "a field (domain: Space) or a property")
        if cls.autograd not in ("torch", "adjoint"):
            raise TypeError(f"{cls.__name__}.autograd must be 'torch' or 'adjoint', got {cls.autograd!r}")
        if not cls.batched and cls.autograd == "torch":
            raise TypeError(
                f"{cls.__name__}: batched=False needs autograd='adjoint'; torch code should handle the batch"
            )
        unknown, missing = set(cls.param_ndim) - set(cls.params), set(cls.params) - set(cls.param_ndim)
        if unknown:
            raise TypeError(
                f"{cls.__name__}.param_ndim names {sorted(unknown)}, which are not among its params "
                f"{cls.params}"
            )
        if missing and not cls.batched:
            raise TypeError(
                f"{cls.__name__}: with batched=False, param_ndim must give the number of dimensions without "
                f"batch of each parameter; it lacks {sorted(missing)}"
            )

    @abstractmethod
    def forward(self, x: Any) -> Any:
        """Map ``x`` (already validated) to the range. Authors write this; users call ``A(x)``."""

    @full_precision
    def __call__(self, x: Any) -> Any:
        """Apply the operator.

        Parameters
        ----------
        x : Tensor or tuple of Tensor, shape (batch..., *domain.shape)

        Returns
        -------
        Tensor or tuple of Tensor, shape (batch..., *range.shape)

        Raises
        ------
        ShapeError, DtypeError
            If ``x`` does not lie in `domain`.
        DataError
            If ``x`` and the operator are on different devices.
        """
        check(x, self.domain, f"Input of {type(self).__name__}")
        try:
            return self._apply_to_none(x) if 0 in batch_shape(x, self.domain) else self._apply(x)
        except RuntimeError as error:
            found = explained(error, self, x)
            if found is None:
                raise
            raise found from error

    def _apply(self, x: Any) -> Any:
        """`forward` with derivatives, without validation: the entry for other operators."""
        return self.forward(x)

    def _apply_to_none(self, x: Any) -> Any:
        """Handle an empty batch.

        Some libraries (e.g. torch.fft) reject it, so one zero image finds the parameters' batch shape.
        """
        out = self._apply(zeros(self.domain, dtype=dtype_of(x), device=device_of(x)))
        batch = broadcast_shapes(batch_shape(x, self.domain), batch_shape(out, self.range))
        return zeros(self.range, batch, dtype=dtype_of(x), device=device_of(x))

    def linearize(self, x: Vector) -> LinearOperator:
        """The Jacobian at ``x`` as a linear operator (its adjoint by reverse-mode differentiation).

        Parameters
        ----------
        x : Tensor, shape (batch..., *domain.shape)
            With batch dimensions the result is a batch of Jacobians.
        """
        from ._algebra import Jacobian

        check(x, self.domain, f"Point at which {type(self).__name__} is linearized")
        return Jacobian(base=self, point=x)

    @classmethod
    def from_function(
        cls, function: Callable[[Any], Any], domain: SpaceLike, *, device: torch.device | str | None = None
    ) -> Self:
        """Make an operator of a torch function; the adjoint (of a linear one) and all derivatives follow.

        Call it on `LinearOperator` for a linear function and on `Operator` for another. To be picklable
        the function must be importable (not a lambda).

        Parameters
        ----------
        function : callable
            Maps ``(batch..., *domain.shape)`` to the output with the same batch dimensions.
        domain : Space or tuple of Space, or a shape
        device : torch.device, optional
            Where the function is tried once to learn the shape of its output.

        Examples
        --------
        >>> A = LinearOperator.from_function(lambda x: x.cumsum(-1), (4,))
        >>> A.H(torch.ones(4))
        tensor([4., 3., 2., 1.])
        """
        from ._algebra import LinearFunction, NonlinearFunction

        domain = as_space(domain, f"{cls.__name__}.from_function: domain")
        out = function(zeros(domain, device=device))
        make: Any = LinearFunction if issubclass(cls, LinearOperator) else NonlinearFunction
        return make(function=function, domain=domain, range=space_of(out, what="Output of the function"))

    def _out_dtype(self, x: Tensor, space: Space) -> torch.dtype:
        return tensor_dtype(space, x.dtype)

    # -- algebra -----------------------------------------------------------------------------------

    @overload
    def __matmul__(self, other: Operator) -> Operator: ...
    @overload
    def __matmul__(self, other: Tensor) -> Any: ...
    def __matmul__(self, other: Any) -> Any:
        """``A @ B`` composes; ``A @ x`` applies."""
        from ._algebra import compose

        return compose(self, other) if isinstance(other, Operator) else self(other)

    def __add__(self, other: Operator) -> Operator:
        from ._algebra import add

        return add(self, other) if isinstance(other, Operator) else NotImplemented

    def __sub__(self, other: Operator) -> Operator:
        return self + (-other) if isinstance(other, Operator) else NotImplemented

    def __rmul__(self, scale: float | complex | Tensor) -> Operator:
        from ._algebra import rescale

        return rescale(self, scale) if isinstance(scale, int | float | complex | Tensor) else NotImplemented

    def __mul__(self, scale: float | complex | Tensor) -> Operator:
        """Scale by a number, or by one factor per sample from a tensor of shape (batch...).

        ``A * 2`` is ``2 * A``.

        Raises
        ------
        ParameterError
            If the factor is an element of the domain: ``A(x)`` or ``A @ x`` applies the operator.
        TypeError
            If the factor is an operator: ``A @ B`` composes.
        """
        if isinstance(scale, Operator):
            raise TypeError("Operators compose with @, as in A @ B")
        return self.__rmul__(scale)

    __array_ufunc__ = None  # numpy scalars on the left defer to __rmul__

    def __neg__(self) -> Operator:
        return -1 * self


class LinearOperator(Operator, abstract=True):
    """A linear map.

    ``adjoint`` may be left out: it is then derived from ``forward`` by reverse-mode differentiation.

    ``A.H`` is the exact adjoint in the plain inner product ⟨x, y⟩ = Σ x̄ y (its real part where one of the
    spaces is real). Anything else has a name of its own, as `pinv`.

    Optional hooks for speed: ``_gram(x)`` for AᴴA x, ``norm_bound()`` for a tight upper bound of the norm,
    ``_ridge(y, z, weight)`` for regularized least squares in closed form, ``_svd()`` for the singular value
    decomposition, ``coarser(y)`` for solvers that start on a coarser grid, and, for a foreign backend,
    ``vjp_params(x, v)``: the gradient of Re⟨v, A_ξ x⟩ to each ξ, as a dict. The class attribute ``nonnegative
    = True`` says that no entry is negative (line integrals, blurs); `norm` is then quick.

    Examples
    --------
    >>> class Gain(LinearOperator):
    ...     gain: Tensor
    ...     domain: Space
    ...     params = ("gain",)
    ...     @property
    ...     def range(self): return self.domain
    ...     def forward(self, x): return self.gain * x
    >>> A = Gain(torch.tensor([1.0, 2.0]), domain=(2,))
    >>> A.H(A(torch.ones(2))), A.dense()
    (tensor([1., 4.]), tensor([[1., 0.],
            [0., 2.]]))
    """

    nonnegative: ClassVar[bool] = False

    def adjoint(self, y: Any) -> Any:
        """Aᴴ y. Authors may write this; users call ``A.H(y)``."""
        batch = batch_shape(y, self.range)
        like: Any = {"dtype": dtype_of(y), "device": device_of(y)}
        with plainly_saved():
            out, pull, *_ = torch.func.vjp(self.forward, zeros(self.domain, batch, **like))
            full = batch_shape(out, self.range)
            if full != batch:  # the parameters have batch dimensions that y lacks
                pull = torch.func.vjp(self.forward, zeros(self.domain, full, **like))[1]
                y = expand_batch(y, self.range, full)
            return pull(y)[0]

    def _gram(self, x: Any) -> Any:
        return self._apply_adjoint(self._apply(x))

    def norm_bound(self) -> Tensor | None:
        """A tight upper bound of the norm if one is known in closed form, else None."""
        return None

    def _ridge(self, y: Any, z: Any, weight: Tensor) -> Any:
        """argmin over x of ‖Ax − y‖² + weight ‖x − z‖² in closed form, or None if there is none.

        ``y`` or ``z`` is None for zero; ``weight``, of shape (batch...), is positive. It needs no derivative,
        and may be less exact than its formula: least squares start from it and stop at once where it is exact
        enough.
        """
        return None

    def _svd(self) -> SVD | None:
        """The singular value decomposition in closed form, for `SVD.of`, or None if there is none."""
        return None

    def coarser(self, y: Any) -> tuple[LinearOperator, Any] | None:
        """The operator of images of half the resolution, and ``y`` as data of it; None for a small image.

        Where samples of the data lie as close as pixels, the means of neighboring ones take their place.
        Raises a `ParameterError` if the operator does not say.
        """
        raise ParameterError(
            f"{type(self).__name__} does not say what it is on a coarser grid: use coarse_levels=0, or write "
            "its method coarser(y)"
        )

    def vjp_params(self, x: Tensor, v: Tensor) -> dict[str, Tensor] | None:
        """Gradient of Re⟨v, A_ξ x⟩ to each parameter (foreign backends only; torch code needs none)."""
        return None

    def _apply(self, x: Any) -> Any:
        return self.forward(x) if self.autograd == "torch" else call_foreign(self, False, x)

    def _apply_adjoint(self, y: Any) -> Any:
        return self.adjoint(y) if self.autograd == "torch" else call_foreign(self, True, y)

    def linearize(self, x: Vector) -> LinearOperator:
        """A linear operator is its own Jacobian: returns ``self``."""
        return self

    @property
    def H(self) -> LinearOperator:
        """The adjoint operator; ``A.H.H is A``, also where A is itself an adjoint."""
        from ._algebra import Adjoint

        return self._nodes.setdefault("H", Adjoint(base=self))

    @cached_property
    def _nodes(self) -> WeakValueDictionary[str, LinearOperator]:
        """Nodes made of this operator, for as long as someone holds them (they hold this operator)."""
        return WeakValueDictionary()

    @property
    def gram(self) -> LinearOperator:
        """The normal operator AᴴA, with the fast path of the operator where it has one."""
        from ._algebra import Gram

        return Gram(base=self)

    def __add__(self, other: Any) -> Any:
        return super().__add__(other)

    @full_precision
    def dense(self, *, dtype: torch.dtype | None = None) -> Tensor:
        """The matrix of the operator, for small ones.

        Returns
        -------
        Tensor, shape (batch..., m, n)
            Batch dimensions are those of the parameters. If both spaces are real or both complex, the matrix
            is real or complex. If they differ, or if the operator is linear over the reals only (as one that
            takes a real part on the way), it acts on real coordinates (re and im of each entry).

        Raises
        ------
        ShapeError
            If the matrix has more than 2**27 entries.
        """
        kinds = {s.kind for space in (self.domain, self.range) for s in spaces_of(space)}
        mixed = len(kinds) > 1 or (kinds == {"complex"} and not _complex_linear(self))
        n, m = (real_size_of(s) if mixed else size_of(s) for s in (self.domain, self.range))
        if m * n > 2**27:
            raise ShapeError(
                f"dense() of a {m} x {n} operator would need {m * n} entries; it is meant for small ones"
            )
        op = self if dtype is None else self.to(dtype)
        real = op.dtype if dtype is None else real_dtype(dtype)  # an operator may have no tensors
        basis = torch.eye(n, dtype=real, device=self.device)
        if "complex" in kinds and not mixed:
            basis = torch.view_as_real(basis + 0j).reshape(n, -1)
        batch = batch_shape(op._apply(unflatten(basis[0], self.domain)), self.range)
        x = unflatten(basis.reshape(n, *(1,) * len(batch), -1), self.domain)
        columns = flatten(op._apply(x), self.range)
        if "complex" in kinds and not mixed:
            columns = torch.view_as_complex(columns.reshape(*columns.shape[:-1], m, 2).contiguous())
        return columns.expand(n, *batch, m).movedim(0, -1)

    @full_precision
    def norm(self, *, rtol: float = 0.1, generator: torch.Generator | None = None) -> Tensor:
        """An upper bound of the spectral norm, at most a factor √(1/(1 - rtol)) above it.

        Uses ``norm_bound()`` where the operator knows one. For a ``nonnegative`` operator the bound is that
        of Collatz and Wielandt, ‖A‖² ≤ max_i (AᴴAv)_i/v_i for any v > 0, with v from a few power iterations.
        Else Lanczos iteration on AᴴA from a random start with as many steps as make the bound fail with
        probability below 1e-6 [1]_.

        Parameters
        ----------
        rtol : float
            Relative margin on the squared norm.
        generator : torch.Generator, optional
            Source of the start vector. By default one with a fixed seed, so that the result is reproducible.

        Returns
        -------
        Tensor, shape (batch...)
            One bound for each operator in the batch of parameters.

        References
        ----------
        .. [1] J. Kuczyński and H. Woźniakowski, "Estimating the largest eigenvalue by the power and Lanczos
           algorithms with a random start", SIAM J. Matrix Anal. Appl. 13 (1992).
        """
        return _spectrum.norm(self, rtol=rtol, generator=generator)

    @full_precision
    def cond(self, *, max_steps: int = 200, generator: torch.Generator | None = None) -> Tensor:
        """The condition number σ_max/σ_min by Golub–Kahan bidiagonalization with full reorthogonalization.

        Exact to rounding when ``max_steps`` reaches the smaller dimension; before that a lower bound.

        Returns
        -------
        Tensor, shape (batch...)
        """
        return _spectrum.cond(self, max_steps=max_steps, generator=generator)

    @full_precision
    def pinv(self, y: Vector, *, rtol: float | None = None, max_steps: int | None = None) -> Vector:
        """The pseudo-inverse A⁺y: the least-squares solution of smallest norm, by LSQR.

        Differentiable implicitly with respect to ``y`` and the parameters ξ (memory does not grow with the
        number of steps), assuming full rank.

        Parameters
        ----------
        y : Tensor, shape (batch..., *range.shape)
        rtol : float, optional
            Relative tolerance on the residual, scale-invariant; default a few ulps of the precision.
        max_steps : int, optional

        Warns
        -----
        ConvergenceWarning
            If the tolerance is not reached.
        """
        return _least_squares.pinv(self, y, rtol=rtol, max_steps=max_steps)


def _shapes_as_spaces(cls: type[Operator]) -> None:
    """Let a shape stand for the space in every field annotated as one, before the author's ``__post_init__``.

    Done here and not in a ``__post_init__`` of `Operator`, which an author would have to remember to call.
    """
    kinds = {n: k for n, k in inspect.get_annotations(cls).items() if k in _SPACES}
    if not kinds:
        return
    check_fields = getattr(cls, "__post_init__", None)

    def __post_init__(self: Any) -> None:
        for name, kind in kinds.items():
            held = getattr(self, name)
            if type(held) is not Space:
                space = as_space(held, f"{cls.__name__}.{name}")
                if kind in _SPACES[:2] and isinstance(space, tuple):
                    raise ShapeError(f"{cls.__name__}.{name} is one space, got {len(space)} blocks: {space}")
                object.__setattr__(self, name, space)
        if check_fields is not None:
            check_fields(self)

    cls.__post_init__ = __post_init__  # type: ignore[attr-defined]


_SPACES: tuple[Any, ...] = (Space, "Space", SpaceLike, "SpaceLike")  # as annotations, evaluated or not


def _complex_linear(op: LinearOperator) -> bool:
    """True if A(ix) = i A(x) on a probe, for an operator between complex spaces."""
    probe = randn(op.domain, generator=torch.Generator().manual_seed(0), dtype=op.dtype, device=op.device)
    turned = flatten(op._apply(tree_map(lambda t: 1j * t, probe)), op.range)
    expected = flatten(tree_map(lambda t: 1j * t, op._apply(probe)), op.range)
    return bool((turned - expected).norm() <= torch.finfo(op.dtype).eps ** 0.5 * expected.norm())
