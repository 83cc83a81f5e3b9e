"""Which un-clicked samples are left out at a declared rate, and what the ones kept stand for.

A row's fate depends on its sample id and the seed alone. It reads and writes nothing.

Shape legend: K samples of a file.
"""

from typing import NamedTuple

import numpy as np

from esmm_dist.labelling.labels import mixed
from esmm_dist.labelling.wire import Array

# Apart from the seeds that order rows: who is left out must not hang on where a row would lie.
SEED_OFFSET = 2**32


class Thinning(NamedTuple):
    """A rate and the impressions that it is for."""

    rate: float
    """Share of the un-clicked samples that are kept, above 0 and below 1."""
    first_time: int
    """Microseconds since 1970."""
    end_time: int
    """One past the last microsecond."""
    seed: int


def left_out_and_weight(
    thinning: Thinning, sample_id_K: Array, time_K: Array, click_K: Array
) -> tuple[Array, Array]:
    """Whether each sample is left out, (K,) bool, and what it counts if not, (K,) float32.

    An un-clicked sample that is kept stands for 1 / rate of them, so that weighted sums expect what
    the sums over all samples are. Clicked ones all stay, and so does what lies outside the times.
    """
    is_thinned_K = (click_K == 0) & (time_K >= thinning.first_time) & (time_K < thinning.end_time)
    number_K = mixed(sample_id_K, thinning.seed + SEED_OFFSET)
    is_left_out_K = is_thinned_K & (number_K >= np.uint64(int(thinning.rate * 2**64)))
    weight_K = np.where(is_thinned_K, 1 / thinning.rate, 1).astype(np.float32)
    return is_left_out_K, weight_K
