"""Spark's ids are the encoder's: 100,000 random and awkward values, and the published vectors."""

import random
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from esmm_dist.contract.encoder import (
    Value,
    canonical,
    cross_encoder,
    encode_values,
    encoder_of,
    weights_of_values,
)
from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import (
    BucketEncoding,
    CategoricalFeature,
    CrossFeature,
    Feature,
    Group,
    HashEncoding,
    Kind,
    MultiValuedFeature,
    NumericFeature,
    VocabularyEncoding,
    table_of,
)
from esmm_dist.samples.encoding import MAX_LITERAL_KEYS, tables_to_join
from tests.factories.encoding_vectors import (
    list_feature,
    packed,
    value_of,
    vector_features,
    vectors,
)
from tests.factories.random_values import AWKWARD, random_value
from tests.factories.spark_ids import ARROW_TYPES, read_log, spark_ids

pytestmark = pytest.mark.spark

NUM_ROWS = 20_000
LIST_TYPES = ("string", "double")
NUMBER_TYPES = ("int64", "double", "float", "boolean")
HASHES = (
    HashEncoding(hash_size=97, seed=7), HashEncoding(hash_size=2**31 - 1, seed=2**63 - 1),
)
# A vocabulary of the first size travels inside Spark's plan, one of the second is joined.
VOCABULARY_SIZES = {"small": 200, "large": 3_000}
BUCKETS = {
    # Neither zero is less than the other: this one has -0.0, the other 0.0.
    "fixed": BucketEncoding(boundaries=(-1e300, -1.0, -0.0, 0.5, 1.0, 2.0**53, 2.0**63)),
    "narrow": BucketEncoding(boundaries=tuple(place * 1.5 - 45.0 for place in range(60))),
}
MAX_LENGTH = 4


def random_values(rng: random.Random) -> dict[str, list[Any]]:
    """100,000 values, 20,000 of each type, and lists of some types."""
    columns: dict[str, list[Any]] = {
        kind: [*AWKWARD[kind], None, *(random_value(rng, kind) for _ in range(NUM_ROWS))][:NUM_ROWS]
        for kind in ARROW_TYPES
    }
    for kind in LIST_TYPES:
        columns[list_of(kind)] = [
            None if rng.random() < 0.05
            else [random_value(rng, kind) for _ in range(rng.randrange(2 * MAX_LENGTH))]
            for _ in range(NUM_ROWS)
        ]
    return columns


def list_of(kind: str) -> str:
    """The name of the column of lists of a type."""
    return f"list_{kind}"


def declared(columns: Mapping[str, list[Any]]) -> dict[str, tuple[str, Feature]]:
    """Each column under every encoding that its type allows: feature name -> column, feature."""
    features: dict[str, tuple[str, Feature]] = {}
    for column in columns:
        encodes = {f"hash_{i}": hash_encoding for i, hash_encoding in enumerate(HASHES)}
        by_name = encodes | {size: VocabularyEncoding(min_count=1) for size in VOCABULARY_SIZES}
        for prefix, id_encoding in by_name.items():
            name, table = f"{prefix}_{column}", prefix if prefix in VOCABULARY_SIZES else None
            features[name] = (column, (
                MultiValuedFeature(name=name, kind=Kind.MULTI_VALUED, group=Group.ITEM,
                                   encode=id_encoding, table=table, max_length=MAX_LENGTH)
                if column.startswith("list_")
                else CategoricalFeature(name=name, group=Group.ITEM, encode=id_encoding,
                                        table=table)
            ))
        if column in NUMBER_TYPES:
            for prefix, buckets in BUCKETS.items():
                name = f"{prefix}_{column}"
                features[name] = (column, NumericFeature(
                    name=name, kind=Kind.NUMERIC, group=Group.ITEM, encode=buckets
                ))
    return features


def learned(rng: random.Random, columns: Mapping[str, list[Any]]) -> Encodings:
    """Vocabularies of keys of all types, one small enough for the plan and one that is joined."""
    keys = {str(canonical(value)) for kind in ARROW_TYPES for value in columns[kind]}
    awkward = [text for text in AWKWARD["string"] if isinstance(text, str)]
    return Encodings(vocabularies={
        table: tuple(dict.fromkeys([*awkward, *rng.sample(sorted(keys), size)]))
        for table, size in VOCABULARY_SIZES.items()
    })


def differing(
    values: Sequence[Any], found: Sequence[Any], wanted: Sequence[Any]
) -> list[tuple[Any, Any, Any]]:
    """The first values on which two sides disagree."""
    assert len(values) == len(found) == len(wanted)
    return [row for row in zip(values, found, wanted) if row[1] != row[2]][:5]


@pytest.fixture(scope="module")
def values() -> dict[str, list[Any]]:
    return random_values(random.Random(20_220_425))


@pytest.fixture(scope="module")
def encodings(values: dict[str, list[Any]]) -> Encodings:
    return learned(random.Random(1), values)


@pytest.fixture(scope="module")
def encoded(
    spark: SparkSession, tmp_path_factory: pytest.TempPathFactory,
    values: dict[str, list[Any]], encodings: Encodings,
) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for column, of_column in values.items():  # one job of all would take Spark long to prepare
        folder = tmp_path_factory.mktemp(column)
        log = read_log(spark, folder / "log", {column: of_column})
        features = declared({column: of_column})
        found |= spark_ids(log, features, encodings, folder / "samples")
    return found


