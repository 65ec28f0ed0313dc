"""The ``invcore`` command. Each subcommand has a module of its own; ``_app.COMMANDS`` lists them."""

from typing import Any

from ._app import main as main

__all__ = ["main"]


def __getattr__(name: str) -> Any:
    if name == "app":  # the typer application with every command, for documentation and tests
        from ._app import build

        return build()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
