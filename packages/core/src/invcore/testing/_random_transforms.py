"""Checks for random transforms with explicit draws: ``draw``, ``apply(x, g)``, ``inverse(x, g)``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import DataError, InvcoreError, ParameterError
from .._value import Value
from . import _functions, _generators, _values
from ._checks import fail, require_refused, skip
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import distance, require_same, seeded
from ._values import pickled

_SIZES = ((1, 9, 9), (2, 8, 8), (1, 6, 9), (1, 4, 6, 6), (1, 12))
_CLOSED = 16
"""Groups of at most so many elements are tested for being closed."""


def _smooth(shape: tuple[int, ...], dtype: torch.dtype, seed: int = 0) -> Tensor:
    """A bump that vanishes towards the border, so that interpolation is accurate and nothing leaves."""
    x = torch.ones(shape[0], *(1,) * (len(shape) - 1), dtype=torch.float64)
    for dim, n in enumerate(shape[1:], 1):
        t = torch.arange(n, dtype=torch.float64)
        bump = torch.exp(-(((t - (n - 1) / 2 - 0.3 * seed) / (0.14 * n)) ** 2) / 2)
        x = x * bump.reshape(-1, *(1,) * (len(shape) - 1 - dim))
    return (x * (1 + 0.5j) if dtype.is_complex else x).to(dtype)


def _image(transform: Any, batch: tuple[int, ...] = (), dtype: torch.dtype | None = None) -> Tensor:
    """White noise of the first of the usual shapes, and real where possible, that the transform takes."""
    reasons = []
    for kind in (torch.float64, torch.complex128) if dtype is None else (dtype,):
        for shape in _SIZES:
            x = torch.randn((*batch, *shape), dtype=kind, generator=seeded(101))
            try:
                transform(x, generator=seeded(0))
            except (InvcoreError, RuntimeError, ValueError, IndexError) as error:
                reasons.append(f"{shape}: {type(error).__name__}: {error}")
                continue
            if len(shape) == transform.spatial_dims + 1:
                return x
    fail(f"{type(transform).__name__} accepts none of the usual images: {reasons[:1]}")


def _of_draws(clause: Callable[[Any], None]) -> Callable[[Any], None]:
    def run(transform: Any) -> None:
        clause(lambda batch=(), generator=None: transform.draw(batch, generator=generator))

    run.__name__, run.__doc__ = f"check_draw_{clause.__name__.removeprefix('check_')}", clause.__doc__
    return run


def check_shape(transform: Any) -> None:
    """Shape and dtype stay, for real and complex images, odd and even sizes, any batch."""
    x = _image(transform)
    g = transform.draw(generator=seeded(1))
    for batch in ((), (1,), (3,), (0,), (2, 2)):
        for dtype in (torch.float32, torch.float64, torch.complex64, torch.complex128):
            if x.is_complex() and not dtype.is_complex:
                continue
            image = torch.ones((*batch, *x.shape), dtype=dtype)
            for what in ("apply", "inverse"):
                out = getattr(transform, what)(image, g)
                if out.shape != image.shape or out.dtype != dtype:
                    fail(f"{what} makes {out.dtype} {tuple(out.shape)} of {dtype} {tuple(image.shape)}")


def check_batch_equals_loop(transform: Any) -> None:
    """Each sample is transformed by its own parameters, whatever its batch-mates are."""
    x = _image(transform, (3,))
    g = transform.draw((3,), generator=seeded(2))
    for what in (transform.apply, transform.inverse):
        together = what(x, g)
        for i in range(3):
            require_same(together[i], what(x[i], g[i]), 1e-12, f"a batch differs from its item {i} alone")
        shared = what(x, g[0])
        require_same(shared[1], what(x[1], g[0]), 1e-12, "parameters for all differ from those of each")
    whole = transform(x, generator=seeded(2))
    require_same(whole, transform.apply(x, g), 1e-12, "a call differs from draw and apply")


def check_it_transforms(transform: Any) -> None:
    """Some draws change the image, and not all in the same way."""
    x = _image(transform)
    images = [transform(x, generator=seeded(s)) for s in range(12)]
    if all(distance(y, images[0]) == 0 for y in images):
        fail("twelve draws give the same image")


def check_inverse(transform: Any) -> None:
    """The inverse undoes the transform: to 1e-10 if it says it is exact, else for a smooth image to 10 %."""
    if transform.exact:
        x = _image(transform)
    else:
        d = transform.spatial_dims
        x = _smooth((1, *(33 if i >= d - 2 else 4 for i in range(d))), _image(transform).dtype)
    worst = 0.0
    for seed in range(12):
        g = transform.draw(generator=seeded(seed))
        for there, back in ((transform.apply, transform.inverse), (transform.inverse, transform.apply)):
            worst = max(worst, distance(back(there(x, g), g), x))
    allowed = 1e-10 if transform.exact else 0.1
    if not worst <= allowed:
        fail(f"the inverse of the transform differs from the image by {worst:.2g} (allowed {allowed:g})")


def check_linear(transform: Any) -> None:
    """It is linear in the image, unless it says it is not."""
    x, g = _image(transform, (2,)), transform.draw(generator=seeded(3))
    a, b = 1.3, -0.4
    mixed = transform.apply(a * x[0] + b * x[1], g)
    error = distance(mixed, a * transform.apply(x[0], g) + b * transform.apply(x[1], g))
    if transform.linear and not error <= 1e-10:
        fail(f"it says it is linear, and T(ax + bz) differs from aTx + bTz by {error:.2g}")
    if not transform.linear and error <= 1e-10:
        fail("it says it is not linear, and is")


def check_group(transform: Any) -> None:
    """A finite group holds the identity and all products; ``compose`` gives the parameters of a product."""
    x = _image(transform) if transform.exact else None
    shape = tuple(_image(transform).shape[-transform.spatial_dims :])
    a, b = (transform.draw(generator=seeded(s)) for s in (4, 5))
    try:
        both = transform.compose(a, b)
    except ParameterError:
        both = None
    if both is not None:
        d = transform.spatial_dims
        permutes = x is not None and _permutes(transform, x)
        wide = (1, *(33 if i >= d - 2 else 4 for i in range(d)))
        z = x if x is not None and permutes else _smooth(wide, _image(transform).dtype)
        error = distance(transform.apply(z, both), transform.apply(transform.apply(z, b), a))
        if not error <= (1e-10 if permutes else 0.15):
            fail(f"compose(a, b) differs from b and then a by {error:.2g}")
    try:
        elements = transform.elements(shape)
    except ParameterError:
        if both is None:
            skip("neither products nor a finite group")
        return
    if x is None:
        skip("the elements interpolate")
    images = [transform.apply(x, g) for g in elements]
    if min(distance(y, x) for y in images) > 1e-10:
        fail("the identity is not among the elements")
    if len(elements) > _CLOSED:
        return
    tolerance = 1e-10 if all(_permutes(transform, x, g) for g in elements) else 0.2
    for y in images:
        for h in elements:
            z = transform.apply(y, h)
            if min(distance(z, other) for other in images) > tolerance:
                fail("the product of two elements is no element")


def _permutes(transform: Any, x: Tensor, g: Tensor | None = None) -> bool:
    """True if it moves entries without changing them: products are then exact."""
    g = transform.draw(generator=seeded(4)) if g is None else g
    order = lambda t: torch.view_as_real(t.resolve_conj()).flatten() if t.is_complex() else t.flatten()
    return bool(
        torch.allclose(
            order(transform.apply(x, g)).sort().values, order(x).sort().values, rtol=1e-9, atol=1e-12
        )
    )


def check_pure(transform: Any) -> None:
    """The input is not changed; results repeat, and depend on no global random state."""
    x = _image(transform, (2,))
    g = transform.draw((2,), generator=seeded(6))
    _functions.require_pure("the transform", transform.apply, x, g)
    require_no_global_randomness(lambda: transform(x, generator=seeded(7)), type(transform).__name__)


def check_memory_layouts(transform: Any) -> None:
    """Non-contiguous inputs give what contiguous ones give."""
    x = _image(transform)
    g = transform.draw(generator=seeded(8))
    other = x.movedim(-1, 0).contiguous().movedim(0, -1)
    require_same(
        transform.apply(other, g), transform.apply(x, g), 1e-12, "a transposed layout gives another result"
    )


def check_gradient(transform: Any) -> None:
    """Derivatives reach the image."""
    x = _image(transform).requires_grad_()
    out = transform(x, generator=seeded(9))
    if not out.requires_grad:
        fail("the result does not require grad although the image does: the graph is cut")
    (g,) = torch.autograd.grad(out.abs().square().sum(), [x])
    if not bool(torch.isfinite(g).all()) or not bool((g != 0).any()):
        fail("the derivative to the image is zero or not finite")


def check_nan_is_not_hidden(transform: Any) -> None:
    """NaN in the image raises a DataError or shows in the output."""
    x = torch.full_like(_image(transform), float("nan"))
    try:
        out = transform(x, generator=seeded(0))
    except DataError:
        return
    if bool(torch.isfinite(out).all()):
        fail("an image of NaN gives a finite one: it is hidden")


def check_wrong_input_raises(transform: Any) -> None:
    """Something that is not an image raises an error of invcore's, not a stray one."""
    g = transform.draw(generator=seeded(0))
    x = _image(transform)
    for what, value in (
        ("a number without dimensions", torch.zeros(())),
        ("an integer image", x.real.to(torch.int64)),
        ("a numpy array", x.numpy()),
    ):
        require_refused(what, (InvcoreError,), lambda v=value: transform.apply(v, g))  # type: ignore[misc]
    wrong = transform.draw((2,), generator=seeded(0))
    three = _image(transform, (3,))
    require_refused("parameters of another batch", (InvcoreError,), lambda: transform.apply(three, wrong))


