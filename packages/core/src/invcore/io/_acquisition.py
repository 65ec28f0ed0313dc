"""`Acquisition`, what reading a file gives, `Reader`, what reads it, and `Output`, what is made of the result."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from .._errors import DataError

if TYPE_CHECKING:
    from .._physics import Physics


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Acquisition:
    """Measurements, the physics that explains them, and what the file says about them.

    Parameters
    ----------
    y : Tensor or tuple of Tensor
        The measurements, an element of ``physics.range`` with any batch dimensions in front.
    physics : Physics
        Operator and noise, calibrated where the format allows it.
    metadata : mapping
        Facts from the file by name, with units in the name or the value (``"repetition_time_s": 0.5``).
    defaults : mapping of str to str
        Registered names that suit these data by kind, such as ``{"solver": "cg"}``, and for that solver ``"rtol"``, the tolerance
        at which it is done, such as ``"1e-4"``, and ``"weight"``, its regularization weight; used by ``invcore reconstruct`` where
        the user names none.
    output : Output, optional
        How ``invcore reconstruct`` shows the result, and which files of the field it writes besides its own.

    Examples
    --------
    >>> from invcore import Physics, Space
    >>> from invcore.operators import Identity
    >>> acq = Acquisition(y=torch.zeros(1, 4, 4), physics=Physics(operator=Identity(domain=Space((1, 4, 4)))))
    >>> acq.y.shape
    torch.Size([1, 4, 4])
    """

    y: Any
    physics: Physics
    metadata: Mapping[str, Any] = field(default_factory=dict)
    defaults: Mapping[str, str] = field(default_factory=dict)
    output: Output | None = None

    def __repr__(self) -> str:
        operator = getattr(self.physics, "operator", self.physics)
        noise = getattr(self.physics, "noise", None)
        parts = [f"y={_shape_text(self.y)}", f"operator={type(operator).__name__}"]
        if noise is not None:
            parts.append(f"noise={type(noise).__name__}")
        if self.metadata:
            parts.append(f"metadata=<{len(self.metadata)} entries>")
        if self.defaults:
            parts.append(f"defaults={dict(self.defaults)}")
        return f"Acquisition({', '.join(parts)})"

    def to(self, target: torch.device | str | torch.dtype) -> Acquisition:
        """Return a copy with measurements and physics on another device or in another precision."""
        from .._value import _moved

        return replace(self, y=_moved(self.y, target), physics=self.physics.to(target))


class Output:
    """How a reconstruction is shown, and written in the formats of its field; a reader puts one into its `Acquisition`.

    Override what the field needs; this base class shows the image as it is and writes nothing.

    Attributes
    ----------
    fit_scale : bool
        Whether ``--reference`` is compared after the best scalar fit, which suits images without units.

    Examples
    --------
    >>> class DepthMap(Output):
    ...     fit_scale = False
    ...     def pictures(self, x): return {"Depth in m": x[..., :1, :, :], "Reflectivity": x[..., 1:2, :, :]}
    >>> list(DepthMap().pictures(torch.zeros(2, 8, 8)))
    ['Depth in m', 'Reflectivity']
    """

    fit_scale: ClassVar[bool] = True

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        """What to show of ``x`` (batch..., channel, *spatial), by caption; the first is the one compared with a reference."""
        return {"Reconstruction": x}

    def write(self, folder: Path, x: Tensor, record: Mapping[str, Any]) -> Mapping[str, Path]:
        """Write further files into ``folder``, and return them by role.

        Parameters
        ----------
        folder : Path
            A temporary folder: files appear in the user's folder all together at the end.
        x : Tensor
            The reconstruction.
        record : mapping
            How it was made, as `provenance` gives it.
        """
        return {}


class Reader(ABC):
    """Base class of readers: one file format, registered with kind ``"reader"``.

    A reader is made without arguments. `sniff` must be cheap and must not raise: it looks at the name and
    the first bytes. The keyword parameters of ``read`` are the options a user may pass to `invcore.read`.

    Examples
    --------
    >>> class TextReader(Reader):
    ...     def sniff(self, path): return path.suffix == ".txt"
    ...     def read(self, path): ...
    >>> TextReader().sniff(Path("data.txt"))
    True
    """

    @abstractmethod
    def sniff(self, path: Path) -> bool:
        """Whether this looks like a file (or folder) that `read` can read."""

    @abstractmethod
    def read(self, path: Path, *args: Any, **options: Any) -> Acquisition:
        """Read it. A subclass names its options as keyword-only parameters instead of ``*args, **options``.

        Raises
        ------
        DataError
            If the file is truncated, contradicts itself, holds NaN, or lacks something; the message names
            the file, what was expected and what was found.
        """

    def reference(self, path: Path) -> Tensor:
        """The image that a complete file of this format shows by itself, ``(batch..., channel, *spatial)``.

        What ``invcore reconstruct --reference FILE`` compares with. Optional. An override may take
        options of `read` as keywords, such as the slice; it is then given what the user set.

        Raises
        ------
        DataError
            If the format, or this file, gives no such image.
        """
        raise DataError(
            f"{type(self).__name__} gives no reference image; use a reconstruction.h5 as the reference"
        )


def _shape_text(y: Any) -> str:
    if isinstance(y, Tensor):
        return f"{str(y.dtype).removeprefix('torch.')}{list(y.shape)}"
    if isinstance(y, tuple):
        return "(" + ", ".join(map(_shape_text, y)) + ")"
    return type(y).__name__
