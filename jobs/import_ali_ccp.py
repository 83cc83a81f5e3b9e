"""Reads the raw files of Ali-CCP, writes them as the logs of a config, and builds its samples.

    spark-submit jobs/import_ali_ccp.py --raw FOLDER [--config FILE]

FOLDER holds sample_skeleton_{train,test}.csv and common_features_{train,test}.csv. The training
half becomes the first of samples.days, the test half the last. docs/ali_ccp.md says what becomes
of every line.
"""

import sys
from collections.abc import Sequence
from datetime import date

from pyspark.sql import SparkSession

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.folds import days_of
from esmm_dist.contract.sections import Config
from esmm_dist.samples.ali_ccp import HalfCounts, write_logs
from esmm_dist.samples.build import Builder
from esmm_dist.samples.io import Store
from esmm_dist.samples.session import open_session
from esmm_dist.samples.terminal import summary

CONFIG = "conf/ali_ccp.yaml"


def main(argv: Sequence[str]) -> None:
    """Imports both halves."""
    parser = config_parser(__doc__)
    parser.set_defaults(config=CONFIG)
    parser.add_argument("--raw", required=True, metavar="FOLDER", help="where the raw files lie")
    arguments = parser.parse_args(argv)
    config = config_from(arguments)
    spark = open_session(f"{config.name}: import")
    try:
        import_files(spark, config, arguments.raw)
    finally:
        spark.stop()


def import_files(spark: SparkSession, config: Config, folder: str) -> None:
    """Writes the logs, builds the samples, and prints what the files held.

    Raises:
        InputError: samples.days are not two, one of them is built already, a log is there, or a
            file is not as documented.
    """
    days = days_of(config.samples.days)
    if len(days) != 2:
        raise InputError(f"samples.days are {len(days)} days: Ali-CCP has two halves, declare two")
    _refuse_built_days(Store(spark, config.samples.path), days)
    for half, counts in write_logs(spark, folder, config.logs, days).items():
        print(_text(half, counts))
    manifest = Builder(spark, config, refit=False).build(days)
    print(summary(manifest.days))
    print(f"{config.samples.path}/{manifest.path}")


def _refuse_built_days(store: Store, days: Sequence[date]) -> None:
    manifest, _ = store.latest()
    built = {} if manifest is None else {day.day: day for day in manifest.days}
    for day in days:
        if day in built:
            raise InputError(
                f"{store.path}: the day {day} has {built[day].num_rows:,} samples already: remove "
                "them, or give another samples.path"
            )


def _text(half: str, counts: HalfCounts) -> str:
    kept = max(1, counts.rows - counts.illegal)
    return (
        f"{half}: {counts.rows:,} rows, {counts.illegal:,} of them illegal and skipped, "
        f"{counts.without_common:,} without common features; {counts.common_rows:,} common rows; "
        f"{counts.skeleton_features / kept:.1f} features a row, "
        f"{counts.joined_features / kept:.1f} with the common ones"
    )


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
