"""Instances of core's data sets for the conformance kit: the first of each is tiny."""

from __future__ import annotations

from ..datasets import DeadLeaves


def dead_leaves() -> dict[str, object]:
    """Instances of the data set ``dead_leaves``."""
    return {
        "tiny": DeadLeaves(length=4, size=(12, 16)),
        "color, large leaves": DeadLeaves(
            length=3, size=(24, 24), channels=3, exponent=2.0, r_min=3.0, r_max=9.0
        ),
    }
