"""Says whether the logs of a day have come: what a schedule waits for.

    spark-submit jobs/find_logs.py [--config FILE] [--for-day DAY]

The day is the last of samples.days. The exit status is 0 if each log holds rows of it, and 3 if one
does not yet.
"""

import sys
from collections.abc import Sequence

from pyspark.sql import SparkSession

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.sections import Config
from esmm_dist.contract.telling import tell
from esmm_dist.samples.census import count_rows
from esmm_dist.samples.io import open_logs
from esmm_dist.samples.session import open_session

EXIT_NOT_YET = 3


class NotYet(Exception):
    """A log holds no row of the day."""


def find_logs(argv: Sequence[str]) -> None:
    """Prints how many rows of the day each log holds.

    Raises:
        InputError: a log cannot be read at all: waiting would not help.
        SystemExit: with a status of its own where a log has none.
    """
    config = config_from(config_parser(__doc__).parse_args(argv))
    spark = open_session(f"{config.name}: find logs")
    try:
        demand_last_day(spark, config)
    except NotYet as reason:
        tell("not yet", str(reason))
        raise SystemExit(EXIT_NOT_YET) from None
    finally:
        spark.stop()


def demand_last_day(spark: SparkSession, config: Config) -> None:
    """Says what the logs hold of the last day.

    Raises:
        NotYet: a log has no row of it.
    """
    day, frames = config.samples.days.last, open_logs(spark, config)
    counts = count_rows(frames, dict.fromkeys(frames._fields, [day]), config)
    missing = []
    for log, of_log in counts.items():
        num_rows = of_log.get(day, 0)
        print(f"logs.{log}: {num_rows:,} rows of {day}")
        if not num_rows:
            missing.append(f"logs.{log} ({getattr(config.logs, log).place})")
    if missing:
        raise NotYet(f"not yet: no rows of {day} in {', '.join(missing)}")


if __name__ == "__main__":
    sys.exit(run_command(find_logs, sys.argv[1:]))
