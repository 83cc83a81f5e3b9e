"""Scores days of a table: count its rows, encode, score, write, count again, publish.

The order of these steps is all that is decided here; what is not whole is not published. The model
is handed over: here it is a function of Arrow batches.
"""

import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pyarrow as pa
from py4j.protocol import Py4JJavaError  # type: ignore[import-untyped]
from pyspark import SparkFiles
from pyspark.errors import PySparkException
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import types as T

from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.scores import DAY, ScoredDay, ScoresManifest
from esmm_dist.samples.failures import naming_the_file
from esmm_dist.samples.io import now
from esmm_dist.samples.schedule import text_of
from esmm_dist.samples.terminal import phase
from esmm_dist.scoring.store import ScoresStore, build_id_of
from esmm_dist.scoring.table import ScoringTable

Batches = Iterable[pa.RecordBatch]
ScoreBatches = Callable[[Batches], Batches]

NO_RUNTIME = "No module named 'onnxruntime'"


@dataclass(frozen=True)
class ShippedModel:
    """A model's files, which travel to the executors once, and what scores rows with them."""

    files: tuple[Path, ...]
    """The model's own first; they lie in one folder there too."""
    name: str
    """Of the first one, as no other model's is called."""
    scorer: Callable[[Path, tuple[str, ...]], ScoreBatches]
    """Of the first one's path, and the columns to be handed on; both sides can pickle it."""
    probabilities: tuple[str, ...]
    """The columns that the scorer adds, float32."""


def score_days(
    spark: SparkSession, table: ScoringTable, store: ScoresStore, model: ShippedModel,
    encodings: Encodings, bundle: str, days: Sequence[date],
) -> ScoresManifest:
    """Scores the days and publishes them together.

    Args:
        bundle: the name of the bundle that the model comes from.

    Raises:
        InputError: the table cannot be read, or has no rows of a day; nothing is published.
        AssertionError: rows were lost or made; nothing is published.
    """
    with _telling(table):
        with phase(f"counting the rows of {text_of(days)}"):
            num_rows_of_day = table.count(days)
        num_rows = sum(num_rows_of_day.values())
        with phase(f"scoring {num_rows:,} rows of {text_of(days)}"), _shipped(spark, model):
            scores = scored(table, model, table.encoded(days, encodings))
            files_of_day = store.write(scores, days)
    for day, files in files_of_day.items():
        num_rows = sum(file.num_rows for file in files)
        assert num_rows == num_rows_of_day[day], (
            f"{day}: {num_rows:,} scores of {num_rows_of_day[day]:,} rows"
        )
    columns = (*table.keys.values(), *model.probabilities)
    return store.publish([
        ScoredDay(
            day=day, build_id=build_id_of(files), scored_at=now(), bundle=bundle, columns=columns,
            files=files, num_rows=num_rows_of_day[day],
        ) for day, files in files_of_day.items()
    ])


def scored(table: ScoringTable, model: ShippedModel, encoded: DataFrame) -> DataFrame:
    """`day`, the keys by their own names, and the probabilities of encoded rows."""
    kept = (DAY, *table.keys)
    name_of_column = {DAY: DAY, **table.keys}
    schema = T.StructType([encoded.schema[column] for column in kept] + [
        T.StructField(name, T.FloatType(), nullable=False) for name in model.probabilities
    ])
    shipped, scorer = model.name, model.scorer

    def score(batches: Batches) -> Batches:
        return scorer(Path(SparkFiles.get(shipped)), kept)(batches)

    return encoded.mapInArrow(score, schema).withColumnsRenamed(name_of_column)


@contextmanager
def _shipped(spark: SparkSession, model: ShippedModel) -> Iterator[None]:
    """Lets every executor fetch the model's files from the driver, as long as it needs."""
    own, *others = model.files
    with tempfile.TemporaryDirectory() as folder:
        # Spark keeps one file of a name for the whole application.
        renamed = Path(folder) / model.name
        shutil.copyfile(own, renamed)
        for file in (renamed, *others):
            spark.sparkContext.addFile(str(file))
        yield


@contextmanager
def _telling(table: ScoringTable) -> Iterator[None]:
    """Names the table in what Spark says of its files, and what executors lack."""
    try:
        with naming_the_file(f"{table.section} ({table.source.place})"):
            yield
    except (PySparkException, Py4JJavaError) as error:
        if NO_RUNTIME not in str(error):
            raise
        raise InputError(
            "the executors' Python has no onnxruntime: install esmm-dist[serve] there "
            "(docs/cluster.md)"
        ) from None
