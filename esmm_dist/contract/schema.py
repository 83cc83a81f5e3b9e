"""The columns of the samples: what Spark writes, Petastorm reads, and neither may guess.

Parquet, one row group a file, no nulls anywhere:
* `sample_id` int64: XXH64 of the impression id, as Spark's xxhash64 gives it;
* `group_id` int64: XXH64 of the group key (the user), for GAUC and the bootstrap;
* `click`, `conversion` int8: 0 or 1, conversion <= click;
* `weight` float32: what a row counts, 1 unless rows were sampled;
* a single-valued feature, int32: its id, local to its table;
* a multi-valued feature, binary: its ids as packed little-endian int32 (lists read ten times
  slower), and beside it, if it has weights, `<feature>_weights`: as many packed float32.
"""

from collections.abc import Sequence

from esmm_dist.contract.features import Feature, MultiValuedFeature, columns_of

SAMPLE_ID = "sample_id"
GROUP_ID = "group_id"
CLICK = "click"
CONVERSION = "conversion"
WEIGHT = "weight"

KEY_COLUMNS = {SAMPLE_ID: "int64", GROUP_ID: "int64"}
LABEL_COLUMNS = {CLICK: "int8", CONVERSION: "int8", WEIGHT: "float32"}


def column_types(features: Sequence[Feature]) -> dict[str, str]:
    """Every column of the samples with its type, in the order in which files hold them."""
    return KEY_COLUMNS | LABEL_COLUMNS | feature_types(features)


def feature_types(features: Sequence[Feature]) -> dict[str, str]:
    """The columns of the features with their types, in order of declaration."""
    return {
        column: "binary" if isinstance(feature, MultiValuedFeature) else "int32"
        for feature in features
        for column in columns_of(feature)
    }
