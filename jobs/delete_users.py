"""Rewrites the built days without the samples of some users, under a new manifest.

    spark-submit jobs/delete_users.py [--config FILE] --users FILE
    spark-submit jobs/delete_users.py [--config FILE] --user ID [--user ID …]

A user is a value of samples.group_key; FILE holds one a line. Logs and older manifests still hold
them: docs/samples.md says what else has to be done.
"""

import sys
from collections.abc import Sequence

from pyspark.sql import SparkSession

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.contract.errors import InputError
from esmm_dist.samples.deletion import Deletion, delete_users
from esmm_dist.samples.files import Files
from esmm_dist.samples.io import Store
from esmm_dist.samples.session import open_session


def main(argv: Sequence[str]) -> None:
    """Deletes the users' samples and says what is left to do."""
    parser = config_parser(__doc__)
    parser.add_argument("--users", metavar="FILE", help="a text file, one user a line")
    parser.add_argument("--user", action="append", default=[], metavar="ID",
                        help="one user (may be repeated)")
    arguments = parser.parse_args(argv)
    config = config_from(arguments)
    spark = open_session(f"{config.name}: delete users")
    try:
        users = [*arguments.user, *(_lines(spark, arguments.users) if arguments.users else ())]
        users = list(dict.fromkeys(user for user in users if user))
        if not users:
            raise InputError("there is no user to delete: give --user ID, or --users FILE")
        deletion = delete_users(spark, Store(spark, config.samples.path), config, users)
    finally:
        spark.stop()
    print(_text(deletion, len(users), config.samples.path))


def _lines(spark: SparkSession, path: str) -> list[str]:
    folder, _, name = path.rpartition("/")
    files = Files(spark, folder or ".")
    if not files.exists(name):
        raise InputError(f"{path}: there is no such file: give one user a line to --users")
    return files.read(name).splitlines()


def _text(deletion: Deletion, num_users: int, path: str) -> str:
    lines = [f"{deletion.num_users_found:,} of {num_users:,} users have samples"]
    if deletion.num_rows_of_day:
        lines += [f"{day}: {rows:,} samples deleted"
                  for day, rows in deletion.num_rows_of_day.items()]
        lines.append(f"{path}/{deletion.manifest.path}")
        lines.append(
            "the logs still hold them, and a build from these would bring them back; older "
            "manifests hold them until jobs/clean_samples.py --keep-manifests 1 --delete, once "
            "the grace has passed; models trained before have seen them"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
