"""Checks for denoisers D(x, sigma)."""

from __future__ import annotations

import contextlib
import functools
import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from .._errors import DataError, DtypeError, InvcoreError, ParameterError, ShapeError
from ..denoisers import Denoiser, MMSEDenoiser
from ..spaces import Space, vdot
from . import _functions, _values
from ._checks import fail, require_refused, skip
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import distance, item, probe, require_same, seeded

_SIDE = 16


def _space(D: Denoiser, kind: str = "real") -> Space:
    shape = D.shape or (D.channels or 1, *(_SIDE,) * D.spatial_dims)
    return Space(shape, kind)  # type: ignore[arg-type]


def _image(
    D: Denoiser, batch: tuple[int, ...] = (), *, kind: str = "", dtype: torch.dtype = torch.float64
) -> Tensor:
    """A smooth image with an edge, in the range of values of the denoiser; real if it takes real ones."""
    kind = kind or _kinds(D)[0]
    space = _space(D, kind)
    plane = torch.zeros(space.shape, dtype=torch.float64)
    for axis in range(D.spatial_dims):
        t = torch.linspace(0, 1, space.shape[1 + axis], dtype=torch.float64)
        shape = [1] * len(space.shape)
        shape[1 + axis] = -1
        plane = plane + torch.sin(3 * t).reshape(shape) + (t > 0.6).reshape(shape)
    low, high = D.value_range or (0.0, 1.0)
    plane = low + (high - low) * plane / (2 * D.spatial_dims)
    image = plane.expand(*batch, *space.shape).clone()
    if kind == "complex":
        image = image * torch.polar(
            torch.ones((), dtype=torch.float64), torch.tensor(0.7, dtype=torch.float64)
        )
        return image.to(torch.complex128 if dtype == torch.float64 else torch.complex64)
    return image.to(dtype)


def _level(D: Denoiser) -> float:
    """Pick a noise level that the denoiser handles: a tenth of the range of values if possible."""
    low, high = D.sigma_range
    span = (D.value_range[1] - D.value_range[0]) if D.value_range else 1.0
    return min(max(0.1 * span, low), high)


def _noisy(
    D: Denoiser, batch: tuple[int, ...] = (), *, kind: str = "", dtype: torch.dtype = torch.float64
) -> Tensor:
    kind = kind or _kinds(D)[0]
    x = _image(D, batch, kind=kind, dtype=dtype)
    return x + _level(D) * probe(_space(D, kind), batch, dtype=dtype, seed=71)


def _kinds(D: Denoiser) -> list[str]:
    """The kinds of image that it takes."""
    found, refusals = [], []
    for kind in ("real", "complex"):
        try:
            D(_noisy(D, kind=kind), _level(D))
        except InvcoreError as error:
            refusals.append(f"{kind} images: {error}")
        else:
            found.append(kind)
    if not found:
        fail(f"it takes neither real nor complex images of shape {_space(D).shape}: {'; '.join(refusals)}")
    return found


def check_shape_and_precision(D: Denoiser) -> None:
    """The result has the shape, kind and precision of the input, for batches of 0, 1 and 3 too."""
    for kind in _kinds(D):
        for dtype in (torch.float32, torch.float64):
            for batch in ((), (1,), (3,), (0,)):
                x = _noisy(D, batch, kind=kind, dtype=dtype)
                out = D.to(dtype)(x, _level(D))
                if out.shape != x.shape or out.dtype != x.dtype:
                    fail(f"an input {x.dtype} {tuple(x.shape)} becomes {out.dtype} {tuple(out.shape)}")


def check_sigma_per_sample(D: Denoiser) -> None:
    """One noise level per sample gives what each level gives alone; a number is the same as a tensor."""
    level = _level(D)
    low, high = D.sigma_range
    levels = torch.tensor([level, max(level / 2, low), min(level * 2, high)], dtype=torch.float64)
    for kind in _kinds(D):
        x = _noisy(D, (3,), kind=kind)
        together = D.to(torch.float64)(x, levels)
        for i in range(3):
            alone = D.to(torch.float64)(item(x, i), float(levels[i]))
            require_same(
                item(together, i), alone, 1e-10, f"{kind} image: sigma per sample differs from the loop"
            )


def check_batch_equals_loop(D: Denoiser) -> None:
    """A batch gives what its images give one by one, whatever their batch-mates are."""
    E = D.to(torch.float64)
    for kind in _kinds(D):
        _functions.require_batch_equals_loop(
            f"denoising a {kind} image", lambda x: E(x, _level(D)), _noisy(D, (3,), kind=kind)
        )


def check_pure(D: Denoiser) -> None:
    """The input is not changed; results repeat, and depend on no global random state."""
    E, x = D.to(torch.float64), _noisy(D, (2,))
    _functions.require_pure("denoising", lambda v: E(v, _level(D)), x)
    require_no_global_randomness(lambda: E(x, _level(D)), type(D).__name__)


