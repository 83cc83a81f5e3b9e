"""Files that grow line by line, where the run's folder cannot take a line more.

An object store takes whole objects only. There such files are written on this machine and put in
their place whole whenever what they belong to is saved; on a local disk they grow where they lie.
"""

import tempfile
from pathlib import Path

from esmm_dist.storage.address import is_local
from esmm_dist.storage.files import fetch, make_folder, put_folder


class Desk:
    """Some files and folders below one folder, at a local path each."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._scratch = None if is_local(home) else tempfile.TemporaryDirectory(prefix="esmm_dist-")

    def file(self, name: str) -> Path:
        """The local path of a file, with what it holds so far."""
        home = self._home / name
        if self._scratch is None:
            make_folder(home.parent)
            return home
        own = Path(self._scratch.name) / name
        own.parent.mkdir(parents=True, exist_ok=True)
        if home.exists() and not own.exists():
            fetch(home, own)
        return own

    def folder(self, name: str) -> Path:
        """The local path of a folder to which files are added; of those that are there it shows
        none where they lie elsewhere."""
        return (self._home if self._scratch is None else Path(self._scratch.name)) / name

    def save(self) -> None:
        """Puts all files where they belong, as they are now."""
        if self._scratch is not None:
            put_folder(Path(self._scratch.name), self._home)

    def clear(self) -> None:
        """Ends with what was not saved."""
        if self._scratch is not None:
            self._scratch.cleanup()
