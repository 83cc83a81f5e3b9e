"""What is noted of an impression beside its ids, and counted among the samples; names alone."""

from collections.abc import Sequence

from esmm_dist.contract.features import Feature, sources_of, time_of
from esmm_dist.labelling.marks import MARK_BITS
from esmm_dist.labelling.wire import list_features, weighted_features

GROUP_KEY_IS_NULL = "group_key_is_null"
MAX_FLAGS_OF_INT = 31 - MARK_BITS
MAX_FLAGS = 63 - MARK_BITS


def cut_column(feature: Feature) -> str:
    """The column of an encoded row that says whether a list was longer than its max_length."""
    return f"cut_{feature.name}"


def unweighted_column(feature: Feature) -> str:
    """The column of an encoded row that says whether a value of a list had no weight."""
    return f"unweighted_{feature.name}"


def missing_column(snapshot: str) -> str:
    """The column of an impression that says whether it found no row of a snapshot."""
    return f"without_{snapshot}"


def later_column(feature: Feature) -> str:
    """The column that says whether a feature's value came to be after the impression."""
    return f"later_{feature.name}"


def later_counter(feature: Feature) -> str:
    """The counter of samples with a value of after the impression: no build with any is published.
    """
    return f"samples_{feature.name}_later"


def counters_of_flags(features: Sequence[Feature]) -> dict[str, str]:
    """What each flag of an impression counts among the samples, from the lowest bit on, and the
    column of an encoded row that raises it."""
    flags = {"samples_null_group": GROUP_KEY_IS_NULL}
    for feature in list_features(features):
        flags[f"samples_{feature.name}_cut"] = cut_column(feature)
    for feature in weighted_features(features):
        flags[f"samples_{feature.name}_unweighted"] = unweighted_column(feature)
    for snapshot in sources_of(features):
        flags[f"samples_without_{snapshot}"] = missing_column(snapshot)
    flags |= {later_counter(f): later_column(f) for f in features if time_of(f) is not None}
    return flags
