"""The conformance kit, and plugins that exist for the duration of a test.

Names are loaded on first use, so that `temporary_plugin` needs no torch. ``__init__.pyi`` lists them.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
