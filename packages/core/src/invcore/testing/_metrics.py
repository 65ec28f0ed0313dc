"""Checks for metrics ``metric(x_hat, x)``, and ``metric(x_hat)`` of those without a reference."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from .._errors import InvcoreError, ParameterError, ShapeError
from . import _functions
from ._checks import fail, require_refused, skip
from ._operator_inputs import require_device, require_no_global_randomness
from ._probes import mapped, require_same, seeded
from ._values import pickled

_SHAPES = ((1, 24, 24), (3, 24, 24), (1, 16, 16, 16), (1, 32), (3, 64, 64), (5, 3))
_NATURAL_SHAPES = ((1, 64, 64), (3, 96, 96), (1, 96, 192), (1, 16, 16, 16), (1, 32))


def _reference(shape: tuple[int, ...], *, complex: bool, dtype: torch.dtype = torch.float64) -> Tensor:
    """Images in [0, 1] that are smooth, with a little texture."""
    t = torch.linspace(0, 3, shape[-1], dtype=torch.float64)
    texture = torch.rand(shape, generator=seeded(81), dtype=torch.float64)
    x = 0.4 + 0.3 * torch.sin(t) * torch.ones(shape, dtype=torch.float64) + 0.2 * texture
    if complex:
        x = x * torch.polar(torch.ones_like(t), t)
        return x.to(torch.complex64 if dtype == torch.float32 else torch.complex128)
    return x.to(dtype)


@functools.lru_cache(maxsize=16)
def natural_image(shape: tuple[int, ...], seed: int = 83) -> Tensor:
    """Dead leaves: overlapping disks of random size and brightness, with the statistics of natural images.

    A metric without a reference is asked to judge such images. One whose fields hold measurements of the
    image, as `invcore.metrics.QNR`, is registered with an example made for ``natural_image((3, 96, 96))``.
    """
    generator = seeded(seed)
    channels, *spatial = shape
    grid = torch.stack(
        torch.meshgrid(*(torch.arange(n, dtype=torch.float64) for n in spatial), indexing="ij"), -1
    )
    x = torch.rand((channels, *(1,) * len(spatial)), generator=generator, dtype=torch.float64).repeat(
        1, *spatial
    )
    for _ in range(400):
        u = torch.rand(len(spatial) + 1 + channels, generator=generator, dtype=torch.float64)
        center = u[: len(spatial)] * torch.tensor(spatial)
        radius = (1 / (u[len(spatial)] * (1 / 1.5**2 - 1 / 24**2) + 1 / 24**2)).sqrt()  # density ~ radius^-3
        inside = (grid - center).square().sum(-1) < radius.square()
        x = torch.where(inside, u[len(spatial) + 1 :].reshape(channels, *(1,) * len(spatial)), x)
    return 0.1 + 0.8 * x


def _natural(shape: tuple[int, ...], batch: tuple[int, ...], *, complex: bool) -> Tensor:
    count = torch.Size(batch).numel()
    x = torch.stack([natural_image(shape, 83 + i) for i in range(count)]).reshape(*batch, *shape)
    if complex:
        t = torch.linspace(0, 3, shape[-1], dtype=torch.float64)
        x = x * torch.polar(torch.ones_like(t), t)
    return x


def _blind(metric: Any) -> bool:
    return bool(getattr(metric, "no_reference", False))


def _value(metric: Any, x_hat: Tensor, x: Tensor) -> Any:
    return metric(x_hat) if _blind(metric) else metric(x_hat, x)


def _pairs(metric: Any, batch: tuple[int, ...] = ()) -> Iterator[tuple[Tensor, Tensor]]:
    """(degraded, reference) for each kind of image that the metric takes."""
    for complex in (False, True):
        for shape in _NATURAL_SHAPES if _blind(metric) else _SHAPES:
            try:
                if _blind(metric):
                    metric(_natural(shape, (), complex=complex))
                    x = _natural(shape, batch, complex=complex)
                else:
                    metric(_reference(shape, complex=complex), _reference(shape, complex=complex))
                    x = _reference((*batch, *shape), complex=complex)
            except (InvcoreError, RuntimeError, ValueError):  # this metric is for other images
                continue
            yield _worse(metric, x, len(shape) - 1, 0.05), x
            break


def _worse(metric: Any, x: Tensor, spatial_dims: int, level: float) -> Tensor:
    """Degrade with noise; without a reference with blur, since sharpness cannot tell noise from detail."""
    return _blurred(x, spatial_dims, 10 * level) if _blind(metric) else _degraded(x, level)


def _degraded(x: Tensor, level: float) -> Tensor:
    noise = torch.randn(x.shape, generator=seeded(82), dtype=x.dtype)
    return x + level * noise


def _blurred(x: Tensor, spatial_dims: int, sigma: float) -> Tensor:
    """Gaussian blur, the image repeated periodically."""
    for axis in range(-spatial_dims, 0):
        frequency = torch.fft.fftfreq(x.shape[axis], dtype=torch.float64)
        transfer = torch.exp(-2 * (torch.pi * sigma * frequency) ** 2)
        blurred = torch.fft.ifft(
            torch.fft.fft(x, dim=axis) * transfer.reshape(-1, *(1,) * (-axis - 1)), dim=axis
        )
        x = blurred if x.is_complex() else blurred.real
    return x


def _require_pairs(metric: Any, batch: tuple[int, ...] = ()) -> list[tuple[Tensor, Tensor]]:
    pairs = list(_pairs(metric, batch))
    if not pairs:
        fail(
            f"{metric!r} accepts none of the usual images, such as shapes "
            f"{', '.join(map(str, _NATURAL_SHAPES if _blind(metric) else _SHAPES))}, real or complex"
        )
    return pairs


def check_one_value_per_sample(metric: Any) -> None:
    """The result is real and has the batch shape, for no batch, (1,), (3,) and (2, 2)."""
    for batch in ((), (1,), (3,), (2, 2)):
        for x_hat, x in _require_pairs(metric, batch):
            out = _value(metric, x_hat, x)
            if not isinstance(out, Tensor) or tuple(out.shape) != batch or not out.is_floating_point():
                got = f"{out.dtype} {tuple(out.shape)}" if isinstance(out, Tensor) else type(out).__name__
                fail(f"images of batch {batch} give {got}; expected one real value per sample")


def check_states_its_direction(metric: Any) -> None:
    """``higher_is_better`` is True or False."""
    if not isinstance(getattr(metric, "higher_is_better", None), bool):
        fail(f"higher_is_better must be True or False, not {getattr(metric, 'higher_is_better', None)!r}")


def check_direction(metric: Any) -> None:
    """A perfect image scores best; more noise (without a reference: more blur) scores worse."""
    levels = (0.0, 0.08, 0.16, 0.3) if _blind(metric) else (0.0, 0.02, 0.08, 0.3)
    for _, x in _require_pairs(metric):
        dims = x.ndim - 1
        scores = [
            float(_value(metric, x if level == 0 else _worse(metric, x, dims, level), x)) for level in levels
        ]
        signed = scores if metric.higher_is_better else [-s for s in scores]
        if any(b > a for a, b in itertools.pairwise(signed)) or not signed[0] > signed[-1]:
            direction = "higher" if metric.higher_is_better else "lower"
            fail(
                f"wrong direction: it says that {direction} is better, but with growing "
                f"{'blur' if _blind(metric) else 'noise'} its values are "
                f"{', '.join(f'{s:.4g}' for s in scores)}"
            )


def check_batch_equals_loop(metric: Any) -> None:
    """A batch gives what its images give one by one, whatever their batch-mates are."""
    for x_hat, x in _require_pairs(metric, (3,)):
        pair = torch.stack([x_hat, x], dim=-1)
        _functions.require_batch_equals_loop(
            "the value", lambda p: _value(metric, *p.unbind(-1)), pair, rtol=1e-10, factor=5
        )


def check_wrong_shapes_raise(metric: Any) -> None:
    """Images of different shapes raise a ShapeError, instead of broadcasting in silence."""
    for x_hat, x in _require_pairs(metric, (2,)):
        for what, other in (("one image against two", x_hat[:1]), ("a shorter image", x_hat[..., 1:])):
            require_refused(what, (ShapeError,), functools.partial(metric, other, x))


def check_reference_is_refused(metric: Any) -> None:
    """A metric with ``no_reference`` refuses a reference by a ParameterError, instead of ignoring it."""
    x_hat, x = _require_pairs(metric)[0]
    require_refused("a reference", (ParameterError,), lambda: metric(x_hat, x))


def check_nan_is_not_hidden(metric: Any) -> None:
    """NaN in a reconstruction gives NaN or an error, and in one sample does not touch the others."""
    for x_hat, x in _require_pairs(metric, (2,)):
        broken = x_hat.clone()
        broken[(0, *(n // 2 for n in broken.shape[1:]))] = float("nan")
        try:
            out = _value(metric, broken, x)
        except InvcoreError:
            continue
        if bool(torch.isfinite(out[0])):
            fail(f"an image with NaN scores {float(out[0]):.4g}; it should be NaN, or raise")
        require_same(
            out[1], _value(metric, x_hat, x)[1], 1e-10, "NaN in one sample changes the value of another"
        )


def check_gradient_at_a_perfect_image(metric: Any) -> None:
    """As a loss it has a finite gradient where the reconstruction is the reference, if it has one at all."""
    for _, x in _require_pairs(metric, (2,)):
        x_hat = x.clone().requires_grad_()
        value = _value(metric, x_hat, x)
        if not value.requires_grad:
            skip("no gradient")
        (gradient,) = torch.autograd.grad(value.sum(), x_hat)
        if not bool(torch.isfinite(gradient).all()):
            fail(
                "where the image equals its reference the gradient is NaN or infinite: a loss would spread it"
            )


def check_pure(metric: Any) -> None:
    """The images are not changed; results repeat, and depend on no global random state."""
    for x_hat, x in _require_pairs(metric, (2,)):
        _functions.require_pure("the metric", lambda a, b: _value(metric, a, b), x_hat, x)
        require_no_global_randomness(lambda a=x_hat, b=x: _value(metric, a, b), type(metric).__name__)  # type: ignore[misc]


def check_precision(metric: Any) -> None:
    """float32 images give float32 values that agree with float64."""
    for x_hat, x in _require_pairs(metric):
        narrow = mapped(lambda t: t.to(torch.complex64 if t.is_complex() else torch.float32), (x_hat, x))
        out = _value(metric, *narrow)
        if out.dtype != torch.float32:
            fail(f"float32 images give {out.dtype}")
        require_same(
            out, _value(metric, x_hat, x), 1e-3, "the value of float32 images differs from that of float64"
        )


def check_device(metric: Any) -> None:
    """The value of images on another device is computed there."""
    x_hat, x = _require_pairs(metric, (2,))[0]
    require_device(lambda device: _value(metric, x_hat.to(device), x.to(device)), type(metric).__name__)


def check_pickle(metric: Any) -> None:
    """A pickled copy gives the same value."""
    other = pickled(metric)
    x_hat, x = _require_pairs(metric)[0]
    require_same(
        _value(other, x_hat, x), _value(metric, x_hat, x), 0.0, "the pickled copy gives another value"
    )


def checks(metric: Any) -> list[Callable[[Any], None]]:
    """The checks for a metric."""
    if not callable(metric):
        skip("not callable")
    return [
        check_states_its_direction,
        check_one_value_per_sample,
        check_direction,
        check_batch_equals_loop,
        check_reference_is_refused if _blind(metric) else check_wrong_shapes_raise,
        check_nan_is_not_hidden,
        check_gradient_at_a_perfect_image,
        check_pure,
        check_precision,
        check_device,
        check_pickle,
    ]
