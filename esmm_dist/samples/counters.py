"""The identities that a day's counters must obey: rows in are rows out and rows dropped by reason.

It labels and counts nothing; docs/samples.md defines every counter. A row filed under a day is in
that day's books under one fate. An event of an earlier day's impression is in that day's books too,
where `_from_other_days` adds it to the rows in.
"""

from collections.abc import Mapping, Sequence
from datetime import date

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.logs import LogSource
from esmm_dist.contract.sections import Config

# Samples of users who were deleted after the build: the one fate that a day can still take on.
DELETED = "samples_deleted"

IDENTITIES = {
    ("impressions_in",): (
        "impressions_null_id", "impressions_null_time", "impressions_misfiled",
        "impressions_repeated", "impressions_conflicting", "impressions_shown_before",
        "impressions_out", "samples_left_out",
        DELETED,
    ),
    ("clicks_in", "clicks_from_other_days"): (
        "clicks_null_id", "clicks_null_time", "clicks_misfiled", "clicks_of_bots", "clicks_double",
        "clicks_without_impression", "clicks_repeated",
        "clicks_before_impression", "clicks_after_window", "clicks_skewed", "clicks_credited",
    ),
    ("conversions_in", "conversions_from_other_days"): (
        "conversions_other_type", "conversions_null_id", "conversions_null_time",
        "conversions_misfiled",
        "conversions_without_impression", "conversions_repeated", "conversions_conflicting",
        "conversions_without_click", "conversions_before_click", "conversions_after_window",
        "conversions_implying_click", "conversions_skewed", "conversions_credited",
    ),
}


def counters_of(
    day: date, tally: Mapping[str, int], counts: Mapping[str, Mapping[date, int]]
) -> dict[str, int]:
    """A day's counters: what its files tell, and what an independent count of the logs found.

    Args:
        tally: of the day's files together.
        counts: of the rows filed under each day, by counter, as `impressions_in`.
    """
    known = {name: 0 for accounted in IDENTITIES.items() for names in accounted for name in names}
    return known | dict(tally) | {name: of_day.get(day, 0) for name, of_day in counts.items()}


def refuse_nameless(day: date, counters: Mapping[str, int], config: Config) -> None:
    """Refuses a day of which no row of a log says what it belongs to: where a file lacks a column
    that others have, all its values are read as null.

    Raises:
        InputError: names the log, the day and the columns without which a row is nobody's.
    """
    logs = config.logs
    needed: dict[str, Sequence[str]] = {
        "impressions": ("impression_id",),
        "clicks": logs.clicks.keys or ("impression_id",),
        "conversions": logs.conversions.keys or (logs.conversions.attribute_by,),
    }
    for log, names in needed.items():
        # Rows of other types are looked at for nothing else.
        num_rows = counters[f"{log}_in"] - counters.get(f"{log}_other_type", 0)
        if num_rows <= 0 or counters[f"{log}_null_id"] < num_rows:
            continue
        source: LogSource = getattr(logs, log)
        raise InputError(
            f"logs.{log} ({source.place}): all {num_rows:,} rows of {day} are without "
            f"{' or '.join(source.columns.get(name, name) for name in names)} ({log}_null_id): "
            "look at that day's files: they may lack the column or name it otherwise"
        )


def refuse_no_samples(day: date, counters: Mapping[str, int], config: Config) -> None:
    """Refuses a day of which nothing is left, and says what took it.

    Raises:
        InputError: the log has no row that can be used, or the config keeps none.
    """
    if counters["impressions_out"]:
        return
    if num_left_out := counters["samples_left_out"]:
        raise InputError(
            f"samples.unclicked_rate = {config.samples.unclicked_rate}: it leaves out all "
            f"{num_left_out:,} samples of {day}, none of which has a click: give a higher rate, or "
            "keep the day out of samples.unclicked_days"
        )
    reasons = {name: n for name, n in counters.items() if name.startswith("impressions_")}
    raise InputError(
        f"logs.impressions ({config.logs.impressions.place}): no row of {day} can be used: "
        f"{', '.join(f'{name} {n:,}' for name, n in reasons.items() if n)}: correct the log"
    )


def check_identities(day: date, counters: Mapping[str, int]) -> None:
    """Holds rows in against rows out and rows dropped by reason, for each log.

    Raises:
        AssertionError: a row was lost, invented, or counted twice; nothing may be published.
    """
    for given, accounted in IDENTITIES.items():
        num_in = sum(counters[name] for name in given)
        num_accounted = sum(counters[name] for name in accounted)
        assert num_in == num_accounted, (
            f"{day}: {' + '.join(given)} = {num_in:,}, but the fates add up to {num_accounted:,} "
            f"({', '.join(f'{name}={counters[name]:,}' for name in accounted)})"
        )
    assert counters["samples_converted"] <= counters["samples_clicked"], day
    assert counters.get("samples_fake_negative", 0) <= counters["samples_converted"], day
