"""Puts the commands together, and turns errors into messages.

A command is a function in its own module and one line in `COMMANDS`. The module must be light to
import: torch, numpy and matplotlib are imported inside the function. Only the module of the command
that is run is imported.
"""

import contextlib
import functools
import importlib
import inspect
import signal
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from .. import __version__
from .._errors import InvcoreError
from .._registry.hints import did_you_mean
from ..plugin import KINDS
from ._output import Verbose

COMMANDS: dict[str, str] = {
    "reconstruct": "_reconstruct:reconstruct",
    "demo": "_demo:demo",
    "run": "_run:run",
    "sample": "_sample:sample",
    "simulate": "_simulate:simulate",
    "train": "_train:train",
    "evaluate": "_evaluate:evaluate",
    "list": "_list:list_components",
    "info": "_info:info",
    "doctor": "_doctor:doctor",
    "check": "_check:check",
    "new-plugin": "_new_plugin:new_plugin",
}
"""Command name to ``"module:function"`` in this folder, in the order of ``invcore --help``."""

_ELSEWHERE = {
    "help": "--help",
    "version": "--version",
    "solve": "reconstruct",
    "show": "info",
    "plugins": "doctor",
    "formats": "list reader",
    "compare": "evaluate",
    "fit": "train",
    "test": "check",
}
"""Commands of other programs, and ours."""

USAGE = 2
"""Exit code of a word or an option that does not exist."""

DEFECT = 70
"""Exit code of an unexpected exception, the internal software error of sysexits.h."""

INTERRUPTED = 130
"""Exit code after Ctrl-C, as shells expect it: 128 + SIGINT."""


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Parameters
    ----------
    arguments : sequence of str, optional
        The words after ``invcore``; by default those of the process.

    Raises
    ------
    SystemExit
        Always. 0: done; 1: an error, reported on stderr; 2: wrong usage; 70: a defect of the program; 130:
        interrupted.
    """
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, _terminated)
    words = list(sys.argv[1:] if arguments is None else arguments)
    chosen = words[0] if words else ""
    if chosen and not chosen.startswith("-") and chosen not in COMMANDS:
        _say(f"error: {_no_such_command(chosen)}")
        raise SystemExit(USAGE)
    try:
        build([chosen] if chosen in COMMANDS else COMMANDS)(words, prog_name="invcore")
    except KeyboardInterrupt:
        _say("interrupted")
        raise SystemExit(INTERRUPTED) from None


def _terminated(number: int, frame: object) -> None:
    """End as Ctrl-C does, so that temporary files are removed; shells expect 128 + SIGTERM."""
    raise SystemExit(128 + number)


def build(names: Sequence[str] | dict[str, str] = COMMANDS) -> Callable[..., Any]:
    """Return the typer application with these commands.

    Parameters
    ----------
    names : sequence of str
        Keys of `COMMANDS`.
    """
    app = typer.Typer(
        name="invcore",
        help="Imaging inverse problems: reconstructions, components, plugins.",
        epilog="First steps: invcore demo mri; invcore info FILE; invcore reconstruct FILE.",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,  # rich takes [image] in a text for a color, and shows nothing
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @app.callback()
    def options(
        version: Annotated[
            bool,
            typer.Option("--version", help="Print the version and exit.", callback=_version, is_eager=True),
        ] = False,
    ) -> None:
        pass

    for name in names:
        module, _, function = COMMANDS[name].partition(":")
        command = getattr(importlib.import_module(f".{module}", __package__), function)
        line = (command.__doc__ or "").partition("\n")[0]  # else cut after some words
        app.command(name, short_help=line)(_reported(command))
    return app


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"invcore {__version__}")
        raise typer.Exit


def _no_such_command(word: str) -> str:
    """Say what was probably meant by a first word that is no command."""
    said = f"there is no command {word!r}."
    kind = word.lower().removesuffix("s")
    meant = f"list {kind}" if kind in KINDS else _ELSEWHERE.get(word.lower())
    if meant:
        return f"{said} Did you mean `invcore {meant}`?"
    if Path(word).exists():
        command = "run" if word.endswith(".toml") else "reconstruct"
        return f"{said} It is a file: `invcore {command} {word}`?"
    return f"{said}{did_you_mean(word, COMMANDS, cutoff=0.6)} `invcore --help` shows the commands."


def _reported(command: Callable[..., None]) -> Callable[..., None]:
    """Wrap a command so that its errors and warnings are messages on stderr, in full with ``--verbose``.

    A command that itself does something with ``verbose`` receives it; the others get the option here.
    """
    signature = inspect.signature(command, eval_str=True)
    own = "verbose" in signature.parameters
    if not own:
        option = inspect.Parameter(
            "verbose", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Verbose
        )
        signature = signature.replace(parameters=[*signature.parameters.values(), option])

    @functools.wraps(command)
    def wrapper(*args: Any, verbose: bool = False, **kwargs: Any) -> None:
        given = {**kwargs, "verbose": verbose} if own else kwargs
        try:
            with _warned(quiet=kwargs.get("quiet", False), verbose=verbose):
                command(*args, **given)
        except BrokenPipeError:  # the reader of our output went away, as in `invcore list | head -1`
            raise
        except (InvcoreError, OSError, KeyboardInterrupt) as error:
            if verbose:
                traceback.print_exc()
            interrupted = isinstance(error, KeyboardInterrupt)
            _say(f"interrupted {error}".rstrip() if interrupted else f"error: {message_of(error)}")
            raise typer.Exit(INTERRUPTED if interrupted else 1) from None
        except Exception as error:
            if verbose or isinstance(error, typer.Exit | typer.Abort | typer.BadParameter):
                raise
            _say(
                f"error: unexpected {type(error).__name__}: {error}. This is a defect in invcore or in a "
                "plugin, not in your use of it; please report it with what --verbose shows."
            )
            raise typer.Exit(DEFECT) from None

    annotations = {key: p.annotation for key, p in signature.parameters.items()}
    wrapper.__signature__, wrapper.__annotations__ = signature, annotations  # type: ignore[attr-defined]
    return wrapper


@contextlib.contextmanager
def _warned(*, quiet: bool, verbose: bool) -> Iterator[None]:
    """Show warnings as messages: not at all with ``--quiet``, with file and line with ``--verbose``."""

    def show(message: Any, category: type, filename: str, lineno: int, *_: Any, **__: Any) -> None:
        _say(f"warning: {message}" + (f" ({category.__name__}, {filename}:{lineno})" if verbose else ""))

    with warnings.catch_warnings():
        if quiet:
            warnings.simplefilter("ignore")
        warnings.showwarning = show
        yield


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
