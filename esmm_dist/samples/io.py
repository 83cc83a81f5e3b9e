"""Everything that the Spark half reads and writes: logs, encodings, sample files, manifests.

It decides nothing about rows. Files are written into a folder of their own build, checked, and
become samples only by the manifest that lists them.
"""

import json
import re
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from typing import NamedTuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from esmm_dist.contract.encodings import FIRST_VOCABULARY_ID, Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import sources_of
from esmm_dist.contract.logs import SnapshotSource, TableSource
from esmm_dist.contract.manifest import (
    ENCODINGS,
    MANIFESTS,
    EncodingsReference,
    Manifest,
    SampleFile,
    latest_manifest,
    manifest_numbers,
)
from esmm_dist.contract.sections import Config
from esmm_dist.labelling.content import CONTENT_HASH
from esmm_dist.labelling.sample_file import FAKE_NEGATIVES, TALLY
from esmm_dist.samples.event_logs import read_clicks, read_conversions
from esmm_dist.samples.failures import naming_the_file
from esmm_dist.samples.files import Files
from esmm_dist.samples.filing import DAY
from esmm_dist.samples.footers import columns_of_type
from esmm_dist.samples.impression_log import read_impressions
from esmm_dist.samples.logs import check_key_types
from esmm_dist.samples.snapshots import read_snapshot
from esmm_dist.samples.visibility import visible

DRAFTS = "_drafts"
NUM_FOOTER_THREADS = 8
FORMATS_OF_LINES = ("csv", "json")
PARQUET_TYPES = {
    "int64": "int64 {}", "int32": "int32 {}", "int8": "int32 {} (INTEGER(8,true))",
    "float32": "float {}", "binary": "binary {}",
}


class FoundFile(NamedTuple):
    """A written file and its own tally."""

    file: SampleFile
    tally: dict[str, int]


class LogFrames(NamedTuple):
    """The three logs in canonical columns."""

    impressions: DataFrame
    clicks: DataFrame
    conversions: DataFrame


def open_logs(spark: SparkSession, config: Config) -> LogFrames:
    """The logs as they lay at samples.as_of, not yet read beyond their schemas.

    Raises:
        InputError: a log is missing or unreadable, or a column is missing or of a wrong type.
    """
    logs, as_of = config.logs, config.samples.as_of
    frames = LogFrames(
        read_impressions(
            load_table(spark, logs.impressions, "logs.impressions", as_of),
            logs, config.features, config.samples.group_key,
            {source.name: source.key for source in _snapshots_used(config)},
        ),
        read_clicks(load_table(spark, logs.clicks, "logs.clicks", as_of), logs),
        read_conversions(
            load_table(spark, logs.conversions, "logs.conversions", as_of), logs.conversions
        ),
    )
    check_key_types({f"logs.{name}": frame for name, frame in frames._asdict().items()})
    return frames


def load_table(
    spark: SparkSession, source: TableSource, key: str, as_of: datetime | None
) -> DataFrame:
    """A table as it lay at an instant, with its own columns.

    Args:
        key: of the config's section that declares it.
        as_of: None: all of it.

    Raises:
        InputError: it is missing or unreadable.
    """
    def of_type(kind: str) -> Sequence[str]:
        return () if source.path is None else columns_of_type(spark, source.path, kind)

    # Else Spark reads a broken line as nulls, and the event that it told of is lost without a word.
    strict = {"mode": "FAILFAST"} if source.format in FORMATS_OF_LINES else {}
    with naming_the_file(f"{key} ({source.place})", of_type):
        reader = spark.read.options(**strict | source.options)
        frame = (
            reader.format(source.format).load(source.path)
            if source.table is None else reader.table(source.table)
        )
    return visible(frame, source, key, as_of)


def open_snapshots(spark: SparkSession, config: Config) -> dict[str, DataFrame]:
    """The snapshots that features name, not yet read beyond their schemas.

    Raises:
        InputError: as `open_logs`.
    """
    return {
        source.name: read_snapshot(
            load_table(
                spark, source, f"logs.snapshots.{source.name}", config.samples.as_of
            ),
            source, config.features,
        )
        for source in _snapshots_used(config)
    }


def _snapshots_used(config: Config) -> list[SnapshotSource]:
    used = sources_of(config.features)
    return [source for source in config.logs.snapshots if source.name in used]