def check_it_denoises(D: Denoiser) -> None:
    """The result for a noisy smooth image, or draw from its density, is nearer to the clean one."""
    E = D.to(torch.float64)
    for kind in _kinds(D):
        clean = _image(D, kind=kind)
        with contextlib.suppress(ParameterError):  # a known density that gives no draws
            clean = E.sample(generator=seeded(73)) if isinstance(E, MMSEDenoiser) else clean
        noisy = clean + _level(D) * probe(_space(D, kind), seed=71)
        before, after = distance(noisy, clean), distance(E(noisy, _level(D)), clean)
        if not after < before:
            fail(
                f"{kind} image: the error is {after:.3g} after and {before:.3g} before denoising at sigma = "
                f"{_level(D):g}"
            )


def check_small_sigma_is_identity(D: Denoiser) -> None:
    """A denoiser that claims to handle sigma = 0 leaves the image alone there."""
    if D.sigma_range[0] > 0:
        skip(f"its smallest noise level is {D.sigma_range[0]:g}")
    if not D.identity_at_zero:
        skip("it states that it removes noise of another kind, too (identity_at_zero is False)")
    x = _noisy(D)
    require_same(D.to(torch.float64)(x, 0.0), x, 1e-3, "D(x, 0) is not x")


def check_scale_equivariance(D: Denoiser) -> None:
    """A denoiser without a range of values (``value_range`` None) adapts: D(s x, s sigma) = s D(x, sigma)."""
    if D.value_range is not None:
        skip(f"it is made for values in {D.value_range}")
    E, x, level = D.to(torch.float64), _noisy(D), _level(D)
    for s in (1e-4, 1e4):
        if not D.sigma_range[0] <= s * level <= D.sigma_range[1]:
            continue
        require_same(
            E(s * x, s * level) / s,
            E(x, level),
            1e-8,
            f"value_range is None, but D({s:g} x, {s:g} sigma) is not {s:g} D(x, sigma)",
        )


def check_gradient(D: Denoiser) -> None:
    """Derivatives reach the input and are finite."""
    x = _noisy(D).requires_grad_()
    out = D.to(torch.float64)(x, _level(D))
    if not out.requires_grad:
        fail("the result does not require grad although the input does: the graph is cut")
    weight = probe(_space(D, _kinds(D)[0]), seed=72)
    (g,) = torch.autograd.grad(vdot(weight, out), [x])
    if not bool(torch.isfinite(g).all()) or not bool((g != 0).any()):
        fail("the derivative to the input is zero or not finite")


def check_wrong_input_raises(D: Denoiser) -> None:
    """Wrong shapes, types and noise levels raise the error for it, with what was expected."""
    x, level = _noisy(D, (2,)), _level(D)
    low, high = D.sigma_range
    cases: list[tuple[str, Any, Any, tuple[type[Exception], ...]]] = [
        ("a missing dimension", _noisy(D)[0], level, (ShapeError,)),
        ("an integer image", torch.ones(_space(D).shape, dtype=torch.int64), level, (DtypeError,)),
        ("a numpy array", x.numpy(), level, (DtypeError,)),
        ("three noise levels for two images", x, torch.full((3,), level), (ShapeError,)),
        ("a noise level NaN", x, math.nan, (DataError, ParameterError)),
        ("a negative noise level", x, -1.0, (ParameterError,)),
    ]
    if math.isfinite(high):
        cases.append((f"a noise level above {high:g}", x, 2 * high + 1, (ParameterError,)))
    if low > 0:
        cases.append((f"a noise level below {low:g}", x, low / 2, (ParameterError,)))
    if D.channels is not None:
        cases.append(("another number of channels", torch.cat([x, x], dim=1), level, (ShapeError,)))
    if D.shape is not None:
        cases.append(("an image twice as wide", torch.cat([x, x], dim=-1), level, (ShapeError,)))
    for what, image, sigma, kinds in cases:
        require_refused(what, kinds, functools.partial(D, image, sigma))


def check_device(D: Denoiser) -> None:
    """Everything works, and stays, on another device; a noise level may be a number or a tensor."""
    x = _noisy(D, (2,), dtype=torch.float32)
    levels = torch.full((2,), _level(D))

    def use(device: torch.device) -> Any:
        E = D.to(device)
        return E(x.to(device), _level(D)), E(x.to(device), levels.to(device))

    require_device(use, type(D).__name__)


def checks(D: Denoiser) -> list[Callable[[Any], None]]:
    """The checks for a denoiser."""
    own = (
        check_shape_and_precision,
        check_sigma_per_sample,
        check_batch_equals_loop,
        check_pure,
        check_it_denoises,
        check_small_sigma_is_identity,
        check_scale_equivariance,
        check_gradient,
        check_wrong_input_raises,
        check_device,
    )
    return [*own, *_values.CHECKS]