def test_the_small_vocabulary_stands_in_the_plan_and_the_large_one_is_joined(
    values: dict[str, list[Any]], encodings: Encodings
) -> None:
    features = [feature for _, feature in declared(values).values()]
    assert tables_to_join(features, encodings) == ("large",)
    assert len(encodings.vocabularies["small"]) <= MAX_LITERAL_KEYS


@pytest.mark.parametrize("kind", ARROW_TYPES)
def test_spark_gives_every_value_the_id_of_the_encoder(
    kind: str, values: dict[str, list[Any]], encodings: Encodings, encoded: dict[str, list[Any]]
) -> None:
    features = {n: f for n, (column, f) in declared(values).items() if column == kind}
    assert len(features) == len(HASHES) + len(VOCABULARY_SIZES) + (
        len(BUCKETS) if kind in NUMBER_TYPES else 0
    )
    for name, feature in features.items():
        ids = encoded[name]
        encoder = encoder_of(feature, encodings)
        assert not differing(values[kind], ids, [encoder(v) for v in values[kind]]), name
        assert len(set(ids)) > 1, name


@pytest.mark.parametrize("kind", LIST_TYPES)
def test_spark_packs_every_list_as_the_encoder_does(
    kind: str, values: dict[str, list[Any]], encodings: Encodings, encoded: dict[str, list[Any]]
) -> None:
    column = list_of(kind)
    for name, (its_column, feature) in declared(values).items():
        if its_column != column:
            continue
        assert isinstance(feature, MultiValuedFeature)
        encoder = encoder_of(feature, encodings)
        wanted = [packed(encode_values(feature, encoder, v)) for v in values[column]]
        assert not differing(values[column], encoded[name], wanted), name
        is_longer = [
            sum(canonical(value) is not None for value in v or ()) > MAX_LENGTH
            for v in values[column]
        ]
        assert any(is_longer)
        assert not differing(values[column], encoded[f"cut_{name}"], is_longer), name


def test_spark_crosses_values_as_the_encoder_does(
    spark: SparkSession, tmp_path: Path, values: dict[str, list[Any]]
) -> None:
    parts = {
        kind: (kind, CategoricalFeature(name=kind, group=Group.ITEM, encode=HASHES[0]))
        for kind in ARROW_TYPES
    }
    cut = NumericFeature(
        name="cut", kind=Kind.NUMERIC, group=Group.ITEM, encode=BUCKETS["narrow"]
    )
    columns_of = {
        "two": ("string", "int64"), "turned": ("int64", "string"), "floats": ("double", "float"),
        "bucketed": ("boolean", "cut"), "four": ("float", "boolean", "string", "cut"),
    }
    crosses = {
        name: CrossFeature(name=name, kind=Kind.CROSS, of=of, encode=HASHES[n % 2])
        for n, (name, of) in enumerate(columns_of.items())
    }
    features: dict[str, tuple[str, Feature]] = {
        **parts, "cut": ("double", cut), **{name: ("", cross) for name, cross in crosses.items()}
    }
    log = read_log(spark, tmp_path / "log", {kind: values[kind] for kind in ARROW_TYPES})
    found = spark_ids(log, features, Encodings(), tmp_path / "samples")
    declared_features = [feature for _, feature in features.values()]
    for name, cross in crosses.items():
        encoder = cross_encoder(cross, declared_features, Encodings())
        rows = list(zip(*[values[features[part][0]] for part in cross.of]))
        assert not differing(rows, found[name], [encoder(row) for row in rows]), name
        assert len(set(found[name])) > 2, name


def test_spark_weighs_every_list_as_the_encoder_does(spark: SparkSession, tmp_path: Path) -> None:
    rng = random.Random(20_220_427)
    columns: dict[str, list[Any]] = {"list_string": [], "list_double": [], "list_int64": []}
    for _ in range(NUM_ROWS):
        num_values = rng.randrange(2 * MAX_LENGTH)
        for name, of_rows in columns.items():
            of_row = [random_value(rng, name.removeprefix("list_")) for _ in range(num_values)]
            other = None if rng.random() < 0.5 else of_row[1:] + of_row[:2]
            of_rows.append(of_row if rng.random() < 0.9 else other)
    features: dict[str, tuple[str, Feature]] = {
        f"{values}_by_{weights}": (values, MultiValuedFeature(
            name=f"{values}_by_{weights}", kind=Kind.MULTI_VALUED, group=Group.ITEM,
            encode=HASHES[0], max_length=MAX_LENGTH, weights=weights,
        ))
        for values in ("list_string", "list_double") for weights in ("list_double", "list_int64")
    }
    log = read_log(spark, tmp_path / "log", columns)
    found = spark_ids(log, features, Encodings(), tmp_path / "samples")
    for name, (values, feature) in features.items():
        assert isinstance(feature, MultiValuedFeature) and feature.weights is not None
        pairs = list(zip(columns[values], columns[feature.weights]))
        wanted = [list(weights_of_values(feature, *pair)) for pair in pairs]
        assert not differing(pairs, found[f"{name}_weights"], wanted), name
        lengths = [len(packed_ids) // 4 for packed_ids in found[name]]
        assert lengths == [len(weights) for weights in wanted], name
        is_missing = found[f"unweighted_{name}"]
        assert {True, False} == set(is_missing)
        assert all(
            missing and set(of_row) <= {1.0}
            for of_row, missing, (of_values, given) in zip(wanted, is_missing, pairs)
            if len(of_values or ()) != len(given or ())
        ), name


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
