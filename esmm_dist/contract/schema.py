"""The columns of the samples: what Spark writes, Petastorm reads, and neither may guess.

Parquet, one row group a file, no nulls anywhere:
* `sample_id` int64: XXH64 of the impression id, as Spark's xxhash64 gives it;
* `group_id` int64: XXH64 of the group key (the user), for GAUC and the bootstrap;
* `click`, `conversion` int8: 0 or 1, conversion <= click;
* `weight` float32: what a row counts, 1 unless rows were sampled;
* `click_delay_s` int32: seconds from the impression to the first click that counts;
* `conversion_delay_s` int32: seconds to the first conversion that counts, from the click that it
  is credited to; both are cut to whole seconds, and -1 where there is none;
* `observed_s` int32: seconds for which the logs had watched the impression, up to both windows;
* `mature` int8: 1 if both windows had passed, so that the labels are final;
* `fake_negative` int8, only in such a label stream: 1 in rows that are no samples of their own but
  repeat one as it was before its conversion; they are the last rows of their file;
* `conversion_value` float32, the last column, where the log declares one: what the row's credited
  conversions are worth together, 0 for those whose value is unknown; never a feature;
* a single-valued feature, int32: its id, local to its table;
* a multi-valued feature, binary: its ids as packed little-endian int32 (lists read ten times
  slower), and beside it, if it has weights, `<feature>_weights`: as many packed float32.
"""

from collections.abc import Sequence

from esmm_dist.contract.features import Feature, MultiValuedFeature, columns_of
from esmm_dist.contract.sections import Config

SAMPLE_ID = "sample_id"
GROUP_ID = "group_id"
CLICK = "click"
CONVERSION = "conversion"
WEIGHT = "weight"
CONVERSION_VALUE = "conversion_value"
CLICK_DELAY_S = "click_delay_s"
CONVERSION_DELAY_S = "conversion_delay_s"
OBSERVED_S = "observed_s"
MATURE = "mature"
FAKE_NEGATIVE = "fake_negative"
NO_DELAY_S = -1

KEY_COLUMNS = {SAMPLE_ID: "int64", GROUP_ID: "int64"}
LABEL_COLUMNS = {CLICK: "int8", CONVERSION: "int8", WEIGHT: "float32"}
DELAY_COLUMNS = {
    CLICK_DELAY_S: "int32", CONVERSION_DELAY_S: "int32", OBSERVED_S: "int32", MATURE: "int8",
}
DECLARED_COLUMNS = {FAKE_NEGATIVE: "int8", CONVERSION_VALUE: "float32"}


def sample_columns(config: Config) -> dict[str, str]:
    """The columns of a config's samples with their types, those it declares itself included."""
    declared = [FAKE_NEGATIVE] if config.samples.label_stream == "fake_negative" else []
    declared += [CONVERSION_VALUE] if config.logs.conversions.value is not None else []
    return column_types(config.features, declared)


def column_types(features: Sequence[Feature], declared: Sequence[str] = ()) -> dict[str, str]:
    """Every column of the samples with its type, in the order in which files hold them.

    Args:
        declared: names of `DECLARED_COLUMNS`, which samples have only where the config says so.
    """
    declared_types = {name: DECLARED_COLUMNS[name] for name in declared}
    return KEY_COLUMNS | LABEL_COLUMNS | DELAY_COLUMNS | feature_types(features) | declared_types


def feature_types(features: Sequence[Feature]) -> dict[str, str]:
    """The columns of the features with their types, in order of declaration."""
    return {
        column: "binary" if isinstance(feature, MultiValuedFeature) else "int32"
        for feature in features
        for column in columns_of(feature)
    }
