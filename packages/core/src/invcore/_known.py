"""Components of the first-party packages, and the extra of invcore that installs each.

Written by ``python -m invcore.testing._known``; a test compares it with the installed packages.
"""

EXTRAS: dict[str, str] = {
    "invcore-mri": "mri",
    "invcore-tomography": "tomography",
}
"""First-party distribution to extra."""

KNOWN: dict[tuple[str, str], str] = {
    ("dataset", "mri.phantom"): "invcore-mri",
    ("generator", "mri.mask_equispaced"): "invcore-mri",
    ("generator", "mri.mask_gaussian"): "invcore-mri",
    ("generator", "mri.mask_poisson"): "invcore-mri",
    ("generator", "mri.mask_random"): "invcore-mri",
    ("operator", "mri.fourier"): "invcore-mri",
    ("operator", "mri.sense"): "invcore-mri",
    ("reader", "mri.cfl"): "invcore-mri",
    ("reader", "mri.fastmri"): "invcore-mri",
    ("transform", "mri.espirit"): "invcore-mri",
}
"""``(kind, name)`` to first-party distribution."""
