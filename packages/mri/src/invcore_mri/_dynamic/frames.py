"""Frames of a series as a dimension of the image."""

from __future__ import annotations

from torch import Tensor

from invcore import LinearOperator, ParameterError, ShapeError, Space


class Frames(LinearOperator):
    r"""An operator applied to each frame of a series, :math:`y_f = A_f x_f`.

    `Sense` or `NUFFTSense` with a mask or a trajectory for each frame takes frames for a batch, which solvers
    treat one by one. Here they are a dimension of one image, so that priors see how frames resemble each
    other, and maps of parameters what they have in common.

    Parameters
    ----------
    operator : LinearOperator
        A, with the domain ``(channel, *spatial)``. Its parameters that differ from frame to frame carry a
        leading dimension of that size: a mask ``(frame, *spatial)``, a trajectory ``(frame, sample, 2)``.
    frames : int
        Number of frames.

    Raises
    ------
    ShapeError, ParameterError

    Notes
    -----
    Domain ``(channel, frame, *spatial)``: time is one more axis of the image, as in the series that signal
    models make. Range ``(frame, *range of A)``. Further batch dimensions of the parameters come before that
    of the frames; a parameter that is the same for all frames then needs a dimension of 1 in its place.

    Examples
    --------
    >>> import torch
    >>> from invcore_mri import Fourier
    >>> mask = torch.tensor([[[1.0], [0.0]], [[0.0], [1.0]]])  # (frame, y, x)
    >>> A = Frames(Fourier(mask, shape=(2, 4)), 2)
    >>> A.domain.shape, A.range.shape
    ((1, 2, 2, 4), (2, 1, 2, 4))
    """

    operator: LinearOperator
    frames: int

    def __post_init__(self) -> None:
        A = self.operator
        for what, space in (("domain", A.domain), ("range", A.range)):
            if not isinstance(space, Space):
                raise ShapeError(f"Frames: the {what} of the operator must be one tensor, got {space}")
        if not isinstance(self.frames, int) or self.frames < 1:
            raise ParameterError(f"Frames: frames must be a positive whole number, got {self.frames!r}")

    @property
    def domain(self) -> Space:
        channel, *spatial = self.operator.domain.shape  # type: ignore[union-attr]
        return Space((channel, self.frames, *spatial), self.operator.domain.kind)  # type: ignore[union-attr]

    @property
    def range(self) -> Space:
        return Space((self.frames, *self.operator.range.shape), self.operator.range.kind)  # type: ignore[union-attr]

    def forward(self, x: Tensor) -> Tensor:
        return self._fitting(self.operator._apply(self._leading(x)), self.operator.range)

    def adjoint(self, y: Tensor) -> Tensor:
        return self._inside(self._fitting(self.operator._apply_adjoint(y), self.operator.domain))

    def _gram(self, x: Tensor) -> Tensor:
        return self._inside(self._fitting(self.operator._gram(self._leading(x)), self.operator.domain))

    def norm_bound(self) -> Tensor | None:
        """The largest of those of the frames."""
        bound = self.operator.norm_bound()
        return bound if bound is None or bound.ndim == 0 else bound.amax(-1)

    @property
    def _axis(self) -> int:
        """The dimension of frames in an image, from the end."""
        return -len(self.operator.domain.shape)  # type: ignore[union-attr]

    def _leading(self, x: Tensor) -> Tensor:
        """(..., channel, frame, *spatial) to (..., frame, channel, *spatial)."""
        return x.movedim(self._axis, self._axis - 1)

    def _inside(self, x: Tensor) -> Tensor:
        """The inverse of `_leading`."""
        return x.movedim(self._axis - 1, self._axis)

    def _fitting(self, v: Tensor, space: object) -> Tensor:
        """What the operator returned, if its parameters are of as many frames."""
        assert isinstance(space, Space)
        got = v.shape[v.ndim - len(space.shape) - 1]
        if got != self.frames:
            raise ShapeError(
                f"Frames: the parameters of {type(self.operator).__name__} are for {got} frames, not "
                f"{self.frames}"
            )
        return v
