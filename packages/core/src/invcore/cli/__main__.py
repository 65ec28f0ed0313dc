"""``python -m invcore.cli`` is ``invcore``."""

from . import main

main()
