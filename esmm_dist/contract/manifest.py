"""The manifest: which files make up the samples, what they hold, and the commit of a build.

A build writes its files, then publishes a manifest under the next free number, created only if
absent; the highest number that reads whole wins. Readers open only what it lists.
"""

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

from pydantic import BaseModel, ConfigDict, ValidationError

from esmm_dist.contract.days import DayRange
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.mistakes import one_line
from esmm_dist.contract.value_kinds import ValueKind
from esmm_dist.storage.address import path_of, reason_of

MANIFESTS = "_manifests"
ENCODINGS = "_encodings"
REPORTS = "_reports"


class _Document(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class SampleFile(_Document):
    """One Parquet file, which is one row group."""

    path: str
    """Relative to the samples' directory."""
    num_rows: int
    num_bytes: int
    num_fake_negatives: int = 0
    """Its last rows, which repeat samples as they were before their conversion."""
    content_hash: str | None = None
    """Of the values as they were written, so that a flipped byte can be found; None: not known."""

    @property
    def num_samples(self) -> int:
        """Rows that stand for an impression each; they come first."""
        return self.num_rows - self.num_fake_negatives


class SampleColumn(_Document):
    """How a column is stored."""

    type: str
    storage: Literal["row"] = "row"
    """row: a value in every row of the sample files."""


class Day(_Document):
    """One built day."""

    day: date
    build_id: str
    built_at: datetime
    as_of: datetime | None
    """Nothing later than this was visible to the build; None: all that lay in the logs."""
    known_by: dict[str, str] = {}
    """By log the column that told when a row became known: its ingest time, or else event_time.
    Empty where as_of is None."""
    files: tuple[SampleFile, ...]
    """In the order that the shuffle gave them."""
    num_rows: int
    """Samples: of the rows of its files those that are no fake negatives."""
    num_clicks: int
    num_conversions: int
    first_event_time: datetime
    last_event_time: datetime
    counters: dict[str, int]
    """What the build met: rows in, rows dropped by reason, events by fate."""
    encodings: str | None = None
    """Content hash of the encodings that gave its ids: those of the manifest, or what they were
    before keys were appended. None: not noted."""
    unclicked_rate: float | None = None
    """Share of its un-clicked samples that were kept. None: not noted."""
    read_by: dict[str, str] | None = None
    """Which columns of the logs were read, and how late their rows might be, as
    `settings.reading_of` tells it. None: not noted."""
    value_kinds: dict[str, ValueKind] | None = None
    """By feature, crosses aside, how its values were logged; under group_id how those of the group
    key were. None: not noted."""

    @property
    def num_immature(self) -> int:
        """Samples whose labels were not final."""
        return self.counters.get("samples_immature", 0)


class Lesson(_Document):
    """What the ids of a directory were from one time of learning until the next."""

    content_hash: str
    num_keys: dict[str, int]
    """By table: ids only append, so that these keys come first in every later vocabulary too."""
    fit_days: DayRange
    learned_as_of: datetime


class EncodingsReference(_Document):
    """Where the learned encodings lie, and which they are."""

    path: str
    content_hash: str
    ancestry: tuple[str, ...] = ()
    fit_days: DayRange | None = None
    """The days that taught the latest of these ids; None where nothing is learned."""
    learned_as_of: datetime | None = None
    """What they were learned from was known by then."""
    lessons: tuple[Lesson, ...] = ()
    """Every time that these ids were learned or appended to, oldest first."""

    def lesson_at(self, as_of: datetime | None) -> Lesson | None:
        """What builds as of an instant go by: the latest lesson that had been learned, or the first
        one if none had; None where nothing is learned, or nobody noted when."""
        learned = [
            lesson for lesson in self.lessons if as_of is None or lesson.learned_as_of <= as_of
        ]
        return learned[-1] if learned else next(iter(self.lessons), None)

    def descends_from(self, other: "EncodingsReference") -> bool:
        """Whether every id that the other gives means the same here."""
        return other.content_hash in (*self.ancestry, self.content_hash)


class Manifest(_Document):
    """All days of a samples directory, as one build left them."""

    format_version: Literal[1] = 1
    number: int
    created_at: datetime
    fingerprint: str
    """Of the feature declaration; readers with another one refuse to run."""
    settings: dict[str, Any] = {}
    """What ids and labels depend on beside the logs, so that a difference can be named."""
    encodings: EncodingsReference
    columns: dict[str, SampleColumn]
    shuffle_seed: int
    days: tuple[Day, ...]
    """In order of date; no date twice."""

    @property
    def path(self) -> str:
        """Its own path, relative to the samples' directory."""
        return manifest_path(self.number)

    def select(self, days: Iterable[date], source: str) -> tuple[Day, ...]:
        """The built days asked for, in order.

        Raises:
            InputError: a day has not been built; `source` names the samples.
        """
        built = {day.day: day for day in self.days}
        wanted = sorted(set(days))
        missing = [day for day in wanted if day not in built]
        if missing:
            span = f"{min(built)} to {max(built)}" if built else "none"
            raise InputError(
                f"{source}: the day {missing[0]} has no samples (built: {span}): "
                f"run jobs/build_samples.py --days {missing[0]}:{missing[-1]}"
            )
        return tuple(built[day] for day in wanted)

    @classmethod
    def parse(cls, text: str, source: str) -> Self:
        """Reads a manifest's text.

        Raises:
            InputError: it is none; `source` names the file.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            raise InputError(
                f"{source}: no readable manifest ({one_line(error, None, cls)}): "
                "rebuild the samples"
            ) from None


class FoundDocument(NamedTuple):
    """The text of a numbered document, and its path."""

    path: str
    text: str


def manifest_path(number: int) -> str:
    """The path of a manifest by its number, relative to the samples' directory."""
    return f"{MANIFESTS}/{number:08d}.json"


def report_path(number: int) -> str:
    """Where the quality report of a manifest lies, without the ending."""
    return f"{REPORTS}/{number:08d}"


def manifest_numbers(names: Iterable[str]) -> list[int]:
    """The numbers of manifests among file names, highest first."""
    stems = [name.removesuffix(".json") for name in names if name.endswith(".json")]
    return sorted((int(stem) for stem in stems if stem.isdecimal()), reverse=True)


def read_manifest(samples_path: str | Path, number: int | None = None) -> Manifest:
    """Reads a manifest of a samples directory: the latest, or the one a run pinned.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    if number is not None:
        path = path_of(samples_path) / manifest_path(number)
        return Manifest.parse(_text(path), str(path))
    root = path_of(samples_path)
    directory = root / MANIFESTS
    names = [path.name for path in directory.iterdir()] if directory.is_dir() else []
    latest = latest_manifest(names, lambda path: _text(root / path), samples_path)
    if latest is None:
        raise InputError(
            f"{samples_path}: no samples manifest there: run jobs/build_samples.py first"
        )
    return latest


def latest_manifest(
    names: Iterable[str], read: Callable[[str], str], samples_path: str | Path
) -> Manifest | None:
    """The highest manifest that reads whole; None if there is none.

    Args:
        names: of the files where manifests lie.
        read: gives the text of a path relative to the samples' directory.

    Raises:
        InputError: it is whole, but no manifest of this format.
    """
    found = latest_document(names, read)
    return None if found is None else Manifest.parse(found.text, f"{samples_path}/{found.path}")


def latest_document(names: Iterable[str], read: Callable[[str], str]) -> FoundDocument | None:
    """The highest numbered document that is whole; None if there is none.

    Args:
        names, read: as `latest_manifest` takes them.
    """
    for path in map(manifest_path, manifest_numbers(names)):
        text = read(path)
        if _is_whole(text):
            return FoundDocument(path, text)
    return None


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {reason_of(error)}: rebuild the samples") from None


def _is_whole(text: str) -> bool:
    """Whether a manifest was written to its end: one that was not has never been published."""
    try:
        json.loads(text)
    except ValueError:
        return False
    return True


def read_encodings(samples_path: str | Path, manifest: Manifest) -> Encodings:
    """Reads the learned encodings that a manifest names.

    Raises:
        InputError: the file is missing, damaged, or not the one the manifest means.
    """
    path = path_of(samples_path) / manifest.encodings.path
    encodings = Encodings.parse(_text(path), str(path))
    if encodings.content_hash != manifest.encodings.content_hash:
        raise InputError(
            f"{path}: its content is {encodings.content_hash[:12]}, the manifest means "
            f"{manifest.encodings.content_hash[:12]}: rebuild the samples"
        )
    # The file was written by whoever first had this content; the manifest knows its own past.
    return encodings.model_copy(update={"ancestry": manifest.encodings.ancestry})


def check_fingerprint(manifest: Manifest, expected: str, source: str) -> None:
    """Refuses samples that were built for another feature declaration.

    Raises:
        InputError: names both fingerprints.
    """
    if manifest.fingerprint != expected:
        raise InputError(
            f"{source}/{manifest.path}: samples were built for features "
            f"{manifest.fingerprint[:12]}, the config declares {expected[:12]}: "
            "rebuild the samples, or give the config they were built with"
        )
