"""That all ranks were told the same: else each would train something of its own, and no figure show
it."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from esmm_dist.contract.config import flat
from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config
from esmm_dist.contract.world import World

# Where samples and runs lie may differ from machine to machine; what lies there is compared.
DECIDING_SECTIONS = ("name", "features", "model", "embedding", "train", "evaluate")


def told_by(config: Config) -> dict[str, Any]:
    """What a config says of the steps to be taken, by dotted key."""
    document = config.model_dump(mode="json")
    return {key: value for section in DECIDING_SECTIONS
            for key, value in flat(document[section], section).items()}


def check_told_alike(told: Mapping[str, Any], world: World) -> None:
    """Refuses ranks that were told different things; called by all of them.

    Args:
        told: plain values (JSON types) by what they are.

    Raises:
        InputError: on all ranks: what differs first, and how.
    """
    digest = hashlib.sha256(json.dumps(dict(told), sort_keys=True).encode()).hexdigest()
    if len(set(map(str, world.gather_objects(digest, name="told")))) == 1:
        return
    first, *others = world.gather_objects(dict(told), name="told in full")
    assert isinstance(first, dict)
    for rank, other in enumerate(others, start=1):
        assert isinstance(other, dict)
        for key in dict.fromkeys([*first, *other]):
            if first.get(key) != other.get(key):
                raise InputError(
                    f"{key} is {first.get(key)!r} on rank 0, {other.get(key)!r} on rank {rank}: "
                    "give all ranks the same config and the same samples"
                )
