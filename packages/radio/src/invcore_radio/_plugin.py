"""The components of invcore-radio. Text only: listing them imports neither torch nor this package's modules."""

from invcore.plugin import Component, hookimpl

INVCORE_API_VERSION = 1


def _component(
    kind: str,
    name: str,
    target: str,
    summary: str,
    *,
    requires: tuple[str, ...] = (),
    tags: tuple[str, ...] = (),
) -> Component:
    return Component(
        kind,
        f"radio.{name}",
        f"invcore_radio:{target}",
        summary=summary,
        requires=requires,
        examples=f"invcore_radio._examples:{name}",
        tags=("radio", *tags),
    )


COMPONENTS: tuple[Component, ...] = (
    _component(
        "operator",
        "interferometer",
        "Interferometer",
        "Visibilities of an image: w-term, frequencies, primary beam",
        tags=("linear",),
    ),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