def check_device(transform: Any) -> None:
    """The result is computed on the device of the image."""
    complex_only = _image(transform).is_complex()
    x = _image(transform, (2,), torch.complex64 if complex_only else torch.float32)
    g = transform.draw((2,), generator=seeded(0))
    require_device(lambda device: transform.apply(x.to(device), g), type(transform).__name__)


def check_pickled_copy(transform: Any) -> None:
    """A pickled copy draws and does the same."""
    x = _image(transform, (2,))
    other = pickled(transform)
    if distance(other(x, generator=seeded(1)), transform(x, generator=seeded(1))) > 0:
        fail("the pickled copy gives another result")


def checks(transform: Any) -> list[Callable[[Any], None]]:
    """The checks for a random transform."""
    drawing = (
        _generators.check_batch_shape,
        _generators.check_finite,
        _generators.check_uses_its_generator,
        _generators.check_batch_split_invariance,
    )
    own = [
        check_shape,
        check_batch_equals_loop,
        check_it_transforms,
        check_inverse,
        check_linear,
        check_group,
        check_pure,
        check_memory_layouts,
        check_gradient,
        check_nan_is_not_hidden,
        check_wrong_input_raises,
        check_device,
        check_pickled_copy,
    ]
    return [*own, *map(_of_draws, drawing), *(_values.CHECKS if isinstance(transform, Value) else ())]
