"""Values of features as a log or a snapshot has them; refuses types that features cannot have.

It looks at a table's schema alone, never at its rows, and encodes nothing.
"""

from collections.abc import Sequence

from pyspark.sql import Column, DataFrame
from pyspark.sql import types as T

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import (
    CategoricalFeature,
    CrossFeature,
    Feature,
    MultiValuedFeature,
    weights_column,
)
from esmm_dist.contract.logs import TableSource
from esmm_dist.contract.value_kinds import ValueKind
from esmm_dist.samples.logs import (
    NUMBER,
    NUMBER_TYPES,
    VALUE_TYPES,
    Types,
    feature_column,
    typed_column,
)

ANY_VALUE = "a text, a number or a boolean"


def feature_values(
    frame: DataFrame, source: TableSource, features: Sequence[Feature], key: str
) -> list[Column]:
    """The columns of some features, and of their weights, by `feature_column`."""
    values: list[Column] = []
    for feature in features:
        if isinstance(feature, CrossFeature):
            continue
        value = _feature_column(frame, source, feature, key)
        values.append(value.alias(feature_column(feature.name)))
        if isinstance(feature, MultiValuedFeature) and feature.weights is not None:
            wanted = f"a list, each weight {NUMBER},"
            weights = _list_column(frame, source, feature.weights, key, NUMBER_TYPES, wanted)
            values.append(weights.alias(feature_column(weights_column(feature))))
    return values


def value_kinds(
    frames: Sequence[DataFrame], features: Sequence[Feature]
) -> dict[str, ValueKind]:
    """How the values of the features are logged, crosses aside.

    Args:
        frames: canonical logs and snapshots, which hold them by `feature_column`.
    """
    type_of = {field.name: field.dataType for frame in frames for field in frame.schema}
    found = {f.name: type_of.get(feature_column(f.name)) for f in features}
    return {name: kind_of(column) for name, column in found.items() if column is not None}


def kind_of(column: T.DataType) -> ValueKind:
    """What a column, or a column of lists, holds."""
    value = column.elementType if isinstance(column, T.ArrayType) else column
    return "text" if isinstance(value, T.StringType) else "number"


def _feature_column(frame: DataFrame, source: TableSource, feature: Feature, key: str) -> Column:
    match feature:
        case CategoricalFeature():
            return typed_column(frame, source, feature.name, key, VALUE_TYPES, ANY_VALUE)
        case MultiValuedFeature():
            wanted = f"a list, each value {ANY_VALUE},"
            return _list_column(frame, source, feature.name, key, VALUE_TYPES, wanted)
    return typed_column(frame, source, feature.name, key, NUMBER_TYPES, NUMBER)


def _list_column(
    frame: DataFrame, source: TableSource, name: str, key: str, types: Types, wanted: str
) -> Column:
    column = typed_column(frame, source, name, key, (T.ArrayType,), wanted)
    found = frame.schema[source.columns.get(name, name)].dataType
    assert isinstance(found, T.ArrayType)
    if not isinstance(found.elementType, types):
        raise InputError(
            f"{key} ({source.place}): the column {name!r} is {found.simpleString()}, {wanted} is "
            "wanted: convert it in the log"
        )
    return column
