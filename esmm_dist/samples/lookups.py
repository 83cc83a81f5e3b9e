"""The columns by which rows of the logs are looked up, and days of which no row has one of them.

Where a file lacks a column, or names it otherwise, its values read as null, and whatever hangs on
them finds nothing: labels of 0 that look like any others. It counts nothing; `census` does.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date

from pyspark.sql import DataFrame

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.logs import Logs, LogSource
from esmm_dist.samples.logs import BOT_KEY, CLICK_ID, key_column
from esmm_dist.samples.schedule import text_of

LookedUp = dict[str, tuple[str, str]]
"""By canonical column its name in the log, and the key of the config that wants it."""


def looked_up(log: str, frame: DataFrame, logs: Logs) -> LookedUp:
    """Of a log the columns by which its rows find others, or are found or told by them; of its
    conversions none, which say in their counters what they lack."""
    if log == "conversions":
        return {}
    source: LogSource = getattr(logs, log)
    wanted = {CLICK_ID: (CLICK_ID, "logs.conversions.attribute_by")}
    wanted |= {key_column(name): (name, "logs.conversions.keys") for name in logs.conversions.keys}
    wanted |= {key_column(name): (name, "logs.clicks.keys") for name in logs.clicks.keys}
    if logs.clicks.bots is not None:
        wanted[BOT_KEY] = logs.clicks.bots.key, "logs.clicks.bots.key"
    return {
        column: (source.columns.get(name, name), key)
        for column, (name, key) in wanted.items() if column in frame.columns
    }


def of_lost_lookups(
    log: str, num_rows: Mapping[date, int], num_filled: Mapping[str, Mapping[date, int]],
    columns: LookedUp, days: Sequence[date], source: LogSource,
) -> Iterator[str]:
    """What is to be said of days none of whose rows has a column.

    Args:
        num_rows: filed under each day.
        num_filled: by canonical column how many of them have it.
        days: those whose rows are looked up.

    Raises:
        InputError: there is such a day, unless the log says that its days may be empty.
    """
    for column, (name, key) in columns.items():
        lacking = [day for day in days if num_rows.get(day) and not num_filled[column].get(day)]
        if not lacking:
            continue
        if source.empty_days == "refuse":
            raise InputError(
                f"logs.{log} ({source.place}): none of the {num_rows[lacking[0]]:,} rows of "
                f"{lacking[0]} has {name!r}, by which {key} looks them up: look at that day's "
                "files, they may lack the column or name it otherwise; if nothing is to be found "
                f"by them, set logs.{log}.empty_days: allow"
            )
        yield (f"logs.{log} ({source.place}): no row of {text_of(lacking)} has {name!r}, by which "
               f"{key} looks them up (logs.{log}.empty_days: allow)")
