"""Days without some users' samples: written anew beside the old ones, all other rows the same.

It deletes nothing from logs and no older build; it knows users by the hash of the group key alone.
"""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import Day, Manifest, SampleFile
from esmm_dist.contract.schema import (
    CLICK,
    CONVERSION,
    FAKE_NEGATIVE,
    GROUP_ID,
    MATURE,
    sample_columns,
)
from esmm_dist.contract.sections import Config
from esmm_dist.labelling.content import content_hash
from esmm_dist.labelling.sample_file import (
    CONTENT_SCHEMA,
    FAKE_NEGATIVES,
    IMMATURE,
    TALLY,
    parquet_bytes,
    without_magic,
)
from esmm_dist.samples.counters import DELETED
from esmm_dist.samples.drafts import written
from esmm_dist.samples.failures import CHANGED_BYTES, naming_the_file
from esmm_dist.samples.inspection import sizes_as_listed
from esmm_dist.samples.io import Store, build_folder, now
from esmm_dist.samples.layout import keys_of_partitions
from esmm_dist.samples.publication import publish, refuse_other_settings
from esmm_dist.samples.schedule import text_of
from esmm_dist.samples.terminal import phase


class Deletion(NamedTuple):
    """What became of a request."""

    manifest: Manifest
    """The new one; the one that was there if no user has a sample."""
    num_users_found: int
    num_rows_of_day: Mapping[str, int]
    """Samples deleted, by day."""


