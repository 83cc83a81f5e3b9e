"""The guard against values of after their impression, which would show a model its labels.

It looks at the times that values are declared to have; what the declaration alone tells is refused
by contract/leaks.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.features import Feature, time_of
from esmm_dist.labelling.flags import later_column, later_counter
from esmm_dist.labelling.marks import Mark
from esmm_dist.samples.filing import MARK
from esmm_dist.samples.logs import EVENT_TIME, IMPRESSION_ID


def refuse_later_values(
    day: date, counters: Mapping[str, int], features: Sequence[Feature],
    impressions: Callable[[], DataFrame],
) -> None:
    """Refuses a day in which a feature has values of after their impressions.

    Args:
        counters: of the day.
        impressions: reads the day's again, to show one.

    Raises:
        InputError: names the feature, how many values are too late, and an impression.
    """
    for feature in features:
        time = time_of(feature)
        num_late = 0 if time is None else counters[later_counter(feature)]
        if not num_late:
            continue
        is_late = (F.col(MARK) == Mark.IMPRESSION.value) & F.col(later_column(feature))
        row = impressions().where(is_late).orderBy(EVENT_TIME, IMPRESSION_ID).first()
        assert row is not None
        raise InputError(
            f"features.{feature.name}: on {day} {num_late:,} samples have a value of after their "
            f"impression by the column {time!r}, the first is the impression "
            f"{row[IMPRESSION_ID]!r}: log the value as it was when it was shown"
        )
