"""Who has stopped, and who is behind, as the launcher's own key-value store tells it."""

from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from horovod.runner.http.http_server import KVStoreServer

from esmm_dist.distributed import heartbeats
from esmm_dist.distributed.heartbeats import Heartbeats


@pytest.fixture
def ranks(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Heartbeats]]:
    """Three ranks of one job, all at the same collective."""
    monkeypatch.setattr(heartbeats, "SECONDS_PER_BEAT", 0.05)
    server = KVStoreServer(verbose=False)
    port = server.start_server()
    with ExitStack() as stack:
        started = [stack.enter_context(Heartbeats(f"127.0.0.1:{port}", rank, 3))
                   for rank in range(3)]
        for rank in started:
            rank.begin("towers")
        yield started
    server.shutdown_server()


def test_all_ranks_that_live_and_are_as_far_answer(ranks: list[Heartbeats]) -> None:
    assert ranks[0].diagnosis() == "all ranks answer"


def test_a_rank_that_is_behind_is_named_with_where_it_is(ranks: list[Heartbeats]) -> None:
    for rank in ranks[:2]:
        rank.begin("towers")
    assert ranks[0].diagnosis() == "rank 2 lives, but has not gone on from 'towers'"


def test_a_rank_that_has_stopped_is_named_before_those_that_wait_with_it(
    ranks: list[Heartbeats]
) -> None:
    ranks[0].diagnosis()  # all have been heard
    ranks[1].__exit__()
    ranks[1]._thread.join()
    ranks[0].begin("embedding.ids")
    assert ranks[0].diagnosis() == "rank 1 no longer answers (last in 'towers')"


def test_a_rank_that_has_never_beaten_is_named(ranks: list[Heartbeats]) -> None:
    ranks[0]._num_ranks = 4
    assert ranks[0].diagnosis() == "rank 3 has never been heard of"


def test_without_a_store_beating_goes_on_and_no_rank_is_blamed() -> None:
    with Heartbeats("127.0.0.1:9", 0, 1_000) as alone:
        alone._seconds_per_beat = 0.01
        assert alone.diagnosis().startswith("the launcher no longer answers")
        assert alone._thread.is_alive()