class Store:
    """One samples directory."""

    def __init__(self, spark: SparkSession, path: str) -> None:
        self._spark = spark
        self.path = path
        self.files = Files(spark, path)

    def latest(self) -> tuple[Manifest | None, int]:
        """The highest whole manifest, None before the first build; and the number of the next one,
        above that of any there is, whole or not."""
        names = self.files.names(MANIFESTS)
        numbers = manifest_numbers(names)
        manifest = latest_manifest(names, self.files.read, self.path)
        return manifest, 1 + (numbers[0] if numbers else 0)

    def published(self) -> Manifest:
        """The highest whole manifest.

        Raises:
            InputError: nothing has been built.
        """
        manifest, _ = self.latest()
        if manifest is None:
            raise InputError(
                f"{self.path}: no samples manifest there: run jobs/build_samples.py first"
            )
        return manifest

    def encodings(self, reference: EncodingsReference) -> Encodings:
        """The encodings that a manifest refers to."""
        source = f"{self.path}/{reference.path}"
        if not self.files.exists(reference.path):
            raise InputError(f"{source}: there is no such file: restore it, or --refit")
        encodings = Encodings.parse(self.files.read(reference.path), source)
        if encodings.content_hash != reference.content_hash:
            raise InputError(f"{source}: does not hold what its name says: restore it, or --refit")
        return encodings.model_copy(update={"ancestry": reference.ancestry})

    def save(self, encodings: Encodings) -> EncodingsReference:
        """Writes encodings under their content hash."""
        content_hash = encodings.content_hash
        path = f"{ENCODINGS}/{content_hash}.json"
        if not self.files.create(path, encodings.model_dump_json() + "\n"):
            # It may be a leftover about to be cleaned away: in use again, it is young again.
            self.files.mark_as_new(path)
        return EncodingsReference(
            path=path, content_hash=content_hash, ancestry=encodings.ancestry
        )

    def vocabulary(
        self, reference: EncodingsReference, table: str, num_keys: int
    ) -> DataFrame:
        """The first keys of a vocabulary as rows (key, id), read by Spark itself: it may have 10^7
        of them."""
        saved = self._spark.read.schema("vocabularies map<string,array<string>>").json(
            f"{self.path}/{reference.path}"
        )
        keys = F.element_at("vocabularies", table)
        return (
            saved.select(F.posexplode(F.slice(keys, 1, num_keys)).alias("place", "key"))
            .select("key", (F.col("place") + FIRST_VOCABULARY_ID).alias("id"))
        )

    def look_into(
        self, paths: Sequence[str], types: Mapping[str, str]
    ) -> list[FoundFile]:
        """What files say of themselves in their footers.

        Args:
            types: of the columns that they must have, as `column_types` gives them.

        Raises:
            AssertionError: a file is not what readers expect.
        """
        sizes = {
            f"{folder}/{name}": size
            for folder in {path.rpartition("/")[0] for path in paths}
            for name, size in self.files.sizes(folder).items()
        }
        wanted = parquet_fields(types)

        def look(path: str) -> FoundFile:
            footer = self.files.footer(path)
            blocks, metadata = footer.getBlocks(), footer.getFileMetaData()
            num_rows = sum(block.getRowCount() for block in blocks)
            fields = tuple(
                re.findall(r"^ +(.+);$", metadata.getSchema().toString(), flags=re.MULTILINE)
            )
            assert fields == wanted, f"{path}: {fields}, not {wanted}"
            assert len(blocks) == 1 or not num_rows, f"{path}: {len(blocks)} row groups"
            notes = metadata.getKeyValueMetaData()
            tally = json.loads(notes[TALLY])
            num_fake = tally.get(FAKE_NEGATIVES, 0)
            assert tally["impressions_out"] + num_fake == num_rows, f"{path}: {num_rows:,} rows"
            file = SampleFile(
                path=path, num_rows=num_rows, num_bytes=sizes[path], num_fake_negatives=num_fake,
                content_hash=notes[CONTENT_HASH],
            )
            return FoundFile(file, tally)

        with ThreadPoolExecutor(NUM_FOOTER_THREADS) as pool:
            return list(pool.map(look, paths))

    def publish(self, manifest: Manifest) -> bool:
        """Commits a manifest; False if its number has been taken meanwhile."""
        return self.files.create(manifest.path, manifest.model_dump_json(indent=1) + "\n")


def build_folder(day: date, build_id: str) -> str:
    """Where a day's files lie, relative to the samples' directory: rebuilding never overwrites."""
    return f"{DAY}={day}/build={build_id}"


def parquet_fields(types: Mapping[str, str]) -> tuple[str, ...]:
    """The fields of a sample file as a Parquet schema prints them; `required` rules out nulls."""
    return tuple(
        "required " + PARQUET_TYPES[kind].format(name)
        for name, kind in types.items()
    )


def now() -> datetime:
    """This instant, to the second."""
    return datetime.now(UTC).replace(microsecond=0)
