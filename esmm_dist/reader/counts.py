"""A declared multiplicity as whole numbers: how often each row of a file takes part in an epoch.

It reads no file and knows no rank.

Shape legend: R rows of a file.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from esmm_dist.contract.draws import NUM_DRAWS, draws_of_samples
from esmm_dist.contract.multiplicity import Multiplicity
from esmm_dist.contract.schema import CLICK, CONVERSION, SAMPLE_ID

Counts = NDArray[np.int64]


def count_rows(
    columns: Mapping[str, NDArray[Any]], multiplicity: Multiplicity, seed: int, epoch: int
) -> Counts:
    """The count of every row, shape (R,).

    Args:
        columns: those that multiplicity.columns names, as the file holds them; at least one.
    """
    num_rows = len(next(iter(columns.values())))
    count_R = np.ones(num_rows, np.int64)
    if CLICK in columns:
        count_R = np.where(
            columns[CONVERSION] == 1, multiplicity.times_converted,
            np.where(columns[CLICK] == 1, multiplicity.times_clicked,
                     _drawn(columns, multiplicity, seed, epoch)),
        )
    for name in multiplicity.required:
        count_R = count_R * (columns[name] == 1)
    return count_R


def _drawn(
    columns: Mapping[str, NDArray[Any]], multiplicity: Multiplicity, seed: int, epoch: int
) -> Counts | int:
    """The count of un-clicked rows: drawn row by row where chance has a say."""
    if not multiplicity.draws:
        return int(multiplicity.share_of_unclicked)
    draw_R = draws_of_samples(columns[SAMPLE_ID], seed, epoch)
    return (draw_R < multiplicity.share_of_unclicked * NUM_DRAWS).astype(np.int64)
