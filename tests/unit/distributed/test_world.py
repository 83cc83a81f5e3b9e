"""A process by itself is a world of one, and needs no Horovod."""

import sys

import pytest
import torch

from esmm_dist.distributed.elastic import run_in_world
from esmm_dist.distributed.world import SoloWorld, connect


def test_without_horovodrun_horovod_is_never_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOROVOD_RANK", raising=False)
    monkeypatch.setitem(sys.modules, "horovod", None)
    with connect() as world:
        assert isinstance(world, SoloWorld)
        assert (world.rank, world.num_ranks) == (0, 1)
        assert (world.local_rank, world.num_local_ranks) == (0, 1)


def test_collectives_of_one_give_back_what_they_got() -> None:
    world = SoloWorld()
    tensor = torch.arange(6.0).view(3, 2)
    assert torch.equal(world.sum(tensor, "a"), tensor)
    assert torch.equal(world.broadcast(tensor, "a"), tensor)
    received, num_rows_from_rank = world.begin_exchange(tensor, [3], "a").wait()
    assert torch.equal(received, tensor) and num_rows_from_rank == [3]
    world.barrier("a")


def test_objects_are_what_json_makes_of_them_as_among_many() -> None:
    assert SoloWorld().gather_objects({"a": (1, None)}, "a") == [{"a": [1, None]}]
    with pytest.raises(TypeError):
        SoloWorld().gather_objects({1, 2}, "a")


def test_an_error_inside_the_world_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HOROVOD_RANK", raising=False)
    with pytest.raises(ZeroDivisionError):
        with connect():
            raise ZeroDivisionError


def test_outside_an_elastic_job_a_command_runs_once_from_its_beginning(
    monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOROVOD_RANK", "HOROVOD_ELASTIC"):
        monkeypatch.delenv(name, raising=False)
    runs: list[tuple[int, bool]] = []
    run_in_world(lambda world, have_begun: runs.append((world.num_ranks, have_begun)))
    assert runs == [(1, False)]
