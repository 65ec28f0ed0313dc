"""Components of the first-party packages, and the extra of invcore that installs each.

Written by ``python -m invcore.testing._known``; a test compares it with the installed packages.
"""

EXTRAS: dict[str, str] = {
    "invcore-mri": "mri",
}
"""First-party distribution to extra."""

KNOWN: dict[tuple[str, str], str] = {}
"""``(kind, name)`` to first-party distribution."""
