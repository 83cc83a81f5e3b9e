"""Ranks that were told different things do not begin, and each says the same of it."""

from pathlib import Path
from typing import Any

import pytest

from esmm_dist.contract.config import parse_config
from esmm_dist.contract.errors import InputError
from esmm_dist.distributed.world import SoloWorld
from esmm_dist.training.agreement import check_told_alike, told_by
from tests.factories.written_samples import small_document


class Others(SoloWorld):
    """Three ranks, seen by the one that was told `own`."""

    def __init__(self, told: list[dict[str, Any]], own: int) -> None:
        super().__init__()
        self.told, self.own = told, own

    def gather_objects(self, value: object, name: str) -> list[object]:
        if name == "told in full":
            return list(self.told)
        return [value if told == self.told[self.own] else f"not {value}" for told in self.told]


def told(**changes: Any) -> dict[str, Any]:
    """By a config whose sections have some values changed."""
    document = small_document(Path("anywhere"))
    for key, value in changes.items():
        section, _, name = key.partition("__")
        if name:
            document[section][name] = value
        else:
            document[section] = value
    return told_by(parse_config(document, "small"))


def test_ranks_that_were_told_the_same_go_on() -> None:
    check_told_alike(told(), SoloWorld())
    check_told_alike(told(), Others([told(), told(runs_path="elsewhere"), told()], 1))


@pytest.mark.parametrize("own", [0, 1, 2])
@pytest.mark.parametrize(("changes", "named"), [
    ({"train__batch_size": 480}, "train.batch_size is 240 on rank 0, 480 on rank 2"),
    ({"model__embedding_dim": 8}, "model.embedding_dim is 6 on rank 0, 8 on rank 2"),
    ({"train__num_epochs": 2}, "train.num_epochs is 1 on rank 0, 2 on rank 2"),
    ({"name": "other"}, "name is 'small' on rank 0, 'other' on rank 2"),
])
def test_what_one_was_told_otherwise_is_named_on_all_of_them(
    changes: dict[str, Any], named: str, own: int
) -> None:
    world = Others([told(), told(), told(**changes)], own)
    with pytest.raises(InputError, match=f"^{named}: give all ranks the same config"):
        check_told_alike(world.told[own], world)


def test_a_key_that_one_lacks_is_named() -> None:
    lists = [{"days.0": 1}, {"days.0": 1, "days.1": 2}, {"days.0": 1}]
    with pytest.raises(InputError, match="days.1 is None on rank 0, 2 on rank 1"):
        check_told_alike(lists[0], Others(lists, 0))
