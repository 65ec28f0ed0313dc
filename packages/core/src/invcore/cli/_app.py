"""Puts the commands together, and turns errors into messages.

A command is a function in its own module and one line in `COMMANDS`. The module must be light to
import: torch, numpy and matplotlib are imported inside the function. Only the module of the command
that is run is imported.
"""

import functools
import importlib
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from .. import __version__
from .._errors import InvcoreError

COMMANDS: dict[str, str] = {
    "reconstruct": "_reconstruct:reconstruct",
    "demo": "_demo:demo",
    "run": "_run:run",
    "simulate": "_simulate:simulate",
    "evaluate": "_evaluate:evaluate",
    "list": "_list:list_components",
    "info": "_info:info",
    "doctor": "_doctor:doctor",
    "check": "_check:check",
    "new-plugin": "_new_plugin:new_plugin",
}
"""Command name to ``"module:function"`` in this folder, in the order of ``invcore --help``."""

DEFECT = 70
"""Exit code of an unexpected exception, the internal software error of sysexits.h."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it: 128 + SIGINT."""


@dataclass
class _State:
    debug: bool = False


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``invcore``; by default those of the process. ``--debug`` may stand anywhere.

    Raises
    ------
    SystemExit
        Always. 0: done; 1: an error, reported on stderr; 2: wrong usage; 70: a defect of the program; 130:
        interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    options = words[: words.index("--")] if "--" in words else words
    if "--debug" in options:
        words = ["--debug", *(word for word in words if word != "--debug")]
    chosen = next((word for word in words if not word.startswith("-")), "")
    try:
        build([chosen] if chosen in COMMANDS else COMMANDS)(words, prog_name="invcore")
    except KeyboardInterrupt:
        _say("interrupted")
        raise SystemExit(INTERRUPTED) from None


def build(names: Sequence[str] | dict[str, str] = COMMANDS) -> Callable[..., Any]:
    """Return the typer application with these commands.

    Parameters
    ----------
    names : sequence of str
        Keys of `COMMANDS`.
    """
    app = typer.Typer(
        name="invcore",
        help="Imaging inverse problems: components, plugins, reconstructions.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    state = _State()

    @app.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True),
        ] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show the full traceback of an error.")] = False,
    ) -> None:
        state.debug = debug

    for name in names:
        module, _, function = COMMANDS[name].partition(":")
        command = getattr(importlib.import_module(f".{module}", __package__), function)
        app.command(name)(_reported(command, state))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"invcore {__version__}")
        raise typer.Exit


def _reported(command: Callable[..., None], state: _State) -> Callable[..., None]:
    """Wrap a command so that its errors are messages on stderr, and tracebacks only with ``--debug``."""

    @functools.wraps(command)
    def wrapper(*args: Any, **kwargs: Any) -> None:
        try:
            command(*args, **kwargs)
        except BrokenPipeError:  # the reader of our output went away, as in `invcore list | head -1`
            raise
        except (InvcoreError, OSError, KeyboardInterrupt) as error:
            if state.debug:
                traceback.print_exc()
            interrupted = isinstance(error, KeyboardInterrupt)
            _say(f"interrupted {error}".rstrip() if interrupted else f"error: {message_of(error)}")
            raise typer.Exit(INTERRUPTED if interrupted else 1) from None
        except Exception as error:
            if state.debug or isinstance(error, typer.Exit | typer.Abort | typer.BadParameter):
                raise
            _say(
                f"error: unexpected {type(error).__name__}: {error}. This is a defect in invcore or in a "
                "plugin, not in your use of it; please report it with what --debug shows."
            )
            raise typer.Exit(DEFECT) from None

    return wrapper


def message_of(error: BaseException) -> str:
    """Return what a user should read: for an OSError the reason and the file, not its number.

    Examples
    --------
    >>> message_of(FileNotFoundError(2, "No such file or directory", "scan.h5"))
    'No such file or directory: scan.h5'
    """
    if isinstance(error, OSError) and not isinstance(error, InvcoreError) and error.strerror:
        return f"{error.strerror}: {error.filename}" if error.filename else error.strerror
    return str(error) or type(error).__name__


def _say(message: str) -> None:
    typer.echo(message, err=True)
