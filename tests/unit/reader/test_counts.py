"""How often a row takes part, row by row, against the words of the declaration."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from esmm_dist.contract.draws import NUM_DRAWS, draws_of_samples
from esmm_dist.contract.multiplicity import CLICKED_ROWS, EVERY_ROW, Multiplicity
from esmm_dist.reader.counts import count_rows

COLUMNS = {
    "click": np.array([0, 1, 1, 0, 1], np.int8),
    "conversion": np.array([0, 0, 1, 0, 1], np.int8),
    "sample_id": np.arange(5),
    "mature": np.array([1, 1, 1, 0, 0], np.int8),
}


def counts_of(multiplicity: Multiplicity, seed: int = 1, epoch: int = 0) -> list[int]:
    columns = {name: COLUMNS[name] for name in multiplicity.columns}
    return count_rows(columns, multiplicity, seed, epoch).tolist()


@pytest.mark.parametrize(
    ("multiplicity", "expected"),
    [
        (CLICKED_ROWS, [0, 1, 1, 0, 1]),
        (Multiplicity(share_of_unclicked=0.0, times_converted=3), [0, 1, 3, 0, 3]),
        (Multiplicity(times_clicked=2, times_converted=0), [1, 2, 0, 1, 0]),
        (Multiplicity(required=("mature",)), [1, 1, 1, 0, 0]),
        (Multiplicity(times_converted=3, required=("mature",)), [1, 1, 3, 0, 0]),
    ],
)
def test_a_row_takes_part_as_often_as_its_labels_and_columns_say(
    multiplicity: Multiplicity, expected: list[int]
) -> None:
    assert counts_of(multiplicity) == expected
    assert not multiplicity.is_trivial


def test_every_row_once_needs_no_column() -> None:
    assert EVERY_ROW.columns == () and EVERY_ROW.is_trivial


def test_only_what_decides_a_count_is_read() -> None:
    assert CLICKED_ROWS.columns == ("click", "conversion")
    assert Multiplicity(share_of_unclicked=0.5).columns == ("click", "conversion", "sample_id")
    assert Multiplicity(required=("mature",)).columns == ("mature",)


@given(st.integers(0, 2**63 - 1), st.integers(0, 9), st.sampled_from([0.1, 0.5, 0.9]))
def test_a_share_of_the_unclicked_is_drawn_by_sample_seed_and_epoch(
    seed: int, epoch: int, share: float
) -> None:
    found = counts_of(Multiplicity(share_of_unclicked=share), seed, epoch)
    draws = draws_of_samples(COLUMNS["sample_id"], seed, epoch) / NUM_DRAWS
    clicked = COLUMNS["click"] == 1
    assert found == np.where(clicked, 1, draws < share).tolist()


def test_a_row_keeps_its_draw_whatever_file_it_lies_in() -> None:
    share = Multiplicity(share_of_unclicked=0.3)
    ids = np.arange(1000)
    zeros = np.zeros(1000, np.int8)
    whole = count_rows({"click": zeros, "conversion": zeros, "sample_id": ids}, share, 7, 1)
    part = count_rows(
        {"click": zeros[:9], "conversion": zeros[:9], "sample_id": ids[500:509]}, share, 7, 1
    )
    assert part.tolist() == whole[500:509].tolist()
    assert 250 < whole.sum() < 350
