"""Files that are there whole or not at all, on local disks and on object stores.

On a local disk a file is written under a temporary name, synced, and renamed. An object store has
no rename, and an object is there whole once its upload ends; a file that a library has to write or
read by its name passes through a scratch folder of this machine. Several files become one
publication by the one that is written last, the index: whoever finds it finds the others.
"""

import atexit
import errno
import os
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from esmm_dist.storage.address import fsspec_of, is_local

# File systems that have no hard links say one of these.
_NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK)

_SCRATCH = "esmm_dist-"
_KEPT: dict[str, Path] = {}


def make_folder(path: Path) -> None:
    """Makes a folder and those above it; object stores have none."""
    if is_local(path):
        path.mkdir(parents=True, exist_ok=True)


def write(path: Path, content: str | bytes) -> None:
    """Makes or replaces a file, whole or not at all."""
    data = content.encode() if isinstance(content, str) else content
    if not is_local(path):
        with naming(path):
            fsspec_of(path).pipe_file(_key(path), data)
        return
    with drafted(path) as draft:
        draft.write_bytes(data)


@contextmanager
def drafted(path: Path) -> Iterator[Path]:
    """A local path to write to; what stands there takes its place once nothing has gone wrong."""
    if not is_local(path):
        with tempfile.TemporaryDirectory(prefix=_SCRATCH) as folder:
            draft = Path(folder) / path.name
            yield draft
            _put(draft, path)
        return
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with naming(path):
            yield draft
            sync(draft)
            os.replace(draft, path)
            sync(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def create(path: Path, text: str) -> bool:
    """Whether a file of this name was free; it then appears whole, and of two writers one wins.

    Raises:
        OSError: the file system cannot tell.
    """
    if not is_local(path):
        return _create_elsewhere(path, text)
    make_folder(path.parent)
    draft = path.with_name(f".{uuid.uuid4().hex}")
    try:
        draft.write_text(text, encoding="utf-8")
        sync(draft)
        try:
            os.link(draft, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_LINKS:
                raise
            return _create_in_place(path, text)
        sync(path.parent)
        return True
    finally:
        draft.unlink(missing_ok=True)


@contextmanager
def at_hand(path: Path) -> Iterator[Path]:
    """A local file or folder of the same content and name, for as long as the block runs."""
    if is_local(path):
        yield path
        return
    with tempfile.TemporaryDirectory(prefix=_SCRATCH) as folder:
        yield fetch(path, Path(folder) / path.name)


def kept_at_hand(path: Path) -> Path:
    """The same until this process ends, fetched once: for what never changes."""
    if is_local(path):
        return path
    address = str(path)
    if address not in _KEPT:
        scratch = tempfile.mkdtemp(prefix=_SCRATCH)
        atexit.register(shutil.rmtree, scratch, ignore_errors=True)
        _KEPT[address] = fetch(path, Path(scratch) / path.name)
    return _KEPT[address]


def fetch(path: Path, target: Path) -> Path:
    """Copies a file, or all files of a folder, to a local path that is not there yet."""
    if is_local(path):
        copy: Any = shutil.copytree if path.is_dir() else shutil.copyfile
        copy(path, target)
        return target
    if path.is_file():
        fsspec_of(path).get_file(_key(path), str(target))
        return target
    for source in files_below(path):
        own = target / str(source.relative_to(path))
        own.parent.mkdir(parents=True, exist_ok=True)
        fsspec_of(source).get_file(_key(source), str(own))
    return target


def put_folder(folder: Path, target: Path, last: str = "") -> None:
    """Copies all files of a local folder to where there are no renames.

    Args:
        last: the one that says that the others are there.
    """
    files = sorted(files_below(folder), key=lambda path: path == folder / last)
    for path in files:
        _put(path, target / path.relative_to(folder).as_posix())


@contextmanager
def replacing(folder: Path, last: str) -> Iterator[Path]:
    """A local folder to write in, which takes the place of another if nothing goes wrong.

    Args:
        last: the file that says that the others are there.
    """
    if not is_local(folder):
        with tempfile.TemporaryDirectory(prefix=_SCRATCH) as scratch:
            yield Path(scratch)
            remove(folder / last)
            remove(folder)
            put_folder(Path(scratch), folder, last)
        return
    draft, old = (folder.with_name(f".{folder.name}.{part}") for part in ("draft", "old"))
    for leftover in (draft, old):
        remove(leftover)
    draft.mkdir()
    try:
        yield draft
        if folder.exists():
            os.rename(folder, old)
        os.rename(draft, folder)
        remove(old)
    finally:
        remove(draft)


def files_below(folder: Path) -> list[Path]:
    """All files of a folder and of those in it, in order of their paths."""
    return sorted((path for path in folder.rglob("*") if path.is_file()), key=str)


def remove(path: Path) -> None:
    """Removes a file or a folder with all that is in it, if it is there."""
    if not is_local(path):
        if fsspec_of(path).exists(_key(path)):
            fsspec_of(path).rm(_key(path), recursive=True)
    elif path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def sync(path: Path) -> None:
    """Lets the disk have a local file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _create_in_place(path: Path, text: str) -> bool:
    """Where files cannot be linked: a writer killed half way has taken a name in vain."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True


def _create_elsewhere(path: Path, text: str) -> bool:
    try:
        with naming(path):
            fsspec_of(path).pipe_file(_key(path), text.encode(), mode="create")
    except FileExistsError:
        return False
    except (NotImplementedError, TypeError, ValueError):
        raise OSError(
            errno.ENOTSUP, "its file system cannot create a file only where there is none: give "
            "a folder on a local disk or an object store", str(path),
        ) from None
    return True


def _put(draft: Path, path: Path) -> None:
    with naming(path):
        fsspec_of(path).put_file(str(draft), _key(path))


@contextmanager
def naming(path: Path) -> Iterator[None]:
    """Names the path in what its file system says without doing so."""
    try:
        yield
    except FileExistsError:
        raise
    except OSError as error:
        if error.filename is not None:
            raise
        raise OSError(
            error.errno or errno.EIO, error.strerror or str(error), str(path)
        ) from None


def _key(path: Path) -> str:
    """The path as its file system takes it."""
    return path.path  # type: ignore[attr-defined]
