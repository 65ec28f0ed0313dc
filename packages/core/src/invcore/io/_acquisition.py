"""`Acquisition`: data and physics. `Reader`: one file format. `Output`: pictures and files of a result."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from .._contract import check_methods
from .._errors import DataError, ParameterError
from .._registry.lookup import check_parameters
from ..operators import LinearOperator
from ._placement import Placement

if TYPE_CHECKING:
    from .._physics import Physics
    from ..solvers import Solution


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
        Three are used: ``"voxel_m"``, a length or one for each spatial dimension of the image, is the size of
        a voxel in NIfTI files, pictures and priors; ``"placement"``, a table of ``center_m``, ``directions``
        and ``thickness_m``, says where the image lies in the patient (`Placement`); ``"notes"``, a list of
        sentences, is said on the terminal.
    solver : mapping
        The solver that suits these data, as the ``[solver]`` table of a problem: its registered name and
        parameters, such as ``{"name": "fista", "rtol": 1e-4, "prior": {"name": "tv"}}``. ``invcore
        reconstruct`` and ``invcore run`` use what the user leaves open: ``rtol`` for any solver, the rest for
        this one.
    left_out : tuple of str
        What of the file is not used, a sentence each: numbers, reason, and the option that brings it back if
        there is one, as in ``"one of 3 slices used; slice= chooses"``. It is said on the terminal, in the
        report and in the record.
    output : Output
        How a reconstruction is shown, and the files of the field that are written with it.

    Examples
    --------
    >>> from invcore import Physics
    >>> from invcore.operators import Identity
    >>> acq = Acquisition(y=torch.zeros(1, 4, 4), physics=Physics(Identity((1, 4, 4))))
    >>> acq.y.shape
    torch.Size([1, 4, 4])
    """

    y: Any
    physics: Physics
    metadata: Mapping[str, Any] = field(default_factory=dict)
    solver: Mapping[str, Any] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    output: Output = field(default_factory=lambda: Output())

    def __post_init__(self) -> None:
        if isinstance(self.left_out, str) or not all(isinstance(item, str) for item in self.left_out):
            raise ParameterError(f"Acquisition: left_out is a tuple of sentences, got {self.left_out!r}")

    @property
    def voxel_size(self) -> tuple[float, ...] | None:
        """Voxel in meters along each spatial dimension of the image, if ``metadata["voxel_m"]`` has it.

        Raises
        ------
        DataError
            If that is neither a positive length nor one for each spatial dimension.
        """
        given = self.metadata.get("voxel_m")
        if given is None:
            return None
        dims = len(self.physics.domain.shape) - 1  # type: ignore[union-attr]
        try:
            sizes = tuple(float(h) for h in (given if isinstance(given, list | tuple) else [given] * dims))
        except (TypeError, ValueError):
            sizes = ()
        if len(sizes) != dims or not all(0 < h < float("inf") for h in sizes):
            raise DataError(f"voxel_m must be a positive length, or {dims} of them, got {given!r}")
        return sizes

    @property
    def placement(self) -> Placement | None:
        """Where the image lies in the patient, if ``metadata["placement"]`` has it."""
        return Placement.of(self.metadata)

    def __repr__(self) -> str:
        operator = getattr(self.physics, "operator", self.physics)
        noise = getattr(self.physics, "noise", None)
        parts = [f"y={_shape_text(self.y)}", f"operator={type(operator).__name__}"]
        if noise is not None:
            parts.append(f"noise={type(noise).__name__}")
        if self.metadata:
            parts.append(f"metadata=<{len(self.metadata)} entries>")
        if self.solver:
            parts.append(f"solver={dict(self.solver)}")
        return f"Acquisition({', '.join(parts)})"

    def to(self, target: torch.device | str | torch.dtype) -> Acquisition:
        """Return a copy with measurements and physics on another device or in another precision."""
        from .._value import _moved

        return replace(self, y=_moved(self.y, target), physics=self.physics.to(target))


class Output:
    """Pictures of a reconstruction, and files in formats of its field; part of an `Acquisition`.

    Override what the field needs; this base class shows the image, beside it the adjoint of the data, and
    writes nothing.

    Attributes
    ----------
    fit_scale : bool
        Whether ``--reference`` is compared after the best scalar fit, which suits images without units.
    nifti : bool
        Whether the image is written as NIfTI too unless the user says, which suits medical images.

    Examples
    --------
    >>> class DepthMap(Output):
    ...     fit_scale = False
    ...     def pictures(self, x): return {"Depth in m": x[..., :1, :, :], "Reflectivity": x[..., 1:2, :, :]}
    >>> list(DepthMap().pictures(torch.zeros(2, 8, 8)))
    ['Depth in m', 'Reflectivity']
    """

    fit_scale: ClassVar[bool] = True
    nifti: ClassVar[bool] = False

    def pictures(self, x: Tensor) -> Mapping[str, Tensor]:
        """Return images of ``x`` (batch..., channel, *spatial) by caption. The first is the one compared."""
        return {"Reconstruction": x}

    def estimated(self, solution: Solution) -> Mapping[str, Tensor]:
        """Return images of what a blind solver found besides the image, by caption: a probe, a kernel."""
        return {}

    def first(self, acquisition: Acquisition) -> tuple[str, Tensor] | None:
        """Return caption and image of a quick direct method, written before the solver runs; or None."""
        return None

    def beside(self, acquisition: Acquisition) -> Mapping[str, Tensor]:
        """Return images to show beside the reconstruction, by caption, such as one by a direct method."""
        operator = acquisition.physics.operator
        if not isinstance(operator, LinearOperator):
            return {}
        return {"Adjoint of the data (no reconstruction)": operator.H(acquisition.y)}

    def summary(self, acquisition: Acquisition) -> str:
        """Describe the measurements in one line, for the terminal."""
        sigma = acquisition.metadata.get("sigma")
        parts = [type(acquisition.physics.operator).__name__, f"data {_sizes(acquisition.y)}"]
        return ", ".join(parts if sigma is None else [*parts, f"noise {sigma:.3g}"])

    def remarks(self, x: Tensor) -> tuple[str, ...]:
        """Return sentences on what is doubtful in the image ``x``, as seen from the field, with numbers.

        Terminal, report and record repeat them.
        """
        return ()

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


