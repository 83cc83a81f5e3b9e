"""Tables that the memory of one rank refuses train on two; nobody holds those of two trainings."""

import weakref
from pathlib import Path
from typing import Any

import pytest

from esmm_dist.assembly import Assembly, assemble
from esmm_dist.contract.config import load_config
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.predicting import predict_run
from esmm_dist.train import train_run
from esmm_dist.training.checkpoint import Index, latest_checkpoint
from esmm_dist.training.trained_run import open_run
from tests.factories.written_samples import small_document, write_config, write_samples
from tests.integration.horovodrun import horovodrun

MIB = 2**20
BYTES_PER_ROW = 28  # six numbers and row-wise Adagrad's one
TABLES_BYTES, LIMIT_BYTES = 400 * MIB, 560 * MIB
# What every rank may take beside what it has taken when it begins to train.
TRAIN_LIMITED = """
import resource, sys
from pathlib import Path
from esmm_dist.contract.command_line import run_command
from esmm_dist.contract.config import load_config
from esmm_dist.distributed.world import connect
from esmm_dist.train import train_run
def main(argv):
    with connect() as world:
        taken = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        limit = taken + int(argv[1])
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        train_run(load_config(argv[0]), world, resume="--resume" in argv)
sys.exit(run_command(main, sys.argv[1:]))
"""


def document_of(path: Path) -> dict[str, Any]:
    """Ten steps on tables of TABLES_BYTES."""
    document = small_document(path)
    document["features"][0]["encode"] = {"hash_size": TABLES_BYTES // BYTES_PER_ROW}
    return document


@pytest.mark.distributed
def test_tables_that_one_rank_is_too_small_for_train_on_two(tmp_path: Path) -> None:
    document = document_of(tmp_path)
    write_samples(document, num_rows_of_day=1_200)
    config = write_config(tmp_path, document)
    checkpoints = tmp_path / "runs" / "small" / "checkpoints" / "2024-01-03"
    # A thread's own arena would count as much as a sixth of the tables before it holds anything.
    one_arena = {"MALLOC_ARENA_MAX": "1"}

    alone = horovodrun(1, "-c", TRAIN_LIMITED, config, str(LIMIT_BYTES), environment=one_arena)
    assert alone.returncode == 2
    (line,) = [line for line in alone.stdout.splitlines() if line.startswith("error: ")]
    assert "0.39 GiB on each of 1 ranks" in line and "train on 2 ranks" in line, line
    assert not checkpoints.exists()

    both = horovodrun(2, "-c", TRAIN_LIMITED, config, str(LIMIT_BYTES), environment=one_arena)
    assert both.returncode == 0, both.stdout
    latest = latest_checkpoint(checkpoints)
    assert latest is not None and Index.read(latest).step == 10


@pytest.mark.slow
def test_a_run_goes_on_within_the_limit_that_it_began_with(tmp_path: Path) -> None:
    """Whose tables take more than half of it."""
    document = document_of(tmp_path)
    write_samples(document, num_rows_of_day=1_200)
    config = write_config(tmp_path, document)
    limit, one_arena = str(TABLES_BYTES + 360 * MIB), {"MALLOC_ARENA_MAX": "1"}
    for flags in ([], ["--resume"]):
        done = horovodrun(1, "-c", TRAIN_LIMITED, config, limit, *flags, environment=one_arena)
        assert done.returncode == 0, done.stdout


def test_a_fold_has_left_its_tables_before_the_next_one_has_its_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = small_document(tmp_path, num_test_days=3)
    document["evaluate"] |= {"retrain": "daily"}
    write_samples(document, num_rows_of_day=240)
    made: list[weakref.ref[Any]] = []
    num_held: list[int] = []

    def noted(*arguments: Any, **options: Any) -> Assembly:
        num_held.append(sum(tables() is not None for tables in made))
        assembly = assemble(*arguments, **options)
        made.extend(map(weakref.ref, assembly.tables._tables.values()))
        return assembly

    for module in ("train", "assembly"):
        monkeypatch.setattr(f"esmm_dist.{module}.assemble", noted)
    config = load_config(write_config(tmp_path, document))
    train_run(config, SoloWorld(), resume=False)
    predict_run(open_run(config, tmp_path / "runs" / "small"), SoloWorld())
    assert num_held == [0] * 3 + [0] * 3, "of trainings, then of evaluations"
