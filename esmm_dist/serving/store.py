"""The folder of all bundles: each under its name, and the aliases that say which one serves.

A bundle is written aside and put in place whole by a rename, or on an object store, where nothing
can be renamed, part by part with its index last; one that is there already stays as it is. It does
not know how a model is loaded.
"""

import errno
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from esmm_dist.contract.bundle import (
    ALIASES,
    CURRENT,
    INDEX,
    NAME,
    NEEDED,
    BundleIndex,
    Part,
    name_of,
)
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config
from esmm_dist.serving.aliases import AliasBook
from esmm_dist.serving.bundle import Bundle, parts_of
from esmm_dist.storage.address import is_local, path_of
from esmm_dist.storage.files import files_below, make_folder, put_folder, remove, sync

# What a killed writer left is removed by the next one after this long.
HOURS_OF_A_DRAFT = 24
_DRAFT = ".draft-"

# Names are shown, and may be given, by their first letters.
MIN_PREFIX = 8


class BundleStore:
    """Bundles by name, by the first letters of a name, by alias, or by their folder."""

    def __init__(self, path: str | Path) -> None:
        """Opens nothing yet."""
        self.path = path_of(path)
        self.aliases = AliasBook(self.path / ALIASES)

    def has(self, reference: str) -> bool:
        """Whether an alias, a name, its first letters or a path means anything."""
        if os.sep in reference:
            return (path_of(reference) / INDEX).exists()
        return reference in self.aliases.of_alias() or bool(self._called(reference))

    def open(self, reference: str) -> Bundle:
        """The bundle that an alias, a name, its first letters or a path means, checked.

        Raises:
            InputError: nothing, or more than one, is meant; or the bundle is not whole.
        """
        if os.sep in reference:
            return Bundle.open(reference)
        return Bundle.open(self.path / self.name_of(reference))

    def name_of(self, reference: str) -> str:
        """The full name that an alias, a name or its first letters means.

        Raises:
            InputError: nothing, or more than one, is meant.
        """
        of_alias = self.aliases.of_alias()
        if reference in of_alias:
            return of_alias[reference]
        names = self._called(reference)
        if len(names) == 1:
            return names[0]
        if names:
            raise InputError(f"{self.path}: {reference!r} begins {len(names)} names: write more")
        known = ", ".join([*of_alias, *[name[:12] for name in self.names()]]) or "nothing"
        raise InputError(
            f"{self.path}: no bundle is called {reference!r} (there is {known}): publish one with "
            "esmm_dist.publish"
        )

    def _called(self, reference: str) -> list[str]:
        return [name for name in self.names()
                if len(reference) >= MIN_PREFIX and name.startswith(reference)]

    def current(self) -> Bundle | None:
        """The bundle in service; None before the first.

        Raises:
            InputError: it is not whole.
        """
        return self.open(CURRENT) if CURRENT in self.aliases.of_alias() else None

    def names(self) -> list[str]:
        """The names of all bundles."""
        if not self.path.is_dir():
            return []
        return sorted(path.name for path in self.path.iterdir()
                      if NAME.fullmatch(path.name) and (path / INDEX).exists())

    def add(
        self, write: Callable[[Path], None],
        index_of: Callable[[tuple[Part, ...]], BundleIndex],
    ) -> Bundle:
        """Puts a bundle in place, unless the very same is there already.

        Args:
            write: writes all parts below a folder.
            index_of: says of what the parts are.

        Raises:
            InputError: what `write` or `index_of` refuses.
        """
        with self._draft() as draft:
            write(draft)
            parts = parts_of(draft, files_below(draft))
            assert {part.path for part in parts} >= set(NEEDED), "a part has not been written"
            for part in parts:
                sync(draft / part.path)
            text = index_of(parts).to_json()
            (draft / INDEX).write_text(text, encoding="utf-8")
            sync(draft / INDEX)
            target = self.path / name_of(text)
            if is_local(target):
                self._put(draft, target)
            elif not (target / INDEX).exists():
                put_folder(draft, target, last=INDEX)
        return Bundle.open(target)

    @contextmanager
    def _draft(self) -> Iterator[Path]:
        """A local folder to write a bundle in, beside the others where these are local too."""
        if not is_local(self.path):
            with tempfile.TemporaryDirectory() as folder:
                yield Path(folder)
            return
        self._remove_old_drafts()
        make_folder(self.path)
        draft = self._new_draft()
        draft.mkdir()
        try:
            yield draft
        finally:
            shutil.rmtree(draft, ignore_errors=True)

    def _put(self, draft: Path, target: Path) -> None:
        """Gives a bundle its name; of two that are whole the first stays."""
        try:
            draft.rename(target)
        except OSError as error:
            if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
                raise
            try:
                Bundle.open(target)
            except InputError:  # it has been damaged since: this one is what its name says
                aside = self._new_draft()
                target.rename(aside)
                self._put(draft, target)
                shutil.rmtree(aside, ignore_errors=True)
        sync(self.path)

    def prune(self, num_kept: int) -> list[str]:
        """Removes bundles that no alias means, except the latest ones.

        What an aliased bundle was trained from stays, for a retry begins from it, and so does what
        is younger than a day: its publisher may be about to give it an alias.

        Args:
            num_kept: the latest of those that no alias means.

        Returns:
            The names of those removed.
        """
        meant = [Bundle.glance(self.path / name) for name in self.aliases.of_alias().values()]
        needed = {bundle.name for bundle in meant} | {bundle.index.parent for bundle in meant}
        age_of = {name: time.time() - (self.path / name / INDEX).stat().st_mtime
                  for name in self.names() if name not in needed}
        oldest_first = sorted(age_of, key=lambda name: (-age_of[name], name))
        removed = [name for name in oldest_first[: max(0, len(oldest_first) - num_kept)]
                   if age_of[name] > HOURS_OF_A_DRAFT * 3600]
        for name in removed:
            (self.path / name / INDEX).unlink()  # first: what is half removed is no bundle
            remove(self.path / name)
        return removed

    def _new_draft(self) -> Path:
        """A folder's path that tells when it was begun: others may be writing beside it."""
        return self.path / f"{_DRAFT}{int(time.time())}-{uuid.uuid4().hex}"

    def _remove_old_drafts(self) -> None:
        for draft in self.path.glob(f"{_DRAFT}*"):
            begun = draft.name.removeprefix(_DRAFT).partition("-")[0]
            if begun.isdecimal() and time.time() - int(begun) > HOURS_OF_A_DRAFT * 3600:
                shutil.rmtree(draft, ignore_errors=True)


def store_of(config: Config) -> BundleStore:
    """The bundles that a config's runs are published among."""
    return BundleStore(config.publish.path or Path("bundles") / config.name)
