"""The one autograd function through which foreign backends (numpy, numba, finufft, astra) differentiate.

The backward of ``A`` is ``A.H`` applied *through this same function*, and the other way round, so derivatives
of every order survive. Gradients with respect to parameters ξ come from the operator's ``vjp_params``.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.autograd import forward_ad

from .._errors import ParameterError, SolverError
from ..spaces import Space, batch_shape, broadcast_shapes

if TYPE_CHECKING:
    from ._base import LinearOperator


def under_transform() -> bool:
    """True if a transform of `torch.func` (vmap, grad, jvp, ...) is at work: tensors may then be its tracers.

    For operators with a second, faster path that writes into buffers or calls compiled code: take it only
    where this is False. True if torch does not say.

    Examples
    --------
    >>> under_transform()
    False
    >>> seen = []
    >>> _ = torch.func.vmap(lambda x: (seen.append(under_transform()), x)[1])(torch.ones(2))
    >>> seen
    [True]
    """
    peek = getattr(getattr(torch._C, "_functorch", None), "peek_interpreter_stack", None)
    return peek is None or peek() is not None


@contextlib.contextmanager
def plainly_saved() -> Iterator[None]:
    """Save tensors for backward as they are, without the hooks that a checkpoint sets on them.

    The transforms of `torch.func` refuse to run under such hooks. What is differentiated through them is then
    kept, as without checkpoints; the rest of a step is still computed again. Where torch does not give the
    hooks out they stay, and torch refuses.

    Examples
    --------
    >>> double = lambda t: t.double()
    >>> with torch.autograd.graph.saved_tensors_hooks(double, lambda t: t), plainly_saved():
    ...     y = torch.func.vjp(torch.sin, torch.zeros(1))[1](torch.ones(1))[0]
    >>> y
    tensor([1.])
    """
    graph: Any = getattr(torch._C, "_autograd", None)
    hooks = []
    if hasattr(graph, "_top_saved_tensors_default_hooks"):
        while (pair := graph._top_saved_tensors_default_hooks(False)) is not None:
            hooks.append(pair)
            graph._pop_saved_tensors_default_hooks()
    try:
        yield
    finally:
        for pair in reversed(hooks):
            graph._push_saved_tensors_default_hooks(*pair)


def applied(function: type[torch.autograd.Function], *inputs: Any) -> Any:
    """``function.apply(*inputs)``, without the cost of a graph where no derivative is under way.

    That cost, some 60 µs, is what a small image takes.

    Examples
    --------
    >>> class Twice(torch.autograd.Function):
    ...     @staticmethod
    ...     def forward(x): return 2 * x
    ...     @staticmethod
    ...     def setup_context(ctx, inputs, output): ...
    ...     @staticmethod
    ...     def backward(ctx, v): return 2 * v
    >>> applied(Twice, torch.ones(1))
    tensor([2.])
    >>> applied(Twice, torch.ones(1, requires_grad=True))
    tensor([2.], grad_fn=<TwiceBackward>)
    """
    graded = torch.is_grad_enabled() and any(isinstance(t, Tensor) and t.requires_grad for t in inputs)
    if graded or under_transform() or forward_ad._current_level >= 0:
        return function.apply(*inputs)
    with torch.no_grad():
        return function.forward(*inputs)


def broadcast_to_sum(x: Tensor, shape: torch.Size) -> Tensor:
    """Sum ``x`` over the dimensions that broadcasting added to ``shape``."""
    return x if x.shape == shape else x.sum_to_size(shape)


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(gradient: Tensor, reason: str, *depends: Tensor) -> Tensor:
        return gradient.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.reason = inputs[1]

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor | None, ...]:
        raise SolverError(f"Differentiated once too often: {ctx.reason}.")


def differentiable_once(gradient: Tensor, reason: str, *depends: Tensor) -> Tensor:
    """A gradient that a backward pass returns, with a graph that refuses to differentiate it again.

    The graph leads to all tensors that the gradient depends on, so that no form of call goes around it:
    `torch.autograd.function.once_differentiable` is bypassed by ``torch.autograd.grad(g, inputs)``.
    """
    if not torch.is_grad_enabled():
        return gradient
    return _Once.apply(gradient.detach(), reason, *depends)


class _GradientOnce(torch.autograd.Function):
    @staticmethod
    def forward(x: Tensor, reason: str) -> Tensor:
        return x.clone()

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        x, ctx.reason = inputs
        ctx.save_for_backward(x)

    @staticmethod
    def backward(ctx: Any, v: Tensor) -> tuple[Tensor, None]:
        return differentiable_once(v, ctx.reason, v, *ctx.saved_tensors), None


def gradient_once(x: Tensor, reason: str) -> Tensor:
    """``x``, whose gradient refuses to be differentiated again."""
    return _GradientOnce.apply(x, reason)


class _Foreign(torch.autograd.Function):
    @staticmethod
    def forward(op: LinearOperator, adjoint: bool, x: Tensor, *params: Tensor) -> Tensor:
        held = op._parameters
        plain = {n: _materialized(p) for n, p in zip(held, params)}
        if any(plain[n] is not held[n] for n in held):  # else the operator keeps what it has cached
            op = op.bind(**plain)
        return _looped(op, adjoint, _materialized(x))

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
        ctx.op, ctx.adjoint_direction, x, *params = inputs
        ctx.save_for_backward(x, *params)
        ctx.save_for_forward(x, *params)
        ctx.set_materialize_grads(False)

    @staticmethod
    def backward(ctx: Any, v: Tensor | None) -> tuple[Tensor | None, ...]:
        x, *params = ctx.saved_tensors
        if v is None:
            return (None,) * (3 + len(params))
        held = ctx.op.parameters()
        names, op = list(held), ctx.op
        if any(p is not held[n] for n, p in zip(names, params)):
            op = op.bind(**dict(zip(names, params)))
        grad_x = None
        if ctx.needs_input_grad[2]:
            grad_x = broadcast_to_sum(call_foreign(op, not ctx.adjoint_direction, v), x.shape)
        grads: list[Tensor | None] = [None] * len(params)
        if any(ctx.needs_input_grad[3:]):
            # <v, A^H y> = <A v, y>: in the adjoint direction the two arguments change places
            pulled = op.vjp_params(v, x) if ctx.adjoint_direction else op.vjp_params(x, v)
            if pulled is None:
                wanted = [n for n, need in zip(names, ctx.needs_input_grad[3:]) if need]
                raise ParameterError(
                    f"{type(op).__name__} does not define vjp_params, so there is no gradient with respect "
                    f"to {wanted}. Define vjp_params(x, v), or detach the parameter."
                )
            for i, (name, p) in enumerate(zip(names, params)):
                if ctx.needs_input_grad[3 + i] and name in pulled:
                    grads[i] = broadcast_to_sum(pulled[name], p.shape)
        return (None, None, grad_x, *grads)

    @staticmethod
    def jvp(ctx: Any, *tangents: Any) -> Tensor:
        x, *_ = ctx.saved_tensors
        _, _, dx, *dparams = tangents
        if any(t is not None for t in dparams):
            raise ParameterError(
                f"{type(ctx.op).__name__}: forward-mode derivatives reach x, not the parameters"
            )
        return call_foreign(ctx.op, ctx.adjoint_direction, dx if dx is not None else torch.zeros_like(x))

    @staticmethod
    def vmap(
        info: Any, in_dims: tuple[Any, ...], op: Any, adjoint: bool, x: Tensor, *params: Tensor
    ) -> tuple[Tensor, int]:
        if any(d is not None for d in in_dims[3:]):
            raise ParameterError(
                "vmap over the parameters of a foreign operator: give them a leading batch dimension instead"
            )
        if in_dims[2] is None:
            x = x.expand(info.batch_size, *x.shape)
        else:
            x = x.movedim(in_dims[2], 0)
        return _Foreign.apply(op, adjoint, x, *params), 0


def call_foreign(op: LinearOperator, adjoint: bool, x: Tensor) -> Tensor:
    """Apply ``op`` (or its adjoint) to ``x`` with derivatives of every order in x and ξ."""
    return applied(_Foreign, op, adjoint, x, *op._parameters.values())


def _materialized(t: Tensor) -> Tensor:
    """Without the lazy conjugate and negative bits, which numpy and compiled code do not know."""
    return t.resolve_conj().resolve_neg()


def _looped(op: LinearOperator, adjoint: bool, x: Tensor) -> Tensor:
    """Call the author's code on a tensor that other libraries can read, item by item if it takes no batch."""
    x = x.detach().resolve_conj().resolve_neg()
    function, space = (op.adjoint, op.range) if adjoint else (op.forward, op.domain)
    if op.batched:
        return function(x)
    assert isinstance(space, Space)
    batch = batch_shape(x, space)
    leading = {n: p.shape[: p.ndim - op.param_ndim.get(n, p.ndim)] for n, p in op.parameters().items()}
    batch = broadcast_shapes(batch, *leading.values())
    items = x.expand(*batch, *space.shape).reshape(-1, *space.shape)
    columns = {
        n: p.expand(*batch, *p.shape[len(leading[n]) :]).reshape(-1, *p.shape[len(leading[n]) :])
        for n, p in op.parameters().items()
        if leading[n]
    }
    out_space = op.domain if adjoint else op.range
    assert isinstance(out_space, Space)
    results = []
    for i, item in enumerate(items):
        one = op.bind(**{n: c[i] for n, c in columns.items()})
        results.append(one.adjoint(item) if adjoint else one.forward(item))
    if not results:
        return x.new_zeros((*batch, *out_space.shape), dtype=op._out_dtype(x, out_space))
    return torch.stack(results).reshape(*batch, *out_space.shape)
