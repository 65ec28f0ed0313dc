"""The components of core, registered as any plugin registers its own. Text only: nothing is imported."""

from .plugin import Component, hookimpl

INVCORE_API_VERSION = 1

COMPONENTS: tuple[Component, ...] = ()


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of core."""
    return COMPONENTS
