"""``invcore new-plugin``: a small package with one real operator, to start a plugin from."""

import os
import re
import shutil
import tempfile
from datetime import date
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import typer

from .. import __version__
from .._errors import ParameterError
from ..plugin import API_VERSION

_TEMPLATE_NAME = "acme"
"""The name that the template uses throughout, replaced by the plugin's own."""


def new_plugin(
    directory: Annotated[Path, typer.Argument(help="The folder to make; it must be new or empty.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Namespace of the plugin; by default that of the folder.")
    ] = None,
) -> None:
    """Write a plugin package that can be installed, listed and checked at once."""
    folder_name = directory.resolve().name.removeprefix("invcore-")
    made = write_plugin(directory, folder_name if name is None else name)
    distribution = "invcore-" + made.replace("_", "-")
    typer.echo(f"Wrote {distribution} to {directory}. Next:\n")
    typer.echo(f"    pip install -e {directory}")
    typer.echo(f"    invcore list --plugin {distribution}")
    typer.echo(f"    invcore check {distribution}")
    typer.echo(f"    pytest {directory}")


def write_plugin(directory: Path, name: str) -> str:
    """Render the template into a folder, completely or not at all.

    Parameters
    ----------
    directory : Path
        A folder that does not exist or is empty.
    name : str
        The namespace: the distribution becomes ``invcore-NAME``, the module ``invcore_NAME``.

    Returns
    -------
    str
        The namespace.

    Raises
    ------
    ParameterError
        If the name is not usable, or the folder is not empty.
    OSError
        If the folder cannot be written.
    """
    if not re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", name):
        raise ParameterError(
            f"{name!r} cannot be the name of a plugin: use lower-case letters, digits and single "
            "underscores, starting with a letter, for example --name acme."
        )
    if name in ("invcore", "core"):
        raise ParameterError(f"{name!r} is the name of invcore's own part; choose another with --name.")
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise ParameterError(f"{directory} exists and is not an empty folder; choose another.")
    directory = directory.resolve()
    new = not directory.exists()
    directory.parent.mkdir(parents=True, exist_ok=True)
    # On the same file system as the folder, so that what was written appears by renaming.
    work = Path(tempfile.mkdtemp(prefix=".invcore-", dir=directory.parent if new else directory))
    moved: list[Path] = []
    try:
        for path, text in render(name).items():
            target = work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(text, encoding="utf-8")
        if new:
            work.chmod(0o777 & ~_umask())
            os.rename(work, directory)
        else:  # it may be someone's working directory: keep it, and move the parts in
            for part in sorted(work.iterdir()):
                os.rename(part, directory / part.name)
                moved.append(directory / part.name)
    except BaseException:
        for part in moved:
            shutil.rmtree(part) if part.is_dir() else part.unlink()
        raise
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return name


def render(name: str) -> dict[str, str]:
    """Return the files of a plugin: path to text.

    Examples
    --------
    >>> sorted(render("lab"))[-1]
    'tests/test_conformance.py'
    """
    files: dict[str, str] = {}
    _collect(resources.files(__package__) / "_template", "", files)
    return {_named(path, name): _named(text, name) for path, text in files.items()}


def _collect(folder: Traversable, prefix: str, files: dict[str, str]) -> None:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            if item.name != "__pycache__":
                _collect(item, f"{prefix}{item.name}/", files)
        else:
            files[prefix + item.name.removesuffix(".in")] = item.read_text(encoding="utf-8")


def _named(text: str, name: str) -> str:
    text = text.replace(f"invcore-{_TEMPLATE_NAME}", "invcore-" + name.replace("_", "-"))
    for field, value in (("year", date.today().year), ("invcore", __version__), ("api", API_VERSION)):
        text = text.replace(f"@{field}@", str(value))
    return text.replace(_TEMPLATE_NAME, name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
