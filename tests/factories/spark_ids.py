"""Ids as Spark gives them, for values written to a log and read back."""

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import CrossFeature, Feature, MultiValuedFeature, weights_column
from esmm_dist.labelling.flags import cut_column, unweighted_column
from esmm_dist.labelling.wire import weighted_features
from esmm_dist.samples.encoding import encode, tables_to_join
from esmm_dist.samples.io import Store
from esmm_dist.samples.logs import feature_column

ARROW_TYPES = {
    "string": pa.string(), "int64": pa.int64(), "double": pa.float64(), "float": pa.float32(),
    "boolean": pa.bool_(),
}


def read_log(
    spark: SparkSession, folder: Path, columns: Mapping[str, list[Any]],
    types_of_lists: Mapping[str, str] = MappingProxyType({}),
) -> DataFrame:
    """The columns, with a number for each row, as Spark reads them from Parquet."""
    arrays = {
        name: pa.array(
            column,
            pa.list_(ARROW_TYPES[types_of_lists.get(name, name.removeprefix("list_"))])
            if name.startswith("list_") else ARROW_TYPES[name],
        )
        for name, column in columns.items()
    }
    num_rows = len(next(iter(columns.values())))
    folder.mkdir()
    pq.write_table(pa.table({"row": range(num_rows)} | arrays), folder / "log.parquet")
    return spark.read.parquet(str(folder))


def spark_ids(
    log: DataFrame, columns_of_features: Mapping[str, tuple[str, Feature]], encodings: Encodings,
    folder: Path,
) -> dict[str, list[Any]]:
    """What `encode` gives, by feature, in the order of the log's rows."""
    features = [feature for _, feature in columns_of_features.values()]
    spark = log.sparkSession
    store = Store(spark, str(folder))
    reference = store.save(encodings)
    impressions = log.select(
        "row",
        *[F.col(column).alias(feature_column(name))
          for name, (column, feature) in columns_of_features.items()
          if not isinstance(feature, CrossFeature)],
        *[F.col(feature.weights).alias(feature_column(weights_column(feature)))
          for feature in weighted_features(features) if feature.weights],
    )
    large = {
        table: store.vocabulary(reference, table, len(encodings.vocabularies[table]))
        for table in tables_to_join(features, encodings)
    }
    encode(impressions, features, encodings, large).select(
        "row",
        *[F.col(feature_column(feature.name)).alias(feature.name) for feature in features],
        *[cut_column(feature) for feature in features if isinstance(feature, MultiValuedFeature)],
        *[F.col(feature_column(weights_column(feature))).alias(weights_column(feature))
          for feature in weighted_features(features)],
        *[unweighted_column(feature) for feature in weighted_features(features)],
    ).write.parquet(str(folder / "encoded"))
    table = pq.read_table(folder / "encoded").sort_by("row")
    return {name: table[name].to_pylist() for name in table.column_names}
