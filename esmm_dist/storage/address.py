"""Where something lies: a path of this machine, or an address such as s3://bucket/runs.

A local path is the standard library's, and nothing else is loaded for it. An address becomes
universal_pathlib's path over fsspec, which answers to the same methods; what writes and removes is
in `files`, because only there the two differ.
"""

import errno
import os
from functools import cache
from pathlib import Path
from typing import Any, cast

LOCAL = "file"


def path_of(address: str | os.PathLike[str]) -> Path:
    """The path that an address of a config means; a path stays as it is.

    Of an address elsewhere the account and the network are tried, once a process.

    Raises:
        OSError: no file system answers to the address; says why.
    """
    if not isinstance(address, str):
        return cast(Path, address)
    if is_elsewhere(address):
        return _reached(address)
    return Path(address.removeprefix(f"{LOCAL}://"))


def is_elsewhere(address: str) -> bool:
    """Whether an address of a config means no path of this machine; nobody is asked for it."""
    protocol, separator, _ = address.partition("://")
    return bool(separator) and protocol != LOCAL


def is_local(path: Path) -> bool:
    """Whether the system's own calls work on a path."""
    return isinstance(path, Path)


def fsspec_of(path: Path) -> Any:
    """The fsspec file system of a path elsewhere."""
    return path.fs  # type: ignore[attr-defined]


def reason_of(error: OSError | UnicodeDecodeError) -> str:
    """Why a file could not be read, in a few words: elsewhere there are no error numbers."""
    if isinstance(error, UnicodeDecodeError):
        return "no text in UTF-8"
    if isinstance(error, FileNotFoundError):
        return os.strerror(errno.ENOENT)
    return error.strerror or str(error) or type(error).__name__


@cache
def _reached(address: str) -> Path:
    try:
        from upath import UPath

        # What other processes write must be seen at once.
        path = UPath(address, use_listings_cache=False)
        path.exists()
    except ImportError as error:
        raise OSError(
            errno.EPROTONOSUPPORT, f"there is no {error.name}: pip install universal_pathlib and "
            "the fsspec package of its protocol, s3fs for s3", address,
        ) from None
    except Exception as error:  # each protocol's library has its own
        raise OSError(errno.EIO, f"it does not answer: {_first_line(error)}", address) from None
    return cast(Path, path)


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).partition("\n")[0]
