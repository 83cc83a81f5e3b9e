"""What a directory of samples, or of scores, holds that no kept manifest lists, and its removal.

Old manifests stay readable for as long as anyone may use them: whoever pinned a manifest did so
before it was superseded, and whoever builds has written lately. It touches nothing but manifests,
encodings, builds of days, reports and drafts.
"""

import json
import re
from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import (
    ENCODINGS,
    MANIFESTS,
    REPORTS,
    Manifest,
    manifest_numbers,
    manifest_path,
    report_path,
)
from esmm_dist.samples.files import Files, Found
from esmm_dist.samples.filing import DAY
from esmm_dist.samples.io import DRAFTS


class Listing(NamedTuple):
    """What a manifest says of its directory, whatever its days hold."""

    number: int
    created_at: datetime
    paths: frozenset[str]
    """All that is needed as long as it stays, itself too: files and builds of days."""


OURS = {
    "manifest": r"\d+\.json|\.\w+\.draft", "build": r"build=.+",
    "encodings": r"\w+\.json|\.\w+\.draft", "report": r"\d+\.(html|json)", "draft": r".+",
}
"""By kind the names that builds give; what bears another one is somebody's."""

Parse = Callable[[str, str], Listing]
"""Takes a manifest's text and its path; raises InputError where it is of another form."""


class Leftover(NamedTuple):
    """A file or directory that nothing needs."""

    kind: str
    """manifest, build, encodings, report or draft."""
    path: str
    """Relative to the directory."""
    num_bytes: int
    modified_at: datetime
    """When it, or the newest file in it, was written."""


class Inventory(NamedTuple):
    """What a directory holds, by whether it is needed."""

    kept: tuple[int, ...]
    """Numbers of the manifests that stay, newest first."""
    leftovers: tuple[Leftover, ...]
    """In the order in which to delete them: no manifest ever lists what is gone."""


def listing_of_samples(text: str, source: str) -> Listing:
    """What a manifest of samples needs: beside its builds its encodings and its quality report."""
    manifest = Manifest.parse(text, source)
    reports = {f"{report_path(manifest.number)}.{ending}" for ending in ("html", "json")}
    return Listing(manifest.number, manifest.created_at, frozenset(
        {manifest.path, manifest.encodings.path} | reports
        | builds_of([file.path for day in manifest.days for file in day.files])
    ))


def builds_of(paths: Sequence[str]) -> set[str]:
    """The folders that files of days lie in."""
    return {path.rpartition("/")[0] for path in paths}


def inventory(
    files: Files, parse: Parse, num_kept: int, pinned: Collection[int], grace: timedelta,
    now: datetime,
) -> Inventory:
    """Finds what can go.

    Args:
        parse: reads the directory's manifests.
        num_kept: the newest manifests that stay whatever their age, at least one.
        pinned: numbers of others that stay.
        grace: a manifest stays for so long after another one superseded it, anything else for so
            long after it was last written.

    Raises:
        InputError: there is no manifest, a pinned one is missing, or one that is whole cannot be
            read, so that nobody knows what it lists.
    """
    manifests = _readable(files, parse)
    kept = _kept(manifests, files.root, num_kept, pinned, now - grace)
    needed = set[str]().union(*[manifest.paths for manifest in kept])
    # A manifest may be younger than the clock of this machine says: it is kept by number above.
    superseded = {manifest_path(manifest.number) for manifest in manifests} - needed
    leftovers = tuple(
        found for found in _found(files, needed)
        if found.path in superseded or found.modified_at <= now - grace
    )
    return Inventory(tuple(manifest.number for manifest in kept), leftovers)


def remove(files: Files, leftovers: Sequence[Leftover]) -> None:
    """Deletes leftovers one after another, manifests first."""
    for leftover in leftovers:
        files.delete(leftover.path)


def _readable(files: Files, parse: Parse) -> list[Listing]:
    """The manifests that were written to their end, newest first."""
    found = []
    for number in manifest_numbers(files.names(MANIFESTS)):
        text, source = files.read(manifest_path(number)), f"{files.root}/{manifest_path(number)}"
        try:
            json.loads(text)
        except ValueError:
            continue  # never published: it goes when it is old
        try:
            found.append(parse(text, source))
        except InputError as error:
            raise InputError(
                f"{error}; nothing is cleaned while nobody knows what it lists: "
                "use the version that wrote it, or remove it"
            ) from None
    return found


def _kept(
    manifests: Sequence[Listing], root: str, num_kept: int, pinned: Collection[int],
    not_before: datetime,
) -> list[Listing]:
    if not manifests:
        raise InputError(f"{root}: no manifest there: nothing says what is needed")
    missing = sorted(set(pinned) - {manifest.number for manifest in manifests})
    if missing:
        raise InputError(f"{root}: there is no manifest {missing[0]} to keep: correct --pinned")
    superseded_at = [None, *[manifest.created_at for manifest in manifests[:-1]]]
    return [
        manifest
        for place, (manifest, end) in enumerate(zip(manifests, superseded_at))
        if place < num_kept or manifest.number in pinned or end is None or end > not_before
    ]


def _found(files: Files, needed: Collection[str]) -> Iterator[Leftover]:
    """Everything of ours that is not needed, whatever its age."""
    yield from _of_folder(files, "manifest", MANIFESTS, needed)
    for day in files.listing(""):
        if day.is_directory and day.name.startswith(f"{DAY}="):
            yield from _of_folder(files, "build", day.name, needed)
    yield from _of_folder(files, "encodings", ENCODINGS, needed)
    yield from _of_folder(files, "report", REPORTS, needed)
    yield from _of_folder(files, "draft", DRAFTS, needed)


def _of_folder(files: Files, kind: str, name: str, needed: Collection[str]) -> Iterator[Leftover]:
    for found in files.listing(name):
        path = f"{name}/{found.name}"
        if path not in needed and re.fullmatch(OURS[kind], found.name):
            inside = [found, *_inside(files, path)] if found.is_directory else [found]
            yield Leftover(
                kind, path, sum(one.num_bytes for one in inside),
                max(one.modified_at for one in inside),
            )


def _inside(files: Files, name: str) -> Iterator[Found]:
    for found in files.listing(name):
        yield found
        if found.is_directory:
            yield from _inside(files, f"{name}/{found.name}")
