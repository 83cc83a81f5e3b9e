"""How long the logs had watched an impression when they were looked at, and if that is enough.

It looks at times alone, not at what happened in them, and reads nothing.

Shape legend: K impressions.
"""

from typing import NamedTuple

import numpy as np

from esmm_dist.labelling.credit_rules import CreditRules
from esmm_dist.labelling.crediting import MICROS_PER_SECOND
from esmm_dist.labelling.wire import Array


class Observed(NamedTuple):
    """What the samples say of it."""

    seconds_K: Array
    """From the impression to as_of in whole seconds, from 0 to both windows together, int32."""
    mature_K: Array
    """1 where both windows had passed, int8."""

    @classmethod
    def at(
        cls, as_of: int | None, lateness: int, time_K: Array, rules: CreditRules
    ) -> "Observed":
        """A conversion may lie at the very end of both windows, and is visible at that instant:
        an impression is mature from then on.

        Args:
            as_of: the last instant that was visible, in microseconds since 1970; None: the logs
                are complete.
            lateness: microseconds for which a row may lie unseen after it happened.
            time_K: of the impressions, likewise.
        """
        both = rules.click_window + rules.conversion_window
        age_K = np.full(len(time_K), both + lateness) if as_of is None else as_of - time_K
        return cls((np.clip(age_K, 0, both) // MICROS_PER_SECOND).astype(np.int32),
                   (age_K >= both + lateness).astype(np.int8))
