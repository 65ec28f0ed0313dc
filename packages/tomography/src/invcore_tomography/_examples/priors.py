"""Examples of priors, for the conformance kit. The first of each is tiny."""

from __future__ import annotations

import torch

from .._bounded_tv import BoundedTV


def bounded_tv() -> dict[str, object]:
    """Return nonnegative images, and a map of upper bounds in a disk."""
    at = torch.arange(8.0) - 3.5
    disk = (at.square()[:, None] + at.square() < 14).double()
    return {"nonnegative": BoundedTV(), "in a disk": BoundedTV(lower=0.0, upper=2 * disk)}
