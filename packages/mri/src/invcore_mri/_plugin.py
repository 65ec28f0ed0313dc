"""The components of invcore-mri. Text only: listing them imports neither torch nor this package's modules."""

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
        f"mri.{name}",
        f"invcore_mri:{target}",
        summary=summary,
        requires=requires,
        examples=f"invcore_mri._examples:{name}",
        tags=("mri", *tags),
    )


COMPONENTS = (
    _component("operator", "fourier", "Fourier", "Sampled Fourier transform of an image", tags=("linear",)),
    _component(
        "operator", "sense", "Sense", "Sampled Fourier transform seen by several coils", tags=("linear",)
    ),
    _component(
        "transform", "espirit", "Espirit", "Coil maps from the center of k-space", tags=("calibration",)
    ),
    _component("generator", "mask_random", "MaskRandom", "Phase encodes uniformly at random", tags=("mask",)),
    _component(
        "generator", "mask_gaussian", "MaskGaussian", "Random phase encodes, denser at DC", tags=("mask",)
    ),
    _component(
        "generator", "mask_equispaced", "MaskEquispaced", "Equally spaced phase encodes", tags=("mask",)
    ),
    _component(
        "generator",
        "mask_poisson",
        "MaskPoisson",
        "Variable-density Poisson-disc sampling",
        requires=("sigpy",),
        tags=("mask",),
    ),
    _component(
        "dataset", "phantom", "PhantomScan", "Simulated scan of a head", requires=("sigpy",), tags=("demo",)
    ),
    _component("reader", "cfl", "CflReader", "BART raw data (.cfl with .hdr)", tags=("raw",)),
    _component("reader", "fastmri", "FastMRIReader", "fastMRI raw data (HDF5)", tags=("raw",)),
)


@hookimpl
def invcore_components() -> tuple[Component, ...]:
    """Return the components of this package."""
    return COMPONENTS
