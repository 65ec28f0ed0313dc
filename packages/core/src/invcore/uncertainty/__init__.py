"""What data leave open: images that fit them as well."""

from ._conformal import conformal_factor as conformal_factor
from ._manifold import Manifold as Manifold
from ._manifold import manifold as manifold

__all__ = ["Manifold", "conformal_factor", "manifold"]
