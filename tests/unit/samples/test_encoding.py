"""The published vectors hold Spark's ids and the encoder's together."""

import json
import struct
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from esmm_dist.contract.encoder import (
    Value,
    encode_values,
    encoder_of,
)
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import (
    BucketEncoding,
    CategoricalFeature,
    Feature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
    NumericFeature,
    VocabularyEncoding,
    table_of,
)
from esmm_dist.samples.encoding import cut_column, encode, tables_to_join
from esmm_dist.samples.io import Store
from esmm_dist.samples.logs import feature_column

pytestmark = pytest.mark.spark

VECTORS = Path(__file__).parents[3] / "docs" / "encoding_vectors.json"
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
          for name, (column, _) in columns_of_features.items()],
    )
    large = {
        table: store.vocabulary(reference, table) for table in tables_to_join(features, encodings)
    }
    encode(impressions, features, encodings, large).select(
        "row",
        *[F.col(feature_column(feature.name)).alias(feature.name) for feature in features],
        *[cut_column(feature) for feature in features if isinstance(feature, MultiValuedFeature)],
    ).write.parquet(str(folder / "encoded"))
    table = pq.read_table(folder / "encoded").sort_by("row")
    return {name: table[name].to_pylist() for name in table.column_names}


def packed(ids: Sequence[int]) -> bytes:
    """Ids as samples hold them: little-endian int32, one after the other."""
    return struct.pack(f"<{len(ids)}i", *ids)


def differing(
    values: Sequence[Any], found: Sequence[Any], wanted: Sequence[Any]
) -> list[tuple[Any, Any, Any]]:
    """The first values on which two sides disagree."""
    assert len(values) == len(found) == len(wanted)
    return [row for row in zip(values, found, wanted) if row[1] != row[2]][:5]


def vectors() -> dict[str, Any]:
    """The published vectors; a value is written as text, whatever its type, or is null."""
    document: dict[str, Any] = json.loads(VECTORS.read_text(encoding="utf-8"))
    return document


def value_of(kind: str, text: str | None) -> Value:
    """A published value."""
    if text is None:
        return None
    read: dict[str, Callable[[str], Value]] = {
        "string": str, "int64": int, "double": float, "boolean": lambda word: word == "true",
    }
    return read[kind](text)


def vector_features(document: Mapping[str, Any]) -> dict[str, NumericFeature | CategoricalFeature]:
    """The encodings of the published vectors, by the key under which a value's ids stand."""
    features: dict[str, NumericFeature | CategoricalFeature] = {
        name: CategoricalFeature(name=name, group=Group.ITEM, encode=HashEncoding(**settings))
        for name, settings in document["hashes"].items()
    }
    features["vocabulary"] = CategoricalFeature(
        name="vocabulary", group=Group.ITEM, encode=VocabularyEncoding(min_count=1)
    )
    features["buckets"] = NumericFeature(
        name="buckets", kind=Kind.NUMERIC, group=Group.ITEM,
        encode=BucketEncoding(boundaries=tuple(document["boundaries"])),
    )
    return features


def test_the_encoder_gives_the_published_vectors() -> None:
    document = vectors()
    known = Encodings(vocabularies={"vocabulary": tuple(document["vocabulary"])})
    features = vector_features(document)
    for vector in document["values"]:
        value = value_of(vector["type"], vector["value"])
        ids = {name: encoder_of(features[name], known)(value) for name in vector["ids"]}
        assert ids == vector["ids"], vector
        assert vector["ids"].keys() == features.keys() - (
            {"buckets"} if vector["type"] == "string" else set()
        )
    for vector in document["lists"]:
        for name, hexadecimal in vector["packed"].items():
            feature = list_feature(features[name], vector["max_length"])
            list_ids = encode_values(
                feature, encoder_of(features[name], known),
                [value_of(vector["type"], text) for text in vector["values"]],
            )
            assert packed(list_ids).hex() == hexadecimal, (name, vector)


def list_feature(of_values: Feature, max_length: int) -> MultiValuedFeature:
    """The feature of lists whose values are encoded as those of another feature are."""
    assert not isinstance(of_values, NumericFeature)
    return MultiValuedFeature(
        name=of_values.name, kind=Kind.MULTI_VALUED, group=Group.ITEM, encode=of_values.encode,
        table=of_values.table, max_length=max_length,
    )


def test_spark_gives_the_published_vectors(spark: SparkSession, tmp_path: Path) -> None:
    document = vectors()
    known = Encodings(vocabularies={"vocabulary": tuple(document["vocabulary"])})
    scalars = vector_features(document)
    columns: dict[str, list[Any]] = {}
    features: dict[str, tuple[str, Feature]] = {}
    wanted: dict[str, list[Any]] = {}
    num_rows = max(len(document["values"]), len(document["lists"]))
    for kind in ("string", "int64", "double", "boolean"):
        of_kind = [vector for vector in document["values"] if vector["type"] == kind]
        columns[kind] = padded([value_of(kind, v["value"]) for v in of_kind], num_rows)
        for name in of_kind[0]["ids"]:
            renamed = scalars[name].model_copy(
                update={"name": f"{name}_{kind}", "table": table_of(scalars[name])}
            )
            features[renamed.name] = (kind, renamed)
            wanted[renamed.name] = [v["ids"][name] for v in of_kind]
    for number, vector in enumerate(document["lists"]):
        kind = vector["type"]
        column = f"list_{number}"
        columns[column] = [[value_of(kind, text) for text in vector["values"]]] * num_rows
        for name, hexadecimal in vector["packed"].items():
            renamed_list = list_feature(scalars[name], vector["max_length"]).model_copy(
                update={"name": f"{name}_{column}", "table": table_of(scalars[name])}
            )
            features[renamed_list.name] = (column, renamed_list)
            wanted[renamed_list.name] = [bytes.fromhex(hexadecimal)]
    types = {f"list_{n}": vector["type"] for n, vector in enumerate(document["lists"])}
    log = read_log(spark, tmp_path / "log", columns, types)
    found = spark_ids(log, features, known, tmp_path / "samples")
    for name, ids in wanted.items():
        assert found[name][: len(ids)] == ids, name


def padded(column: list[Value], num_rows: int) -> list[Value]:
    """A column made as long as the others, with nulls."""
    return column + [None] * (num_rows - len(column))
