"""Rows that an epoch leaves out, repeats or adds, counted before they are read."""

from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from esmm_dist.contract.draws import NUM_DRAWS, draws_of_samples
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.manifest import read_manifest
from esmm_dist.contract.multiplicity import CLICKED_ROWS, EVERY_ROW, Multiplicity
from esmm_dist.reader.plan import TrainPlan
from esmm_dist.reader.samples import SampleReader
from tests.factories.numbered_samples import FEATURES, write_samples
from tests.integration.epochs import (
    DAYS,
    FILE_SIZES_BY_DAY,
    NUM_ROWS,
    check_rows,
    open_reader,
    read_epoch,
)

pytestmark = pytest.mark.usefixtures("no_thread_is_left_behind")


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    write_samples(folder, FILE_SIZES_BY_DAY)
    return folder


@pytest.mark.parametrize("num_ranks", [1, 2, 8])
def test_rows_left_out_and_repeated_come_as_they_were_counted(
    samples: Path, num_ranks: int
) -> None:
    reader = open_reader(samples, with_keys=True)
    files = reader.files(DAYS)
    multiplicity = Multiplicity(share_of_unclicked=0.5, times_clicked=2, times_converted=3)
    drawn = draws_of_samples(np.arange(NUM_ROWS), 5, 1) < 0.5 * NUM_DRAWS
    expected = Counter({
        n: 3 if n % 6 == 0 else 2 if n % 3 == 0 else int(drawn[n]) for n in range(NUM_ROWS)
    })
    plan = TrainPlan.make(
        files, batch_size=1, num_lanes=8, seed=5, epoch=1, num_ranks=num_ranks,
        multiplicity=multiplicity,
        rows_of_file=reader.count_rows(files, multiplicity, seed=5, epoch=1),
    )
    batches = [b for rank in range(num_ranks) for b in read_epoch(reader, plan, rank)]
    for batch in batches:
        check_rows(batch)
    assert Counter(i for b in batches for i in b.sample_id_B.tolist()) == +expected


def test_a_file_that_was_replaced_after_the_count_is_refused(samples: Path) -> None:
    reader = open_reader(samples)
    files = reader.files(DAYS)
    counted = reader.count_rows(files, CLICKED_ROWS, seed=5, epoch=0)
    plan = TrainPlan.make(
        files, batch_size=20, num_lanes=8, seed=5, epoch=0, num_ranks=1,
        multiplicity=CLICKED_ROWS, rows_of_file=[num - 1 for num in counted],
    )
    with pytest.raises(InputError, match=r"\.parquet: 1\d of its rows take part, 1\d were"):
        read_epoch(reader, plan, 0)


def test_fake_negatives_are_read_only_by_who_asks_for_them(samples: Path) -> None:
    """The last row of every file is one."""
    manifest = read_manifest(samples)
    days = tuple(
        day.model_copy(update={"files": tuple(
            file.model_copy(update={"num_fake_negatives": 1}) for file in day.files
        )})
        for day in manifest.days
    )
    reader = SampleReader(
        samples, manifest.model_copy(update={"days": days}), FEATURES, with_keys=True
    )
    files = reader.files(DAYS)
    ends = np.cumsum([file.num_rows for file in files]).tolist()
    fakes = {end - 1 for end in ends}
    with reader.evaluation_batches(DAYS, batch_size=20, num_ranks=1, rank=0) as batches:
        real = [batch.sample_id_B[: batch.num_rows - batch.num_padded] for batch in batches]
    evaluated = torch.cat(real).tolist()
    assert evaluated == [number for number in range(ends[-1]) if number not in fakes]

    def trained(multiplicity: Multiplicity) -> list[int]:
        rows = None if multiplicity.is_trivial else reader.count_rows(files, multiplicity, 5, 0)
        plan = TrainPlan.make(
            files, batch_size=1, num_lanes=1, seed=5, epoch=0, num_ranks=1,
            multiplicity=multiplicity, rows_of_file=rows,
        )
        return sorted(i for b in read_epoch(reader, plan, 0) for i in b.sample_id_B.tolist())

    assert trained(EVERY_ROW) == evaluated
    assert trained(Multiplicity(fake_negatives=True)) == list(range(ends[-1]))
    clicked = [number for number in range(ends[-1]) if number % 3 == 0]
    assert trained(CLICKED_ROWS) == [number for number in clicked if number not in fakes]
    assert trained(replace(CLICKED_ROWS, fake_negatives=True)) == clicked
