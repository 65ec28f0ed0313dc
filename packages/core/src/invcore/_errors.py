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

    Examples
    --------
    >>> issubclass(InvcoreError, Exception)
    True
    """


class ShapeError(InvcoreError, ValueError):
    """An array does not have the trailing shape that the operation expects.

    Examples
    --------
    >>> issubclass(ShapeError, ValueError)
    True
    """


class DtypeError(InvcoreError, TypeError):
    """An array is real where complex was expected, of the wrong precision, or not an array.

    Examples
    --------
    >>> issubclass(DtypeError, TypeError)
    True
    """


class ParameterError(InvcoreError, ValueError):
    """A parameter has an unknown name, is missing, or has a value outside its allowed set.

    Examples
    --------
    >>> issubclass(ParameterError, ValueError)
    True
    """


class DataError(InvcoreError, ValueError):
    """Data cannot be used as they are: not a number, truncated, missing, or in another format.

    Examples
    --------
    >>> issubclass(DataError, ValueError)
    True
    """


class SolverError(InvcoreError, RuntimeError):
    """A solver stopped without an answer; the message names the likely cause and what to change.

    Examples
    --------
    >>> issubclass(SolverError, RuntimeError)
    True
    """


class UnknownComponentError(InvcoreError, LookupError):
    """No installed plugin offers a component of this kind and name.

    Examples
    --------
    >>> issubclass(UnknownComponentError, LookupError)
    True
    """


class AmbiguousComponentError(InvcoreError, LookupError):
    """Several distributions offer the same kind and name; ``plugin=`` has to choose one.

    Examples
    --------
    >>> issubclass(AmbiguousComponentError, LookupError)
    True
    """


class PluginLoadError(InvcoreError, RuntimeError):
    """A plugin, or the object behind one of its components, could not be loaded.

    The exception that stopped it is the ``__cause__``.

    Examples
    --------
    >>> issubclass(PluginLoadError, RuntimeError)
    True
    """


class IncompatiblePluginError(PluginLoadError):
    """A plugin states an ``INVCORE_API_VERSION`` that this invcore does not speak.

    Examples
    --------
    >>> issubclass(IncompatiblePluginError, PluginLoadError)
    True
    """


class MissingDependencyError(InvcoreError, ImportError):
    """A component needs a package that is not installed; the message holds the pip command.

    Examples
    --------
    >>> issubclass(MissingDependencyError, ImportError)
    True
    """


class ConvergenceWarning(UserWarning):
    """A linear solve stopped before its tolerance; the message says how far it got and what to change.

    Examples
    --------
    >>> issubclass(ConvergenceWarning, UserWarning)
    True
    """
