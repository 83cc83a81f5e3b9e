"""Which un-clicked samples are left out at a declared rate, and what the ones kept stand for.

A row's fate depends on its sample id and the seed alone. It reads and writes nothing.

Shape legend: K samples of a file.
"""

from datetime import date
from typing import NamedTuple

import numpy as np

from esmm_dist.contract.sections import Config
from esmm_dist.samples.days import Calendar, micros_of_instant
from esmm_dist.samples.labels import mixed
from esmm_dist.samples.wire import Array

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

    @classmethod
    def of(cls, config: Config) -> "Thinning | None":
        """What the config asks for; None if every sample is kept."""
        samples = config.samples
        if samples.unclicked_rate == 1:
            return None
        calendar, days = Calendar.of(config.logs.day_timezone), samples.unclicked_days
        first, end = -(2**63), 2**63 - 1
        if days is not None:
            first, end = (
                micros_of_instant(instant)
                for instant in (calendar.start(days.first), calendar.end(days.last))
            )
        return cls(samples.unclicked_rate, first, end, samples.shuffle_seed)


def rate_of_day(day: date, config: Config) -> float:
    """The share of a day's un-clicked samples that the config keeps."""
    samples = config.samples
    days = samples.unclicked_days
    is_meant = days is None or days.first <= day <= days.last
    return samples.unclicked_rate if is_meant else 1.0


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