@dataclass(frozen=True)
class Rewriter:
    """Makes the files of a day anew from their bytes."""

    group_ids: frozenset[int]
    content_hashes: Mapping[str, str | None]
    """By the end of a file's path."""

    def __call__(self, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        """Takes `path` and `content`, one file a partition; gives its bytes up to the magic."""
        for batch in batches:
            for path, content in zip(batch["path"].to_pylist(), batch["content"]):
                yield without_magic(self.rewritten(path, content.as_buffer()))

    def rewritten(self, path: str, content: pa.Buffer) -> pa.Buffer:
        """The same bytes if no row goes, else a file of the rows that stay, in their order.

        Raises:
            ValueError: the rows are not those that were written: they must not be written again as
                if they were.
        """
        file = pq.ParquetFile(pa.BufferReader(content))
        table, notes = file.read(), file.metadata.metadata
        written = next(h for end, h in self.content_hashes.items() if path.endswith(end))
        if written is not None and content_hash(table) != written:
            raise ValueError(f"{CHANGED_BYTES}: {path}")
        goes_N = np.isin(table[GROUP_ID].to_numpy(), np.array([*self.group_ids], np.int64))
        if not goes_N.any():
            return content
        rows = table.filter(pa.array(~goes_N))
        return parquet_bytes(rows, _tally(json.loads(notes[TALLY.encode()]), rows))


def _tally(tally: dict[str, int], rows: pa.Table) -> dict[str, int]:
    """The file's counts: of samples those that stay, of events what became of them at the time."""
    num_fake = pc.sum(rows[FAKE_NEGATIVE]).as_py() or 0 if FAKE_NEGATIVE in rows.column_names else 0
    samples = rows.slice(0, len(rows) - num_fake)  # fake negatives stand last, and are none
    fake = {FAKE_NEGATIVES: num_fake} if FAKE_NEGATIVES in tally else {}
    return tally | fake | {
        "impressions_out": len(samples),
        "samples_clicked": pc.sum(samples[CLICK]).as_py() or 0,
        "samples_converted": pc.sum(samples[CONVERSION]).as_py() or 0,
        IMMATURE: int(np.count_nonzero(samples[MATURE].to_numpy() == 0)),
        DELETED: tally.get(DELETED, 0) + tally["impressions_out"] - len(samples),
    }


def delete_users(
    spark: SparkSession, store: Store, config: Config, users: Sequence[str]
) -> Deletion:
    """Publishes the days that hold samples of some users without these samples.

    Args:
        users: values of samples.group_key as texts, each once.

    Raises:
        InputError: nothing is built, with other settings, or a day was built again meanwhile; a
            file is not as it was written.
    """
    manifest = store.published()
    refuse_other_settings(manifest, config, appends=False)
    _, findings = sizes_as_listed(store, manifest.days)
    for day, path, what in findings:
        raise InputError(
            f"{store.path}/{path}: {what}: nothing is deleted, build {day} again first"
        )
    hashes = _hashes(spark, users)
    with phase(f"looking for {len(users):,} users in {text_of([d.day for d in manifest.days])}"):
        with naming_the_file(store.path):
            found = _found(spark, store.path, manifest, hashes)
    if not found.num_rows:
        return Deletion(manifest, 0, {})
    days = [day for day in manifest.days if any(file.path in found.num_rows for file in day.files)]
    with phase(f"writing {text_of([day.day for day in days])} anew"):
        rewritten = _rewritten(spark, store, config, days, found.group_ids)
    published = publish(
        store, config, manifest.encodings, [day for day in rewritten if day.num_rows],
        starts_anew=False, replaced=days,
    )
    num_rows = {
        str(old.day): old.num_rows - new.num_rows for old, new in zip(days, rewritten)
    }
    return Deletion(published, found.num_users, num_rows)


class _Found(NamedTuple):
    num_users: int
    group_ids: frozenset[int]
    """Hashes that occur."""
    num_rows: dict[str, int]
    """By file, of those that have any."""


def _hashes(spark: SparkSession, users: Sequence[str]) -> DataFrame:
    """`user` and each `group_id` it may have: a text and a number have other hashes, and in samples
    of version 0.1.0 an int and a long had."""
    user = F.col("user")
    whole = F.when(user == user.try_cast("bigint").cast("string"), user.try_cast("bigint"))
    texts = spark.createDataFrame([(text,) for text in users], "user string")
    typed = [user, whole, F.when(whole == whole.try_cast("int"), whole.try_cast("int"))]
    return texts.select(
        "user",
        F.explode(F.array(*[F.when(key.isNotNull(), F.xxhash64(key)) for key in typed]))
        .alias(GROUP_ID),
    ).where(F.col(GROUP_ID).isNotNull()).distinct()


def _found(spark: SparkSession, root: str, manifest: Manifest, hashes: DataFrame) -> _Found:
    paths = [f"{root}/{file.path}" for day in manifest.days for file in day.files]
    rows = (
        spark.read.schema(f"{GROUP_ID} bigint").parquet(*paths)
        .select(GROUP_ID, F.input_file_name().alias("file"))
        .join(F.broadcast(hashes.select(GROUP_ID).distinct()), GROUP_ID)
        .groupBy(GROUP_ID, "file").count().collect()
    )
    group_ids = frozenset(row[GROUP_ID] for row in rows)
    users = hashes.where(F.col(GROUP_ID).isin([*group_ids])).select("user").distinct().count()
    num_rows: dict[str, int] = {}
    for row in rows:
        path = "/".join(row.file.split("/")[-3:])
        num_rows[path] = num_rows.get(path, 0) + row["count"]
    return _Found(users, group_ids, num_rows)


def _rewritten(
    spark: SparkSession, store: Store, config: Config, days: Sequence[Day],
    group_ids: frozenset[int],
) -> list[Day]:
    """The days in folders of their own, not yet published."""

    files = [(day, file) for day in days for file in day.files]
    contents = _one_a_partition(spark, store.path, [file for _, file in files]).mapInArrow(
        Rewriter(group_ids, {file.path: file.content_hash for _, file in files}), CONTENT_SCHEMA
    )

    def file_of(partition: int) -> tuple[date, int]:
        day, file = files[partition]
        return day.day, int(file.path.rpartition("/")[2].partition(".")[0])

    with naming_the_file(store.path):
        build_id = written(store, contents, file_of)
    return [_looked_into(store, config, day, build_id) for day in days]


def _one_a_partition(spark: SparkSession, root: str, files: Sequence[SampleFile]) -> DataFrame:
    """`path` and `content`, the n-th file in the n-th partition."""
    place = F.coalesce(*[
        F.when(F.endswith(F.col("path"), F.lit(file.path)), F.lit(n))
        for n, file in enumerate(files)
    ])
    keys = F.array(*[F.lit(key) for key in keys_of_partitions(len(files))])
    return (
        spark.read.format("binaryFile").load([f"{root}/{file.path}" for file in files])
        .select("path", "content", F.get(keys, place).alias("key"))
        .repartition(len(files), "key")
        .drop("key")
    )


def _looked_into(store: Store, config: Config, day: Day, build_id: str) -> Day:
    folder = build_folder(day.day, build_id)
    names = sorted(store.files.names(folder))
    found = store.look_into([f"{folder}/{name}" for name in names], sample_columns(config))
    assert len(found) == len(day.files), (day.day, len(found), len(day.files))
    num_rows = sum(file.file.num_samples for file in found)
    counted = {
        name: sum(file.tally.get(name, 0) for file in found)
        for name in ("impressions_out", "samples_clicked", "samples_converted", IMMATURE,
                     FAKE_NEGATIVES)
        if name in day.counters
    }
    assert counted["impressions_out"] == num_rows, day.day
    counted[DELETED] = day.counters.get(DELETED, 0) + day.num_rows - num_rows
    return day.model_copy(update={
        "build_id": build_id, "built_at": now(), "num_rows": num_rows,
        "num_clicks": counted["samples_clicked"], "num_conversions": counted["samples_converted"],
        "files": tuple(file.file for file in found if file.file.num_rows),
        "counters": dict(sorted((day.counters | counted).items())),
    })