@dataclass(frozen=True)
class NearMiss:
    """Why a file is not quite one that a reader can read: `Reader.sniff` may return it in place of False.

    If no other reader recognizes the file, the reason is what the user reads.

    Parameters
    ----------
    reason : str
        What the file is, what it lacks, and what to do.

    Examples
    --------
    >>> near = NearMiss("a TIFF without angles: a text file scan.angles.txt beside it gives them")
    >>> bool(near)
    False
    """

    reason: str

    def __bool__(self) -> bool:
        return False


class Reader(ABC):
    """Base class of readers: one file format, registered with kind ``"reader"``.

    A reader is made without arguments. `sniff` must be cheap and must not raise: it looks at the name and the
    first bytes. A subclass writes `sniff`, `_read`, for formats that store a complete scan `_reference`, and
    lists its options in a frozen dataclass `Options`, where each has a type, a default and a line of
    documentation. Users pass them as keywords: ``invcore.read(path, slice=3)``, ``--option slice=3``, or
    ``options = { slice = 3 }`` in the ``[data]`` section of a problem.

    Examples
    --------
    >>> from dataclasses import dataclass
    >>> class TextReader(Reader):
    ...     @dataclass(frozen=True, kw_only=True)
    ...     class Options:
    ...         column: int = 0
    ...     def sniff(self, path): return path.suffix == ".txt"
    ...     def _read(self, path, options): ...
    >>> TextReader().sniff(Path("data.txt"))
    True
    >>> TextReader().read("data.txt", row=1)
    Traceback (most recent call last):
        ...
    invcore._errors.ParameterError: reader 'TextReader' has no parameter 'row'. It takes column.
    """

    @dataclass(frozen=True, kw_only=True)
    class Options:
        """No options."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        check_methods(cls, complete=False)  # an intermediate base need not write all

    @abstractmethod
    def sniff(self, path: Path) -> bool | NearMiss:
        """Return whether this looks like a file (or folder) that `read` can read; see `NearMiss`."""

    def read(self, path: str | os.PathLike[str], **options: Any) -> Acquisition:
        """Read a file.

        Parameters
        ----------
        path : path
            The file, or a folder for formats made of several files.
        **options
            The fields of `Options`.

        Returns
        -------
        Acquisition

        Raises
        ------
        ParameterError
            If there is no such option, or its value cannot be used.
        DataError
            If the file is truncated, contradicts itself, holds NaN, or lacks something; the message names
            the file, what was expected and what was found.
        """
        return self._read(Path(path), self._options(options))

    def reference(self, path: str | os.PathLike[str], **options: Any) -> Tensor:
        """Return the image stored in, or directly computable from, a fully sampled file.

        ``invcore reconstruct --reference FILE`` compares with it.

        Parameters
        ----------
        path, **options
            As for `read`: the same options select the same slice.

        Returns
        -------
        Tensor, shape (batch..., channel, *spatial)

        Raises
        ------
        DataError
            If the format, or this file, gives no such image.
        """
        return self._reference(Path(path), self._options(options))

    @abstractmethod
    def _read(self, path: Path, options: Any) -> Acquisition:
        """Read ``path``. ``options`` is an instance of `Options`."""

    def _reference(self, path: Path, options: Any) -> Tensor:
        raise DataError(
            f"{type(self).__name__} gives no reference image; use a reconstruction.h5 as the reference"
        )

    def _options(self, given: Mapping[str, Any]) -> Any:
        check_parameters("reader", type(self).__name__, self.Options, given)
        return self.Options(**given)


def _sizes(y: Any) -> str:
    return " + ".join(map(_sizes, y)) if isinstance(y, tuple) else str(tuple(y.shape))


def _shape_text(y: Any) -> str:
    if isinstance(y, Tensor):
        return f"{str(y.dtype).removeprefix('torch.')}{list(y.shape)}"
    if isinstance(y, tuple):
        return "(" + ", ".join(map(_shape_text, y)) + ")"
    return type(y).__name__
