"""The trajectory of a sequence in Pulseq's format."""

from __future__ import annotations

import os
import re

import numpy as np
import torch
from torch import Tensor

from invcore import DataError, MissingDependencyError, ParameterError
from invcore.io import damage, regular_file, room_for

_BYTES = 2**26
_SAMPLES = 2**26


def read_pulseq(path: str | os.PathLike[str], *, fov: float | None = None) -> Tensor:
    """Read the trajectory of a Pulseq sequence (``.seq``) [1]_.

    Gradients are integrated from each excitation on, as pypulseq does it, and sampled where the receiver
    is on.

    Parameters
    ----------
    path : path
    fov : float, optional
        Field of view in meters; by default the largest of the sequence's definition ``FOV``.

    Returns
    -------
    Tensor, shape (readout, sample, 3)
        In cycles per field of view, along the gradients x, y and z; float32. Readouts are in the order of
        time, all receiver events of the sequence.

    Raises
    ------
    MissingDependencyError
        Without pypulseq.
    DataError
        If the file is no sequence, its readouts are not of one length, or it states no field of view.
    ParameterError

    References
    ----------
    .. [1] K. Layton et al., "Pulseq: A rapid and hardware-independent pulse sequence prototyping framework",
       Magn. Reson. Med. 77 (2017).

    Examples
    --------
    >>> k = read_pulseq("radial.seq", fov=0.25)  # doctest: +SKIP
    """
    try:
        from pypulseq import Sequence
    except ImportError as error:
        raise MissingDependencyError(
            'reading .seq files needs pypulseq: pip install "invcore-mri[io]"'
        ) from error
    if fov is not None and not (isinstance(fov, int | float) and 0 < fov < float("inf")):
        raise ParameterError(f"fov= is a length in meters; got {fov!r}")
    path = regular_file(path)
    if path.stat().st_size > _BYTES:
        raise DataError(f"{path} has {path.stat().st_size} bytes; a sequence of up to {_BYTES} is read")
    text = path.read_text(encoding="utf-8", errors="replace")
    if "[VERSION]" not in text or "[BLOCKS]" not in text:
        raise DataError(f"{path} is no Pulseq sequence: it has no sections [VERSION] and [BLOCKS]")
    for count in re.findall(r"num_(?:samples|uncompressed)\s+(\d{1,40})", text):
        if int(count) > _SAMPLES:
            raise DataError(f"{path} declares a shape of {count} samples; up to {_SAMPLES} are read")
    sequence = Sequence()
    with damage(path, "a Pulseq sequence", "pypulseq"):
        sequence.read(str(path))
        counts = [int(data[0]) for data in sequence.adc_library.data.values()]
        if not counts or max(counts) > _SAMPLES:
            raise DataError(f"{path} has no receiver event, or one of too many samples")
        blocks = [sequence.get_block(number) for number in sequence.block_events]
        lengths = [int(block.adc.num_samples) for block in blocks if getattr(block, "adc", None) is not None]
        if not lengths or len(set(lengths)) > 1:
            raise DataError(f"{path} has readouts of {sorted(set(lengths))} samples; one length is read")
        room_for(100 * sum(lengths), str(path))
        k = np.asarray(sequence.calculate_kspace()[0], dtype=np.float64)
        stated = sequence.definitions.get("FOV")
    if fov is None:
        try:
            fov = float(np.max(np.asarray(stated, dtype=np.float64)))
        except (TypeError, ValueError):
            fov = float("nan")
        if not 0 < fov < float("inf"):
            raise DataError(f"{path} states no field of view: say it in meters with fov=")
    if k.shape != (3, sum(lengths)) or not np.isfinite(k).all():
        raise DataError(f"{path}: the trajectory is {k.shape} for {sum(lengths)} samples, or not finite")
    return torch.from_numpy((fov * k.T).reshape(len(lengths), lengths[0], 3)).float()
