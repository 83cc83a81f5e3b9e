"""Which rows of the conversions log are one conversion, logged again.

Decided before anything is joined: two rows of one id may belong to two impressions, of two days,
and must not count for both.
"""

from collections.abc import Mapping
from datetime import date
from functools import reduce

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

from esmm_dist.labelling.marks import Mark
from esmm_dist.labelling.wire import VALUE
from esmm_dist.samples.filing import REASON, by_day
from esmm_dist.samples.logs import (
    CLICK_ID,
    CONVERSION_ID,
    EVENT_TIME,
    FILED_DAY,
    IMPRESSION_ID,
    TYPE,
    is_key_column,
)


def without_repeats(conversions: DataFrame, since: Mapping[date, date]) -> DataFrame:
    """Filed conversions of the days, all rows of a conversion_id but the first marked by their
    `reason`.

    The first is that filed under the earliest day, of these the earliest, of those at one instant
    the one that is worth most. A row looks back at the one before it alone, be that one marked or
    not: so no day that is not read can change what is found.

    Args:
        conversions: with `reason`; those that have one take no part.
        since: of each day the first one under which the row before may lie; days that it lacks are
            read to be looked back at, and left out. Empty where conversions have no ids.
    """
    if not since:
        return conversions
    cause = [
        name for name in conversions.columns
        if name in (IMPRESSION_ID, CLICK_ID) or is_key_column(name)
    ]
    worth = [VALUE] if VALUE in conversions.columns else []
    takes_part = F.col(REASON).isNull() & F.col(CONVERSION_ID).isNotNull()
    # What takes no part is spread over the tasks.
    apart = F.when(~takes_part, F.xxhash64(EVENT_TIME, CONVERSION_ID, *cause))
    of_id = Window.partitionBy(apart, CONVERSION_ID).orderBy(
        FILED_DAY, EVENT_TIME, *[F.desc_nulls_last(name) for name in worth], *cause, TYPE
    )
    is_again = takes_part & (
        F.lag(FILED_DAY).over(of_id) >= by_day(list(since), lambda day: F.lit(since[day]))
    )
    says_the_same = reduce(
        lambda all_same, name: all_same & F.lag(name).over(of_id).eqNullSafe(F.col(name)),
        [EVENT_TIME, *worth, *cause], F.lit(True),
    )
    repeated, conflicting = (
        F.lit(mark.value) for mark in (Mark.CONVERSIONS_REPEATED, Mark.CONVERSIONS_CONFLICTING)
    )
    reason = F.when(is_again, F.when(says_the_same, repeated).otherwise(conflicting))
    return (
        conversions.withColumn(REASON, F.coalesce(F.col(REASON), reason))
        .where(F.col(FILED_DAY).isin(list(since)))
    )
