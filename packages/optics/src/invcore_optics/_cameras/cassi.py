"""Coded-aperture snapshot spectral imaging."""

from __future__ import annotations

import math
from functools import cached_property
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from invcore import ParameterError, ShapeError
from invcore.operators import LinearOperator, Space
from invcore.spaces import broadcast_shapes

from .shear import Shift, add_sheared, fill_unsheared, sheared, shifts, unsheared


class CASSI(LinearOperator):
    r"""A snapshot of spectral images through a coded mask and a disperser (CASSI).

    With :math:`T_d` the shift by d pixels along the direction of dispersion, ``"single"`` disperser [1]_ and
    ``"dual"`` disperser [2]_ are

    .. math::

        y = \sum_k T_{d_k} (m_k \odot x_k), \qquad y = \sum_k (T_{-d_k} m_k) \odot x_k.

    The first shears the coded bands across the detector, the second undoes the shear after the mask, so that
    the picture stays and the mask moves. A shift by a part f of a pixel splits light among two, as squares do
    that overlap two pixels: (1 - f) and f. What falls beside the detector is lost.

    Parameters
    ----------
    mask : Tensor, shape (..., channel or 1, y, x)
        Transmission, as calibrated; leading dimensions are batch. For a dual disperser the mask may be longer
        along the direction of dispersion; it is dark beyond.
    dispersion : Tensor, shape (..., channel)
        d of each band in pixels of the detector; leading dimensions are batch.
    domain : Space
        ``(channel, y, x)``.
    disperser : {"single", "dual"}
    axis : {-1, -2}
        The direction of dispersion: along x or along y.
    detector : int, optional
        Pixels of the detector along this direction, of a single disperser; by default as many as show all
        bands of ``dispersion`` as given here. A dual disperser sees those of the image.

    Returns
    -------
    Tensor, shape (..., 1, y, x + d) for a single disperser along x

    Raises
    ------
    ParameterError, ShapeError

    Notes
    -----
    The cost is linear in the number of pixels and bands. A Aᴴ is diagonal or, for a single disperser with
    parts of pixels, tridiagonal along the direction of dispersion: regularized least squares are solved in
    closed form. The derivative to d is that of linear interpolation, one-sided at whole pixels.

    References
    ----------
    .. [1] A. Wagadarikar, R. John, R. Willett, D. Brady, "Single disperser design for coded aperture snapshot
       spectral imaging", Appl. Opt. 47 (2008).
    .. [2] M. E. Gehm, R. John, D. J. Brady, R. M. Willett, T. J. Schulz, "Single-shot compressive spectral
       imaging with a dual-disperser architecture", Opt. Express 15 (2007).

    Examples
    --------
    >>> mask = torch.tensor([[[1.0, 0.0, 1.0]]])
    >>> A = CASSI(mask=mask, dispersion=torch.tensor([0.0, 1.0]), domain=(2, 1, 3))
    >>> A(torch.tensor([[[1.0, 2.0, 3.0]], [[10.0, 20.0, 30.0]]]))
    tensor([[[ 1., 10.,  3., 30.]]])
    """

    mask: Tensor
    dispersion: Tensor
    domain: Space
    disperser: Literal["single", "dual"] = "single"
    axis: int = -1
    detector: int | None = None
    params = ("mask", "dispersion")
    autograd: ClassVar[Literal["torch", "adjoint"]] = "adjoint"

    def __post_init__(self) -> None:
        if len(self.domain.shape) != 3 or self.domain.kind != "real" or min(self.domain.shape) < 1:
            raise ShapeError(f"CASSI takes real spectral images (channel, y, x), got {self.domain}")
        if self.disperser not in ("single", "dual") or self.axis not in (-1, -2):
            raise ParameterError(
                "CASSI: disperser is 'single' or 'dual' and axis -1 or -2, got "
                f"{self.disperser!r} and {self.axis!r}"
            )
        channels = self.domain.shape[0]
        if not self.dispersion.is_floating_point() or tuple(self.dispersion.shape[-1:]) != (channels,):
            raise ShapeError(
                f"CASSI: dispersion must be real, (..., {channels}), one for each band, got "
                f"{self.dispersion.dtype} {tuple(self.dispersion.shape)}"
            )
        self._check_mask()
        if self.detector is None:
            object.__setattr__(self, "detector", self._default_detector())
        dual = self.disperser == "dual"
        detector = self.detector
        if not isinstance(detector, int) or detector < 1 or (dual and detector != self._length):
            raise ParameterError(
                f"CASSI: detector must be a positive number of pixels, got {detector!r}"
                + (f"; a dual disperser sees the {self._length} of the image" if dual else "")
            )

    def _check_mask(self) -> None:
        shape, held = self.domain.shape, tuple(self.mask.shape[-3:])
        good = self.mask.is_floating_point() and self.mask.ndim >= 3 and held[0] in (1, shape[0])
        for axis in (-1, -2):
            free = self.disperser == "dual" and axis == self.axis
            good = good and (held[axis] >= 1 if free else held[axis] == shape[axis])
        if not good:
            raise ShapeError(
                f"CASSI: mask must be real, (..., 1 or {shape[0]}, {shape[1]}, {shape[2]}), for a dual "
                f"disperser of any length along axis {self.axis}; got {self.mask.dtype} "
                f"{tuple(self.mask.shape)}"
            )

    def _default_detector(self) -> int:
        if self.disperser == "dual" or not self.dispersion.numel():
            return self._length
        return max(1, self._length + math.ceil(float(self.dispersion.detach().max())))

    @property
    def _length(self) -> int:
        """Pixels of the image along the direction of dispersion."""
        return self.domain.shape[self.axis]

    @property
    def _pixels(self) -> int:
        """Pixels of the detector along the direction of dispersion."""
        assert self.detector is not None
        return self.detector

    @property
    def range(self) -> Space:
        shape = [1, *self.domain.shape[1:]]
        shape[self.axis] = self._pixels
        return Space(tuple(shape))

    @cached_property
    def _moves(self) -> tuple[tuple[Shift, ...], ...]:
        """Shifts of the bands, for each item of the batch of dispersions."""
        rows = self.dispersion.detach().double().reshape(-1, self.domain.shape[0]).tolist()
        return tuple(shifts(row) for row in rows)

    def _turned(self, t: Tensor) -> Tensor:
        """With the direction of dispersion along the last axis, or back again."""
        return t if self.axis == -1 else t.mT

    def forward(self, x: Tensor) -> Tensor:
        y = self._over_batch(self._forward, self._turned(x), self._turned(self.mask))
        return self._turned(y).contiguous()

    def adjoint(self, y: Tensor) -> Tensor:
        x = self._over_batch(self._adjoint, self._turned(y), self._turned(self.mask))
        return self._turned(x).contiguous()

    def _over_batch(self, function: Any, *tensors: Tensor) -> Tensor:
        """Call ``function(moves, *tensors)`` for each item of a batch of dispersions, or once."""
        lead = self.dispersion.shape[:-1]
        if not lead:
            return function(self._moves[0], *tensors)
        batch = broadcast_shapes(lead, *(t.shape[:-3] for t in tensors))
        if not math.prod(batch):
            return function(self._moves[0] if self._moves else shifts([0.0] * self.domain.shape[0]), *tensors)
        items = [t.expand(*batch, *t.shape[-3:]).flatten(0, len(batch) - 1) for t in tensors]
        which = torch.arange(len(self._moves)).reshape(lead).expand(batch).flatten().tolist()
        done = [function(self._moves[w], *(t[i] for t in items)) for i, w in enumerate(which)]
        return torch.stack(done).unflatten(0, batch)

    def _forward(self, moves: tuple[Shift, ...], x: Tensor, mask: Tensor) -> Tensor:
        if self.disperser == "dual":
            return (self._code(moves, mask, x) * x).sum(-3, keepdim=True)
        batch = broadcast_shapes(x.shape[:-3], mask.shape[:-3])
        wide = torch.promote_types(x.dtype, mask.dtype)
        y = x.new_zeros(*batch, x.shape[-2], self._pixels, dtype=wide)
        add_sheared(y, mask.to(wide), x.to(wide), moves)
        return y.unsqueeze(-3)

    def _adjoint(self, moves: tuple[Shift, ...], y: Tensor, mask: Tensor) -> Tensor:
        if self.disperser == "dual":
            return self._code(moves, mask, y) * y
        x = y.new_empty(*y.shape[:-3], self.domain.shape[0], y.shape[-2], self._length)
        fill_unsheared(x, y, moves)
        fits = broadcast_shapes(x.shape, mask.shape) == x.shape
        return x.mul_(mask) if fits and torch.result_type(x, mask) == x.dtype else x * mask

    def _code(self, moves: tuple[Shift, ...], mask: Tensor, like: Tensor) -> Tensor:
        """The mask as each band sees it behind a dual disperser."""
        code = mask.new_empty(*mask.shape[:-3], self.domain.shape[0], like.shape[-2], self._length)
        fill_unsheared(code, mask, moves)
        return code

    # The same in torch code, differentiable in everything: what needs no speed.

    @property
    def _part(self) -> Tensor:
        """The part of a pixel in each dispersion, (..., channel, 1, 1)."""
        return (self.dispersion - self.dispersion.detach().floor())[..., None, None]

    def _seen(self, data: Tensor) -> tuple[Tensor, Tensor]:
        """``data`` at the whole shift of each band, and one pixel further."""
        return tuple(  # type: ignore[return-value]
            self._over_batch(lambda moves, t, more=more: unsheared(t, moves, self._length, more), data)
            for more in (0, 1)
        )

    def _moved(self, bands: Tensor, width: int) -> tuple[Tensor, Tensor]:
        """Bands moved by their whole shifts, and by one pixel more."""
        return tuple(  # type: ignore[return-value]
            self._over_batch(lambda moves, t, more=more: sheared(t, moves, width, more), bands)
            for more in (0, 1)
        )

    def vjp_params(self, x: Tensor, v: Tensor) -> dict[str, Tensor]:
        """Gradient of ⟨v, A x⟩ to the mask and to the dispersion."""
        x, v, mask = self._turned(x), self._turned(v), self._turned(self.mask)
        if self.disperser == "single":
            near, far = self._seen(v)
            to_mask = x * (near + self._part * (far - near))
            to_shift = mask * x * (far - near)
        else:
            near, far = self._moved(x * v, mask.shape[-1])
            to_mask = near + self._part * (far - near)
            before, after = self._seen(mask)
            to_shift = x * v * (after - before)
        return {"mask": self._turned(to_mask), "dispersion": to_shift.sum((-2, -1))}

    def norm_bound(self) -> Tensor:
        """The norm itself for whole pixels and for a dual disperser, else Gershgorin's bound."""
        diagonal, beside = self._grams()
        beside = beside.abs()
        rows = diagonal + beside + torch.nn.functional.pad(beside[..., :-1], (1, 0))
        return rows.amax((-3, -2, -1)).sqrt()

    def _grams(self) -> tuple[Tensor, Tensor]:
        graded = self.mask.requires_grad or self.dispersion.requires_grad
        return self._outer_gram() if graded else self._kept_gram

    @cached_property
    def _kept_gram(self) -> tuple[Tensor, Tensor]:
        with torch.inference_mode(False):
            return self._outer_gram()

    def _outer_gram(self) -> tuple[Tensor, Tensor]:
        """A Aᴴ, turned: its diagonal, and the entries beside it (pixel q with q + 1)."""
        mask, part = self._turned(self.mask), self._part
        if self.disperser == "dual":
            near, far = self._seen(mask)
            diagonal = (near + part * (far - near)).square().sum(-3, keepdim=True)
            return diagonal, torch.zeros_like(diagonal)
        power = mask.square().expand(*mask.shape[:-3], self.domain.shape[0], *mask.shape[-2:])
        near, far = self._moved(power, self._pixels)
        diagonal = ((1 - part) ** 2 * near + part**2 * far).sum(-3, keepdim=True)
        beside = ((1 - part) * part * near).sum(-3, keepdim=True)
        return diagonal, torch.nn.functional.pad(beside[..., :-1], (0, 1))  # the last has no next one

    def _ridge(self, y: Tensor | None, z: Tensor | None, weight: Tensor) -> Tensor | None:
        if y is None and z is None:
            return None
        miss: Any = 0.0 if y is None else y
        if z is not None:
            miss = miss - self.forward(z)
        diagonal, beside = self._grams()
        shifted = diagonal + weight[(..., *(None,) * 3)]
        solved = _solve_tridiagonal(shifted, beside, self._turned(miss))
        back = self.adjoint(self._turned(solved))
        return back if z is None else z + back


def _solve_tridiagonal(diagonal: Tensor, beside: Tensor, right: Tensor) -> Tensor:
    """Solve symmetric tridiagonal systems along the last axis; ``beside`` couples q and q + 1."""
    if not bool(beside.any()):
        return right / diagonal
    shape = broadcast_shapes(diagonal.shape, right.shape)
    diagonal, beside, right = (t.expand(shape) for t in (diagonal, beside, right))
    d, b, r = (list(t.unbind(-1)) for t in (diagonal, beside, right))
    for q in range(1, len(d)):
        factor = b[q - 1] / d[q - 1]
        d[q] = d[q] - factor * b[q - 1]
        r[q] = r[q] - factor * r[q - 1]
    x = [r[-1] / d[-1]]
    for q in range(len(d) - 2, -1, -1):
        x.append((r[q] - b[q] * x[-1]) / d[q])
    return torch.stack(x[::-1], -1)
