"""Draws logs from a known model with the workers of a Spark cluster.

    spark-submit jobs/simulate_logs.py --config FILE [--set KEY=VALUE] [--replace]

The same files as esmm_dist.simulate writes. Workers write for themselves: the paths of the config
must lie in a file system that all of them share.
"""

import sys
from collections.abc import Sequence

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.samples.session import open_session
from esmm_dist.samples.terminal import phase
from esmm_dist.simulation.parts import Part
from esmm_dist.simulation.run import PartWriter, simulate
from esmm_dist.simulation.terminal import summary


def simulate_logs(argv: Sequence[str]) -> None:
    """Writes what is missing, one Spark task a part."""
    parser = config_parser(__doc__)
    parser.add_argument("--replace", action="store_true",
                        help="remove what another simulation left in the same folders")
    arguments = parser.parse_args(argv)
    config = config_from(arguments)

    def write_parts(write: PartWriter, parts: Sequence[Part]) -> None:
        spark = open_session(f"{config.name}: simulate logs")
        try:
            with phase(f"drawing {sum(part.num_rows for part in parts):,} impressions"):
                spark.sparkContext.parallelize(parts, len(parts)).foreach(write)
        finally:
            spark.stop()

    simulated = simulate(config, arguments.config, write_parts, replace=arguments.replace)
    print(summary(simulated))
    print(simulated.record_path)


if __name__ == "__main__":
    sys.exit(run_command(simulate_logs, sys.argv[1:]))
