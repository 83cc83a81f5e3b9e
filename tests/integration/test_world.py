"""Real Horovod processes: every collective's meaning, and how a job ends when a rank fails."""

import json
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from subprocess import CompletedProcess
from typing import Any

import pytest
import torch

from tests.integration.horovodrun import ROOT, horovodrun

pytestmark = pytest.mark.distributed

RANKS = ROOT / "tests/integration/world_ranks.py"
NUM_RANKS = 3

End = tuple[float, CompletedProcess[str]]
"""After how many seconds a job was over, and what it left."""


@dataclass(frozen=True)
class Stall:
    """How a rank stays away, how long the others wait for it, and what they say then."""

    how: str
    limit: str
    seconds: int
    named: str

    def end(self) -> End:
        """Of a job of two ranks in which that happens."""
        begun = time.monotonic()
        limits = {"HOROVOD_STALL_CHECK_TIME_SECONDS": "2", self.limit: str(self.seconds)}
        done = horovodrun(2, RANKS, self.how, environment=limits)
        return time.monotonic() - begun, done


# 30 s, because within the same time all ranks have to find each other at the start.
STALLS = (
    Stall("stop", "HOROVOD_GLOO_TIMEOUT_SECONDS", 30,
          "rank 1 no longer answers (last in 'towers')"),
    Stall("loiter", "HOROVOD_STALL_SHUTDOWN_TIME_SECONDS", 8,
          "rank 1 lives, but has not gone on from 'towers'"),
)


@pytest.fixture(scope="module")
def ends_of_stalls() -> Iterator[list[Future[End]]]:
    """In the order of STALLS."""
    with ThreadPoolExecutor(len(STALLS)) as pool:
        yield [pool.submit(stall.end) for stall in STALLS]


@pytest.fixture(scope="module", autouse=True)
def begun(request: pytest.FixtureRequest) -> None:
    """Stalled jobs wait for most of a minute and need no processor: if a test asks for their ends,
    the last one, they begin before the first."""
    if any("ends_of_stalls" in getattr(item, "fixturenames", ()) and item.path == request.path
           for item in request.session.items):
        request.getfixturevalue("ends_of_stalls")


@pytest.fixture(scope="module")
def heard(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("world")
    done = horovodrun(NUM_RANKS, RANKS, "speak", folder)
    assert done.returncode == 0, done.stdout
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(NUM_RANKS)]


def sent(counts: dict[int, list[int]], to: int) -> tuple[list[list[int]], list[int]]:
    """What a rank receives when rank r sends counts[r][to] rows to each."""
    rows = [[r * 2**60, to, n] for r in range(NUM_RANKS) for n in range(counts[r][to])]
    return rows, [counts[r][to] for r in range(NUM_RANKS)]


def test_every_rank_knows_its_place(heard: list[dict[str, Any]]) -> None:
    assert [h["place"] for h in heard] == [[rank, 3, rank, 3] for rank in range(3)]


def test_sums_are_over_all_ranks_and_the_same_bits_on_each(heard: list[dict[str, Any]]) -> None:
    for h in heard:
        assert h["sum"] == [[3.0, 3.0]]
        assert h["sum_of_scalar"] == 3
        assert h["sum_of_nothing"] == []
        assert h["sum_of_many"] == heard[0]["sum_of_many"]
    parts = [torch.randn(100_003, generator=torch.Generator().manual_seed(r)) for r in range(3)]
    expected = torch.stack(parts).double().sum(0).float()
    torch.testing.assert_close(torch.tensor(heard[0]["sum_of_many"]), expected)


def test_rank_zero_is_heard_by_all_and_all_by_each(heard: list[dict[str, Any]]) -> None:
    objects = [{"rank": r, "text": "ü" * r, "none": None} for r in range(3)]
    for h in heard:
        assert h["broadcast"] == [7, 2**60]
        assert h["objects"] == objects


def test_ranks_that_have_nothing_to_say_leave_the_processor_to_the_towers(
    heard: list[dict[str, Any]]
) -> None:
    assert max(h["waits_of_an_idle_second"] for h in heard) < 1_500, [
        h["waits_of_an_idle_second"] for h in heard]


@pytest.mark.parametrize(
    "name, counts",
    [
        ("uneven", {r: [r + to for to in range(3)] for r in range(3)}),
        ("silent_rank", {0: [2, 2, 2], 1: [0, 0, 0], 2: [2, 2, 2]}),
        ("silence", {r: [0, 0, 0] for r in range(3)}),
        ("only_to_last", {r: [0, 0, 3] for r in range(3)}),
    ],
)
def test_an_exchange_delivers_in_the_order_of_senders(
    heard: list[dict[str, Any]], name: str, counts: dict[int, list[int]]
) -> None:
    for rank, h in enumerate(heard):
        rows, num_rows_from_rank = sent(counts, rank)
        assert h[name] == [rows, num_rows_from_rank]


def test_exchanges_of_one_name_may_differ_in_size_from_step_to_step(
    heard: list[dict[str, Any]]
) -> None:
    for rank, h in enumerate(heard):
        for step, received in zip((2, 3, 1, 0, 2), h["changing"], strict=True):
            rows, counts = sent({r: [step * (r + to) for to in range(3)] for r in range(3)}, rank)
            assert received == [rows, counts]


@pytest.mark.parametrize("how", ["raise", "die"])
def test_a_rank_that_fails_ends_the_job_with_its_own_line(how: str) -> None:
    begun = time.monotonic()
    done = horovodrun(2, RANKS, how)
    # Horovod waits 5 s for a process it has asked to end; the rest is the start.
    assert time.monotonic() - begun < 60
    assert done.returncode != 0
    if how == "raise":
        assert "[1]<stderr>:error: samples/day=7: truncated: rebuild the day" in done.stdout
    else:
        assert "Process 1 exit with status code 137" in done.stdout
    assert (
        "[0]<stderr>:error: rank 0 gave up 'towers': "
        "another rank failed, ended or stalled: see what it wrote"
    ) in done.stdout
    assert not any(line.startswith("[0]<stderr>:Traceback") for line in done.stdout.splitlines())


def test_what_ranks_refuse_alike_is_told_once_and_nothing_else_is_lost() -> None:
    done = horovodrun(3, RANKS, "refuse")
    assert done.returncode != 0
    errors = [line for line in done.stdout.splitlines() if ":error: " in line]
    assert sorted(errors) == [
        "[0]<stderr>:error: train.batch_size: too large", "[1]<stderr>:error: day 8: empty",
    ]


@pytest.mark.slow
def test_a_rank_that_stops_or_stays_behind_ends_the_job_in_the_time_set_and_is_named(
    ends_of_stalls: list[Future[End]]
) -> None:
    for stall, end in zip(STALLS, ends_of_stalls, strict=True):
        seconds, done = end.result()
        assert seconds < stall.seconds + 75
        assert done.returncode != 0
        (line,) = [line for line in done.stdout.splitlines() if ":error: rank 0 gave up" in line]
        assert "gave up 'towers': waited " in line and stall.named in line
