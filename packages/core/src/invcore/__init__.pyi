from ._errors import AmbiguousComponentError as AmbiguousComponentError
from ._errors import DataError as DataError
from ._errors import DtypeError as DtypeError
from ._errors import IncompatiblePluginError as IncompatiblePluginError
from ._errors import InvcoreError as InvcoreError
from ._errors import MissingDependencyError as MissingDependencyError
from ._errors import ParameterError as ParameterError
from ._errors import PluginLoadError as PluginLoadError
from ._errors import ShapeError as ShapeError
from ._errors import SolverError as SolverError
from ._errors import UnknownComponentError as UnknownComponentError
from . import plugin as plugin

__version__: str
