"""What no single feature's declaration can see: names that meet, tables, crosses and sources.

It refuses, and decides nothing else.
"""

from collections.abc import Sequence
from difflib import get_close_matches

from esmm_dist.contract.features import (
    CrossFeature,
    Feature,
    columns_of,
    parts_of,
    source_of,
    table_of,
)

RESERVED_COLUMNS = frozenset({
    "sample_id", "group_id", "click", "conversion", "weight", "day", "conversion_value",
    "click_delay_s", "conversion_delay_s", "observed_s", "mature", "fake_negative",
})


def check_features(features: Sequence[Feature]) -> None:
    """Refuses what no single declaration can see.

    Raises:
        ValueError: a name that cannot be a column, is reserved or used twice, a shared table whose
            users encode differently, or a cross of what cannot be crossed.
    """
    seen: set[str] = set()
    encoding_of_table: dict[str, tuple[str, object]] = {}
    for feature in features:
        _check_name(feature.name)
        for column in columns_of(feature):
            key = column.lower()  # Spark tells no columns apart by their case
            if key in seen:
                raise ValueError(f"the column {column!r} is declared twice")
            seen.add(key)
        table = table_of(feature)
        owner, encoding = encoding_of_table.setdefault(table, (feature.name, feature.encode))
        if encoding != feature.encode:
            raise ValueError(
                f"features {owner!r} and {feature.name!r} share the table {table!r} "
                "but encode differently"
            )
        if isinstance(feature, CrossFeature):
            parts_of(feature, features)


def check_sources(features: Sequence[Feature], snapshots: Sequence[str]) -> None:
    """Refuses features of a snapshot that is not declared.

    Raises:
        ValueError: names the feature, its source and the nearest snapshot.
    """
    for feature in features:
        source = source_of(feature)
        if source is not None and source not in snapshots:
            close = get_close_matches(source, snapshots, n=1)
            hint = f"did you mean {close[0]}?" if close else "declare it under logs.snapshots"
            raise ValueError(
                f"the feature {feature.name!r} is of the source {source!r}, which is no snapshot: "
                f"{hint}"
            )


def _check_name(name: str) -> None:
    """A plain name needs no quoting: in keys of --set, columns of Spark, patterns of Petastorm."""
    if not name.isidentifier():
        raise ValueError(
            f"the feature name {name!r} is no plain name (letters, digits, underscores): give it "
            "one under logs.impressions.columns"
        )
    if name.lower() in RESERVED_COLUMNS:
        raise ValueError(
            f"the feature name {name!r} is reserved: give it another under logs.impressions.columns"
        )
