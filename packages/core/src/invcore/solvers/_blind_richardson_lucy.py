"""Richardson–Lucy deconvolution with an unknown kernel."""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from .._errors import ParameterError
from .._physics import Physics
from .._problem import Problem, inverse_sums, sensitivity
from ..fidelities import PoissonKL
from ..operators import LinearOperator
from ..priors import Prior, Simplex
from ..spaces import norm
from ._blind import Blind, moved, own_space
from ._mlem import RichardsonLucy, em, of_counts
from ._nonnegative import positive_start


class _State(NamedTuple):
    x: Tensor
    parameter: Tensor
    change: Tensor


class BlindRichardsonLucy(Blind):
    r"""Image and kernel of Poisson counts, y ~ Poisson(k * x + b), by turns of Richardson–Lucy steps [1]_.

    .. math::
        k \leftarrow \frac{k}{X^{\mathsf H} 1} ⊙ X^{\mathsf H} \frac{y}{X k + b}, \qquad
        x \leftarrow \frac{x}{K^{\mathsf H} 1} ⊙ K^{\mathsf H} \frac{y}{K x + b},

    first ``kernel_steps`` of the one, with X the convolution with the image as it is, then ``image_steps`` of
    the other. Without a prior no step lowers the likelihood, and x and k stay non-negative. After its steps
    the kernel is scaled to the sum one in each of its channels, and the image so that k * x stays. An entry
    that is zero stays zero: the size of the kernel, and where it starts positive, is its support.

    The operator is linear in its kernel: a `invcore.operators.Convolution` with any boundary (with "valid"
    the image is larger than the data, by what may have been blurred into them), or one followed by a crop, a
    mask, a sampling. Start from a wide kernel: a point is a fixed point, and the image then the data.
    Whether it has become one is checked, and a warning says so.

    Parameters
    ----------
    kernel_steps, image_steps : int
        Steps in a turn.
    fidelity : PoissonKL, optional
        Holds the background b ≥ 0 and the gain. By default the likelihood of the noise if that is Poisson,
        else ``PoissonKL()``.
    prior : Prior, optional
        g of the image, with a gradient: x ↦ … ⊙ 1/(Kᴴ1 + λ∇g(x)), the one-step-late rule.
    weight : float or Tensor, shape (batch...)
        λ.
    rtol : float
        Stop, per sample, when neither x nor k moves by more than rtol of its size in a turn.

    References
    ----------
    .. [1] D. Fish, A. Brinicombe, E. Pike, J. Walker, "Blind deconvolution by means of the Richardson–Lucy
       algorithm", J. Opt. Soc. Am. A 12 (1995).

    Examples
    --------
    >>> from invcore.operators import Convolution
    >>> x = torch.tensor([[0.0, 8.0, 0.0, 0.0, 4.0, 0.0]])
    >>> blur = Convolution(torch.tensor([[0.1, 0.6, 0.3]]), domain=(1, 6))
    >>> start = blur.bind(kernel=torch.full((1, 3), 1 / 3))
    >>> solution = BlindRichardsonLucy(max_steps=4).solve(blur(x), Physics(start))
    >>> solution.physics.operator.kernel.argmax(), solution.physics.operator.kernel.sum().round(decimals=4)
    (tensor(1), tensor(1.))
    """

    kernel_steps: int = 1
    image_steps: int = 5
    fidelity: PoissonKL | None = None
    prior: Prior | None = None
    weight: float | Tensor = 1.0
    max_steps: int = 200
    rtol: float = 1e-4
    params: ClassVar[tuple[str, ...]] = ("weight",)

    def __post_init__(self) -> None:
        for name in ("kernel_steps", "image_steps"):
            count = getattr(self, name)
            if not (isinstance(count, int) and count >= 1):
                raise ParameterError(
                    f"BlindRichardsonLucy: {name} must be a whole number >= 1, got {count!r}"
                )

    @property
    def requires_nonnegative(self) -> bool:
        return True

    @property
    def monotone(self) -> bool:
        """True if the objective falls in each step."""
        return self.prior is None

    @property
    def parameter_prior(self) -> Prior:
        """The kernel is non-negative, and of sum one in each channel."""
        return Simplex()

    def problem(self, y: Any, physics: Physics, x0: Any = None) -> Problem:
        return of_counts(super().problem(y, physics, x0))

    def init(self, problem: Problem) -> _State:
        kernel = self.first(problem)
        if kernel.is_complex() or bool((kernel < 0).any()):
            raise ParameterError(
                "BlindRichardsonLucy: the kernel to start from must be real and not negative"
            )
        dims = self._dims(problem, kernel)
        if not bool((kernel.sum(dims) > 0).all()):
            raise ParameterError(
                "BlindRichardsonLucy: the kernel to start from is zero: start from a wide one"
            )
        unit = kernel / kernel.sum(dims, keepdim=True)
        posed = self.bound(problem, unit)
        x = positive_start(self, posed)
        if x.numel() and not isinstance(self.map(problem, unit, x), LinearOperator):
            raise ParameterError(
                f"BlindRichardsonLucy: {type(problem.A).__name__} is not linear in "
                f"{self.name(problem.A)!r}: use 'blind_alternating' or 'variable_projection'"
            )
        return _State(x, unit, torch.full_like(norm(x, problem.space), torch.inf))

    def _dims(self, problem: Problem, kernel: Tensor) -> tuple[int, ...]:
        """The spatial dimensions of the kernel."""
        d = len(problem.image_space.shape) - 1
        if d == 0 or kernel.ndim <= d:
            raise ParameterError(
                f"BlindRichardsonLucy: {self.name(problem.A)!r} must be a kernel (..., channel or 1, *k) "
                f"of as many spatial dimensions as the image {problem.space}, got {tuple(kernel.shape)}"
            )
        return tuple(range(-d, 0))

    def step(self, problem: Problem, state: _State) -> _State:
        x, kernel = state.x, state.parameter
        posed = _floored(problem)
        background: Any = posed.fidelity
        X: Any = self.map(posed, kernel, x)
        inverse = inverse_sums(sensitivity(X, posed.y), X.domain)
        for _ in range(self.kernel_steps):
            kernel = em(X, posed.y, kernel, background.background, inverse)
        total = kernel.sum(self._dims(posed, kernel), keepdim=True)
        some = total > 0
        total = torch.where(some, total, 1)
        kernel, x = torch.where(some, kernel / total, state.parameter), x * total
        posed = self.bound(posed, kernel)
        for _ in range(self.image_steps):
            x = RichardsonLucy().fixed_point(posed, x)
        change = torch.maximum(
            moved(x, state.x, problem.space), moved(kernel, state.parameter, own_space(problem, kernel, x))
        )
        return _State(x, kernel, change)

    def converged(self, problem: Problem, state: _State) -> Tensor:
        return state.change <= self.rtol


def _floored(problem: Problem) -> Problem:
    """The problem with a background that is seen by no rounding of a Fourier transform, at least.

    Where almost nothing is expected the ratio y/(k * x) would be that of a datum to a rounding error.
    """
    fidelity: Any = problem.fidelity

    def floor(y: Tensor, b: Any, space: Any) -> Tensor:
        dims = tuple(range(-len(space.shape), 0))
        least = torch.finfo(y.dtype).eps ** 0.75 * y.abs().mean(dims, keepdim=True)
        return torch.maximum(torch.as_tensor(b, dtype=y.dtype, device=y.device), least)

    y, held = problem.y, fidelity.background
    if not isinstance(y, tuple):
        return problem.replace(fidelity=fidelity.bind(background=floor(y, held, problem.A.range)))
    each = held if isinstance(held, tuple) else (held,) * len(y)
    parts = tuple(floor(*three) for three in zip(y, each, problem.A.range, strict=True))  # type: ignore[arg-type]
    return problem.replace(fidelity=fidelity.bind(background=parts))
