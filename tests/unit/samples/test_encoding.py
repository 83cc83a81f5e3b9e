"""The published vectors hold Spark's ids and the encoder's together."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

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
from tests.factories.spark_ids import packed, read_log, spark_ids

pytestmark = pytest.mark.spark

VECTORS = Path(__file__).parents[3] / "docs" / "encoding_vectors.json"


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
