"""Draws logs from a known model, and writes the truth beside them.

    python -m esmm_dist.simulate --config conf/ali_ccp_like.yaml
    python -m esmm_dist.simulate --config conf/ali_ccp_like.yaml --set simulate.confounding=1

Leaves the three logs where the config says they lie, and in simulate.path: truth/ by day, users/,
simulation.json. An interrupted simulation goes on where it stopped; docs/simulation.md has the
model. jobs/simulate_logs.py does the same on a Spark cluster.
"""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from contextlib import closing

from tqdm import tqdm

from esmm_dist.contract.command_line import config_from, config_parser, run_command
from esmm_dist.simulation.parts import Part
from esmm_dist.simulation.run import PartWriter, simulate
from esmm_dist.simulation.terminal import summary


def main(argv: Sequence[str]) -> None:
    """Parses the flags, writes what is missing with several processes, and tells."""
    parser = config_parser(__doc__)
    parser.add_argument("--workers", type=int, metavar="N", default=None,
                        help="processes that draw (default: one a core); the logs do not depend "
                             "on it")
    parser.add_argument("--replace", action="store_true",
                        help="remove what another simulation left in the same folders")
    arguments = parser.parse_args(argv)
    if arguments.workers is not None and arguments.workers < 1:
        parser.error(f"--workers {arguments.workers}: give at least 1")
    num_workers = arguments.workers or len(os.sched_getaffinity(0))

    def write_parts(write: PartWriter, parts: Sequence[Part]) -> None:
        num_rows = sum(part.num_rows for part in parts)
        with closing(tqdm(desc="simulate", total=num_rows, unit=" impressions", unit_scale=True,
                          file=sys.stderr, dynamic_ncols=True)) as bar:
            for part in written(write, parts, num_workers):
                bar.update(part.num_rows)

    config = config_from(arguments)
    simulated = simulate(config, arguments.config, write_parts, replace=arguments.replace)
    print(summary(simulated))
    print(simulated.record_path)


def written(write: PartWriter, parts: Sequence[Part], num_workers: int) -> Iterator[Part]:
    """Writes parts with several processes; yields each when it is there."""
    if min(num_workers, len(parts)) == 1:
        for part in parts:
            write(part)
            yield part
        return
    # Each process makes its own world: threads of Arrow do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(num_workers, len(parts)), mp_context=context) as pool:
        part_of = {pool.submit(write, part): part for part in parts}
        for done in as_completed(part_of):
            done.result()
            yield part_of[done]


if __name__ == "__main__":
    sys.exit(run_command(main, sys.argv[1:]))
