"""Imaging inverse problems: operators, solvers, priors, noise, metrics and a plugin registry.

Names are loaded on first use (PEP 562), so ``import invcore`` imports neither torch nor numpy.
``__init__.pyi`` beside this file is the one list of public names.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
