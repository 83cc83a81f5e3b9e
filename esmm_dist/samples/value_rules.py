"""What readers rely on of the values of one sample file; it reads nothing and changes nothing.

Shape legend: N rows of the file; V values of its lists.
"""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from esmm_dist.contract.features import Feature, MultiValuedFeature, weights_column
from esmm_dist.contract.schema import (
    CLICK,
    CLICK_DELAY_S,
    CONVERSION,
    CONVERSION_DELAY_S,
    CONVERSION_VALUE,
    FAKE_NEGATIVE,
    MATURE,
    NO_DELAY_S,
    OBSERVED_S,
    SAMPLE_ID,
    WEIGHT,
)
from esmm_dist.labelling.labels import mixed
from esmm_dist.labelling.packed import VALUE_BYTES, lengths, packed_values
from esmm_dist.labelling.wire import Array

DELAY_OF = {CLICK_DELAY_S: CLICK, CONVERSION_DELAY_S: CONVERSION}
LABELS = (CLICK, CONVERSION, MATURE, WEIGHT, *DELAY_OF, OBSERVED_S, CONVERSION_VALUE)


def broken_rules(
    table: pa.Table, num_samples: int, features: Sequence[Feature], num_ids: Mapping[str, int],
    shuffle_seed: int, unclicked_rate: float | None,
) -> Iterator[str]:
    """How many rows or values break a rule, one text a rule.

    Args:
        num_samples: its first rows; those beyond are fake negatives.
        num_ids: of each feature one more than its largest id.
        unclicked_rate: the share of the un-clicked samples that was kept; None if nobody noted it.
    """
    order_N = mixed(table[SAMPLE_ID].to_numpy()[:num_samples], shuffle_seed)
    # Strictly: so no sample id stands in a file twice, and files hold different ranges.
    yield from _broken(order_N[1:] > order_N[:-1], "rows do not follow in the seeded order")
    yield from _of_labels(table)
    if unclicked_rate is not None:
        wanted_N = np.where(table[CLICK].to_numpy() == 0, 1 / unclicked_rate, 1)
        yield from _broken(
            table[WEIGHT].to_numpy() == wanted_N.astype(np.float32),
            f"rows have a weight that does not make up for the {unclicked_rate} of the un-clicked "
            "that were kept",
        )
    if FAKE_NEGATIVE in table.column_names:
        is_beyond_N = np.arange(len(table)) >= num_samples
        yield from _broken(
            table[FAKE_NEGATIVE].to_numpy() == is_beyond_N,
            f"rows have a {FAKE_NEGATIVE} that their place contradicts",
        )
    for feature in features:
        if isinstance(feature, MultiValuedFeature):
            yield from _of_lists(feature, table, num_ids[feature.name])
        else:
            id_N = table[feature.name].to_numpy()
            yield from _broken(
                (id_N >= 0) & (id_N < num_ids[feature.name]),
                f"ids of {feature.name} lie outside its table of {num_ids[feature.name]:,}",
            )


def _of_labels(table: pa.Table) -> Iterator[str]:
    column = {name: table[name].to_numpy() for name in LABELS if name in table.column_names}
    for name in (CLICK, CONVERSION, MATURE):
        yield from _broken(np.isin(column[name], (0, 1)), f"rows have a {name} that is not 0 or 1")
    yield from _broken(
        column[CONVERSION] <= column[CLICK], "rows have a conversion without a click"
    )
    yield from _broken(
        np.isfinite(column[WEIGHT]) & (column[WEIGHT] > 0), "rows have a weight that is not above 0"
    )
    for name, event in DELAY_OF.items():
        yield from _broken(
            (column[name] >= 0) & (column[event] == 1) | (column[name] == NO_DELAY_S),
            f"rows have a {name} that no {event} explains",
        )
    yield from _broken(column[OBSERVED_S] >= 0, f"rows have {OBSERVED_S} below 0")
    if CONVERSION_VALUE in column:
        value_N = column[CONVERSION_VALUE]
        yield from _broken(
            np.isfinite(value_N) & ((column[CONVERSION] == 1) | (value_N == 0)),
            f"rows have a {CONVERSION_VALUE} that no conversion explains",
        )


def _of_lists(feature: MultiValuedFeature, table: pa.Table, num_ids: int) -> Iterator[str]:
    name = feature.name
    length_N = lengths(table[name])
    is_whole_N = length_N % VALUE_BYTES == 0
    yield from _broken(is_whole_N, f"lists of {name} are no whole number of ids")
    yield from _broken(
        length_N <= VALUE_BYTES * feature.max_length,
        f"lists of {name} are longer than max_length {feature.max_length}",
    )
    if is_whole_N.all():
        id_V = packed_values(table[name], "<i4")
        yield from _broken(
            (id_V >= 1) & (id_V < num_ids),
            f"ids in lists of {name} lie outside 1 and {num_ids:,}",
        )
    if feature.weights is not None:
        weights = weights_column(feature)
        yield from _broken(
            lengths(table[weights]) == length_N, f"lists of {weights} are not as long as {name}"
        )
        weight_V = packed_values(table[weights], "<f4")
        yield from _broken(np.isfinite(weight_V), f"values of {weights} are no finite numbers")


def _broken(holds: Array, what: str) -> Iterator[str]:
    number = int(np.count_nonzero(~holds))
    if number:
        yield f"{number:,} {what}"
