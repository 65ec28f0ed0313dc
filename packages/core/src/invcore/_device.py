"""Which device to compute on."""

from __future__ import annotations

import torch


def free_device() -> torch.device:
    """The GPU with the most free memory; else Apple's (MPS); else the CPU.

    Nothing in invcore moves data by itself: ``physics.to(free_device())`` and ``y.to(free_device())`` do.

    Examples
    --------
    >>> free_device().type in ("cuda", "mps", "cpu")
    True
    """
    if torch.cuda.is_available():
        count = torch.cuda.device_count()
        room = [torch.cuda.mem_get_info(i)[0] for i in range(count)] if count > 1 else [0]
        return torch.device("cuda", room.index(max(room)))
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
