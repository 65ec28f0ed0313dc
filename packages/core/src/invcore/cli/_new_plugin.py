"""``invcore new-plugin``: a small package with a real component of each kind asked for."""

import os
import re
import shutil
import tempfile
from collections.abc import Sequence
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

_FILES = {
    "operator": "operator",
    "noise": "noise",
    "prior": "prior",
    "solver": "solver",
    "denoiser": "denoiser fit_patch_variances patch_variances",
    "metric": "metric",
    "reader": "reader",
    "dataset": "dataset reader",
}
"""The kinds that the template has, and the names of the files of each, without their endings."""


def new_plugin(
    directory: Annotated[Path, typer.Argument(help="The folder to make; it must be new or empty.")],
    name: Annotated[
        str | None, typer.Option("--name", help="Namespace of the plugin; by default that of the folder.")
    ] = None,
    kind: Annotated[
        str, typer.Option("--kind", help=f"Kinds of component, with commas: {', '.join(_FILES)}; or all.")
    ] = "operator",
) -> None:
    """Write a plugin package that can be installed, listed and checked at once."""
    folder_name = directory.resolve().name.removeprefix("invcore-")
    kinds = list(_FILES) if kind == "all" else [word.strip() for word in kind.split(",")]
    made = write_plugin(directory, folder_name if name is None else name, kinds)
    distribution = "invcore-" + made.replace("_", "-")
    typer.echo(f"Wrote {distribution} to {directory}. Next:\n")
    typer.echo(f"    pip install -e {directory}")
    typer.echo(f"    invcore list --plugin {distribution}")
    typer.echo(f"    invcore check {distribution}")
    typer.echo(f"    pytest {directory}")


def write_plugin(directory: Path, name: str, kinds: Sequence[str] = ("operator",)) -> str:
    """Render the template into a folder, completely or not at all.

    Parameters
    ----------
    directory : Path
        A folder that does not exist or is empty.
    name : str
        The namespace: the distribution becomes ``invcore-NAME``, the module ``invcore_NAME``.
    kinds : sequence of str
        What it gets a component of.

    Returns
    -------
    str
        The namespace.

    Raises
    ------
    ParameterError
        If the name is not usable, the folder is not empty, or the template has no such kind.
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
    files = render(name, kinds)
    directory = directory.resolve()
    new = not directory.exists()
    directory.parent.mkdir(parents=True, exist_ok=True)
    # On the same file system as the folder, so that what was written appears by renaming.
    work = Path(tempfile.mkdtemp(prefix=".invcore-", dir=directory.parent if new else directory))
    moved: list[Path] = []
    try:
        for path, content in files.items():
            target = work / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(content)
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


def render(name: str, kinds: Sequence[str] = ("operator",)) -> dict[str, bytes]:
    """Return the files of a plugin: path to content.

    Examples
    --------
    >>> sorted(render("lab"))[-1]
    'tests/test_operator.py'
    """
    unknown = [kind for kind in kinds if kind not in _FILES]
    if unknown:
        raise ParameterError(
            f"the template has no {unknown[0] or 'empty'!r}: --kind takes {', '.join(_FILES)}, or all."
        )
    wanted = {word for kind in kinds for word in _FILES[kind].split()}
    left_out = {word for words in _FILES.values() for word in words.split()} - wanted
    chosen = [kind for kind in _FILES if kind in wanted]
    files: dict[str, bytes] = {}
    _collect(resources.files(__package__) / "_template", "", files)
    return {
        _named(path, name, chosen): _filled(path, content, name, chosen)
        for path, content in files.items()
        if Path(path).stem.removeprefix("test_") not in left_out
    }


def _collect(folder: Traversable, prefix: str, files: dict[str, bytes]) -> None:
    for item in sorted(folder.iterdir(), key=lambda item: item.name):
        if item.is_dir():
            if item.name != "__pycache__":
                _collect(item, f"{prefix}{item.name}/", files)
        else:
            files[prefix + item.name.removesuffix(".in")] = item.read_bytes()


def _filled(path: str, content: bytes, name: str, kinds: Sequence[str]) -> bytes:
    """Fill in the names, and leave out the rows of components of other kinds."""
    if path.endswith(".npy"):
        return content
    rows = tuple(f"{start}{kind}{end}" for kind in set(_FILES) - set(kinds) for start, end in _ROWS)
    kept = [line for line in content.decode().splitlines(keepends=True) if not line.strip().startswith(rows)]
    return _named("".join(kept), name, kinds).encode()


_ROWS = (("plugin.", "("), ("| ", " |"))
"""What stands around the kind in a row of the table of components, and of the README."""


def _named(text: str, name: str, kinds: Sequence[str]) -> str:
    text = text.replace(f"invcore-{_TEMPLATE_NAME}", "invcore-" + name.replace("_", "-"))
    major = int(__version__.partition(".")[0])
    fields = {
        "year": date.today().year,
        "invcore": __version__,
        "next": f"{major + 1}",
        "api": API_VERSION,
        "kinds": ", ".join(kinds),
    }
    for field, value in fields.items():
        text = text.replace(f"@{field}@", str(value))
    return text.replace(_TEMPLATE_NAME, name)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
