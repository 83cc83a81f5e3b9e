"""Rows of the log with ids in the place of their values.

It learns nothing and reads no files; `values` and `lists` hold the expressions.
"""

from collections.abc import Mapping, Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from esmm_dist.contract.encodings import Encodings
from esmm_dist.contract.features import (
    CrossFeature,
    Feature,
    MultiValuedFeature,
    VocabularyEncoding,
    parts_of,
    table_of,
    weights_column,
)
from esmm_dist.labelling.flags import cut_column, unweighted_column
from esmm_dist.samples.lists import list_weights, packed_ids
from esmm_dist.samples.logs import feature_column
from esmm_dist.samples.values import canonical, cross_id, known_or, part_of_cross, scalar_id

# A vocabulary up to this size travels inside the plan; a larger one is broadcast and joined.
MAX_LITERAL_KEYS = 1_000


def encode(
    impressions: DataFrame,
    features: Sequence[Feature],
    encodings: Encodings,
    large_vocabularies: Mapping[str, DataFrame],
) -> DataFrame:
    """Puts ids, which are never null, in the place of the features' values.

    Args:
        impressions: rows with feature columns.
        large_vocabularies: frames (key, id) of the tables in `tables_to_join`.

    Returns:
        The same rows; a list's ids are packed, and `cut_column` says whether it was cut; its
        weights are a list of floats, and `unweighted_column` says whether one was missing.
    """
    kinds = {field.name: field.dataType for field in impressions.schema}
    ids: list[Column] = []
    for feature in features:
        name = feature_column(feature.name)
        if isinstance(feature, MultiValuedFeature):
            packed, was_cut = packed_ids(F.col(name), kinds[name], feature, encodings)
            ids += [packed.alias(name), was_cut.alias(cut_column(feature))]
            if feature.weights is not None:
                given = feature_column(weights_column(feature))
                weights, is_missing = list_weights(
                    F.col(name), F.col(given), kinds[name], feature
                )
                ids += [weights.alias(given), is_missing.alias(unweighted_column(feature))]
            continue
        if isinstance(feature, CrossFeature):
            values = [
                part_of_cross(canonical(F.col(column), kinds[column]), part, encodings)
                for part in parts_of(feature, features)
                for column in [feature_column(part.name)]
            ]
            ids.append(cross_id(values, feature.encode).alias(name))
            continue
        value = canonical(F.col(name), kinds[name])
        table = table_of(feature)
        if table in large_vocabularies:
            found = f"id_{feature.name}"
            names = {"key": f"key_{feature.name}", "id": found}
            vocabulary = F.broadcast(large_vocabularies[table].withColumnsRenamed(names))
            is_same = value.key == F.col(names["key"])
            impressions = impressions.join(vocabulary, is_same, how="left")
            ids.append(known_or(value, F.col(found)).alias(name))
        else:
            ids.append(scalar_id(value, feature, encodings).alias(name))
    others = [c for c in kinds if not c.startswith(feature_column(""))]
    return impressions.select(*others, *ids)


def tables_to_join(features: Sequence[Feature], encodings: Encodings) -> tuple[str, ...]:
    """The vocabularies too large to travel inside the plan."""
    tables = {
        table_of(feature): None
        for feature in features
        if isinstance(feature.encode, VocabularyEncoding)
        and not isinstance(feature, MultiValuedFeature)
    }
    return tuple(t for t in tables if len(encodings.vocabularies[t]) > MAX_LITERAL_KEYS)
