"""Ranks' places in worlds that never speak: all that holding a shard needs."""

import dataclasses

from esmm_dist.contract.world import Traffic
from esmm_dist.distributed.world import SoloWorld


@dataclasses.dataclass
class Seat(SoloWorld):
    """A rank's place."""

    rank: int = 0
    num_ranks: int = 1
    traffic: Traffic = dataclasses.field(default_factory=Traffic)
