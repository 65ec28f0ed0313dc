"""The exceptions of invcore.

Every error that invcore raises on purpose derives from `InvcoreError` and also from the builtin
exception that fits, so that ``except ValueError`` keeps working. Standard library only.
"""

__all__ = [
    "AmbiguousComponentError",
    "ConvergenceWarning",
    "DataError",
    "DtypeError",
    "IncompatiblePluginError",
    "InvcoreError",
    "MissingDependencyError",
    "ParameterError",
    "PluginLoadError",
    "ShapeError",
    "SolverError",
    "UnknownComponentError",
]


class InvcoreError(Exception):
    """Base class of every error raised by invcore and its plugins.

    The command line prints an `InvcoreError` as one message, without a traceback.
    """


class ShapeError(InvcoreError, ValueError):
    """An array does not have the trailing shape that the operation expects."""


class DtypeError(InvcoreError, TypeError):
    """An array is real where complex was expected, of the wrong precision, or not an array."""


class ParameterError(InvcoreError, ValueError):
    """A parameter has an unknown name, is missing, or has a value outside its allowed set."""


class DataError(InvcoreError, ValueError):
    """Data cannot be used as they are: not a number, truncated, missing, or in another format."""


class SolverError(InvcoreError, RuntimeError):
    """A solver stopped without an answer; the message names the likely cause and what to change."""


class UnknownComponentError(InvcoreError, LookupError):
    """No installed plugin offers a component of this kind and name."""


class AmbiguousComponentError(InvcoreError, LookupError):
    """Several distributions offer the same kind and name; ``plugin=`` has to choose one."""


class PluginLoadError(InvcoreError, RuntimeError):
    """A plugin, or the object behind one of its components, could not be loaded.

    The exception that stopped it is the ``__cause__``.
    """


class IncompatiblePluginError(PluginLoadError):
    """A plugin states an ``INVCORE_API_VERSION`` that this invcore does not speak."""


class MissingDependencyError(InvcoreError, ImportError):
    """A component needs a package that is not installed; the message holds the pip command."""


class ConvergenceWarning(UserWarning):
    """A linear solve stopped before its tolerance; the message says how far it got and what to change."""
