"""Measured data in a folder, in any format that has a reader."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import invcore
from invcore import DataError, ParameterError, Physics
from invcore.io import Acquisition
from invcore.spaces import batch_shape

from .images import natural
from .sample import Sample


class Acquisitions:
    """The measurements in the files below a folder, read as they are needed: a data set without references.

    Entries are `Sample` with the data y and the parameters ξ of their physics, such as mask and coil maps;
    ``physics`` is that of the first, to which they are bound. Losses that need no reference train on them:
    ``train(model, scans.physics, scans, loss=...)``. fastMRI is read by package ``invcore-mri``: it is given
    out at https://fastmri.med.nyu.edu after an agreement, for research. All files must fit one physics;
    those of other sizes go into a set of their own, by ``pattern``.

    Parameters
    ----------
    root : str or Path
    pattern : str
        Which files, as a glob below the folder.
    options : sequence of dict
        Each file is read once with each of them: ``[{"slice": k} for k in range(5, 15)]`` gives ten slices of
        each file of fastMRI. By default once, as its reader does without being asked.
    read : callable
        ``read(path, **option)`` gives an `invcore.io.Acquisition`; by default `invcore.read`, with the reader
        that recognizes the format.

    Raises
    ------
    DataError
        If no file matches, or, when one is read, if it is damaged or has another physics than the first.

    Examples
    --------
    >>> import tempfile
    >>> import torch
    >>> from invcore.operators import Identity
    >>> physics = Physics(Identity((1, 2, 2)))
    >>> read = lambda path: Acquisition(y=torch.full((1, 2, 2), float(path.read_text())), physics=physics)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     _ = (Path(folder) / "a.txt").write_text("3.0")
    ...     Acquisitions(folder, pattern="*.txt", read=read)[0].y.max()
    tensor(3.)
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        pattern: str = "**/*",
        options: Sequence[Mapping[str, Any]] = ({},),
        read: Callable[..., Acquisition] | None = None,
    ) -> None:
        if not options:
            raise ParameterError("Acquisitions: options are empty; [{}] reads each file once")
        self.root, self.pattern = Path(root), pattern
        self.options, self.read = [dict(option) for option in options], invcore.read if read is None else read
        self.files = sorted((p for p in self.root.glob(pattern) if p.is_file()), key=natural)
        if not self.files:
            what = f"no file in it matches {pattern!r}" if self.root.is_dir() else "there is no such folder"
            raise DataError(f"{self.root}: {what}")
        self.physics: Physics = self._read(0).physics

    def __repr__(self) -> str:
        return f"Acquisitions({str(self.root)!r}, {len(self)} measurements)"

    def __len__(self) -> int:
        return len(self.files) * len(self.options)

    def __getitem__(self, index: int) -> Sample:
        """Read a measurement."""
        n = len(self)
        if not -n <= index < n:
            raise IndexError(f"measurement {index} of {n}")
        found = self._read(index % n)
        params, path = found.physics.parameters(), self.files[index % n // len(self.options)]
        if repr(found.physics) != repr(self.physics):
            raise DataError(
                f"{path} has the physics {found.physics}, the first file {self.physics}. Choose files that "
                "are alike by pattern."
            )
        if batch := tuple(batch_shape(found.y, found.physics.range)):
            raise DataError(
                f"{path} has several measurements, {batch}: choose one by options, such as [{{'slice': 3}}]"
            )
        return Sample(None, found.y, params)

    def _read(self, i: int) -> Acquisition:
        k, j = divmod(i, len(self.options))
        return self.read(self.files[k], **self.options[j])
