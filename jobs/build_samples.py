"""Joins the three logs into samples, day by day, and publishes them in a manifest.

    spark-submit jobs/build_samples.py [--config FILE] [--set KEY=VALUE] [--days FIRST:LAST]
                                       [--refit | --append] [--ripening]
                                       [--go-back] [--logs-changed]

Runs on any Spark cluster; docs/samples.md says what becomes of every row.
"""

import sys
from collections.abc import Sequence

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.telling import tell
from esmm_dist.samples.build import Builder
from esmm_dist.samples.schedule import parse_days
from esmm_dist.samples.session import open_session
from esmm_dist.samples.terminal import summary


def build_samples(argv: Sequence[str]) -> None:
    """Builds the days asked for and prints what they hold."""
    parser = config_parser(__doc__)
    parser.add_argument("--days", metavar="FIRST:LAST",
                        help="the days to build, or one day (default: samples.days)")
    encodings = parser.add_mutually_exclusive_group()
    encodings.add_argument("--refit", action="store_true",
                           help="learn vocabularies and quantiles anew; the samples then hold the "
                                "days asked for and no others")
    encodings.add_argument("--append", action="store_true",
                           help="give ids of their own to keys that have become frequent in "
                                "samples.fit_days; ids given before keep their meaning")
    parser.add_argument("--ripening", action="store_true",
                        help="of these days, build those that are not built yet, and those that "
                             "were built before their labels were final")
    parser.add_argument("--go-back", action="store_true",
                        help="replace days that were built as of a later instant, or from complete "
                             "logs, by what was known at samples.as_of")
    parser.add_argument("--logs-changed", action="store_true",
                        help="the logs have other columns than those that days were built from "
                             "before: what the config says of them holds from these days on")
    arguments = parser.parse_args(argv)
    if arguments.refit and arguments.ripening:
        raise InputError("--refit --ripening: the one removes the days that the other looks at: "
                         "give one of both")
    config = config_from(arguments)
    days = days_of(parse_days(arguments.days) if arguments.days else config.samples.days)
    spark = open_session(f"{config.name}: build samples")
    try:
        builder = Builder(spark, config, arguments.refit, arguments.append,
                          arguments.go_back, arguments.logs_changed)
        if arguments.ripening:
            days = builder.due(days)
        if not days:
            print(f"{config.samples.path}: nothing to build")
            return
        manifest = builder.build(days)
    finally:
        spark.stop()
    for day in manifest.days:
        if day.day in days:
            tell("built", None, built_day=day.day, num_rows=day.num_rows,
                 num_clicks=day.num_clicks, num_conversions=day.num_conversions)
    print(summary([day for day in manifest.days if day.day in days]))
    print(f"{config.samples.path}/{manifest.path}")


if __name__ == "__main__":
    sys.exit(run_command(build_samples, sys.argv[1:]))
