"""What a file of a fake_negative stream holds beside its samples: each late positive once more, as
the negative that it was taken for before.

A click is streamed when it happens, with no conversion as yet; FNW (arXiv 1907.06558) and ES-DFM
(arXiv 2012.03245) correct for that. It reads nothing, and changes no sample.

Shape legend: K samples; L of them late positives; M = K + L rows of the file.
"""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from esmm_dist.contract.schema import NO_DELAY_S
from esmm_dist.labelling.labels import Labelled
from esmm_dist.labelling.ripeness import Observed
from esmm_dist.labelling.wire import Array


class Streamed(NamedTuple):
    """The rows of a file."""

    labelled: Labelled
    """Of M rows, the samples first; its counters are those of the samples."""
    observed: Observed
    fake_negative_M: Array
    """1 for the rows beyond the samples, int8."""


def streamed(
    labelled: Labelled, observed: Observed, after_s: int, longest_s: int
) -> Streamed:
    """Adds a row for each conversion whose delay is at least `after_s`.

    The row stands for its click at the end of that wait: clicked, not converted, worth nothing,
    observed from the impression till then, and as mature as its sample. A conversion whose delay is
    not known, because it implied its click, counts as one of no delay. Late clicks are not
    repeated: both papers stream clicks, and a second row of an un-clicked impression would have to
    be taken out of the click's loss again.

    Args:
        longest_s: both windows together, which no row is observed for longer.
    """
    delay_s_K = np.maximum(labelled.conversion_delay_s_K, 0)
    late_L = np.flatnonzero((labelled.conversion_K == 1) & (delay_s_K >= after_s))
    none_L = np.zeros(len(late_L), np.int8)
    waited_L = np.maximum(labelled.click_delay_s_K[late_L], 0).astype(np.int64) + after_s

    def and_late(column_K: Array, of_late_L: Array | None = None) -> Array:
        more_L = column_K[late_L] if of_late_L is None else of_late_L.astype(column_K.dtype)
        return np.concatenate([column_K, more_L])

    rows = replace(
        labelled,
        row_K=and_late(labelled.row_K),
        click_K=and_late(labelled.click_K),
        conversion_K=and_late(labelled.conversion_K, none_L),
        value_K=None if labelled.value_K is None else and_late(labelled.value_K, none_L),
        click_delay_s_K=and_late(labelled.click_delay_s_K),
        conversion_delay_s_K=and_late(labelled.conversion_delay_s_K, none_L + NO_DELAY_S),
    )
    return Streamed(
        rows,
        Observed(and_late(observed.seconds_K, np.minimum(waited_L, longest_s)),
                 and_late(observed.mature_K)),
        np.repeat(np.array([0, 1], np.int8), [len(labelled.row_K), len(late_L)]),
    )
