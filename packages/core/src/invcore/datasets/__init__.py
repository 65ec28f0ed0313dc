"""Data sets that are made, not measured."""

from ._dead_leaves import DeadLeaves as DeadLeaves
from ._dead_leaves import dead_leaves as dead_leaves

__all__ = ["DeadLeaves", "dead_leaves"]
