"""Every kind of dirt is what it says, is counted, and leaves clean rows alone."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from numpy.typing import NDArray

from esmm_dist.simulation.dirt import LOGS, Soiled, soil
from esmm_dist.simulation.outcomes import Block
from esmm_dist.simulation.tables import FILED_TIME, Logs, log_tables
from tests.factories.simulated_logs import ALL_DIRT, drawn

HOUR = 3_600_000_000
NUM_ROWS = 20_000


class Case:
    """A block with one kind of dirt, and its clean logs."""

    def __init__(self, folder: Path, **dirt: Any) -> None:
        world, _, self.block = drawn(folder, NUM_ROWS, dirt=dirt)
        self.end = int(self.block.time_N.max()) // (24 * HOUR) * 24 * HOUR + 16 * HOUR
        self.end += 24 * HOUR if self.end < self.block.time_N.max() else 0
        self.clean: Logs = log_tables(world, self.block, self.end + 48 * HOUR)
        self.soiled: Soiled = soil(world, self.block, self.clean, self.end)

    def added(self, log: str) -> pa.Table:
        """The rows beyond the clean ones, which come first."""
        return getattr(self.soiled.logs, log).slice(getattr(self.clean, log).num_rows)


def times(rows: pa.Table, name: str = "event_time") -> NDArray[Any]:
    return np.array(rows[name].cast(pa.int64()))


def row_of(block: Block, rows: pa.Table) -> NDArray[Any]:
    """The place in the block of the impressions that rows name."""
    order = np.argsort(block.impression_id_N)
    place = np.searchsorted(block.impression_id_N, rows["impression_id"].to_numpy(), sorter=order)
    found: NDArray[Any] = order[place]
    assert (block.impression_id_N[found] == rows["impression_id"].to_numpy()).all()
    return found


def test_no_dirt_is_declared_none_is_there(tmp_path: Path) -> None:
    case = Case(tmp_path)
    assert case.soiled.counts == {} and case.soiled.logs == case.clean


@pytest.mark.parametrize("kind", [k for k in ALL_DIRT if k != "impressions_per_bot"])
def test_clean_rows_stay_as_they_are(tmp_path: Path, kind: str) -> None:
    case = Case(tmp_path, **{kind: 0.1})
    for log in LOGS:
        clean, soiled = getattr(case.clean, log), getattr(case.soiled.logs, log)
        kept = soiled.slice(0, clean.num_rows)
        moved = ["ingest_time", FILED_TIME] if kind == "late" and log != "impressions" else []
        assert kept.drop_columns(moved).equals(clean.drop_columns(moved))


def test_kinds_do_not_move_each_others_rows(tmp_path: Path) -> None:
    alone, together = Case(tmp_path, bots=0.05), Case(tmp_path, **ALL_DIRT | {
        "bots": 0.05, "impressions_per_bot": 200, "late": 0.0})
    count = alone.soiled.counts["impressions_of_bots"]
    users = alone.added("impressions")["user_id"].to_pylist()
    assert count == len(users) > 0
    assert together.soiled.counts["impressions_of_bots"] == count
    assert set(users) <= set(together.added("impressions")["user_id"].to_pylist())


def test_counts_are_the_rows_added(tmp_path: Path) -> None:
    case = Case(tmp_path, **ALL_DIRT)
    for log in LOGS:
        counted = sum(count for name, count in case.soiled.counts.items()
                      if name.startswith(f"{log}_") and not name.endswith("_late"))
        assert counted == case.added(log).num_rows > 0
    shares = {"impressions_repeated": 0.03, "impressions_conflicting": 0.02,
              "impressions_null_id": 0.02, "impressions_null_time": 0.02,
              "impressions_misfiled": 0.1, "impressions_of_bots": 0.02}
    for name, share in shares.items():
        assert case.soiled.counts[name] / NUM_ROWS == pytest.approx(share, rel=0.25), name


def test_repeats_are_equal_to_a_clean_row(tmp_path: Path) -> None:
    case = Case(tmp_path, duplicates=0.1)
    for log in LOGS:
        clean = {row["impression_id"]: row for row in getattr(case.clean, log).to_pylist()}
        added = case.added(log).to_pylist()
        assert added and all(row == clean[row["impression_id"]] for row in added)


def test_conflicts_are_later_and_of_the_same_day(tmp_path: Path) -> None:
    case = Case(tmp_path, conflicts=0.1)
    rows = case.added("impressions")
    assert (times(rows) > case.block.time_N[row_of(case.block, rows)]).all()
    assert (times(rows, FILED_TIME) < case.end).all()


def test_orphans_name_no_impression_and_strays_none_that_was_clicked(tmp_path: Path) -> None:
    case = Case(tmp_path, orphans=0.2)
    known = set(case.block.impression_id_N.tolist())
    clicks, conversions = case.added("clicks"), case.added("conversions")
    assert clicks.num_rows and not known & set(clicks["impression_id"].to_pylist())
    num_orphans = case.soiled.counts["conversions_orphaned"]
    assert not known & set(conversions["impression_id"].to_pylist()[:num_orphans])
    strays = conversions.slice(num_orphans)
    assert strays.num_rows == case.soiled.counts["conversions_without_click"] > 0
    assert not case.block.click_N[row_of(case.block, strays)].any()


def test_late_events_are_those_of_the_day_and_arrive_on_the_next(tmp_path: Path) -> None:
    case = Case(tmp_path, late=0.3)
    for log in ("clicks", "conversions"):
        rows = getattr(case.soiled.logs, log)
        is_late = times(rows, FILED_TIME) != times(getattr(case.clean, log), FILED_TIME)
        assert is_late.sum() == case.soiled.counts[f"{log}_late"] > 0
        assert (times(rows)[is_late] < case.end).all()
        for name in (FILED_TIME, "ingest_time"):
            arrived = times(rows, name)[is_late]
            assert (arrived >= case.end).all() and (arrived < case.end + 24 * HOUR).all()
    assert (times(case.added("impressions"), FILED_TIME) >= case.end).all()


def test_skewed_reports_lie_before_their_cause_by_less_than_declared(tmp_path: Path) -> None:
    case = Case(tmp_path, skewed=0.3, max_skew_seconds=60.0)
    for log, causes in (("clicks", case.block.time_N), ("conversions", case.block.click_time_N)):
        rows = case.added(log)
        row_N = row_of(case.block, rows)
        early = causes[row_N] - times(rows)
        assert len(early) and early.min() > 0 and early.max() <= 60_000_000
        assert case.block.click_N[row_N].all()
        if log == "conversions":
            assert case.block.conversion_N[row_N].all()


def test_bots_click_all_they_see_at_once_and_convert_nothing(tmp_path: Path) -> None:
    case = Case(tmp_path, bots=0.05, impressions_per_bot=100)
    shown, clicks = case.added("impressions"), case.added("clicks")
    assert shown["impression_id"].equals(clicks["impression_id"])
    wait = times(clicks) - times(shown)
    assert wait.min() > 0 and wait.max() <= 1_000_000
    assert case.added("conversions").num_rows == 0
    known = set(case.clean.impressions["user_id"].to_pylist())
    bots, sizes = np.unique(shown["user_id"].to_numpy(), return_counts=True)
    assert not known & set(bots.tolist()) and set(sizes.tolist()) == {100}
    assert not set(shown["impression_id"].to_pylist()) & set(case.block.impression_id_N.tolist())


def test_nulls_lack_their_id_or_their_time(tmp_path: Path) -> None:
    case = Case(tmp_path, nulls=0.1)
    for log in LOGS:
        added = case.added(log)
        for column, fate in (("impression_id", "null_id"), ("event_time", "null_time")):
            assert added[column].null_count == case.soiled.counts[f"{log}_{fate}"] > 0
        assert added[FILED_TIME].null_count == 0
