"""Lists what no kept manifest of a directory of samples lists, and removes it if told to.

    spark-submit jobs/clean_samples.py [--config FILE] [--keep-manifests N] [--delete]
    spark-submit jobs/clean_samples.py --scores [--config FILE] [--keep-manifests N] [--delete]

Builds leave the days they replace, and killed builds their drafts, so that nothing in use is ever
overwritten; so do jobs that score impressions, whose directory --scores means. docs/samples.md says
what stays.
"""

import argparse
import sys
from collections.abc import Sequence
from datetime import timedelta
from typing import NamedTuple

from pyspark.sql import SparkSession

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.sections import Config
from esmm_dist.samples.cleaning import inventory, listing_of_samples, remove
from esmm_dist.samples.files import Files
from esmm_dist.samples.io import now
from esmm_dist.samples.session import open_session
from esmm_dist.samples.terminal import leftovers_table, phase
from esmm_dist.scoring.store import listing_of_scores, scores_path


def clean_samples(argv: Sequence[str]) -> None:
    """Prints what can go, and lets it go where --delete says so."""
    parser = config_parser(__doc__)
    parser.add_argument("--scores", action="store_true",
                        help="clean the directory of scores (score.path), not that of samples")
    parser.add_argument("--keep-manifests", type=_at_least_one, default=5, metavar="N",
                        help="the newest manifests that stay whatever their age (default: 5)")
    parser.add_argument("--pinned", type=int, action="append", default=[], metavar="NUMBER",
                        help="another manifest that stays, because a run that will be resumed or "
                             "evaluated is pinned to it (may be repeated)")
    parser.add_argument("--grace-hours", type=_hours, default=72.0, metavar="HOURS",
                        help="how long after it was superseded a manifest stays, and anything else "
                             "after it was written: longer than any build or training lasts "
                             "(default: 72)")
    parser.add_argument("--delete", action="store_true",
                        help="delete what is listed (default: list it only)")
    arguments = parser.parse_args(argv)
    config = config_from(arguments)
    spark = open_session(f"{config.name}: clean samples")
    try:
        clean(
            spark, config, Stay(arguments.keep_manifests, tuple(arguments.pinned),
                                timedelta(hours=arguments.grace_hours)),
            of_scores=arguments.scores, deletes=arguments.delete,
        )
    finally:
        spark.stop()


class Stay(NamedTuple):
    """What stays though no latest manifest lists it, as `inventory` takes it."""

    num_kept: int
    pinned: tuple[int, ...]
    grace: timedelta


def clean(
    spark: SparkSession, config: Config, stay: Stay, *, of_scores: bool, deletes: bool
) -> None:
    """Prints what of one directory can go, and lets it go if it deletes.

    Raises:
        InputError: as `inventory`; nothing is deleted.
    """
    path, parse = (
        (scores_path(config), listing_of_scores) if of_scores
        else (config.samples.path, listing_of_samples)
    )
    files = Files(spark, path)
    found = inventory(files, parse, stay.num_kept, stay.pinned, stay.grace, now())
    print(f"kept: {', '.join(f'manifest {number}' for number in found.kept)}")
    print(leftovers_table(found.leftovers))
    if found.leftovers and deletes:
        with phase(f"deleting {len(found.leftovers):,} of {path}"):
            remove(files, found.leftovers)
    elif found.leftovers:
        print("nothing deleted: give --delete to delete what is listed")


def _at_least_one(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1: the latest always stays")
    return int(text)


def _hours(text: str) -> float:
    try:
        hours = float(text)
    except ValueError:
        hours = -1.0
    if not 0 <= hours < 1_000_000:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of hours")
    return hours


if __name__ == "__main__":
    sys.exit(run_command(clean_samples, sys.argv[1:]))
