"""What tables will take, against what they take, and the way out where they do not fit."""

import pytest
import torch

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.row_space import RowSpace
from esmm_dist.distributed.admission import Admission
from esmm_dist.distributed.embedding import ShardedEmbedding
from esmm_dist.distributed.footprint import HEADROOM_BYTES, Footprint
from esmm_dist.distributed.row_optimizers import RowAdagrad, RowAdam, RowOptimizer
from tests.factories.random_batches import FEATURES, NUM_ROWS_OF_TABLE
from tests.factories.seats import Seat

SPACE = RowSpace(NUM_ROWS_OF_TABLE)
LARGE = RowSpace({"user": 40_000_000})


def footprint(
    space: RowSpace = LARGE, optimizer: RowOptimizer | None = RowAdagrad(0.1), num_ranks: int = 1,
    is_replicated: bool = False,
) -> Footprint:
    return Footprint.of(space, 18, torch.float32, optimizer, 1, num_ranks, is_replicated)


@pytest.mark.parametrize("num_ranks", [1, 3])
@pytest.mark.parametrize("is_replicated", [False, True])
@pytest.mark.parametrize("rule", [None, RowAdagrad(0.1), Admission(RowAdam(0.1), 3)])
def test_tables_take_what_was_said(
    rule: RowOptimizer | None, is_replicated: bool, num_ranks: int
) -> None:
    said = footprint(SPACE, rule, num_ranks, is_replicated)
    tables = [
        ShardedEmbedding(FEATURES, NUM_ROWS_OF_TABLE, 18, Seat(rank, num_ranks), rule, 1,
                         is_replicated=is_replicated)
        for rank in range(num_ranks)
    ]
    taken = [sum(t.nbytes for t in each._held().values()) for each in tables]
    assert max(taken) == said.bytes_on(num_ranks)
    if not is_replicated:
        assert sum(taken) == said.total_bytes


def test_the_line_tells_rows_bytes_and_ranks() -> None:
    assert footprint(num_ranks=2).line() == (
        "tables: 40,000,000 rows, 76 bytes a row with the optimizer's state: 2.83 GiB, "
        "1.42 GiB on each of 2 ranks"
    )


def test_tables_that_fit_are_taken_and_others_refused_with_the_ranks_that_would_do() -> None:
    whole = footprint()
    whole.check([whole.total_bytes + HEADROOM_BYTES])
    with pytest.raises(InputError) as caught:
        whole.check([whole.total_bytes + HEADROOM_BYTES, whole.total_bytes // 2])
    assert str(caught.value) == (
        "tables: 40,000,000 rows, 76 bytes a row with the optimizer's state: 2.83 GiB, 2.83 GiB on "
        "each of 1 ranks, and 0.25 GiB beside them: rank 1 can take only 1.42 GiB: train on 3 "
        "ranks with as much memory each, or lower model.embedding_dim or the tables' sizes"
    )


def test_replicated_tables_are_to_be_sharded_where_they_do_not_fit() -> None:
    with pytest.raises(InputError, match="set embedding.parallel to sharded, lower"):
        footprint(num_ranks=2, is_replicated=True).check([2**30, 2**30])
