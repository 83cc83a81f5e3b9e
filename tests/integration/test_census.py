"""Days, folders and types that a log lacks: what a build refuses, and what it says of the rest."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pyarrow.parquet as pq
import pytest

from esmm_dist.contract.errors import InputError
from esmm_dist.contract.sections import Config
from tests.factories.raw_logs import Logs, config_of, write_logs
from tests.oracles.log_rows import Row, Rules, start_of

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.spark

ZONE = ZoneInfo("UTC")
HOUR = timedelta(hours=1)
DAYS = [date(2026, 3, 1) + n * timedelta(days=1) for n in range(5)]
BUILT = DAYS[1]
RULES = Rules(ZONE, 24 * HOUR, 24 * HOUR, ("order",))
BY_KEYS = RULES._replace(clicks_by="keys", conversions_by="keys")
Notes = Callable[..., list[str]]
NOW = start_of(date(2026, 3, 20), ZONE)
NO_WHO: dict[str, Any] = {"keys": (None, "a")}


def write(
    folder: Path, lacking: dict[str, list[date]] = {}, kinds: dict[date, str] = {},
    others: dict[tuple[str, date], dict[str, Any]] = {},
) -> None:
    """Five days, each with a row of each log but those that lack it or say other things, the
    conversions orders but of the days that have another kind."""
    def row(log: str, day: date) -> Row:
        plain = Row("i", start_of(day, ZONE) + 12 * HOUR, day, kinds.get(day, "order"),
                    keys=("u", "a"), click_id="c")
        return replace(plain, **others.get((log, day), {}))

    write_logs(Logs(*[
        [row(log, day) for day in DAYS if day not in lacking.get(log, [])]
        for log in ("impressions", "clicks", "conversions")
    ]), folder, is_partitioned=True, num_files=1, seed=0)


def config_in(folder: Path, rules: Rules = RULES, allowing: bool = False) -> Config:
    config = config_of(folder, True, rules, BUILT, BUILT)
    logs = config.logs.model_copy(update={
        log: getattr(config.logs, log).model_copy(
            update={"empty_days": "allow" if allowing else "refuse"}
        )
        for log in ("impressions", "clicks", "conversions")
    })
    return config.model_copy(update={"logs": logs})


@pytest.fixture
def notes_of(spark: "SparkSession") -> Notes:
    """What a census of the built day says."""
    from esmm_dist.samples.census import census
    from esmm_dist.samples.io import open_logs

    def take(config: Config, now: datetime = NOW) -> list[str]:
        return census(open_logs(spark, config), [BUILT], [], config, now).notes

    return take


def test_whole_logs_leave_nothing_to_be_said(notes_of: Notes, tmp_path: Path) -> None:
    write(tmp_path)
    assert notes_of(config_in(tmp_path)) == []
    assert notes_of(config_in(tmp_path, BY_KEYS)) == []


@pytest.mark.parametrize(
    "log, day, rules",
    [
        ("clicks", BUILT, RULES), ("clicks", DAYS[2], RULES), ("conversions", BUILT, RULES),
        # The last day that a window reaches.
        ("conversions", DAYS[3], RULES),
        # Only rivals of the day's impressions and clicks lie there.
        ("impressions", DAYS[2], BY_KEYS), ("clicks", DAYS[3], BY_KEYS),
    ],
    ids=lambda value: "by keys" if value == BY_KEYS else str(value) if value != RULES else "by id",
)
def test_a_day_of_events_that_was_over_and_holds_none_is_refused_unless_that_is_allowed(
    notes_of: Notes, tmp_path: Path, log: str, day: date, rules: Rules
) -> None:
    write(tmp_path, {log: [day]})
    with pytest.raises(InputError, match=(
        f"^logs.{log} .*no rows for the day {day} .*logs.{log}.empty_days: allow"
    )):
        notes_of(config_in(tmp_path, rules))
    (note,) = notes_of(config_in(tmp_path, rules, allowing=True))
    assert f"logs.{log}" in note and f"no rows for {day}: nothing happened then" in note


def test_days_that_no_window_reaches_may_be_missing(notes_of: Notes, tmp_path: Path) -> None:
    write(tmp_path, {log: [DAYS[0], *DAYS[3:]] for log in ("impressions", "clicks")})
    assert notes_of(config_in(tmp_path)) == []


def test_a_day_must_be_there_once_all_its_rows_had_to_be_known(
    notes_of: Notes, tmp_path: Path
) -> None:
    write(tmp_path, {"clicks": DAYS[2:], "conversions": DAYS[2:]})
    config = config_in(tmp_path)
    over = start_of(DAYS[3], ZONE)
    assert notes_of(config, over - HOUR) == []
    with pytest.raises(InputError, match=str(DAYS[2])):
        notes_of(config, over)
    late = config.samples.model_copy(update={"lateness_hours": 1.0})
    assert notes_of(config.model_copy(update={"samples": late}), over) == []
    seen = config.samples.model_copy(update={"as_of": over - HOUR})
    assert notes_of(config.model_copy(update={"samples": seen})) == []


def test_before_its_days_a_log_need_not_have_begun_but_holes_are_missing(
    notes_of: Notes, tmp_path: Path
) -> None:
    """The first of equal keys is looked for among earlier days."""
    rules = BY_KEYS._replace(is_first=True, conversion_window=48 * HOUR)
    write(tmp_path, {"clicks": [DAYS[0]], "impressions": [DAYS[0]]})
    assert notes_of(config_in(tmp_path, rules)) == []
    shutil.copytree(tmp_path / "clicks" / f"dt={BUILT}",
                    tmp_path / "clicks" / f"dt={DAYS[0] - timedelta(days=1)}")
    with pytest.raises(InputError, match=f"logs.clicks .*no rows for the day {DAYS[0]}"):
        notes_of(config_in(tmp_path, rules))


@pytest.mark.parametrize(
    "log, rules",
    [("clicks", BY_KEYS._replace(is_first=True)), ("impressions", BY_KEYS._replace(is_first=True)),
     # An id that was shown shortly before midnight is no impression after it.
     ("impressions", RULES)],
    ids=["first click", "first impression", "repeats"],
)
def test_the_oldest_day_that_is_read_is_missing_if_there_are_older_ones(
    notes_of: Notes, tmp_path: Path, log: str, rules: Rules
) -> None:
    write(tmp_path, {log: [DAYS[0]]})
    assert notes_of(config_in(tmp_path, rules)) == []
    shutil.copytree(tmp_path / log / f"dt={BUILT}",
                    tmp_path / log / f"dt={DAYS[0] - timedelta(days=9)}")
    with pytest.raises(InputError, match=f"^logs.{log} .*no rows for the day {DAYS[0]}"):
        notes_of(config_in(tmp_path, rules))
    (note,) = notes_of(config_in(tmp_path, rules, allowing=True))
    assert f"no rows for {DAYS[0]}: nothing happened then" in note


@pytest.mark.parametrize(
    "log, name",
    [("impressions", "latest"), ("clicks", "20260302"), ("conversions", "2026-02-30"),
     # A cast to a date takes each of these for one.
     ("impressions", "2026"), ("clicks", "202603"), ("conversions", "2026-03"),
     ("clicks", "2026-3-2"), ("clicks", "2026-03-02T10")],
)
def test_rows_under_a_folder_that_is_no_day_are_refused_by_its_name(
    notes_of: Notes, tmp_path: Path, log: str, name: str
) -> None:
    write(tmp_path)
    shutil.copytree(tmp_path / log / f"dt={BUILT}", tmp_path / log / f"dt={name}")
    with pytest.raises(InputError, match=f"^logs.{log} .* 1 rows lie under .*/dt={name}/0.parquet"):
        notes_of(config_in(tmp_path, allowing=True))


def test_rows_without_a_day_are_told(notes_of: Notes, tmp_path: Path) -> None:
    write(tmp_path)
    shutil.copytree(tmp_path / "clicks" / f"dt={BUILT}",
                    tmp_path / "clicks" / "dt=__HIVE_DEFAULT_PARTITION__")
    (note,) = notes_of(config_in(tmp_path))
    assert "logs.clicks" in note and "1 rows have no dt: no day sees them" in note


@pytest.mark.parametrize("name", ["logs", "a folder, 100 %"])
def test_a_file_without_rows_is_refused_but_not_one_of_which_none_is_known_yet(
    notes_of: Notes, tmp_path: Path, name: str
) -> None:
    write(tmp_path / name)
    config = config_in(tmp_path / name)
    seen = config.samples.model_copy(update={"as_of": start_of(DAYS[2], ZONE)})
    assert notes_of(config.model_copy(update={"samples": seen})) == []
    empty = tmp_path / name / "clicks" / f"dt={BUILT}" / "1.parquet"
    pq.write_table(pq.ParquetFile(empty.with_name("0.parquet")).read().slice(0, 0), empty)
    with pytest.raises(InputError, match=f"^logs.clicks: the file {empty} holds no rows"):
        notes_of(config)


def test_types_that_no_conversion_is_of_are_told_and_refused_if_that_are_all(
    notes_of: Notes, tmp_path: Path
) -> None:
    write(tmp_path)
    (note,) = notes_of(config_in(tmp_path, RULES._replace(types=("order", "Order"))))
    assert note.endswith("no conversion of these days is of the type 'Order'")
    wrong = RULES._replace(types=("purchase", "Order"))
    with pytest.raises(InputError, match=(
        r"^logs.conversions.types = \['purchase', 'Order'\]: .*there are 'order': correct them.*"
        "set logs.conversions.empty_days: allow$"
    )):
        notes_of(config_in(tmp_path, wrong))


def test_a_day_none_of_whose_conversions_is_of_a_type_is_told(
    notes_of: Notes, tmp_path: Path
) -> None:
    """Names may be written otherwise from some day on."""
    both = RULES._replace(types=("order", "lead"))
    write(tmp_path, kinds={BUILT: "lead", DAYS[2]: "Order"})
    note, other = notes_of(config_in(tmp_path, both, allowing=True))
    assert note.endswith(f"no conversion of {BUILT} to {DAYS[2]} (2 days) is of the type 'order'")
    assert other.endswith(f"no conversion of {DAYS[2]} to {DAYS[3]} (2 days) is of the type 'lead'")
    for rules, day in ((both, DAYS[2]), (RULES, BUILT)):
        with pytest.raises(InputError, match=(
            rf"^logs.conversions .* none of the 1 conversions of {day} is of a type of .*"
            "set logs.conversions.empty_days: allow"
        )):
            notes_of(config_in(tmp_path, rules))
    still_open = config_in(tmp_path, both)
    now = start_of(DAYS[2], ZONE)
    shutil.rmtree(tmp_path / "conversions" / f"dt={DAYS[3]}")
    assert len(notes_of(still_open, now)) == 2


def test_conversions_without_the_id_that_is_declared_are_told(
    notes_of: Notes, tmp_path: Path
) -> None:
    """A file that lacks the column reads as if no conversion had one."""
    noon = 12 * HOUR
    events = [Row("i", start_of(day, ZONE) + noon, day, "order", conversion_id="o") for day in DAYS]
    nameless = [replace(events[2], conversion_id=None), replace(events[2], type="lead")]
    rows = [*events[:2], *nameless, *events[3:]]
    write_logs(Logs(events, events, rows), tmp_path, is_partitioned=True, num_files=1, seed=0)
    (note,) = notes_of(config_in(tmp_path, RULES._replace(has_ids=True)))
    assert note.startswith("logs.conversions") and note.endswith(
        f"1 of 4 conversions have no order_id, among them all of {DAYS[2]}: they are told apart by "
        "instant and type"
    )
    assert notes_of(config_in(tmp_path)) == []
    (note,) = notes_of(config_in(tmp_path, RULES._replace(has_ids=True, types=())))
    assert "1 of 5 conversions have no order_id" in note


@pytest.mark.parametrize(
    ("rules", "log", "day", "without", "told"),
    [
        (BY_KEYS, "impressions", BUILT, {"keys": ("u", None)}, "'item', by which logs.clicks.keys"),
        # Rivals alone lie there.
        (BY_KEYS, "impressions", DAYS[2], NO_WHO, "'visitor', by which logs.clicks.keys"),
        (RULES._replace(conversions_by="click_id"), "clicks", DAYS[2], {"click_id": None},
         "'click_id', by which logs.conversions.attribute_by"),
        (RULES._replace(conversions_by="keys"), "clicks", BUILT, NO_WHO,
         "'visitor', by which logs.conversions.keys"),
        (RULES._replace(bots=(3, 60)), "clicks", BUILT, NO_WHO,
         "'visitor', by which logs.clicks.bots.key"),
    ],
    ids=["impressions' key", "rivals' key", "click_id", "conversions' key", "bots' key"],
)
def test_a_day_none_of_whose_rows_has_what_they_are_looked_up_by_is_refused(
    notes_of: Notes, tmp_path: Path, rules: Rules, log: str, day: date,
    without: dict[str, Any], told: str,
) -> None:
    """A file that lacks the column reads so, and each label that hangs on it would be 0."""
    write(tmp_path, others={(log, day): without})
    with pytest.raises(InputError, match=(
        f"^logs.{log} .*: none of the 1 rows of {day} has {told} looks them up: "
        f".*set logs.{log}.empty_days: allow$"
    )):
        notes_of(config_in(tmp_path, rules))
    (note,) = notes_of(config_in(tmp_path, rules, allowing=True))
    assert f"logs.{log}" in note and f"no row of {day} has {told}" in note


def test_what_is_read_for_ids_that_come_back_needs_no_keys(
    notes_of: Notes, tmp_path: Path
) -> None:
    write(tmp_path, others={("impressions", DAYS[0]): NO_WHO})
    assert notes_of(config_in(tmp_path, BY_KEYS)) == []
    with pytest.raises(InputError, match=f"rows of {DAYS[0]} has 'visitor'"):
        notes_of(config_in(tmp_path, BY_KEYS._replace(is_first=True)))


def test_days_none_of_whose_conversions_is_of_a_type_may_be_allowed(
    notes_of: Notes, tmp_path: Path
) -> None:
    write(tmp_path, {"conversions": [BUILT]})
    wrong = RULES._replace(types=("purchase",))
    assert notes_of(config_in(tmp_path, wrong, allowing=True))[-1] == (
        "logs.conversions.types = ['purchase']: no conversion of these days is of such a type, "
        "there are 'order': all labels are 0 (logs.conversions.empty_days: allow)"
    )
    shutil.rmtree(tmp_path / "conversions")
    write(tmp_path, {"conversions": DAYS[:-1]})
    notes = notes_of(config_in(tmp_path, wrong, allowing=True))
    assert notes[-1].endswith("no conversion of these days is of the type 'purchase'")
