"""Files of the Hugging Face hub, at a commit and with a hash."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from invcore import DataError, MissingDependencyError, ParameterError


def hub(
    repo: str,
    filename: str,
    *,
    revision: str,
    sha256: str | None = None,
    cache: str | os.PathLike[str] | None = None,
) -> Path:
    """Find a file of the Hugging Face hub in the local cache, or download it.

    The network is used only if the file is not in the cache. The file is not opened; `invcore.models.load`,
    `invcore_learning.read_checkpoint` and `from_diffusers` read weights as plain numbers. Environment
    variables of the library huggingface_hub apply: ``HF_HOME``, ``HF_TOKEN``, ``HF_ENDPOINT``,
    ``HF_HUB_OFFLINE``.

    Parameters
    ----------
    repo : str
        ``"owner/name"``
    filename : str
        With its folders in the repository.
    revision : str
        The commit, in 40 hexadecimal digits: branches and tags may move.
    sha256 : str, optional
        Refuse a file with another SHA-256. The hub shows that of each large file on its page. Without it the
        commit alone says what the file is, as far as one trusts the server.
    cache : path, optional
        The folder of the cache; by default that of huggingface_hub.

    Returns
    -------
    Path

    Raises
    ------
    DataError
        If there is no such file, or no network, or the file has another hash.
    ParameterError
        If the revision is no commit.
    MissingDependencyError
        If huggingface_hub is not installed.

    Examples
    --------
    >>> hub("owner/name", "model.safetensors", revision="main")
    Traceback (most recent call last):
        ...
    invcore._errors.ParameterError: hub: revision must be a commit, in 40 hexadecimal digits, got 'main': ...
    """
    path = first_of(repo, (filename,), revision=revision, cache=cache)
    if path is None:
        raise DataError(f"hub: {repo} has no file {filename} in its commit {revision}")
    require_hash(path, sha256)
    return path


def first_of(
    repo: str, names: Iterable[str], *, revision: str, cache: str | os.PathLike[str] | None
) -> Path | None:
    """The first of some files that the repository has; those in the cache come first."""
    if not (isinstance(revision, str) and re.fullmatch("[0-9a-f]{40}", revision)):
        raise ParameterError(
            f"hub: revision must be a commit, in 40 hexadecimal digits, got {revision!r}: branches and tags "
            "may move. The page of the repository lists its commits."
        )
    library = _library()
    errors = library.errors
    try:
        library.utils.validate_repo_id(repo)
    except errors.HFValidationError as error:
        raise ParameterError(f"hub: {error}") from error
    unknown = []
    for name in names:
        held = library.try_to_load_from_cache(repo, name, cache_dir=cache, revision=revision)
        if isinstance(held, str):
            return Path(held)
        if held is None:  # else it is known to be missing
            unknown.append(name)
    for name in unknown:
        try:
            endpoint = os.environ.get("HF_ENDPOINT")
            return Path(
                library.hf_hub_download(repo, name, revision=revision, cache_dir=cache, endpoint=endpoint)
            )
        except errors.LocalEntryNotFoundError as error:
            raise DataError(
                f"hub: {name} of {repo} is not in the cache, and there is no network to fetch it "
                f"({_cause(error)}). Fetch it on a machine with network by the same call, and copy the "
                "folder of the cache (HF_HOME), or give a folder of files."
            ) from error
        except errors.EntryNotFoundError:
            continue
        except (errors.HfHubHTTPError, errors.FileMetadataError, OSError) as error:
            raise DataError(f"hub: {name} of {repo} at {revision}: {_cause(error)}") from error
    return None


def require_hash(path: Path, sha256: str | None) -> None:
    """Refuse a file with another hash."""
    if sha256 is None:
        return
    with path.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != sha256.lower():
        raise DataError(
            f"{path}: its SHA-256 is {found}, expected {sha256}. It was changed, or is another version; "
            "it was not opened."
        )


def _cause(error: BaseException) -> str:
    """The first error in a chain, in one line: what the network said."""
    while (before := error.__cause__ or error.__context__) is not None:
        error = before
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _library() -> ModuleType:
    try:
        import huggingface_hub
        import huggingface_hub.errors
        import huggingface_hub.utils
    except ImportError as error:
        raise MissingDependencyError(
            'hub: files of the Hugging Face hub need: pip install "invcore-diffusion[hub]"'
        ) from error
    return huggingface_hub
