"""Lists of values: what an item is, several times over, and what a user has looked at before.

Every entry of a list is a cut of the member's score with noise of its own, so that a list says more
than one entry.

Shape legend: M members; V values of all lists.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from esmm_dist.contract.simulation import SimulatedField, Simulation
from esmm_dist.simulation.factors import Members
from esmm_dist.simulation.fields import cuts_of, score_of
from esmm_dist.simulation.streams import Purpose, stream

MEMBERS_AT_A_TIME = 65_536


def lists_of_members(
    simulation: Simulation, field: SimulatedField, members: Members
) -> Iterator[pa.ListArray]:
    """The lists of a multi-valued field, members in order, in pieces.

    Lengths are geometric from 1 (from 0 where the mean is below 1); a member of whom nothing is
    known has a null.
    """
    place = simulation.fields.index(field)
    rng = stream(simulation.seed, Purpose.HISTORIES, place)
    cuts = cuts_of(simulation, field, rng)
    score_M = score_of(members, rng)
    mean = field.mean_length or 1.0
    for start in range(0, len(score_M), MEMBERS_AT_A_TIME):
        rng = stream(simulation.seed, Purpose.HISTORIES, place, 1 + start)
        some_M = score_M[start:start + MEMBERS_AT_A_TIME]
        length_M = (rng.geometric(1 / mean, len(some_M)) if mean >= 1
                    else rng.geometric(1 / (1 + mean), len(some_M)) - 1)
        is_null_M = cuts.nulls(len(some_M), rng)
        value_V = cuts.number_C[cuts.places(np.repeat(some_M, length_M), rng)]
        offset_M1 = np.concatenate([[0], np.cumsum(length_M)]).astype(np.int32)
        lists = pa.ListArray.from_arrays(pa.array(offset_M1), pa.array(value_V))
        if is_null_M is not None:
            known = pa.array(np.where(is_null_M, -1, np.arange(len(some_M))), mask=is_null_M)
            lists = lists.take(known)
        yield lists
