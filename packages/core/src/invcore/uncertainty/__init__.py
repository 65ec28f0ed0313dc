"""What data leave open: images that fit them as well."""

from ._manifold import Manifold as Manifold
from ._manifold import manifold as manifold

__all__ = ["Manifold", "manifold"]
